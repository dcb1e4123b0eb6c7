/* Signed calls between telephone numbers: who calls whom, and an Identity of the generator's own
 * for each INVITE, as SHAKEN (RFC 8224, 8225, 8588): one signature used twice would be a replay.
 * Its cost is the generator's. One thread. */
#include "load.h"

#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <time.h>

enum { TOKEN_BYTES = 1024, RAW_BYTES = 64 };

static EVP_PKEY *key;
static EVP_MD_CTX *ctx;

int identity_init(const struct options *o)
{
    FILE *f;

    if (o->identity != IDENTITY_SIGN)
        return 0;
    f = fopen(o->id_key, "r");
    key = f != NULL ? PEM_read_PrivateKey(f, NULL, NULL, NULL) : NULL;
    ctx = EVP_MD_CTX_new();
    if (f != NULL)
        fclose(f);
    if (key == NULL || ctx == NULL) {
        fprintf(stderr, "sipload: no key in %s\n", o->id_key);
        return -1;
    }
    return 0;
}

void identity_caller(struct out *o)
{
    out_lit(o, "4930555001");
}

void identity_callee(struct out *o, const struct unit *u)
{
    out_number(o, 49401000000 + u->user);
}

static void out_base64(struct out *o, const void *p, size_t len)
{
    unsigned char text[2 * TOKEN_BYTES];
    int n = EVP_EncodeBlock(text, p, (int)len);

    while (n > 0 && text[n - 1] == '=')
        n--;
    for (int i = 0; i < n; i++)
        text[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
    out_bytes(o, (const char *)text, (size_t)n);
}

/* JWS has R and S as they are, OpenSSL has them in DER (RFC 7518 3.4). */
static bool sign(const char *p, size_t len, unsigned char raw[RAW_BYTES])
{
    unsigned char der[128];
    const unsigned char *at = der;
    size_t n = sizeof(der);
    const BIGNUM *r, *s;
    bool ok = false;

    if (EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) != 1 ||
        EVP_DigestSign(ctx, der, &n, (const unsigned char *)p, len) != 1)
        return false;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)n);
    if (sig != NULL) {
        ECDSA_SIG_get0(sig, &r, &s);
        ok = BN_bn2binpad(r, raw, RAW_BYTES / 2) > 0 &&
             BN_bn2binpad(s, raw + RAW_BYTES / 2, RAW_BYTES / 2) > 0;
        ECDSA_SIG_free(sig);
    }
    return ok;
}

void identity_header(struct out *o, const struct load *l, const struct unit *u)
{
    char bytes[TOKEN_BYTES], json[TOKEN_BYTES / 2];
    unsigned char raw[RAW_BYTES];
    struct out token = {bytes, 0, sizeof(bytes), false}, claims = {json, 0, sizeof(json), false};

    if (l->opt.identity != IDENTITY_SIGN)
        return;
    out_lit(&claims, "{\"alg\":\"ES256\",\"ppt\":\"shaken\",\"typ\":\"passport\",\"x5u\":\"");
    out_text(&claims, l->opt.id_url);
    out_lit(&claims, "\"}");
    out_base64(&token, claims.p, claims.len);
    out_lit(&token, ".");
    claims.len = 0;
    out_lit(&claims, "{\"attest\":\"A\",\"dest\":{\"tn\":[\"");
    identity_callee(&claims, u);
    out_lit(&claims, "\"]},\"iat\":");
    out_number(&claims, (uint64_t)time(NULL));
    out_lit(&claims, ",\"orig\":{\"tn\":\"");
    identity_caller(&claims);
    out_lit(&claims, "\"},\"origid\":\"");
    out_hex(&claims, u->serial, 8);
    out_lit(&claims, "-7e57-4bcd-8000-0000");
    out_hex(&claims, l->run_id, 8);
    out_lit(&claims, "\"}");
    out_base64(&token, claims.p, claims.len);
    if (token.cut || claims.cut || !sign(token.p, token.len, raw)) {
        o->cut = true;
        return;
    }
    out_lit(o, "Identity: ");
    out_bytes(o, token.p, token.len);
    out_lit(o, ".");
    out_base64(o, raw, sizeof(raw));
    out_lit(o, ";info=<");
    out_text(o, l->opt.id_url);
    out_lit(o, ">;alg=ES256;ppt=shaken\r\n");
}

bool identity_is_for(const struct text *t, const struct unit *u)
{
    unsigned char json[TOKEN_BYTES];
    char want[64], text[TOKEN_BYTES];
    struct out o = {want, 0, sizeof(want), false};
    const char *p, *end;
    size_t n;

    if (t->n_identity != 1 || (p = memchr(t->identity[0].p, '.', t->identity[0].len)) == NULL)
        return false;
    p++;
    end = memchr(p, '.', t->identity[0].len - (size_t)(p - t->identity[0].p));
    if (end == NULL || (n = (size_t)(end - p)) + 4 > sizeof(text))
        return false;
    for (size_t i = 0; i < n; i++)
        text[i] = p[i] == '-' ? '+' : p[i] == '_' ? '/' : p[i];
    while (n % 4 != 0)
        text[n++] = '=';
    int len = EVP_DecodeBlock(json, (const unsigned char *)text, (int)n);
    out_lit(&o, "\"dest\":{\"tn\":[\"");
    identity_callee(&o, u);
    out_lit(&o, "\"]}");
    return len > 0 && memmem(json, (size_t)len, o.p, o.len) != NULL;
}
