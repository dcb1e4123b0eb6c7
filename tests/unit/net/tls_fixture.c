/* See tls_fixture.h. */
#include "tls_fixture.h"
#include "base/log.h"
#include <dirent.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *path_of(const struct tls_fix *t, const char *name, const char *ext)
{
    static char paths[16][96];
    static unsigned next;
    char *p = paths[next++ % 16];
    snprintf(p, sizeof(paths[0]), "%s/%s.%s", t->dir, name, ext);
    return p;
}

void tls_fix_init(struct tls_fix *t)
{
    struct reason why;
    const struct pki_mint_ca_args args = {.cn = STR("Test root"), .days = 30};
    signal(SIGPIPE, SIG_IGN); /* OpenSSL's socket BIO */
    snprintf(t->dir, sizeof(t->dir), "/tmp/sallyport-net-XXXXXX");
    assert_non_null(mkdtemp(t->dir));
    assert_int_equal(pki_mint_ca_new(&args, &t->ca, &why), 0);
    snprintf(t->ca_pem, sizeof(t->ca_pem), "%s", path_of(t, "ca", "crt"));
    assert_int_equal(pki_mint_ca_save(t->ca, t->ca_pem, NULL, &why), 0);
}

void tls_fix_done(struct tls_fix *t)
{
    pki_mint_ca_free(t->ca);
    DIR *d = opendir(t->dir);
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d));) {
        char path[400];
        snprintf(path, sizeof(path), "%s/%s", t->dir, e->d_name);
        if (e->d_name[0] != '.')
            unlink(path);
    }
    closedir(d);
    rmdir(t->dir);
}

void tls_fix_cert(struct tls_fix *t, const char *name, const char *domain)
{
    struct reason why;
    struct str domains[1] = {str_z(domain)};
    const struct pki_mint_args args = {.domains = domains,
                                       .n_domains = 1,
                                       .days = 10,
                                       .uses = PKI_MINT_SERVER | PKI_MINT_CLIENT,
                                       .cert_file = path_of(t, name, "crt"),
                                       .key_file = path_of(t, name, "key")};
    if (pki_mint_cert(t->ca, &args, &why) != 0)
        fail_msg("%s", why.detail);
}

struct pki_tls_server *tls_fix_server(struct tls_fix *t, const char *name, const char *domain,
                                      enum pki_client_cert c, unsigned tickets)
{
    struct reason why;
    struct pki_tls_server *s;
    const struct pki_tls_identity id = {str_z(domain), path_of(t, name, "crt"),
                                        path_of(t, name, "key")};
    const struct pki_tls_options o = {.identities = &id,
                                      .n_identities = 1,
                                      .client_cert = c,
                                      .ca_pem = c == PKI_CLIENT_CERT_NONE ? NULL : t->ca_pem,
                                      .session_tickets = tickets};
    if (pki_tls_server_new(&o, &s, &why) != 0)
        fail_msg("%s", why.detail);
    return s;
}

struct pki_tls_client *tls_fix_client(struct tls_fix *t, const char *own, const char *own_domain)
{
    struct reason why;
    struct pki_tls_client *c;
    struct pki_tls_identity id = {str_z(own_domain), NULL, NULL};
    if (own)
        id = (struct pki_tls_identity){str_z(own_domain), path_of(t, own, "crt"),
                                       path_of(t, own, "key")};
    const struct pki_tls_options o = {
        .identities = &id, .n_identities = own ? 1 : 0, .ca_pem = t->ca_pem};
    if (pki_tls_client_new(&o, &c, &why) != 0)
        fail_msg("%s", why.detail);
    return c;
}

/* --- peer --- */

void tls_peer_init(struct tls_peer *p, struct tls_fix *t, const struct addr *to, const char *sni,
                   const char *own, int version)
{
    p->ctx = SSL_CTX_new(TLS_client_method());
    assert_non_null(p->ctx);
    assert_int_equal(SSL_CTX_load_verify_locations(p->ctx, t->ca_pem, NULL), 1);
    SSL_CTX_set_verify(p->ctx, SSL_VERIFY_PEER, NULL);
    if (version) {
        SSL_CTX_set_min_proto_version(p->ctx, version);
        SSL_CTX_set_max_proto_version(p->ctx, version);
    }
    if (own) {
        assert_int_equal(SSL_CTX_use_certificate_chain_file(p->ctx, path_of(t, own, "crt")), 1);
        assert_int_equal(
            SSL_CTX_use_PrivateKey_file(p->ctx, path_of(t, own, "key"), SSL_FILETYPE_PEM), 1);
    }
    p->ssl = SSL_new(p->ctx);
    assert_non_null(p->ssl);
    SSL_set_connect_state(p->ssl);
    if (sni)
        SSL_ctrl(p->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                 (void *)(uintptr_t)sni);
    p->fd = fix_tcp(to);
    SSL_set_fd(p->ssl, p->fd);
}

void tls_peer_open(struct tls_peer *p, struct tls_fix *t, const struct addr *to, const char *sni,
                   const char *own, int version)
{
    tls_peer_init(p, t, to, sni, own, version);
    if (SSL_connect(p->ssl) != 1)
        fail_msg("handshake: %s", ERR_reason_error_string(ERR_peek_error()));
}

void tls_peer_done(struct tls_peer *p)
{
    ERR_clear_error();
    SSL_free(p->ssl);
    SSL_CTX_free(p->ctx);
    close(p->fd);
}

void tls_peer_write(struct tls_peer *p, const char *data, size_t n)
{
    size_t sent;
    assert_int_equal(SSL_write_ex(p->ssl, data, n, &sent), 1);
    assert_int_equal(sent, n);
}

void tls_peer_read(struct tls_peer *p, char *dst, size_t n)
{
    size_t have = 0, got;
    while (have < n) {
        if (SSL_read_ex(p->ssl, dst + have, n - have, &got) != 1)
            fail_msg("read: error %d after %zu of %zu bytes", SSL_get_error(p->ssl, 0), have, n);
        have += got;
    }
    dst[n] = '\0';
}

void tls_peer_expect(struct tls_peer *p, const char *z)
{
    size_t n = strlen(z);
    char *got = malloc(n + 1);
    assert_non_null(got);
    tls_peer_read(p, got, n);
    assert_string_equal(got, z);
    free(got);
}

/* --- log --- */

static struct {
    pthread_mutex_t lock;
    char lines[200][700];
    unsigned n;
} caught = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void sink(void *arg, enum log_level level, struct str line)
{
    (void)arg;
    (void)level;
    pthread_mutex_lock(&caught.lock);
    snprintf(caught.lines[caught.n++ % 200], sizeof(caught.lines[0]), "%.*s", STR_FMT(line));
    pthread_mutex_unlock(&caught.lock);
}

void log_catch(void)
{
    caught.n = 0;
    log_set_sink(sink, NULL);
}

void log_expect(const char *a, const char *b)
{
    for (unsigned i = 0; i < FIX_WAIT_MS; i++) {
        pthread_mutex_lock(&caught.lock);
        bool found = false;
        for (unsigned k = 0; k < caught.n && k < 200; k++)
            found |= strstr(caught.lines[k], a) && strstr(caught.lines[k], b);
        pthread_mutex_unlock(&caught.lock);
        if (found)
            return;
        fix_sleep(1);
    }
    for (unsigned k = 0; k < caught.n && k < 200; k++)
        print_message("%s\n", caught.lines[k]);
    fail_msg("no line with '%s' and '%s'", a, b);
}

void log_release(void)
{
    log_set_sink(NULL, NULL);
}
