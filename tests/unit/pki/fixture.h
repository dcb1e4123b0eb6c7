/* What the tests of pki share: a folder of freshly minted certificates, and handshakes in memory.
 */
#ifndef TESTS_UNIT_PKI_FIXTURE_H
#define TESTS_UNIT_PKI_FIXTURE_H

#include "pki/mint.h"
#include "pki/names.h"
#include "pki/tls.h"
#include <openssl/ssl.h>
#include <stdbool.h>

#define FIX_PATH 128

struct fix {
    char dir[64];
    struct pki_mint_ca *root, *other, *inter, *fenced; /* fenced: may speak for a.example only */
    char root_pem[FIX_PATH], other_pem[FIX_PATH];
};

void fix_init(struct fix *f);
void fix_done(struct fix *f);
/* "<dir>/<name>" in static storage, a new one for each of 256 calls. */
const char *fix_path(const struct fix *f, const char *name);
/* Mints <name>.crt and <name>.key; domain may be NULL. */
void fix_cert(const struct fix *f, const struct pki_mint_ca *ca, const char *name,
              const char *domain, unsigned uses);
void fix_cert_full(const struct fix *f, const struct pki_mint_ca *ca, const char *name,
                   struct pki_mint_args args);
/* An identity of the certificate minted by that name. */
struct pki_tls_identity fix_identity(const struct fix *f, const char *name, const char *domain);

struct outcome {
    bool client_ok, server_ok;
    struct reason client_reason, server_reason;
};
/* Runs both sides to their end, then (if both are done) one byte each way, so that TLS 1.3's late
 * refusals show. */
struct outcome shake(SSL *client, SSL *server);
/* The same with contexts; the connections are freed. */
struct outcome shake_contexts(struct pki_tls_client *c, const char *server_name,
                              struct pki_tls_server *s);

#endif
