/* Contexts are replaced while handshakes run in several threads: each connection is served by the
 * old or the new one, whole; connections outlive the context they were made from. */
#include "base/err.h"
#include "check.h"
#include "fixture.h"
#include <pthread.h>
#include <stdatomic.h>

#define THREADS 3
#define HANDSHAKES 60 /* of each thread */

static struct fix fix;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct pki_tls_server *current;
static struct pki_tls_client *client;
static atomic_uint n_old, n_new, n_failed, n_running;

static struct pki_tls_server *make(const char *cert)
{
    struct pki_tls_identity ids[] = {fix_identity(&fix, cert, "a.example"),
                                     fix_identity(&fix, "b", "b.example")};
    struct pki_tls_options o = {.identities = ids,
                                .n_identities = 2,
                                .ca_pem = fix.root_pem,
                                .client_cert = PKI_CLIENT_CERT_ASK};
    struct pki_tls_server *s;
    struct reason why;
    if (pki_tls_server_new(&o, &s, &why) != 0)
        fail_msg("%s", why.detail);
    return s;
}

static void *run(void *arg)
{
    (void)arg;
    for (int i = 0; i < HANDSHAKES; i++) {
        pthread_mutex_lock(&lock);
        struct pki_tls_server *s = pki_tls_server_ref(current);
        pthread_mutex_unlock(&lock);
        SSL *c = pki_tls_client_ssl(client, i % 4 ? STR("a.example") : STR("b.example")),
            *v = pki_tls_server_ssl(s);
        pki_tls_server_unref(s); /* the connection goes on without */
        struct outcome o = shake(c, v);
        struct arena *a = arena_new(1024, 4096);
        struct str names[PKI_NAMES_MAX];
        int n = pki_peer_names(c, a, names);
        if (!o.client_ok || !o.server_ok || n < 1)
            n_failed++;
        else if (n == 2)
            n_new++;
        else
            n_old++;
        arena_free(a);
        SSL_free(c);
        SSL_free(v);
    }
    n_running--;
    return NULL;
}

static void test_swap(void **state)
{
    (void)state;
    fix_init(&fix);
    const struct str two[] = {STR("a.example"), STR("sip.a.example")};
    fix_cert(&fix, fix.root, "old", "a.example", 0);
    fix_cert(&fix, fix.root, "b", "b.example", 0);
    fix_cert_full(&fix, fix.root, "new", (struct pki_mint_args){.domains = two, .n_domains = 2});
    struct reason why;
    check_err(pki_tls_client_new(&(struct pki_tls_options){.ca_pem = fix.root_pem}, &client, &why),
              0);
    current = make("old");
    pthread_t threads[THREADS];
    n_running = THREADS;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run, NULL), 0);
    for (unsigned i = 0; n_running; i++) {
        struct pki_tls_server *next = make(i % 2 ? "old" : "new");
        pthread_mutex_lock(&lock);
        struct pki_tls_server *last = current;
        current = next;
        pthread_mutex_unlock(&lock);
        pki_tls_server_unref(last);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(n_failed, 0);
    assert_true(n_old > 0 && n_new > 0);
    pki_tls_server_unref(current);
    pki_tls_client_unref(client);
    pki_tls_server_unref(NULL);
    pki_tls_client_unref(NULL);
    fix_done(&fix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_swap)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
