/* What a signed body costs: CPU time of one thread for taking CMS SignedData apart, its signature,
 * and its signer's chain (one certificate under an anchor, then with one between), beside the bare
 * primitive. Also what those cost that are refused: of another text, of nobody, of no shape. Usage:
 * micro_cms [signatures] */
#include "base/arena.h"
#include "base/err.h"
#include "pki/cms.h"
#include "pki/mint.h"
#include "micro.h"
#include <openssl/cms.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TEXT "Content-Type: message/sipfrag\r\n\r\nFrom: <sip:alice@a.example>\r\n"

static struct {
    char dir[64], ca[96], cert[96], key[96];
    struct arena *arena;
    struct pki_anchors *anchors, *nobody;
} t;

static X509 *next_cert(FILE *f)
{
    return PEM_read_X509(f, NULL, NULL, NULL);
}

/* Signed by a user under `ca`; the arena's. */
static struct str sign(const struct pki_mint_ca *ca, EVP_PKEY **ret_key)
{
    struct pki_mint_san san = {PKI_MINT_URI, STR("sip:alice@a.example")};
    struct pki_mint_args a = {.sans = &san,
                              .n_sans = 1,
                              .uses = PKI_MINT_SMIME,
                              .days = 2,
                              .cert_file = t.cert,
                              .key_file = t.key};
    BIO *in = BIO_new_mem_buf(TEXT, -1);
    unsigned char *der = NULL;
    struct reason why;
    FILE *f = NULL;

    need(pki_mint_cert(ca, &a, &why) == 0 && (f = fopen(t.key, "r")) != NULL, "no certificate");
    EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
    fclose(f);
    need(key && (f = fopen(t.cert, "r")) != NULL, "no key");
    X509 *leaf = next_cert(f), *c;
    CMS_ContentInfo *cms =
        CMS_sign(leaf, key, NULL, in, CMS_BINARY | CMS_DETACHED | CMS_NOSMIMECAP);
    need(cms != NULL, "not signed");
    while ((c = next_cert(f)) != NULL)
        need(CMS_add0_cert(cms, c) == 1, "no chain");
    fclose(f);
    int n = i2d_CMS_ContentInfo(cms, &der);
    struct str ret = arena_str(t.arena, str_make((const char *)der, n > 0 ? (size_t)n : 0));
    need(ret.n > 0, "no memory");
    OPENSSL_free(der);
    CMS_ContentInfo_free(cms);
    X509_free(leaf);
    BIO_free(in);
    *ret_key = key;
    return ret;
}

static double verify(struct str cms, const char *text, const struct pki_anchors *anchors,
                     int expected, unsigned long n)
{
    struct pki_cms_args args = {
        .cms = cms, .content = str_z(text), .anchors = anchors, .now_s = (uint64_t)time(NULL)};
    struct arena *a = arena_new(16384, 1 << 20);
    double begun = now_us();

    for (unsigned long i = 0; a && i < n; i++) {
        struct pki_cms got;
        struct reason why;

        arena_reset(a);
        need(pki_cms_verify(&args, a, &got, &why) == expected, "not as expected");
        pki_chain_unref(got.chain);
    }
    arena_free(a);
    return (now_us() - begun) / (double)n;
}

static double primitive(EVP_PKEY *key, unsigned long n)
{
    unsigned char sig[128], digest[32] = {1};
    size_t len = sizeof(sig);
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(key, NULL);
    double begun;

    need(c && EVP_PKEY_sign_init(c) == 1 && EVP_PKEY_sign(c, sig, &len, digest, 32) == 1 &&
             EVP_PKEY_verify_init(c) == 1,
         "no primitive");
    begun = now_us();
    for (unsigned long i = 0; i < n; i++)
        need(EVP_PKEY_verify(c, sig, len, digest, 32) == 1, "not verified");
    EVP_PKEY_CTX_free(c);
    return (now_us() - begun) / (double)n;
}

int main(int argc, char **argv)
{
    unsigned long n = argc > 1 ? strtoul(argv[1], NULL, 10) : 5000;
    struct pki_mint_ca_args root_args = {.cn = STR("Root"), .days = 2}, middle_args = root_args;
    struct pki_mint_ca *root = NULL, *middle = NULL;
    EVP_PKEY *key, *other;
    struct reason why;

    snprintf(t.dir, sizeof(t.dir), "/tmp/micro_cms.XXXXXX");
    need(n > 0 && mkdtemp(t.dir), "no folder");
    snprintf(t.ca, sizeof(t.ca), "%s/ca", t.dir);
    snprintf(t.cert, sizeof(t.cert), "%s/cert", t.dir);
    snprintf(t.key, sizeof(t.key), "%s/key", t.dir);
    t.arena = arena_new(65536, 1 << 20);
    need(t.arena && pki_mint_ca_new(&root_args, &root, &why) == 0, "no CA");
    middle_args.parent = root;
    need(pki_mint_ca_new(&middle_args, &middle, &why) == 0 &&
             pki_mint_ca_save(root, t.ca, NULL, &why) == 0 &&
             pki_anchors_new(t.ca, NULL, &t.anchors, &why) == 0 &&
             pki_anchors_new(NULL, NULL, &t.nobody, &why) == 0,
         "no anchors");
    struct str one = sign(root, &key), two = sign(middle, &other);

    printf("P-256 verified, bare:              %6.1f us\n", primitive(key, n));
    printf("body, signer under the anchor:     %6.1f us\n", verify(one, TEXT, t.anchors, 0, n));
    printf("body, one certificate between:     %6.1f us\n", verify(two, TEXT, t.anchors, 0, n));
    printf("of another text:                   %6.1f us\n",
           verify(one, "x" TEXT, t.anchors, ERR_CRYPTO, n));
    printf("of nobody:                         %6.1f us\n",
           verify(one, TEXT, t.nobody, ERR_REFUSED, n));
    printf("cut off:                           %6.1f us\n",
           verify(str_make(one.p, one.n - 1), TEXT, t.anchors, ERR_SYNTAX, n));
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
    pki_anchors_unref(t.anchors);
    pki_anchors_unref(t.nobody);
    pki_mint_ca_free(middle);
    pki_mint_ca_free(root);
    arena_free(t.arena);
    return unlink(t.ca) | unlink(t.cert) | unlink(t.key) | rmdir(t.dir) ? 1 : 0;
}
