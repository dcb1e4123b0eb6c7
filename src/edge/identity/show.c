/* What a message shows: see edge/identity/show.h. RFC 8224 4.1, 8, 8.1 to 8.5; RFC 5621 for bodies in
 * parts; RFC 8122 5 for fingerprints. Pure. */
#include "edge/identity/show.h"
#include "base/limits.h"
#include "edge/anchor/anchor_priv.h"
#include "sdp/sdp.h"

int identity_show_uri(struct arena *a, struct str uri, const struct canon_dial *dial,
                      bool is_origin, struct passport_id *ret)
{
    struct sip_uri u;
    int err = sip_uri_parse(uri, &u);
    if (err != 0)
        return err;
    struct canon_uri c = {
        .scheme = u.scheme_text,
        .user = u.scheme == SIP_SCHEME_TEL ? str_make(u.user.p, u.user.n + u.params.n) : u.user,
        .host = u.host,
        .host_is_v6 = u.host_is_v6,
        .user_is_phone = u.user_is_phone,
        .whole = u.scheme == SIP_SCHEME_OTHER || u.scheme == SIP_SCHEME_URN ? u.whole : STR_NULL};
    return canon_identity(a, &c, dial, is_origin, ret);
}

/* RFC 4474 9. There are no several Contacts but in requests that it does not sign (RFC
 * 3261 8.1.1.8), and "*" stands in these alone. */
void identity_show_rfc4474(const struct sip_msg *m, struct rfc4474_message *ret)
{
    const struct sip_hdr *date = sip_msg_hdr(m, SIP_H_DATE, 0),
                         *info = sip_msg_hdr(m, SIP_H_IDENTITY_INFO, 0);
    struct sip_values contacts = sip_values_start(m, SIP_H_CONTACT);
    struct sip_addr contact = {.uri = STR_NULL};
    bool has_contact = sip_values_next(&contacts);

    *ret = (struct rfc4474_message){
        .info = info && !sip_msg_hdr(m, SIP_H_IDENTITY_INFO, 1) ? info->value : STR_NULL,
        .parts = {.from = m->from.uri,
                  .to = m->to.uri,
                  .call_id = m->call_id,
                  .cseq = m->cseq,
                  .method = m->cseq_method_text,
                  .date = date ? date->value : STR_NULL,
                  .body = m->body}};
    if (has_contact && (sip_addr_parse(contacts.value, &contact) != 0 || contact.star))
        ret->has_other_contacts = true;
    ret->parts.contact = contact.uri;
    ret->has_other_contacts |= has_contact && sip_values_next(&contacts);
}

/* The first of its values that is an address; RFC 3325 9.1 allows a sip and a tel one. A number
 * where there is one: it is what numbers are verified by. */
static int origin_asserted(struct arena *a, const struct sip_msg *m, const struct canon_dial *dial,
                           struct passport_id *ret)
{
    struct sip_values it = sip_values_start(m, SIP_H_P_ASSERTED_IDENTITY);
    bool has_one = false;
    while (sip_values_next(&it)) {
        struct sip_addr addr;
        struct passport_id id;
        if (sip_addr_parse(it.value, &addr) != 0 ||
            identity_show_uri(a, addr.uri, dial, true, &id) != 0 || (has_one && !id.is_tn))
            continue;
        *ret = id;
        has_one = true;
    }
    return has_one ? 0 : ERR_NOTFOUND;
}

static int show_date(const struct sip_msg *m, struct identity_message *ret, struct reason *why)
{
    const struct sip_hdr *h = sip_msg_hdr(m, SIP_H_DATE, 0);
    if (!h)
        return 0;
    if (canon_date_parse(h->value, &ret->date_s) != 0) {
        reason_set(why, "bad-date", "RFC 8224 4.1", 403, "Date cannot be read");
        return ERR_SYNTAX;
    }
    ret->has_date = true;
    return 0;
}

static bool is_sdp(struct str content_type)
{
    struct str media;
    (void)str_cut(content_type, ';', &media);
    return str_eq_nocase(str_trim(media), STR("application/sdp"));
}

/* The session description: the body, the part of it that is one, or what stands in a message inside or
 * under a signature: `mky` is over the fingerprints wherever they are (RFC 8225 5.2.2). What is there
 * twice, or cannot be read, is looked for in the parts alone. */
static int find_sdp(const struct sip_msg *m, struct str *ret_type, struct str *ret_body,
                    struct reason *why)
{
    struct sip_part parts[LIMIT_BODY_PARTS];
    size_t n = ARRAY_LEN(parts);
    struct reason inner = {0};
    int err;
    if (!m->body.n)
        return ERR_NOTFOUND;
    if (anchor_body_find(m, ret_body, &inner) == 0) {
        *ret_type = STR("application/sdp");
        return ret_body->n ? 0 : ERR_NOTFOUND;
    }
    if (strcmp(inner.code, "no-memory") == 0)
        return ERR_NOMEM;
    if ((err = sip_body_parts(m, parts, &n, why)) != 0)
        return err;
    for (size_t i = 0; i < n; i++)
        if (is_sdp(parts[i].content_type)) {
            *ret_type = parts[i].content_type;
            *ret_body = parts[i].body;
            return 0;
        }
    return ERR_NOTFOUND;
}

static int fingerprints_of(const struct sdp *s, int section, struct str *v, size_t *n)
{
    const struct sdp_line *l;
    for (unsigned i = 0; (l = sdp_attr(s, section, SDP_A_FINGERPRINT, i)) != NULL; i++) {
        if (*n == LIMIT_IDENTITY_KEYS)
            return ERR_LIMIT;
        v[(*n)++] = l->arg;
    }
    return 0;
}

/* RFC 8225 5.2.2: all of them, session and media level alike. Where the name is nowhere there are
 * none, whatever else it is. */
static int show_keys(struct arena *a, struct str body, struct identity_shown *ret,
                     struct reason *why)
{
    const struct str name = sdp_attr_text(SDP_A_FINGERPRINT);
    struct passport_key *keys;
    struct str *v;
    struct sdp *s;
    size_t n = 0;
    int err;
    if (!memmem(body.p, body.n, name.p, name.n))
        return 0;
    if (!(v = arena_alloc(a, LIMIT_IDENTITY_KEYS * sizeof(*v))))
        return ERR_NOMEM;
    if ((err = sdp_parse(a, body, &s, why)) != 0)
        return err;
    err = fingerprints_of(s, SDP_SESSION, v, &n);
    for (int i = 0; err == 0 && i < (int)s->n_media; i++)
        err = fingerprints_of(s, i, v, &n);
    if (err != 0) {
        reason_set(why, "too-many-fingerprints", "RFC 8225 5.2.2", 413, NULL);
        return err;
    }
    if ((err = canon_keys(a, v, n, &keys, &ret->m.n_mky, why)) != 0)
        return err;
    ret->m.mky = keys;
    ret->has_fingerprints = n > 0;
    return 0;
}

static int show_body(struct arena *a, const struct sip_msg *m, struct str content_type,
                     struct str body, struct identity_shown *ret, struct reason *why)
{
    int err = 0;
    ret->m.body = body.p ? body : m->body;
    if (!body.p)
        err = find_sdp(m, &content_type, &body, why);
    else if (!is_sdp(content_type))
        err = ERR_NOTFOUND;
    if (err == ERR_NOTFOUND)
        return 0;
    if (err != 0)
        return err;
    ret->content_type = content_type;
    return show_keys(a, body, ret, why);
}

int identity_show(struct arena *a, const struct sip_msg *m, struct str ruri,
                  struct str content_type, struct str body, const struct canon_dial *dial,
                  bool by_pai, struct identity_shown *ret, struct reason *why)
{
    int err;
    *ret = (struct identity_shown){0};
    err = by_pai ? origin_asserted(a, m, dial, &ret->m.orig) : ERR_NOTFOUND;
    if (err != 0)
        err = identity_show_uri(a, m->from.uri, dial, true, &ret->m.orig);
    if (err == 0)
        err = identity_show_uri(a, m->to.uri, dial, false, &ret->m.to);
    if (err == 0 && ruri.n)
        err = identity_show_uri(a, ruri, dial, false, &ret->m.target);
    if (err != 0) {
        reason_set(why, "bad-identity-field", "RFC 8224 8", 400,
                   "From, To or Request-URI names nobody that could be signed for");
        return err;
    }
    if ((err = show_date(m, &ret->m, why)) != 0)
        return err;
    return show_body(a, m, content_type, body, ret, why);
}

/* Who called may be written as digits that only its own domain can tell from a name: either
 * reading may be the signed one (RFC 8224 8.3). */
static int show_caller(struct arena *a, const struct sip_msg *m, const struct canon_dial *dial,
                       struct identity_message *ret)
{
    struct passport_id *also;
    int err = identity_show_uri(a, m->from.uri, dial, false, &ret->to);

    if (err != 0 || !dial)
        return err;
    if ((also = arena_zalloc(a, sizeof(*also))) == NULL)
        return ERR_NOMEM;
    err = identity_show_uri(a, m->from.uri, NULL, false, also);
    ret->also = also;
    ret->n_also = err == 0 ? 1 : 0;
    return err == ERR_NOMEM ? err : 0;
}

int identity_show_answer(struct arena *a, const struct sip_msg *m, struct str orig,
                         const struct canon_dial *dial, struct identity_shown *ret,
                         struct reason *why)
{
    int err;

    *ret = (struct identity_shown){.m = {.is_response = true}};
    if ((err = identity_show_uri(a, orig, dial, true, &ret->m.orig)) != 0 ||
        (err = show_caller(a, m, dial, &ret->m)) != 0) {
        reason_set(why, "bad-identity-field", "RFC 8224 8", 400,
                   "From, To or who answers names nobody that could be signed for");
        return err;
    }
    if ((err = show_date(m, &ret->m, why)) != 0)
        return err;
    return show_body(a, m, STR_NULL, STR_NULL, ret, why);
}
