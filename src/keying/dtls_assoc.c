/* One DTLS association on OpenSSL: its BIO of datagrams, the handshake, the keys that come out. RFC
 * 6347, RFC 5764 4.2. An object belongs to one thread at a time. */
#include "keying/dtls_assoc.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/secret.h"
#include <openssl/err.h>
#include <pthread.h>

#define LABEL "EXTRACTOR-dtls_srtp"
#define TIMER_MAX_US 6000000u

struct dtls_assoc {
    SSL *ssl; /* NULL: stripped */
    enum dtls_state state;
    bool is_client;
    enum keying_path path;
    struct addr remote;
    uint32_t first_ms;
    struct dtls_queue *queue;
    struct dtls_queue flight; /* ... its end, if the last datagram that came was answered with it */
    const uint8_t *in;        /* the datagram that is being read */
    size_t n_in;
    SSL_SESSION *offered; /* server: what may be resumed; client: none */
    const char *error;
};

/* ---- the queue ---- */

void dtls_queue_init(struct dtls_queue *q)
{
    *q = (struct dtls_queue){.last = &q->first};
}

void dtls_queue_done(struct dtls_queue *q)
{
    struct dtls_datagram *d;

    while ((d = dtls_queue_take(q)) != NULL)
        mem_free(d);
}

void dtls_queue_put(struct dtls_queue *q, enum keying_path path, const struct addr *to,
                    const uint8_t *p, size_t n)
{
    struct dtls_datagram *d = q->n < LIMIT_DTLS_QUEUE ? mem_alloc(sizeof(*d) + n) : NULL;

    if (d == NULL)
        return;
    *d = (struct dtls_datagram){.path = path, .to = *to, .n = n};
    memcpy(d->p, p, n);
    *q->last = d;
    q->last = &d->next;
    q->n++;
}

struct dtls_datagram *dtls_queue_take(struct dtls_queue *q)
{
    struct dtls_datagram *d = q->first;

    if (d == NULL)
        return NULL;
    q->first = d->next;
    if (q->first == NULL)
        q->last = &q->first;
    q->n--;
    return d;
}

#define RECORD_HEADER 13 /* type, version (2), epoch (2), sequence number (6), length (2) */
#define TYPE_CHANGE_CIPHER 20
#define TYPE_HANDSHAKE 22

/* Is something of an end of the handshake in it: ChangeCipherSpec, or the encrypted part, which is
 * Finished and nothing else? */
static bool has_end(const uint8_t *p, size_t n, bool is_finished)
{
    while (n >= RECORD_HEADER) {
        size_t len = RECORD_HEADER + (size_t)(p[11] << 8 | p[12]);

        if ((p[0] == TYPE_HANDSHAKE && (p[3] | p[4]) != 0) ||
            (p[0] == TYPE_CHANGE_CIPHER && !is_finished))
            return true;
        if (len > n)
            return false;
        p += len;
        n -= len;
    }
    return false;
}

/* ---- the BIO: one datagram in, any number out ---- */

static int bio_write(BIO *bio, const char *p, int n)
{
    struct dtls_assoc *a = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (n > 0)
        dtls_queue_put(a->queue, a->path, &a->remote, (const uint8_t *)p, (size_t)n);
    if (n > 0 && a->state == DTLS_SHAKING && has_end((const uint8_t *)p, (size_t)n, false))
        dtls_queue_put(&a->flight, a->path, &a->remote, (const uint8_t *)p, (size_t)n);
    return n;
}

static int bio_read(BIO *bio, char *p, int n)
{
    struct dtls_assoc *a = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (a->in == NULL || n <= 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    if ((size_t)n > a->n_in)
        n = (int)a->n_in;
    memcpy(p, a->in, (size_t)n); /* what does not fit is lost, as with a socket */
    a->in = NULL;
    return n;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    (void)bio;
    (void)num;
    (void)ptr;
    switch (cmd) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_DGRAM_QUERY_MTU:
    case BIO_CTRL_DGRAM_GET_FALLBACK_MTU:
        return DTLS_MTU;
    default:
        return 0;
    }
}

static BIO_METHOD *bio_method;

static void bio_init(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "datagrams");

    if (m != NULL && BIO_meth_set_write(m, bio_write) == 1 && BIO_meth_set_read(m, bio_read) == 1 &&
        BIO_meth_set_ctrl(m, bio_ctrl) == 1)
        bio_method = m;
    else
        BIO_meth_free(m);
}

static const BIO_METHOD *bio_method_get(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, bio_init);
    return bio_method;
}

/* ---- callbacks of the contexts ---- */

/* The cookie was checked before OpenSSL saw the hello (dtls_hello.c), and we send no request of its
 * own making. */
static int cookie_accept(SSL *ssl, const unsigned char *cookie, unsigned n)
{
    (void)ssl;
    (void)cookie;
    (void)n;
    return 1;
}

static int cookie_refuse(SSL *ssl, unsigned char *cookie, unsigned *n)
{
    (void)ssl;
    (void)cookie;
    (void)n;
    return 0;
}

/* Every certificate is taken here: which one is right, only the fingerprint says, and it may still
 * be on its way. */
static int certificate_accept(X509_STORE_CTX *store, void *arg)
{
    (void)store;
    (void)arg;
    return 1;
}

/* A session is found only if it is the one that this association was given: no leg resumes
 * another's. */
static SSL_SESSION *session_find(SSL *ssl, const unsigned char *id, int n, int *copy)
{
    const struct dtls_assoc *a = SSL_get_app_data(ssl);
    unsigned n_own = 0;
    const unsigned char *own;

    *copy = 1;
    if (a == NULL || a->offered == NULL)
        return NULL;
    own = SSL_SESSION_get_id(a->offered, &n_own);
    return n_own > 0 && n_own == (unsigned)n && memcmp(own, id, n_own) == 0 ? a->offered : NULL;
}

int dtls_assoc_ctx_init(SSL_CTX *ctx)
{
    static const unsigned char context[] = "sallyport";

    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_NO_QUERY_MTU | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    /* Asked for always, by both (RFC 5763 5); a client without one fails. */
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, certificate_accept, NULL);
    SSL_CTX_set_cookie_verify_cb(ctx, cookie_accept);
    SSL_CTX_set_cookie_generate_cb(ctx, cookie_refuse);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_BOTH | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_get_cb(ctx, session_find);
    return SSL_CTX_set_session_id_context(ctx, context, sizeof(context) - 1) == 1 ? 0 : ERR_CRYPTO;
}

static unsigned timer_next(SSL *ssl, unsigned us)
{
    const struct dtls_assoc *a = SSL_get_app_data(ssl);

    if (us == 0)
        return 1000u * a->first_ms;
    return us < TIMER_MAX_US / 2 ? 2 * us : TIMER_MAX_US;
}

/* ---- the object ---- */

static bool ssl_init(struct dtls_assoc *a, const struct dtls_assoc_args *args)
{
    BIO *bio = BIO_new(bio_method_get());

    a->ssl = SSL_new(args->ctx);
    if (bio == NULL || a->ssl == NULL) {
        BIO_free(bio);
        return false;
    }
    BIO_set_data(bio, a);
    BIO_set_init(bio, 1);
    SSL_set_bio(a->ssl, bio, bio);
    if (SSL_set_app_data(a->ssl, a) != 1 || SSL_set_tlsext_use_srtp(a->ssl, args->profiles) != 0 ||
        SSL_set_mtu(a->ssl, DTLS_MTU) == 0)
        return false;
    DTLS_set_timer_cb(a->ssl, timer_next);
    if (args->is_client) {
        SSL_set_connect_state(a->ssl);
        return args->session == NULL || SSL_set_session(a->ssl, args->session) == 1;
    }
    SSL_set_accept_state(a->ssl);
    return true;
}

int dtls_assoc_new(struct dtls_assoc **ret, const struct dtls_assoc_args *args)
{
    struct dtls_assoc *a = mem_zalloc(sizeof(*a));

    if (a == NULL)
        return ERR_NOMEM;
    a->is_client = args->is_client;
    a->path = args->path;
    a->remote = args->remote;
    a->first_ms = args->first_ms;
    a->queue = args->queue;
    dtls_queue_init(&a->flight);
    if (!args->is_client && args->session != NULL && SSL_SESSION_up_ref(args->session) == 1)
        a->offered = args->session;
    if (bio_method_get() == NULL || !ssl_init(a, args)) {
        dtls_assoc_free(a);
        return ERR_NOMEM;
    }
    *ret = a;
    return 0;
}

void dtls_assoc_strip(struct dtls_assoc *a)
{
    if (a->ssl != NULL) {
        /* No alert, and the session stays good: it is the leg that ends, not what others resume. */
        SSL_set_quiet_shutdown(a->ssl, 1);
        SSL_set_shutdown(a->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    }
    SSL_free(a->ssl);
    a->ssl = NULL;
    SSL_SESSION_free(a->offered);
    a->offered = NULL;
}

void dtls_assoc_free(struct dtls_assoc *a)
{
    if (a == NULL)
        return;
    dtls_assoc_strip(a);
    dtls_queue_done(&a->flight);
    mem_free(a);
}

static void fail(struct dtls_assoc *a)
{
    const char *text = ERR_reason_error_string(ERR_peek_error());

    a->state = DTLS_FAILED;
    a->error = text != NULL ? text : "the library failed";
    ERR_clear_error();
}

/* Goes on as far as what has come allows. */
static void run(struct dtls_assoc *a)
{
    uint8_t ignored[256];
    int ret;

    ERR_clear_error();
    if (a->state == DTLS_SHAKING) {
        dtls_queue_done(&a->flight);
        ret = SSL_do_handshake(a->ssl);
        if (ret == 1) {
            a->state = DTLS_DONE;
        } else if (SSL_get_error(a->ssl, ret) != SSL_ERROR_WANT_READ) {
            fail(a);
            return;
        }
    }
    /* Behind the handshake nothing is expected but the peer's last flight again, which is answered
     * with ours. */
    if (a->state == DTLS_DONE && a->in != NULL)
        (void)SSL_read(a->ssl, ignored, sizeof(ignored));
    ERR_clear_error();
}

void dtls_assoc_start(struct dtls_assoc *a)
{
    run(a);
}

void dtls_assoc_hello(struct dtls_assoc *a, const uint8_t *p, size_t n, bool has_cookie)
{
    BIO_ADDR *nobody;

    a->in = p;
    a->n_in = n;
    if (has_cookie) {
        nobody = BIO_ADDR_new();
        ERR_clear_error();
        if (nobody == NULL || DTLSv1_listen(a->ssl, nobody) != 1)
            fail(a);
        BIO_ADDR_free(nobody);
    }
    if (a->state == DTLS_SHAKING)
        run(a);
    a->in = NULL;
}

void dtls_assoc_input(struct dtls_assoc *a, const uint8_t *p, size_t n)
{
    if (a->state == DTLS_FAILED)
        return;
    a->in = p;
    a->n_in = n;
    run(a);
    a->in = NULL;
}

bool dtls_assoc_again(struct dtls_assoc *a, const uint8_t *p, size_t n)
{
    if (!has_end(p, n, true))
        return false;
    for (const struct dtls_datagram *d = a->flight.first; d != NULL; d = d->next)
        dtls_queue_put(a->queue, d->path, &d->to, d->p, d->n);
    return true;
}

void dtls_assoc_tick(struct dtls_assoc *a)
{
    if (a->state != DTLS_SHAKING)
        return;
    ERR_clear_error();
    if (DTLSv1_handle_timeout(a->ssl) < 0)
        fail(a);
}

uint64_t dtls_assoc_wait_ms(const struct dtls_assoc *a)
{
    struct timeval left;

    if (a->state != DTLS_SHAKING || DTLSv1_get_timeout(a->ssl, &left) != 1)
        return UINT64_MAX;
    return (uint64_t)left.tv_sec * 1000 + (uint64_t)(left.tv_usec + 999) / 1000;
}

void dtls_assoc_set_queue(struct dtls_assoc *a, struct dtls_queue *queue)
{
    a->queue = queue;
}

enum dtls_state dtls_assoc_state(const struct dtls_assoc *a)
{
    return a->state;
}

const char *dtls_assoc_error(const struct dtls_assoc *a)
{
    return a->error;
}

const struct addr *dtls_assoc_remote(const struct dtls_assoc *a)
{
    return &a->remote;
}

/* ---- what came out ---- */

X509 *dtls_assoc_peer(const struct dtls_assoc *a)
{
    return SSL_get1_peer_certificate(a->ssl);
}

const struct keying_suite *dtls_assoc_suite(const struct dtls_assoc *a)
{
    const SRTP_PROTECTION_PROFILE *profile = SSL_get_selected_srtp_profile(a->ssl);

    return profile != NULL ? keying_suite_find_profile((uint16_t)profile->id) : NULL;
}

/* RFC 5764 4.1.2: 2^31 packets for these profiles; RFC 7714 14.2 has more for GCM. */
static void set_keys(struct keying_keys *ret, const struct keying_suite *suite, const uint8_t *key,
                     const uint8_t *salt)
{
    *ret = (struct keying_keys){.suite = suite, .n = 1};
    memcpy(ret->key[0].key, key, suite->key_len);
    memcpy(ret->key[0].salt, salt, suite->salt_len);
    if (suite->cipher != KEYING_AES_GCM)
        ret->key[0].max_rtp = ret->key[0].max_rtcp = 1ull << 31;
}

int dtls_assoc_export(const struct dtls_assoc *a, struct keying_keys *ret_send,
                      struct keying_keys *ret_receive)
{
    const struct keying_suite *suite = dtls_assoc_suite(a);
    struct keying_keys *client = a->is_client ? ret_send : ret_receive;
    struct keying_keys *server = a->is_client ? ret_receive : ret_send;
    uint8_t all[2 * (KEYING_MASTER_KEY_MAX + KEYING_MASTER_SALT_MAX)];
    size_t n;
    int err = 0;

    if (suite == NULL || a->state != DTLS_DONE)
        return ERR_INVALID;
    n = 2 * ((size_t)suite->key_len + suite->salt_len);
    if (SSL_export_keying_material(a->ssl, all, n, LABEL, sizeof(LABEL) - 1, NULL, 0, 0) == 1) {
        set_keys(client, suite, all, all + 2 * (size_t)suite->key_len);
        set_keys(server, suite, all + suite->key_len,
                 all + 2 * (size_t)suite->key_len + suite->salt_len);
    } else {
        err = ERR_CRYPTO;
    }
    secret_wipe(all, sizeof(all));
    return err;
}

bool dtls_assoc_is_resumed(const struct dtls_assoc *a)
{
    return SSL_session_reused(a->ssl) == 1;
}

bool dtls_assoc_has_last_flight(const struct dtls_assoc *a)
{
    return a->is_client == dtls_assoc_is_resumed(a);
}

SSL_SESSION *dtls_assoc_session(const struct dtls_assoc *a)
{
    SSL_SESSION *session = SSL_get1_session(a->ssl);

    if (session != NULL && SSL_SESSION_is_resumable(session) == 1)
        return session;
    SSL_SESSION_free(session);
    return NULL;
}
