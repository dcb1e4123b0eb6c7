/* TLS between a connection's socket and its bytes. OpenSSL never sees the socket: it reads from
 * what the worker has just received and writes to an area from which the worker sends, so that an
 * idle connection owns no buffer, and one turn costs one read and one write however many records
 * pass. RFC 5246, 8446; RFC 5922 (names, by pki); RFC 9325.
 *
 * What the handshake showed is kept as the flow's hop_facts. Nothing is resumed on the server
 * unless the context issues tickets, and a resumed session carries the certificate it was made
 * with, so the facts are the same either way.
 *
 * Owner: the connection. Thread: its worker's. */
#include "pki/tls.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/net_priv.h"
#include "pki/names.h"
#include <openssl/err.h>
#include <openssl/ssl.h>

#define FACTS_ARENA_BYTES (PKI_NAMES_MAX * 288u)
#define REVOCATION_LOOK_MS 60000u /* between two looks at what responders say of a peer that is connected */
#define ANSWER_LOOK_MS 1000u      /* ... and of one that waits for their first answer */
#define RECORD_ROOM                                                                                \
    4096u /* in the write area, above one record's content: header, tag, a pending alert or key    \
             update */

/* --- the BIO --- */

static int bio_read(BIO *b, char *dst, size_t n, size_t *ret_n)
{
    struct conn *c = BIO_get_data(b);
    struct str *rd = &c->w->rd;
    BIO_clear_retry_flags(b);
    if (rd->n == 0) {
        BIO_set_retry_read(b);
        return 0;
    }
    if (n > rd->n)
        n = rd->n;
    memcpy(dst, rd->p, n);
    rd->p += n;
    rd->n -= n;
    *ret_n = n;
    return 1;
}

static int bio_write(BIO *b, const char *p, size_t n, size_t *ret_n)
{
    struct conn *c = BIO_get_data(b);
    struct worker *w = c->w;
    BIO_clear_retry_flags(b);
    if (n > WIRE_BYTES - w->wire_n)
        n = WIRE_BYTES - w->wire_n;
    if (n == 0) {
        BIO_set_retry_write(b);
        return 0;
    }
    memcpy(w->wire + w->wire_n, p, n);
    w->wire_n += n;
    *ret_n = n;
    return 1;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
    (void)b, (void)num, (void)ptr;
    return cmd == BIO_CTRL_FLUSH || cmd == BIO_CTRL_DUP;
}

static BIO_METHOD *method;

static void method_init(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sallyport connection");
    if (!method)
        return;
    BIO_meth_set_read_ex(method, bio_read);
    BIO_meth_set_write_ex(method, bio_write);
    BIO_meth_set_ctrl(method, bio_ctrl);
}

int tls_global_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, method_init); /* lives as long as the process */
    return method ? 0 : ERR_NOMEM;
}

static int attach(struct conn *c, SSL *ssl)
{
    BIO *b = ssl ? BIO_new(method) : NULL;
    if (!b) {
        SSL_free(ssl);
        return ERR_NOMEM;
    }
    BIO_set_data(b, c);
    BIO_set_init(b, 1);
    SSL_set_bio(ssl, b, b);
    c->ssl = ssl;
    return 0;
}

int tls_accept(struct conn *c)
{
    return attach(c, pki_tls_server_ssl(c->l->tls));
}

int tls_dial(struct conn *c, struct str server_name)
{
    return attach(c, pki_tls_client_ssl(c->tls_client, server_name));
}

void tls_write_out(struct conn *c)
{
    struct worker *w = c->w;
    size_t n = w->wire_n;
    w->wire_n = 0;
    if (n)
        stream_write(c, w->wire, n);
}

/* Did the last call fail only because all input is used up? SSL_want tells what was wanted last,
 * also after an error, and SSL_get_error looks at a queue in which others of this thread leave
 * theirs: our BIO knows. */
static bool is_hungry(const struct conn *c)
{
    return BIO_should_read(SSL_get_rbio(c->ssl));
}

/* --- facts --- */

static bool is_forward_secret(const SSL *ssl)
{
    const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
    int kx = cipher ? SSL_CIPHER_get_kx_nid(cipher) : NID_undef;
    /* TLS 1.3 without early data always exchanges fresh keys here: no context of ours allows
     * psk_ke. */
    return SSL_version(ssl) >= TLS1_3_VERSION || kx == NID_kx_ecdhe || kx == NID_kx_dhe;
}

/* One block: the facts, the names, their bytes. */
static struct hop_facts *facts_new(const struct conn *c, const struct str *names, size_t n)
{
    const SSL *ssl = c->ssl;
    const char *sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    size_t len = sizeof(struct hop_facts) + n * sizeof(struct str) + (sni ? strlen(sni) + 1 : 0);
    for (size_t i = 0; i < n; i++)
        len += names[i].n;
    struct hop_facts *f = mem_alloc(len);
    if (!f)
        return NULL;
    struct str *own = (struct str *)(f + 1);
    char *p = (char *)(own + n);
    *f = (struct hop_facts){
        .secure = true,
        .outgoing = c->is_outgoing,
        .tls_version = SSL_get_version(ssl),
        .cipher = SSL_get_cipher_name(ssl),
        .forward_secret = is_forward_secret(ssl),
        .peer_cert = SSL_get0_peer_certificate(ssl) != NULL,
        .peer_verified = pki_peer_is_verified(ssl),
        .standing = pki_peer_standing(ssl, NULL),
        .client_use = pki_peer_client_use(ssl),
        .n_peer_names = n,
        .peer_names = n ? own : NULL,
    };
    for (size_t i = 0; i < n; i++) {
        own[i] = str_make(p, names[i].n);
        memcpy(p, names[i].p, names[i].n);
        p += names[i].n;
    }
    f->server_name = sni ? p : NULL;
    for (size_t i = 0; sni && i <= strlen(sni); i++)
        p[i] = str_lower(sni[i]);
    return f;
}

static int keep_facts(struct conn *c)
{
    struct str names[PKI_NAMES_MAX];
    struct arena *a = NULL;
    int n = 0;
    if (SSL_get0_peer_certificate(c->ssl)) {
        a = arena_new(4096, FACTS_ARENA_BYTES);
        n = a ? pki_peer_names(c->ssl, a, names) : ERR_NOMEM;
    }
    c->own_hop = n < 0 ? NULL : facts_new(c, names, (size_t)n);
    arena_free(a);
    if (!c->own_hop)
        return ERR_NOMEM;
    c->hop = c->own_hop;
    return 0;
}

static bool is_named(const struct hop_facts *hop, struct str name)
{
    for (size_t i = 0; i < hop->n_peer_names; i++) {
        if (str_eq_nocase(hop->peer_names[i], name))
            return true;
    }
    return name.n == 0;
}

static bool refuse_vouching(struct conn *c, const struct reason *why)
{
    char peer[ADDR_TEXT_MAX];
    const struct log_field fields[] = {LS("peer", addr_text(&c->remote, peer))};
    log_reason(LOG_NOTICE, "not-vouched-for", why, fields, ARRAY_LEN(fields));
    return false;
}

/* One that was found good stays good, unless a responder says since then that it is revoked. */
static bool still_vouched(struct conn *c, struct pki_tls_client *by)
{
    struct reason why;
    if (c->is_vouched && worker_now_ms(c->w) - c->vouched_ms >= REVOCATION_LOOK_MS) {
        c->vouched_ms = worker_now_ms(c->w);
        c->is_vouched = !pki_tls_client_sees_revoked(by, c->ssl, &why) || refuse_vouching(c, &why);
    }
    return c->is_vouched;
}

bool tls_vouched(struct conn *c, struct pki_tls_client *by, struct str name)
{
    uint64_t serial = pki_tls_client_serial(by);
    bool is_own = c->is_outgoing && pki_tls_client_serial(c->tls_client) == serial;
    struct reason why;
    if (is_own && c->vouched_by != serial) { /* its handshake has seen to it, or will */
        c->vouched_by = serial;
        c->vouched_ms = worker_now_ms(c->w);
        c->is_vouched = true;
    }
    if (!is_own && (c->state < CONN_UPGRADE || !is_named(c->hop, name)))
        return false;
    if (c->vouched_by == serial &&
        (!c->is_unknown_yet || worker_now_ms(c->w) - c->vouched_ms < ANSWER_LOOK_MS))
        return still_vouched(c, by);
    bool is_news = c->vouched_by != serial;
    int err = pki_tls_client_vouches(by, c->ssl, &why);
    c->vouched_by = err == ERR_NOMEM ? 0 : serial;
    c->vouched_ms = worker_now_ms(c->w);
    c->is_vouched = err == 0;
    c->is_unknown_yet = err == ERR_AGAIN;
    return err == 0 || (is_news && refuse_vouching(c, &why));
}

/* --- handshake --- */

void tls_refused(struct conn *c, const struct reason *reason)
{
    char peer[ADDR_TEXT_MAX], local[ADDR_TEXT_MAX];
    const char *sni = c->ssl ? SSL_get_servername(c->ssl, TLSEXT_NAMETYPE_host_name) : NULL;
    const struct log_field fields[] = {
        LS("peer", addr_text(&c->remote, peer)),
        LS("local", addr_text(&c->local, local)),
        LS("transport", transport_text((enum transport)c->transport)),
        LZ("direction", c->is_outgoing ? "out" : "in"),
        LZ("sni", sni ? sni : ""),
    };
    STAT_ADD(c->w, handshakes_failed, 1);
    if (LOG_WARN >= log_threshold)
        log_reason(LOG_WARN, "tls-refused", reason, fields, ARRAY_LEN(fields));
}

/* Is this another state of that peer than the last one told? Of two peers in one place each change is told anew. */
static bool doubt_is_news(struct net_group *g, uint64_t who, const struct reason *why)
{
    struct doubt *d = &g->doubts[who % ARRAY_LEN(g->doubts)];
    bool is_news;

    pthread_mutex_lock(&g->lock);
    if (why) {
        is_news = d->who != who || strcmp(d->code, why->code) != 0 ||
                  strcmp(d->clause, why->clause ? why->clause : "") != 0;
        *d = (struct doubt){who, why->code, why->clause ? why->clause : ""};
    } else {
        is_news = d->who == who;
        d->who = is_news ? 0 : d->who;
    }
    pthread_mutex_unlock(&g->lock);
    return is_news;
}

/* Accepted, but nobody could say whether it is revoked (RFC 5280 6.3, soft): told once of a peer and reason, and when that is over. A
 * peer is known by the first name in its certificate. */
static void tell_doubt(const struct conn *c)
{
    char peer[ADDR_TEXT_MAX];
    struct reason why;
    struct str name = c->hop->n_peer_names ? c->hop->peer_names[0] : STR("");
    struct addr host = c->remote;
    uint64_t who;
    const struct log_field fields[] = {
        LS("peer", addr_text(&c->remote, peer)),
        LZ("direction", c->is_outgoing ? "out" : "in"),
        LS("name", name),
    };

    if (c->hop->standing == CERT_UNCHECKED)
        return;
    addr_set_port(&host, 0);
    who = name.n ? str_hash(name) : addr_hash(&host);
    if (c->hop->standing == CERT_GOOD) {
        if (doubt_is_news(c->w->group, who, NULL))
            LOG(LOG_NOTICE, "revocation-known", LZ("peer", peer), LS("name", name));
        return;
    }
    (void)pki_peer_standing(c->ssl, &why);
    if (doubt_is_news(c->w->group, who, &why) && LOG_NOTICE >= log_threshold)
        log_reason(LOG_NOTICE, "revocation-unknown", &why, fields, ARRAY_LEN(fields));
}

static void handshake_done(struct conn *c)
{
    struct reason reason;
    if (keep_facts(c) != 0) {
        reason_set(&reason, "no-memory", NULL, 0, "out of memory");
        conn_close(c, NET_CLOSE_OVERLOAD, &reason);
        return;
    }
    tell_doubt(c);
    if (c->transport == TRANSPORT_WSS)
        conn_set_state(c, CONN_UPGRADE);
    else
        conn_opened(c);
}

/* A client's beginning needs no signature. */
void tls_step(struct conn *c)
{
    if (c->w->rd.n && pki_ssl_asks(c->ssl)) {
        signing_step(c);
        return;
    }
    ERR_clear_error(); /* what others left there would be taken for the cause of a failure */
    tls_stepped(c, SSL_do_handshake(c->ssl), NULL);
}

void tls_stepped(struct conn *c, int result, const struct reason *why)
{
    struct reason reason;
    bool want = result != 1 && !why && is_hungry(c);
    if (why)
        reason = *why;
    else if (result != 1 && !want)
        pki_tls_ssl_reason(c->ssl, &reason);
    bool has_output = c->w->wire_n > 0;
    tls_write_out(c);
    if (c->state != CONN_HANDSHAKE)
        return;
    if (result == 1) {
        handshake_done(c);
    } else if (!want) {
        c->is_close_sent = has_output; /* the alert */
        tls_refused(c, &reason);
        conn_close(c, NET_CLOSE_TLS, &reason);
    }
}

/* --- records --- */

static void read_failed(struct conn *c)
{
    struct reason reason;
    if (SSL_get_shutdown(c->ssl) & SSL_RECEIVED_SHUTDOWN) {
        reason_set(&reason, "conn-closed", "RFC 8446 6.1", 0, "close_notify");
        conn_close(c, NET_CLOSE_PEER, &reason);
        return;
    }
    pki_tls_ssl_reason(c->ssl, &reason);
    c->has_failed = true;
    conn_close(c, NET_CLOSE_TLS, &reason);
}

void tls_readable(struct conn *c, const char *p, size_t n)
{
    struct worker *w = c->w;
    w->rd = str_make(p, n);
    if (c->state == CONN_HANDSHAKE)
        tls_step(c);
    tls_read(c);
    w->rd = STR_NULL;
    tls_write_out(c); /* an alert, or the answer to a key update */
}

void tls_read(struct conn *c)
{
    struct worker *w = c->w;
    if (c->state == CONN_OPEN || c->state == CONN_UPGRADE)
        ERR_clear_error();
    while (c->state == CONN_OPEN || c->state == CONN_UPGRADE) {
        size_t got;
        if (SSL_read_ex(c->ssl, w->plain, PLAIN_BYTES, &got) == 1) {
            stream_feed(c, w->plain, got);
            continue;
        }
        if (!is_hungry(c))
            read_failed(c);
        break;
    }
}

bool tls_encrypt(struct conn *c, const char *p, size_t n)
{
    struct worker *w = c->w;
    size_t done = 0;
    while (done < n) {
        size_t sent;
        if (SSL_write_ex(c->ssl, p + done, n - done, &sent) != 1) {
            struct reason reason;
            pki_tls_ssl_reason(c->ssl, &reason);
            ERR_clear_error();
            c->has_failed = true;
            w->wire_n = 0;
            if (c->state >= CONN_DRAIN)
                conn_drop(c);
            else
                conn_close(c, NET_CLOSE_TLS, &reason);
            return false;
        }
        done += sent;
    }
    tls_write_out(c);
    return c->state != CONN_DEAD && !c->has_failed;
}

void tls_close(struct conn *c)
{
    if (c->is_close_sent || c->has_failed)
        return;
    c->is_close_sent = true;
    ERR_clear_error();
    (void)SSL_shutdown(c->ssl);
    tls_write_out(c);
}

void tls_free(struct conn *c)
{
    signing_abort(c);
    SSL_free(c->ssl);
    c->ssl = NULL;
    pki_tls_client_unref(c->tls_client);
    c->tls_client = NULL;
    mem_free(c->own_hop);
    c->own_hop = NULL;
    c->hop = c->is_outgoing ? &hop_clear_out : &hop_clear_in;
}
