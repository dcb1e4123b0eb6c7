/* The authority of fuzz targets (ca.h). */
#include "ca.h"
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

static const char pem[] = "-----BEGIN PRIVATE KEY-----\n"
                          "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQga4ibEBZc/t5xGOPr\n"
                          "YIuk6CkIyO/xoJBM5Lc87XJWF6qhRANCAATaq+dcygrD54tvMTvIwyZ0fBBVSX9k\n"
                          "g6Kk8R+kTJQnlZ1Mc5tQbTSqvXFbqzV6UVs7Lr9UlpQclct5V9xCfdfA\n"
                          "-----END PRIVATE KEY-----\n";

EVP_PKEY *fuzz_ca_key(void)
{
    static EVP_PKEY *key;
    BIO *b;

    if (key)
        return key;
    b = BIO_new_mem_buf(pem, -1);
    key = PEM_read_bio_PrivateKey(b, NULL, NULL, NULL);
    CHECK(key);
    BIO_free(b);
    return key;
}

static void add(X509 *x, int nid, const char *value)
{
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    CHECK(e && X509_add_ext(x, e, -1) == 1);
    X509_EXTENSION_free(e);
}

static void name(X509_NAME *n, const char *cn)
{
    CHECK(X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const uint8_t *)cn, -1, -1, 0) == 1);
}

X509 *fuzz_ca_blank(const char *cn, bool is_issuer)
{
    X509 *x = X509_new();

    CHECK(x && X509_set_version(x, X509_VERSION_3) == 1 &&
          ASN1_INTEGER_set(X509_get_serialNumber(x), 2) == 1 &&
          ASN1_TIME_set_string_X509(X509_getm_notBefore(x), "20250101000000Z") == 1 &&
          ASN1_TIME_set_string_X509(X509_getm_notAfter(x), "21250101000000Z") == 1 &&
          X509_set_pubkey(x, fuzz_ca_key()) == 1);
    name(X509_get_issuer_name(x), "F");
    name(X509_get_subject_name(x), cn);
    if (is_issuer) {
        add(x, NID_basic_constraints, "critical,CA:TRUE");
        add(x, NID_key_usage, "critical,keyCertSign,cRLSign");
    }
    return x;
}

X509 *fuzz_ca_cert(void)
{
    static X509 *cert;

    if (cert)
        return cert;
    cert = fuzz_ca_blank("F", true);
    CHECK(X509_sign(cert, fuzz_ca_key(), EVP_sha256()) > 0);
    return cert;
}

struct pki_anchors *fuzz_ca_anchors(void)
{
    static struct pki_anchors *anchors;
    char path[64];
    FILE *f;
    int fd;

    if (anchors)
        return anchors;
    fd = memfd_create("ca", MFD_CLOEXEC);
    CHECK(fd >= 0 && (f = fdopen(fd, "w")) != NULL && PEM_write_X509(f, fuzz_ca_cert()) == 1 &&
          fflush(f) == 0);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    CHECK(pki_anchors_new(path, NULL, &anchors, NULL) == 0);
    (void)fclose(f);
    return anchors;
}
