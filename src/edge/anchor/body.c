/* The description in a message's body, wherever it stands: alone, in a part of several, in a
 * message inside of the message, under a signature (RFC 5621 8, RFC 3261 23.3, 23.4). Who changes
 * it changes what was signed: the signature, which would be a lie then, does not go on (RFC 3261
 * 23: some intermediaries "rely on viewing or modifying the bodies", and "secure MIME may prevent
 * these sorts of intermediaries from functioning"; here it was verified before, smime.h). What
 * cannot be read is refused where it matters what is in it. Worker thread. */
#include "base/log.h"
#include "edge/anchor/anchor_priv.h"
#include "edge/status/facts.h"
#include "pki/cms.h"
#include "sip/smime.h"

struct search {
    const struct sip_msg *m;
    struct str found; /* empty: none yet */
    struct reason *why;
};

/* Binary is the default in SIP: a part is read as it stands (RFC 3261 7.4.1, RFC 5621 3.2). */
static bool is_encoded(const struct sip_part *part)
{
    struct str packed = sip_part_header(part, STR("Content-Encoding")),
               how = sip_part_header(part, STR("Content-Transfer-Encoding"));

    return (packed.p && !str_eq_nocase(packed, STR("identity"))) ||
           str_eq_nocase(how, STR("base64")) || str_eq_nocase(how, STR("quoted-printable"));
}

static int unreadable(struct search *s)
{
    reason_set(s->why, "body-unreadable", "RFC 3261 21.4.13", 415,
               "what describes media must be readable here");
    return ERR_REFUSED;
}

static int take(struct search *s, struct str text)
{
    if (s->found.n) { /* only one is made anew: the other would pass with what the phone said */
        reason_set(s->why, "body-ambiguous", "RFC 5621 8", 488, "two session descriptions");
        return ERR_REFUSED;
    }
    s->found = text;
    return 0;
}

static bool is_message(struct str type)
{
    return sip_type_is(type, STR("message/sip")) || sip_type_is(type, STR("message/sipfrag"));
}

static bool is_pkcs7(struct str type)
{
    return sip_type_is(type, STR("application/pkcs7-mime")) ||
           sip_type_is(type, STR("application/x-pkcs7-mime"));
}

/* A message inside (RFC 3261 23.4), or what there is of one: its body counts, if it is a plain one.
 */
static int look_into_message(struct search *s, struct str text)
{
    struct reason why = {0};
    const struct sip_hdr *type;
    struct sip_msg *in;
    int err = sip_frag_parse(s->m->arena, text, &in, &why);

    if (err == ERR_NOMEM)
        return err;
    if (err != 0 || in->defect.sip_status)
        return unreadable(s);
    if (!in->body.n)
        return 0;
    type = sip_msg_hdr(in, SIP_H_CONTENT_TYPE, 0);
    if (!type || sip_msg_has(in, SIP_H_CONTENT_ENCODING) || is_pkcs7(type->value) ||
        is_message(type->value) || str_starts_nocase(type->value, STR("multipart/")))
        return unreadable(s);
    return sip_type_is(type->value, STR("application/sdp")) ? take(s, in->body) : 0;
}

static int look_at(struct search *s, const struct sip_part *p)
{
    bool is_sdp = sip_type_is(p->content_type, STR("application/sdp"));

    if (is_pkcs7(p->content_type) || ((is_sdp || is_message(p->content_type)) && is_encoded(p)))
        return unreadable(s);
    if (is_sdp)
        return take(s, p->body);
    return is_message(p->content_type) ? look_into_message(s, p->body) : 0;
}

static int look_at_all(struct search *s, const struct sip_part *parts, size_t n)
{
    int err = 0;

    for (size_t i = 0; i < n && err == 0; i++)
        err = look_at(s, &parts[i]);
    return err;
}

/* A signature that has in it what it is over (RFC 8551 3.5.2): that can be read by anybody. */
static int look_inside(struct search *s, struct str cms, bool is_base64)
{
    struct sip_part parts[LIMIT_BODY_PARTS];
    size_t n = ARRAY_LEN(parts);
    struct reason why = {0};
    struct str content;
    int err = is_base64 ? sip_base64_lines(s->m->arena, cms, &cms) : 0;

    if (err == 0)
        err = pki_cms_content(cms, s->m->arena, &content, &why);
    if (err == 0)
        err = sip_entity_parts(content, parts, &n, &why);
    if (err == ERR_NOMEM)
        return err;
    return err != 0 ? unreadable(s) : look_at_all(s, parts, n);
}

static int look_at_body(struct search *s)
{
    const struct sip_msg *m = s->m;
    const struct sip_hdr *type = sip_msg_hdr(m, SIP_H_CONTENT_TYPE, 0);
    struct sip_part parts[LIMIT_BODY_PARTS];
    struct sip_smime layer;
    size_t n = ARRAY_LEN(parts), n_layers = 1;

    if (!type || sip_msg_has(m, SIP_H_CONTENT_ENCODING))
        return unreadable(s);
    if (sip_type_is(type->value, STR("application/sdp")))
        return take(s, m->body);
    if (is_pkcs7(type->value))
        return sip_smime_find(m, &layer, &n_layers, s->why) == 0 && n_layers == 1 &&
                       layer.kind == SIP_SMIME_OPAQUE
                   ? look_inside(s, layer.cms, layer.is_base64)
                   : unreadable(s);
    if (is_message(type->value))
        return look_into_message(s, m->body);
    if (!str_starts_nocase(type->value, STR("multipart/")))
        return 0;
    return sip_body_parts(m, parts, &n, s->why) != 0 ? ERR_REFUSED : look_at_all(s, parts, n);
}

static int find(const struct sip_msg *m, struct reason *why)
{
    struct search s = {.m = m, .why = why};
    int err = look_at_body(&s);
    struct reason *kept = NULL;

    if (err == ERR_NOMEM || (err != 0 && (kept = arena_alloc(m->arena, sizeof(*kept))) == NULL))
        return ERR_NOMEM;
    if (kept)
        *kept = *why;
    *m->memo = (struct sip_memo){.is_known = true, .err = err, .description = s.found, .why = kept};
    return 0;
}

/* Each branch asks for it, and who judges signatures; what takes long to read is read once. */
int anchor_body_find(const struct sip_msg *m, struct str *ret, struct reason *why)
{
    const struct sip_memo *memo = m->memo;
    struct reason inner = {0};

    *ret = STR_NULL;
    if (!m->body.n)
        return 0;
    if (!memo->is_known && find(m, &inner) != 0) {
        reason_set(why, "no-memory", NULL, 500, NULL);
        return ERR_REFUSED;
    }
    if (memo->err != 0) {
        if (why)
            *why = *memo->why;
        return memo->err;
    }
    *ret = memo->description;
    return 0;
}

/* ---- another description in its place ---- */

/* What cannot stay around a description that is another one. */
static bool is_wrap(struct str type)
{
    return sip_type_is(type, STR("multipart/signed")) || is_message(type) || is_pkcs7(type);
}

static bool is_within(struct str outer, struct str inner)
{
    return inner.p >= outer.p && inner.p + inner.n <= outer.p + outer.n;
}

/* The outermost of these that `was` is in; the body, where it is that itself; empty: none. */
static struct str wrap_of(const struct sip_msg *m, struct str was)
{
    const struct sip_hdr *type = sip_msg_hdr(m, SIP_H_CONTENT_TYPE, 0);
    struct sip_part parts[LIMIT_BODY_PARTS];
    size_t n = ARRAY_LEN(parts);

    if (type && is_wrap(type->value))
        return m->body;
    if (!type || !was.n || sip_body_parts(m, parts, &n, NULL) != 0)
        return STR_NULL;
    for (size_t i = 0; i < n; i++)
        if (parts[i].depth > 0 && is_wrap(parts[i].content_type) && is_within(parts[i].body, was))
            return sip_part_whole(&parts[i]);
    return STR_NULL;
}

bool anchor_body_is_wrapped(const struct sip_msg *m, struct str was)
{
    return wrap_of(m, was).n > 0;
}

/* `is` instead of a slice of the body. */
static int splice(const struct sip_msg *m, struct str was, struct str head, struct str is,
                  struct str *ret)
{
    size_t before = (size_t)(was.p - m->body.p), after = m->body.n - before - was.n;
    size_t n = before + head.n + is.n + after;
    char *p = arena_alloc(m->arena, n + 1);
    struct sbuf b;

    if (!p)
        return ERR_NOMEM;
    b = sbuf_make(p, n + 1);
    sbuf_add(&b, m->body.p, before);
    sbuf_str(&b, head);
    sbuf_str(&b, is);
    sbuf_add(&b, was.p + was.n, after);
    *ret = sbuf_get(&b);
    return 0;
}

int anchor_body_replace(const struct sip_msg *m, struct str was, struct str is,
                        struct forward_changes *ret)
{
    const struct sip_hdr *type = sip_msg_hdr(m, SIP_H_CONTENT_TYPE, 0);
    struct str wrap = wrap_of(m, was);

    ret->has_body = true;
    ret->content_type = type ? type->value : STR("application/sdp");
    ret->body = is;
    ret->has_other_keys = facts_fingerprints(was) != facts_fingerprints(is);
    ret->is_unwrapped = wrap.n > 0 && wrap.n == m->body.n;
    if (wrap.n)
        LOG(LOG_NOTICE, "body-unwrapped", LS("call", m->call_id), LS("type", ret->content_type),
            LZ("clause", "RFC 3261 23"));
    if (ret->is_unwrapped)
        ret->content_type = STR("application/sdp");
    if (ret->is_unwrapped || !was.n || was.n == m->body.n) {
        if (!is.n)
            ret->content_type = STR_NULL;
        return 0;
    }
    return wrap.n ? splice(m, wrap, STR("Content-Type: application/sdp\r\n\r\n"), is, &ret->body)
                  : splice(m, was, STR_NULL, is, &ret->body);
}
