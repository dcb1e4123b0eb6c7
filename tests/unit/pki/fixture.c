/* See fixture.h. */
#include "fixture.h"
#include "check.h"
#include <dirent.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct pki_mint_ca *new_ca(const char *cn, const struct pki_mint_ca *parent,
                                  const char *fence)
{
    struct pki_mint_ca *ca;
    struct reason why;
    const struct pki_mint_ca_args args = {
        .cn = str_z(cn), .days = 30, .parent = parent, .permitted_dns = str_z(fence)};
    if (pki_mint_ca_new(&args, &ca, &why) != 0)
        fail_msg("CA %s: %s", cn, why.detail);
    return ca;
}

void fix_init(struct fix *f)
{
    struct reason why;
    strcpy(f->dir, "/tmp/sallyport-pki-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->root = new_ca("Test root", NULL, NULL);
    f->other = new_ca("Another root", NULL, NULL);
    f->inter = new_ca("Test intermediate", f->root, NULL);
    f->fenced = new_ca("Fenced intermediate", f->root, "a.example");
    strcpy(f->root_pem, fix_path(f, "root.crt"));
    strcpy(f->other_pem, fix_path(f, "other.crt"));
    assert_int_equal(pki_mint_ca_save(f->root, f->root_pem, fix_path(f, "root.key"), &why), 0);
    assert_int_equal(pki_mint_ca_save(f->other, f->other_pem, NULL, &why), 0);
}

void fix_done(struct fix *f)
{
    pki_mint_ca_free(f->root);
    pki_mint_ca_free(f->other);
    pki_mint_ca_free(f->inter);
    pki_mint_ca_free(f->fenced);
    DIR *d = opendir(f->dir);
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.')
            unlink(fix_path(f, e->d_name));
    closedir(d);
    assert_int_equal(rmdir(f->dir), 0);
}

const char *fix_path(const struct fix *f, const char *name)
{
    static char paths[256][FIX_PATH];
    static unsigned next;
    char *p = paths[next++ % 256];
    assert_in_range(snprintf(p, FIX_PATH, "%s/%s", f->dir, name), 1, FIX_PATH - 1);
    return p;
}

void fix_cert_full(const struct fix *f, const struct pki_mint_ca *ca, const char *name,
                   struct pki_mint_args args)
{
    char crt[64], key[64];
    struct reason why;
    snprintf(crt, sizeof(crt), "%s.crt", name);
    snprintf(key, sizeof(key), "%s.key", name);
    args.cert_file = fix_path(f, crt);
    args.key_file = fix_path(f, key);
    if (!args.days)
        args.days = 30;
    if (pki_mint_cert(ca, &args, &why) != 0)
        fail_msg("%s: %s", name, why.detail);
}

void fix_cert(const struct fix *f, const struct pki_mint_ca *ca, const char *name,
              const char *domain, unsigned uses)
{
    struct str d = str_z(domain);
    fix_cert_full(f, ca, name,
                  (struct pki_mint_args){.domains = &d, .n_domains = domain ? 1 : 0, .uses = uses});
}

struct pki_tls_identity fix_identity(const struct fix *f, const char *name, const char *domain)
{
    char crt[64], key[64];
    snprintf(crt, sizeof(crt), "%s.crt", name);
    snprintf(key, sizeof(key), "%s.key", name);
    return (struct pki_tls_identity){str_z(domain), fix_path(f, crt), fix_path(f, key)};
}

/* One step of one side: true when it has nothing more to do by itself. */
static void step(SSL *ssl, bool *done, bool *failed, struct reason *why)
{
    if (*done || *failed)
        return;
    ERR_clear_error();
    int r = SSL_do_handshake(ssl);
    if (r == 1) {
        *done = true;
        return;
    }
    int e = SSL_get_error(ssl, r);
    if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE) {
        *failed = true;
        pki_tls_ssl_reason(ssl, why);
    }
}

static bool pass_byte(SSL *from, SSL *to, struct reason *why)
{
    char c = 'x';
    ERR_clear_error();
    if (SSL_write(from, &c, 1) != 1)
        return false;
    c = 0;
    int r = SSL_read(to, &c, 1);
    if (r == 1)
        return c == 'x';
    pki_tls_ssl_reason(to, why);
    return false;
}

struct outcome shake(SSL *client, SSL *server)
{
    BIO *a, *b;
    assert_int_equal(BIO_new_bio_pair(&a, 65536, &b, 65536), 1);
    SSL_set_bio(client, a, a);
    SSL_set_bio(server, b, b);
    struct outcome o = {0};
    bool client_failed = false, server_failed = false;
    for (int i = 0; i < 20; i++) {
        step(client, &o.client_ok, &client_failed, &o.client_reason);
        step(server, &o.server_ok, &server_failed, &o.server_reason);
    }
    if (o.server_ok && o.client_ok) {
        o.server_ok = pass_byte(client, server, &o.server_reason);
        o.client_ok = pass_byte(server, client, &o.client_reason);
    } else if (o.client_ok && server_failed) { /* TLS 1.3: the client learns of it when it reads */
        char c;
        ERR_clear_error();
        o.client_ok = false;
        assert_true(SSL_read(client, &c, 1) <= 0);
        pki_tls_ssl_reason(client, &o.client_reason);
    }
    return o;
}

struct outcome shake_contexts(struct pki_tls_client *c, const char *server_name,
                              struct pki_tls_server *s)
{
    SSL *client = pki_tls_client_ssl(c, str_z(server_name)), *server = pki_tls_server_ssl(s);
    assert_non_null(client);
    assert_non_null(server);
    struct outcome o = shake(client, server);
    SSL_free(client);
    SSL_free(server);
    return o;
}
