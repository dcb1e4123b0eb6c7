/* Certificates, contexts and a blocking TLS client for the tests of the network. */
#ifndef TESTS_UNIT_NET_TLS_FIXTURE_H
#define TESTS_UNIT_NET_TLS_FIXTURE_H

#include "fixture.h"
#include "pki/mint.h"
#include "pki/tls.h"
#include <openssl/ssl.h>

struct tls_fix {
    char dir[64];
    struct pki_mint_ca *ca;
    char ca_pem[96];
};

void tls_fix_init(struct tls_fix *t);
void tls_fix_done(struct tls_fix *t);
/* <name>.crt and <name>.key for `domain`. */
void tls_fix_cert(struct tls_fix *t, const char *name, const char *domain);
struct pki_tls_server *tls_fix_server(struct tls_fix *t, const char *name, const char *domain,
                                      enum pki_client_cert c, unsigned tickets);
struct pki_tls_client *tls_fix_client(struct tls_fix *t, const char *own, const char *own_domain);

/* A client of OpenSSL alone. */
struct tls_peer {
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
};
/* own: certificate to show, or NULL; version: 0 or TLS1_2_VERSION and the like. Does not shake
 * hands. */
void tls_peer_init(struct tls_peer *p, struct tls_fix *t, const struct addr *to, const char *sni,
                   const char *own, int version);
void tls_peer_open(struct tls_peer *p, struct tls_fix *t, const struct addr *to, const char *sni,
                   const char *own, int version); /* and the handshake */
void tls_peer_done(struct tls_peer *p);
void tls_peer_write(struct tls_peer *p, const char *data, size_t n);
void tls_peer_read(struct tls_peer *p, char *dst, size_t n);
void tls_peer_expect(struct tls_peer *p, const char *z);

/* The log while a test runs. */
void log_catch(void);
/* Waits for a line with both texts in it. */
void log_expect(const char *a, const char *b);
void log_release(void);

#endif
