/* Attribute values: parsers and writers (clauses in values.h). Pure functions, any thread. */
#include "sdp/values.h"
#include "sdp/sdp_priv.h"

bool sdp_word_next(struct str *rest, struct str *ret)
{
    return sdp_word(rest, ret);
}

/* ---- crypto ---- */

static bool is_suite(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '_'))
            return false;
    }
    return s.n > 0;
}

int sdp_crypto_parse(struct str value, struct sdp_crypto *ret)
{
    struct str rest = value, tag;
    *ret = (struct sdp_crypto){0};
    if (!sdp_word(&rest, &tag) || tag.n > 9 || str_to_u32(tag, 999999999, &ret->tag) != 0 ||
        !sdp_word(&rest, &ret->suite) || !is_suite(ret->suite) || !sdp_word(&rest, &ret->keys))
        return ERR_SYNTAX;
    struct str keys = ret->keys, method, info;
    while (sdp_crypto_key_next(&keys, &method, &info))
        ;
    ret->params = str_trim(rest);
    return keys.n == 0 ? 0 : ERR_SYNTAX;
}

bool sdp_crypto_key_next(struct str *keys, struct str *ret_method, struct str *ret_info)
{
    struct str one, rest;
    if (keys->n == 0)
        return false;
    rest = str_cut(*keys, ';', &one);
    *ret_info = str_cut(one, ':', ret_method);
    if (!sdp_is_token(*ret_method) || ret_info->n == 0 || (rest.p != NULL && rest.n == 0))
        return false;
    *keys = rest;
    return true;
}

bool sdp_crypto_param_next(struct str *params, struct str *ret_name, struct str *ret_value)
{
    struct str word;
    if (!sdp_word(params, &word))
        return false;
    *ret_value = str_cut(word, '=', ret_name);
    return true;
}

static int lifetime_parse(struct str text, uint64_t *ret)
{
    uint64_t v;
    if (str_starts_nocase(text, STR("2^"))) {
        if (str_to_u64(str_make(text.p + 2, text.n - 2), 63, &v) != 0)
            return ERR_SYNTAX;
        *ret = 1ull << v;
        return 0;
    }
    return str_to_u64(text, INT64_MAX, ret) == 0 && *ret != 0 ? 0 : ERR_SYNTAX;
}

static int mki_parse(struct str text, struct sdp_inline_key *ret)
{
    struct str len = str_cut(text, ':', &ret->mki);
    uint32_t v;
    for (size_t i = 0; i < ret->mki.n; i++) {
        if (ret->mki.p[i] < '0' || ret->mki.p[i] > '9')
            return ERR_SYNTAX;
    }
    if (ret->mki.n == 0 || str_to_u32(len, 128, &v) != 0 || v == 0) /* RFC 4568 6.1: 1 to 128 */
        return ERR_SYNTAX;
    ret->mki_len = v;
    return 0;
}

int sdp_inline_key_parse(struct str info, struct sdp_inline_key *ret)
{
    *ret = (struct sdp_inline_key){0};
    struct str part, rest = str_cut(info, '|', &ret->key_salt);
    if (ret->key_salt.n == 0)
        return ERR_SYNTAX;
    for (unsigned i = 0; rest.p != NULL && i < 3; i++) {
        rest = str_cut(rest, '|', &part);
        bool is_mki = str_find_char(part, ':') < part.n;
        if (is_mki ? ret->mki.n || mki_parse(part, ret) != 0
                   : ret->mki.n || ret->lifetime || lifetime_parse(part, &ret->lifetime) != 0)
            return ERR_SYNTAX; /* the lifetime stands before the MKI, each once */
    }
    return rest.p == NULL ? 0 : ERR_SYNTAX;
}

/* ---- fingerprint ---- */

int sdp_fingerprint_parse(struct str value, struct sdp_fingerprint *ret)
{
    struct str rest = value, hex, byte;
    *ret = (struct sdp_fingerprint){0};
    if (!sdp_word(&rest, &ret->hash) || !sdp_is_token(ret->hash) || !sdp_word(&rest, &hex) ||
        !sdp_at_end(rest))
        return ERR_SYNTAX;
    while (hex.p != NULL) {
        hex = str_cut(hex, ':', &byte);
        if (ret->n == SDP_FINGERPRINT_MAX || byte.n != 2 ||
            str_unhex(&ret->bytes[ret->n], 1, byte) != 0)
            return ERR_SYNTAX;
        ret->n++;
    }
    return 0;
}

void sdp_fingerprint_build(struct sbuf *b, const struct sdp_fingerprint *f)
{
    static const char digits[] = "0123456789ABCDEF";
    sbuf_str(b, f->hash);
    for (unsigned i = 0; i < f->n; i++) {
        sbuf_char(b, i ? ':' : ' ');
        sbuf_char(b, digits[f->bytes[i] >> 4]);
        sbuf_char(b, digits[f->bytes[i] & 15]);
    }
}

/* ---- setup ---- */

static const struct str setups[] = {[SDP_SETUP_ACTIVE] = SDP_NAME("active"),
                                    [SDP_SETUP_PASSIVE] = SDP_NAME("passive"),
                                    [SDP_SETUP_ACTPASS] = SDP_NAME("actpass"),
                                    [SDP_SETUP_HOLDCONN] = SDP_NAME("holdconn")};

enum sdp_setup sdp_setup(const struct sdp *s, int media)
{
    const struct sdp_line *l = sdp_attr_inherited(s, media, SDP_A_SETUP, 0);
    for (unsigned i = 1; l != NULL && i < ARRAY_LEN(setups); i++) {
        if (str_eq_nocase(str_trim(l->arg), setups[i]))
            return (enum sdp_setup)i;
    }
    return SDP_SETUP_NONE;
}

struct str sdp_setup_text(enum sdp_setup v)
{
    return (unsigned)v < ARRAY_LEN(setups) ? setups[v] : STR_NULL;
}

/* ---- key-mgmt, zrtp-hash ---- */

int sdp_key_mgmt_parse(struct str value, struct sdp_key_mgmt *ret)
{
    struct str rest = value;
    if (!sdp_word(&rest, &ret->protocol) || !sdp_is_token(ret->protocol) ||
        !sdp_word(&rest, &ret->data) || !sdp_at_end(rest))
        return ERR_SYNTAX;
    return 0;
}

int sdp_zrtp_hash_parse(struct str value, struct sdp_zrtp_hash *ret)
{
    struct str rest = value;
    if (!sdp_word(&rest, &ret->version) || !sdp_is_token(ret->version) ||
        !sdp_word(&rest, &ret->hex) || !sdp_at_end(rest))
        return ERR_SYNTAX;
    for (size_t i = 0; i < ret->hex.n; i++) {
        char c = str_lower(ret->hex.p[i]);
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return ERR_SYNTAX;
    }
    return ret->hex.n % 2 == 0 ? 0 : ERR_SYNTAX;
}

/* ---- candidate ---- */

static bool is_ice_text(struct str s, size_t max) /* ice-char */
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '+' || c == '/'))
            return false;
    }
    return s.n > 0 && s.n <= max;
}

/* raddr, rport and further pairs of name and value. */
static int candidate_pairs(struct str rest, struct sdp_candidate *ret)
{
    struct str name, value;
    uint32_t v;
    while (!sdp_at_end(rest)) {
        struct str before = str_trim(rest);
        if (!sdp_word(&rest, &name) || !sdp_word(&rest, &value))
            return ERR_SYNTAX;
        if (str_eq(name, STR("raddr")) && ret->rel_host.n == 0) {
            ret->rel_host = value;
        } else if (str_eq(name, STR("rport")) && ret->rel_port == 0) {
            if (str_to_u32(value, UINT16_MAX, &v) != 0)
                return ERR_SYNTAX;
            ret->rel_port = (uint16_t)v;
        } else {
            ret->extensions = before;
            struct str all = rest; /* what follows has pairs as well */
            while (sdp_word(&all, &name)) {
                if (!sdp_word(&all, &value))
                    return ERR_SYNTAX;
            }
            return 0;
        }
    }
    return 0;
}

int sdp_candidate_parse(struct str value, struct sdp_candidate *ret)
{
    struct str rest = value, component, priority, port, typ;
    uint32_t v;
    *ret = (struct sdp_candidate){0};
    if (!sdp_word(&rest, &ret->foundation) || !is_ice_text(ret->foundation, 32) ||
        !sdp_word(&rest, &component) || str_to_u32(component, 256, &ret->component) != 0 ||
        ret->component == 0 || !sdp_word(&rest, &ret->transport) || !sdp_is_token(ret->transport) ||
        !sdp_word(&rest, &priority) || priority.n > 10 ||
        str_to_u32(priority, UINT32_MAX, &ret->priority) != 0 || !sdp_word(&rest, &ret->host) ||
        !sdp_word(&rest, &port) || str_to_u32(port, UINT16_MAX, &v) != 0 ||
        !sdp_word(&rest, &typ) || !str_eq(typ, STR("typ")) || !sdp_word(&rest, &ret->type) ||
        !sdp_is_token(ret->type))
        return ERR_SYNTAX;
    ret->port = (uint16_t)v;
    struct addr a;
    if (ret->host.p[0] != '[' && addr_parse(&a, ret->host, ret->port) == 0)
        ret->addr = a;
    return candidate_pairs(rest, ret);
}

static void put_host(struct sbuf *b, const struct addr *a)
{
    char text[ADDR_TEXT_MAX];
    struct str s = addr_text_host(a, text);
    if (addr_is_v6(a) && s.n > 2) /* SDP writes IPv6 without brackets */
        s = str_make(s.p + 1, s.n - 2);
    sbuf_str(b, s);
}

void sdp_candidate_build(struct sbuf *b, const struct sdp_candidate *c)
{
    sbuf_str(b, c->foundation);
    sbuf_char(b, ' ');
    sbuf_u64(b, c->component);
    sbuf_char(b, ' ');
    sbuf_str(b, c->transport);
    sbuf_char(b, ' ');
    sbuf_u64(b, c->priority);
    sbuf_char(b, ' ');
    if (addr_is_set(&c->addr))
        put_host(b, &c->addr);
    else
        sbuf_str(b, c->host);
    sbuf_char(b, ' ');
    sbuf_u64(b, addr_is_set(&c->addr) ? addr_port(&c->addr) : c->port);
    sbuf_lit(b, " typ ");
    sbuf_str(b, c->type);
    if (c->rel_host.n) {
        sbuf_lit(b, " raddr ");
        sbuf_str(b, c->rel_host);
        sbuf_lit(b, " rport ");
        sbuf_u64(b, c->rel_port);
    }
    if (c->extensions.n) {
        sbuf_char(b, ' ');
        sbuf_str(b, c->extensions);
    }
}

/* ---- group ---- */

int sdp_group_parse(struct str value, struct str *ret_semantics, struct str *ret_mids)
{
    struct str rest = value;
    if (!sdp_word(&rest, ret_semantics) || !sdp_is_token(*ret_semantics))
        return ERR_SYNTAX;
    *ret_mids = str_trim(rest);
    return 0;
}
