/* a=crypto lines to keys and back. RFC 4568 6.1, 6.3, 9.2. Pure. */
#include "keying/sdes_line.h"
#include "base/err.h"
#include "base/secret.h"
#include "sdp/values.h"

#define KEY_SALT_MAX (KEYING_MASTER_KEY_MAX + KEYING_MASTER_SALT_MAX)
#define BASE64_MAX 68 /* of KEY_SALT_MAX bytes, with the NUL and some to spare */

static int invalid(struct reason *why, const char *what)
{
    reason_set(why, "sdes-line-invalid", "RFC 4568 6", 488, "%s", what);
    return ERR_SYNTAX;
}

static int unsupported(struct reason *why, const char *what, struct str value)
{
    reason_set(why, "sdes-line-unsupported", "RFC 4568 6.3", 488, "%s %.*s", what, STR_FMT(value));
    return ERR_UNSUPPORTED;
}

/* Key and salt. Padding may be there or not (RFC 4568 6.1: it is discarded). */
static int parse_key_salt(struct str text, const struct keying_suite *suite, struct keying_key *ret)
{
    char padded[BASE64_MAX];
    uint8_t bytes[KEY_SALT_MAX + 3];
    size_t n = 0, n_bytes = 0;
    int err;

    for (int i = 0; i < 2 && text.n > 0 && text.p[text.n - 1] == '='; i++)
        text.n--;
    if (text.n + 4 > sizeof(padded))
        return ERR_SYNTAX;
    memcpy(padded, text.p, n = text.n);
    while (n % 4 != 0)
        padded[n++] = '=';
    err = str_base64_decode(bytes, sizeof(bytes), str_make(padded, n), false, &n_bytes);
    if (err == 0 && n_bytes == (size_t)suite->key_len + suite->salt_len) {
        memcpy(ret->key, bytes, suite->key_len);
        memcpy(ret->salt, bytes + suite->key_len, suite->salt_len);
    } else {
        err = ERR_SYNTAX;
    }
    secret_wipe(bytes, sizeof(bytes));
    secret_wipe(padded, sizeof(padded));
    return err;
}

/* A decimal number of any size to n bytes, the highest first. */
static int parse_mki(struct str digits, uint8_t *dst, size_t n)
{
    memset(dst, 0, n);
    for (size_t i = 0; i < digits.n; i++) {
        unsigned carry = (unsigned)(digits.p[i] - '0');

        for (size_t j = n; j-- > 0;) {
            carry += 10u * dst[j];
            dst[j] = (uint8_t)carry;
            carry >>= 8;
        }
        if (carry != 0)
            return ERR_SYNTAX;
    }
    return 0;
}

/* Numbers have no leading zeros, neither lifetime nor MKI nor its length (RFC 4568 6.1). */
static bool has_leading_zero(struct str info)
{
    struct str rest = str_cut(info, '|', &info);

    for (size_t i = 0; i < rest.n; i++) {
        bool begins =
            i == 0 || rest.p[i - 1] == '|' || rest.p[i - 1] == ':' || rest.p[i - 1] == '^';

        if (begins && rest.p[i] == '0' && i + 1 < rest.n && rest.p[i + 1] >= '0' &&
            rest.p[i + 1] <= '9')
            return true;
    }
    return false;
}

static int parse_inline(struct str info, const struct keying_suite *suite, struct keying_key *ret,
                        struct reason *why)
{
    struct sdp_inline_key parsed;

    if (sdp_inline_key_parse(info, &parsed) != 0 || has_leading_zero(info))
        return invalid(why, "a key parameter is malformed");
    if (parse_key_salt(parsed.key_salt, suite, ret) != 0)
        return invalid(why, "key and salt do not have the suite's length");
    if (parsed.lifetime > suite->max_rtp)
        return invalid(why, "the lifetime is longer than the suite allows");
    ret->max_rtp = parsed.lifetime;
    ret->max_rtcp = parsed.lifetime < suite->max_rtcp ? parsed.lifetime : suite->max_rtcp;
    if (parsed.mki.n > 0) {
        ret->mki_len = (uint8_t)parsed.mki_len;
        if (str_eq(parsed.mki, STR("0")) || parse_mki(parsed.mki, ret->mki, ret->mki_len) != 0)
            return invalid(why, "an MKI is zero, or does not fit into its length");
    }
    return 0;
}

static int parse_keys(struct str text, struct keying_keys *keys, struct reason *why)
{
    struct str method, info;
    int err = 0;

    while (err == 0 && sdp_crypto_key_next(&text, &method, &info)) {
        if (!str_eq(method, STR("inline")))
            return unsupported(why, "key method", method);
        if (keys->n == LIMIT_SRTP_KEYS)
            return unsupported(why, "more keys than", STR("4"));
        err = parse_inline(info, keys->suite, &keys->key[keys->n], why);
        keys->n++;
    }
    if (err == 0 && keying_keys_check(keys) != 0)
        err = invalid(why, "keys are not different, or without MKIs of one length");
    return err;
}

static int parse_kdr(struct str value, struct keying_keys *keys)
{
    uint32_t rate;

    if (keys->kdr != 0 || value.n == 0 || value.p[0] == '0' ||
        str_to_u32(value, KEYING_KDR_MAX, &rate) != 0)
        return ERR_SYNTAX;
    keys->kdr = (uint8_t)rate;
    return 0;
}

static int parse_wsh(struct str value)
{
    uint32_t size;

    return value.n < 2 || value.p[0] == '0' || str_to_u32(value, UINT32_MAX, &size) != 0 ||
                   size < 64
               ? ERR_SYNTAX
               : 0;
}

static bool is_flag(struct str name, struct str value, const char *flag)
{
    return value.p == NULL && str_eq(name, str_z(flag));
}

/* Session parameters, RFC 4568 6.3. Our window is larger than anybody needs: its size as a hint is
 * read and not needed. */
static int parse_param(struct str name, struct str value, struct keying_keys *keys,
                       struct reason *why)
{
    if (is_flag(name, value, "UNENCRYPTED_SRTP")) {
        keys->unencrypted_rtp = true;
    } else if (is_flag(name, value, "UNENCRYPTED_SRTCP")) {
        keys->unencrypted_rtcp = true;
    } else if (is_flag(name, value, "UNAUTHENTICATED_SRTP")) {
        keys->unauthenticated_rtp = true;
    } else if (str_eq(name, STR("KDR"))) {
        if (parse_kdr(value, keys) != 0)
            return invalid(why, "KDR is not a number from 1 to 24");
    } else if (str_eq(name, STR("WSH"))) {
        if (parse_wsh(value) != 0)
            return invalid(why, "WSH is not a number from 64 up");
    } else if (str_eq(name, STR("FEC_ORDER"))) {
        if (!str_eq(value, STR("FEC_SRTP")))
            return unsupported(why, "FEC_ORDER", value);
    } else if (str_eq(name, STR("FEC_KEY"))) {
        /* A FEC stream of its own, on another port: we have none. On the same port it is invalid
         * (6.3.5). */
        return unsupported(why, "FEC_KEY", STR(""));
    } else if (name.n == 0 || name.p[0] != '-') {
        return unsupported(why, "session parameter", name); /* mandatory: 6.3.7 */
    }
    return 0;
}

int sdes_line_parse(struct str value, struct sdes_line *ret, struct reason *why)
{
    struct sdp_crypto parsed;
    struct str name, param;
    int err = 0;

    *ret = (struct sdes_line){.tag = 0};
    if (sdp_crypto_parse(value, &parsed) != 0)
        return invalid(why, "the line is malformed");
    /* Zero by itself is a number (1*9DIGIT); what may not be is a zero before other digits (4.1).
     */
    if (value.n > 1 && value.p[0] == '0' && value.p[1] >= '0' && value.p[1] <= '9')
        return invalid(why, "the tag has leading zeros");
    ret->tag = parsed.tag;
    ret->keys.suite = keying_suite_find(parsed.suite);
    if (ret->keys.suite == NULL || str_copy_z(ret->name, sizeof(ret->name), parsed.suite) != 0)
        return unsupported(why, "suite", parsed.suite);
    while (err == 0 && sdp_crypto_param_next(&parsed.params, &name, &param))
        err = parse_param(name, param, &ret->keys, why);
    if (err == 0 && ret->keys.suite->cipher == KEYING_AES_GCM &&
        (ret->keys.unencrypted_rtp || ret->keys.unauthenticated_rtp))
        err = invalid(why, "GCM always encrypts and authenticates RTP (RFC 7714 8.2)");
    if (err == 0)
        err = parse_keys(parsed.keys, &ret->keys, why);
    if (err != 0)
        sdes_line_wipe(ret);
    return err;
}

/* ---- and back ---- */

static void build_lifetime(struct sbuf *b, uint64_t lifetime)
{
    sbuf_char(b, '|');
    if (lifetime > 1 && (lifetime & (lifetime - 1)) == 0) {
        sbuf_lit(b, "2^");
        lifetime = BIT_HIGHEST(lifetime);
    }
    sbuf_u64(b, lifetime);
}

/* Bytes to decimal: divides by ten until nothing is left. */
static void build_mki(struct sbuf *b, const uint8_t *mki, size_t n)
{
    uint8_t left[KEYING_MKI_MAX];
    char digits[3 * KEYING_MKI_MAX];
    size_t n_digits = 0;
    bool any;

    memcpy(left, mki, n);
    do {
        unsigned rest = 0;

        any = false;
        for (size_t i = 0; i < n; i++) {
            rest = rest << 8 | left[i];
            left[i] = (uint8_t)(rest / 10);
            rest %= 10;
            any = any || left[i] != 0;
        }
        digits[n_digits++] = (char)('0' + rest);
    } while (any && n_digits < sizeof(digits));
    sbuf_char(b, '|');
    while (n_digits > 0)
        sbuf_char(b, digits[--n_digits]);
    sbuf_char(b, ':');
    sbuf_u64(b, n);
}

static void build_key(struct sbuf *b, const struct keying_suite *suite,
                      const struct keying_key *key)
{
    uint8_t both[KEY_SALT_MAX];
    char text[BASE64_MAX];

    memcpy(both, key->key, suite->key_len);
    memcpy(both + suite->key_len, key->salt, suite->salt_len);
    if (str_base64_encode(text, sizeof(text), both, (size_t)suite->key_len + suite->salt_len,
                          false) != 0)
        b->overflow = true;
    sbuf_lit(b, "inline:");
    sbuf_str(b, str_z(text));
    if (key->max_rtp != 0)
        build_lifetime(b, key->max_rtp);
    if (key->mki_len > 0)
        build_mki(b, key->mki, key->mki_len);
    secret_wipe(both, sizeof(both));
    secret_wipe(text, sizeof(text));
}

void sdes_line_build(struct sbuf *b, const struct sdes_line *line)
{
    const struct keying_keys *keys = &line->keys;

    sbuf_u64(b, line->tag);
    sbuf_char(b, ' ');
    sbuf_str(b, str_z(line->name));
    for (size_t i = 0; i < keys->n; i++) {
        sbuf_char(b, i == 0 ? ' ' : ';');
        build_key(b, keys->suite, &keys->key[i]);
    }
    if (keys->kdr != 0)
        sbuf_fmt(b, " KDR=%u", keys->kdr);
    if (keys->unencrypted_rtp)
        sbuf_lit(b, " UNENCRYPTED_SRTP");
    if (keys->unencrypted_rtcp)
        sbuf_lit(b, " UNENCRYPTED_SRTCP");
    if (keys->unauthenticated_rtp)
        sbuf_lit(b, " UNAUTHENTICATED_SRTP");
}

void sdes_line_wipe(struct sdes_line *line)
{
    secret_wipe(line, sizeof(*line));
}
