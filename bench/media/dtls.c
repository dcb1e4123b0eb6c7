/* DTLS-SRTP as a client, by OpenSSL: what the far side of a DTLS leg of rtpengine needs. */
#include "rtpload.h"
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static SSL_CTX *context;

bool dtls_init(char fingerprint[128])
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    unsigned char md[32];
    unsigned n;
    context = SSL_CTX_new(DTLS_client_method());
    if (key == NULL || cert == NULL || context == NULL)
        return false;
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)"rtpload", -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    if (X509_sign(cert, key, EVP_sha256()) == 0 || X509_digest(cert, EVP_sha256(), md, &n) != 1 ||
        SSL_CTX_use_certificate(context, cert) != 1 || SSL_CTX_use_PrivateKey(context, key) != 1 ||
        SSL_CTX_set_tlsext_use_srtp(context, "SRTP_AES128_CM_SHA1_80") != 0)
        return false;
    for (unsigned i = 0; i < n; i++)
        (void)snprintf(fingerprint + 3 * i, 4, "%02X%s", md[i], i + 1 < n ? ":" : "");
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    return true;
}

bool dtls_handshake(int fd, const struct sockaddr_in *to, uint8_t ours[30], uint8_t theirs[30])
{
    SSL *ssl = SSL_new(context);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    unsigned char material[60], p[4096];
    bool ok = false;
    SSL_set_bio(ssl, in, out);
    BIO_set_mem_eof_return(in, -1);
    SSL_set_options(ssl, SSL_OP_NO_QUERY_MTU);
    SSL_set_mtu(ssl, 1200);
    for (unsigned i = 0; i < 100 && !ok; i++) {
        struct pollfd pfd = {.fd = fd, .events = POLLIN};
        int r = SSL_connect(ssl);
        ok = r == 1;
        if (!ok && SSL_get_error(ssl, r) != SSL_ERROR_WANT_READ) {
            ERR_print_errors_fp(stderr);
            break;
        }
        int n = BIO_read(out, p, sizeof(p));
        if (n > 0) {
            /* A flight of several records goes out in one datagram, which DTLS allows. */
            (void)sendto(fd, p, (size_t)n, 0, (const struct sockaddr *)to, sizeof(*to));
        }
        if (ok)
            break;
        if (poll(&pfd, 1, 200) == 1) {
            ssize_t got = recv(fd, p, sizeof(p), 0);
            if (got > 0 && p[0] >= 20 && p[0] <= 63)
                (void)BIO_write(in, p, (int)got);
        } else {
            (void)DTLSv1_handle_timeout(ssl);
        }
    }
    ok = ok && SSL_export_keying_material(ssl, material, sizeof(material), "EXTRACTOR-dtls_srtp",
                                          19, NULL, 0, 0) == 1;
    if (ok) { /* RFC 5764 4.2: client key, server key, client salt, server salt */
        memcpy(ours, material, 16);
        memcpy(theirs, material + 16, 16);
        memcpy(ours + 16, material + 32, 14);
        memcpy(theirs + 16, material + 46, 14);
    }
    SSL_free(ssl);
    return ok;
}
