/* Finding S/MIME in a body: RFC 3261 23.3, RFC 8551 3.2, 3.5, RFC 1847 2.1. Pure; any thread. */
#include "sip/smime.h"
#include "base/err.h"
#include "base/limits.h"

static bool is_pkcs7_mime(struct str type)
{
    return sip_type_is(type, STR("application/pkcs7-mime")) ||
           sip_type_is(type, STR("application/x-pkcs7-mime"));
}

static bool is_pkcs7_signature(struct str type)
{
    return sip_type_is(type, STR("application/pkcs7-signature")) ||
           sip_type_is(type, STR("application/x-pkcs7-signature"));
}

bool sip_smime_is_possible(const struct sip_msg *m)
{
    const struct sip_hdr *type = m->body.n ? sip_msg_hdr(m, SIP_H_CONTENT_TYPE, 0) : NULL;

    return type &&
           (str_starts_nocase(type->value, STR("multipart/")) || is_pkcs7_mime(type->value) ||
            str_starts_nocase(type->value, STR("message/sip")));
}

/* RFC 8551 3.2.2; without the parameter nobody knows: most were enveloped (RFC 3261 23.3). */
static enum sip_smime_kind kind_of(struct str type)
{
    struct str smime = sip_type_param(type, STR("smime-type"));

    if (str_eq_nocase(smime, STR("signed-data")))
        return SIP_SMIME_OPAQUE;
    if (!smime.p || str_eq_nocase(smime, STR("enveloped-data")) ||
        str_eq_nocase(smime, STR("authEnveloped-data")))
        return SIP_SMIME_ENCRYPTED;
    return SIP_SMIME_OTHER;
}

static bool is_base64(struct str encoding)
{
    return str_eq_nocase(encoding, STR("base64"));
}

/* The parts behind `i` that are in it. */
static size_t inside(const struct sip_part *parts, size_t n, size_t i, unsigned depth)
{
    size_t k = i;

    while (k < n && parts[k].depth > depth)
        k++;
    return k - i;
}

/* Of a multipart/signed with these parts; those of its first part stand between the two. Any other
 * number of them is none (RFC 1847 2.1: "exactly two"). */
static void take_detached(const struct sip_part *in, size_t n, unsigned depth,
                          struct sip_smime *ret)
{
    const struct sip_part *own[2] = {NULL, NULL};
    size_t k = 0;

    *ret = (struct sip_smime){.kind = SIP_SMIME_DETACHED};
    for (size_t i = 0; i < n; i++) {
        if (in[i].depth != depth + 1)
            continue;
        if (k == 2)
            return;
        own[k++] = &in[i];
    }
    if (k < 2 || !is_pkcs7_signature(own[1]->content_type))
        return;
    ret->entity = sip_part_whole(own[0]);
    ret->cms = own[1]->body;
    ret->is_base64 = is_base64(sip_part_header(own[1], STR("Content-Transfer-Encoding")));
}

/* OpenPGP has the same form (RFC 3156), and is none of ours. */
static bool is_signed(struct str type)
{
    struct str protocol = sip_type_param(type, STR("protocol"));

    return sip_type_is(type, STR("multipart/signed")) &&
           (!protocol.p || is_pkcs7_signature(protocol));
}

/* One layer: the type of what it is in, its body (`in`: the parts of a multipart). False: none. */
static bool take(struct str type, struct str body, struct str encoding, const struct sip_part *in,
                 size_t n, unsigned depth, struct sip_smime *ret)
{
    if (is_signed(type)) {
        take_detached(in, n, depth, ret);
        return true;
    }
    if (!is_pkcs7_mime(type))
        return false;
    *ret = (struct sip_smime){.kind = kind_of(type), .cms = body, .is_base64 = is_base64(encoding)};
    return true;
}

int sip_smime_find(const struct sip_msg *m, struct sip_smime *ret, size_t *ret_n,
                   struct reason *why)
{
    const struct sip_hdr *type = sip_msg_hdr(m, SIP_H_CONTENT_TYPE, 0), *encoding;
    struct sip_part parts[LIMIT_BODY_PARTS];
    size_t n = ARRAY_LEN(parts), cap = *ret_n, i = 0;
    int err;

    *ret_n = 0;
    if (!sip_smime_is_possible(m) || cap == 0)
        return 0;
    if ((err = sip_body_parts(m, parts, &n, why)) != 0)
        return err;
    encoding = sip_msg_hdr_named(m, STR("Content-Transfer-Encoding"), 0);
    if (take(type->value, m->body, encoding ? encoding->value : STR_NULL, parts, n, 0, ret)) {
        *ret_n = 1;
        return 0;
    }
    while (i < n && *ret_n < cap) {
        const struct sip_part *p = &parts[i++];
        size_t in = inside(parts, n, i, p->depth);

        if (p->depth > 0 &&
            take(p->content_type, p->body, sip_part_header(p, STR("Content-Transfer-Encoding")),
                 &parts[i], in, p->depth, &ret[*ret_n])) {
            (*ret_n)++;
            i += in;
        }
    }
    return 0;
}

int sip_base64_lines(struct arena *a, struct str text, struct str *ret)
{
    char *p = arena_alloc(a, text.n + 1);
    size_t n = 0;

    *ret = STR_NULL;
    if (!p)
        return ERR_NOMEM;
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] != '\r' && text.p[i] != '\n' && text.p[i] != ' ' && text.p[i] != '\t')
            p[n++] = text.p[i];
    /* what is decoded is shorter than the text, and each byte is read before it is written over */
    if (str_base64_decode(p, text.n + 1, str_make(p, n), false, &n) != 0)
        return ERR_SYNTAX;
    *ret = str_make(p, n);
    return 0;
}
