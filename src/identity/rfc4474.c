/* RFC 4474 9 (digest-string, signature), 11 (whose signature it is); RFC 3370 3.2, RFC 8017 8.2.
 * Pure; see rfc4474.h. */
#include "identity/rfc4474.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/sbuf.h"
#include "identity/canon.h"
#include "pki/key_cost.h"
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#define METHOD_MAX 32

struct rfc4474_key {
    bool can_sign;
    unsigned bits;
    EVP_PKEY_CTX *ctx; /* started for signing or for verifying */
};

static int no_memory(struct reason *why)
{
    reason_set(why, "no-memory", NULL, 500, NULL);
    return ERR_NOMEM;
}

static int malformed(struct reason *why, const char *what)
{
    reason_set(why, "rfc4474-digest-string", "RFC 4474 9", 438, "%s", what);
    return ERR_SYNTAX;
}

/* --- the digest-string --- */

/* Without the border between the parts: RFC 3261 has it in none of them, and it would move them. */
static bool is_part(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] >= 0x7f || s.p[i] == '|')
            return false;
    return true;
}

static bool is_method(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((s.p[i] < 'A' || s.p[i] > 'Z') && s.p[i] != '-' && s.p[i] != '_')
            return false;
    return s.n > 0 && s.n <= METHOD_MAX;
}

static bool is_text(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if ((c < ' ' && c != '\r' && c != '\n' && c != '\t') || c == 0x7f)
            return false;
    }
    return str_is_utf8(s);
}

static int check_parts(const struct rfc4474_parts *p, struct reason *why)
{
    if (!p->from.n || !is_part(p->from) || !p->to.n || !is_part(p->to) || !is_part(p->contact))
        return malformed(why, "From, To or Contact is no address that can be signed");
    if (!p->call_id.n || !is_part(p->call_id))
        return malformed(why, "a Call-ID that cannot be signed");
    if (!is_method(p->method))
        return malformed(why, "a method that cannot be signed");
    if (!is_text(p->body)) {
        reason_set(why, "rfc4474-body-binary", "RFC 4474 9", 437,
                   "a body that is no text, where two may have one SHA-1");
        return ERR_UNSUPPORTED;
    }
    return 0;
}

int rfc4474_build(struct arena *a, const struct rfc4474_parts *p, struct str *ret,
                  struct reason *why)
{
    size_t room = p->from.n + p->to.n + p->call_id.n + p->method.n + p->contact.n + p->body.n + 64;
    char date[CANON_DATE_MAX], *text;
    struct sbuf b;
    int err = check_parts(p, why);

    *ret = STR_NULL;
    if (err != 0)
        return err;
    if (!p->date.n || canon_date_normalise(p->date, date) != 0)
        return malformed(why, "no Date");
    if (!(text = arena_alloc(a, room)))
        return no_memory(why);
    b = sbuf_make(text, room);
    sbuf_str(&b, p->from);
    sbuf_char(&b, '|');
    sbuf_str(&b, p->to);
    sbuf_char(&b, '|');
    sbuf_str(&b, p->call_id);
    sbuf_char(&b, '|');
    sbuf_u64(&b, p->cseq);
    sbuf_char(&b, ' ');
    sbuf_str(&b, p->method);
    sbuf_char(&b, '|');
    sbuf_str(&b, str_z(date));
    sbuf_char(&b, '|');
    sbuf_str(&b, p->contact);
    sbuf_char(&b, '|');
    sbuf_str(&b, p->body);
    *ret = sbuf_get(&b);
    return 0;
}

static bool read_cseq(struct str s, struct rfc4474_parts *p)
{
    struct str number;

    p->method = str_cut(s, ' ', &number);
    return number.n && (number.n == 1 || number.p[0] != '0') &&
           str_to_u32(number, UINT32_MAX, &p->cseq) == 0;
}

int rfc4474_parse(struct str digest_string, struct rfc4474_parts *ret, struct reason *why)
{
    struct str part[6], rest = digest_string;
    char date[CANON_DATE_MAX];

    *ret = (struct rfc4474_parts){.cseq = 0};
    for (size_t i = 0; i < ARRAY_LEN(part); i++) {
        rest = str_cut(rest, '|', &part[i]);
        if (!rest.p)
            return malformed(why, "a part is missing");
    }
    *ret = (struct rfc4474_parts){.from = part[0],
                                  .to = part[1],
                                  .call_id = part[2],
                                  .date = part[4],
                                  .contact = part[5],
                                  .body = rest};
    if (!read_cseq(part[3], ret))
        return malformed(why, "a CSeq that is not in its only form");
    if (canon_date_normalise(ret->date, date) != 0 || !str_eq(ret->date, str_z(date)))
        return malformed(why, "a date that is not in its only form");
    return check_parts(ret, why);
}

bool rfc4474_method_may(struct str method)
{
    return !str_eq(method, STR("CANCEL")) && !str_eq(method, STR("REGISTER")) &&
           !str_eq(method, STR("ACK")); /* nobody could be told that it is refused */
}

/* --- who --- */

/* sip:user@host: what is between the last "@", of which there is but one (RFC 3261 25.1), and a
 * port, parameters or headers. */
int rfc4474_identity(struct arena *a, struct str from, struct passport_id *ret, struct reason *why)
{
    struct canon_uri u = {.scheme = STR_NULL};
    struct str rest = str_cut(from, ':', &u.scheme);
    size_t at = str_find_char(rest, '@'), end = 0;
    int err;

    *ret = (struct passport_id){.is_tn = false};
    if (str_eq_nocase(u.scheme, STR("tel"))) {
        reason_set(why, "rfc4474-tel", "RFC 4474 11", 437,
                   "From is a tel URI, for which no domain is known to sign");
        return ERR_UNSUPPORTED;
    }
    if (!str_eq_nocase(u.scheme, STR("sip")) && !str_eq_nocase(u.scheme, STR("sips")))
        return malformed(why, "From is no SIP address");
    if (at < rest.n) {
        (void)str_cut(str_make(rest.p, at), ':', &u.user);
        rest = str_make(rest.p + at + 1, rest.n - at - 1);
    }
    while (end < rest.n && rest.p[end] != ':' && rest.p[end] != ';' && rest.p[end] != '?')
        end++;
    u.host = str_make(rest.p, end);
    if (!end || rest.p[0] == '[' || str_find_char(rest, '@') < rest.n)
        return malformed(why, "From names no domain");
    if ((err = canon_uri_text(a, &u, &ret->text)) == ERR_NOMEM)
        return no_memory(why);
    return err != 0 ? malformed(why, "From is no SIP address") : 0;
}

/* --- keys --- */

int rfc4474_key_new(EVP_PKEY *pkey, bool can_sign, struct rfc4474_key **ret, struct reason *why)
{
    int bits = EVP_PKEY_get_bits(pkey);
    struct rfc4474_key *k;

    *ret = NULL;
    if (!EVP_PKEY_is_a(pkey, "RSA") || !pki_key_is_fair(pkey, 512)) {
        reason_set(why, "rfc4474-key-unsupported", "RFC 4474 9", 437,
                   "not an RSA key of up to %u bits with a short exponent", RFC4474_RSA_BITS_MAX);
        return ERR_UNSUPPORTED;
    }
    if (!(k = mem_zalloc(sizeof(*k))))
        return no_memory(why);
    k->can_sign = can_sign;
    k->bits = (unsigned)bits;
    if (!fault_hit())
        k->ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    if (!k->ctx) {
        rfc4474_key_free(k);
        return no_memory(why);
    }
    if ((can_sign ? EVP_PKEY_sign_init(k->ctx) : EVP_PKEY_verify_init(k->ctx)) != 1 ||
        EVP_PKEY_CTX_set_rsa_padding(k->ctx, RSA_PKCS1_PADDING) != 1 ||
        EVP_PKEY_CTX_set_signature_md(k->ctx, EVP_sha1()) != 1) {
        ERR_clear_error();
        reason_set(why, "rfc4474-key-unusable", NULL, 500, "OpenSSL does not take the key");
        rfc4474_key_free(k);
        return ERR_CRYPTO;
    }
    *ret = k;
    return 0;
}

void rfc4474_key_free(struct rfc4474_key *k)
{
    if (!k)
        return;
    EVP_PKEY_CTX_free(k->ctx);
    mem_free(k);
}

unsigned rfc4474_key_bits(const struct rfc4474_key *k)
{
    return k->bits;
}

/* --- signatures --- */

int rfc4474_hash(struct str digest_string, uint8_t ret[RFC4474_HASH])
{
    if (fault_hit())
        return ERR_NOMEM;
    return EVP_Q_digest(NULL, "SHA1", NULL, digest_string.p, digest_string.n, ret, NULL) == 1
               ? 0
               : ERR_CRYPTO;
}

int rfc4474_sign(struct rfc4474_key *k, struct str digest_string,
                 char ret[RFC4474_SIGNATURE_TEXT_MAX])
{
    uint8_t hash[RFC4474_HASH], signature[RFC4474_SIGNATURE_BYTES];
    size_t n = sizeof(signature);
    int err;

    if (!k->can_sign)
        return ERR_INVALID;
    if ((err = rfc4474_hash(digest_string, hash)) != 0)
        return err;
    if (fault_hit())
        return ERR_NOMEM;
    if (EVP_PKEY_sign(k->ctx, signature, &n, hash, sizeof(hash)) != 1) {
        ERR_clear_error();
        return ERR_CRYPTO;
    }
    return str_base64_encode(ret, RFC4474_SIGNATURE_TEXT_MAX, signature, n, false);
}

int rfc4474_verify(struct rfc4474_key *k, struct str digest_string, struct str signature,
                   struct reason *why)
{
    uint8_t hash[RFC4474_HASH], bytes[RFC4474_SIGNATURE_BYTES];
    size_t n = 0;
    int err;

    if (k->can_sign)
        return ERR_INVALID;
    if (str_base64_decode(bytes, sizeof(bytes), signature, false, &n) != 0 ||
        n != (k->bits + 7) / 8) {
        reason_set(why, "rfc4474-signature-form", "RFC 4474 9", 438,
                   "the signature is not %u bytes of base64", (k->bits + 7) / 8);
        return ERR_SYNTAX;
    }
    if ((err = rfc4474_hash(digest_string, hash)) != 0)
        return err;
    if (fault_hit())
        return ERR_NOMEM;
    if (EVP_PKEY_verify(k->ctx, bytes, n, hash, sizeof(hash)) == 1)
        return 0;
    ERR_clear_error();
    reason_set(
        why, "rfc4474-signature", "RFC 4474 6 step 3", 438,
        "not over what the request shows: an address, Contact or the body was changed on the "
        "way, or it was never good");
    return ERR_REFUSED;
}

struct str rfc4474_identity_value(struct arena *a, struct str signature)
{
    return arena_fmt(a, "\"%.*s\"", STR_FMT(signature));
}

struct str rfc4474_info_value(struct arena *a, struct str url)
{
    return arena_fmt(a, "<%.*s>;alg=" RFC4474_ALG, STR_FMT(url));
}
