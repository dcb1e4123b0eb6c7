/* Connections: where they come from, how they are named and found, how long they may last, how they
 * end.
 *
 *                    dial                accept
 *                     |                    |
 *                CONNECTING --TLS--> HANDSHAKE --WSS--> UPGRADE
 *                     |                    |               |
 *                     `---------+----------+---------------'
 *                               v
 *                              OPEN   (the edge may know of it from here on; of a dialled one it
 * does from the start) | conn_close, from any state above
 *                               v
 *                            CLOSING --end of turn, on_flow_closed--+--> DRAIN --all written-->
 * LINGER --+--> DEAD, freed
 *                                                                   `------- nothing to write
 * -----------' Anything may go to DEAD by conn_drop. Flow ids stop working at CLOSING.
 *
 * RFC 3261 18.1.1, 18.2.1 (connections), 18.4; RFC 5923 (reuse); RFC 5626 (flows). Owner: the
 * worker's table. */
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/locate.h"
#include "net/net_priv.h"
#include "pki/tls.h"
#include <errno.h>
#include <netinet/tcp.h>
#include <unistd.h>

#define GENERATION_BITS 32u
#define SLOT_BITS 24u
#define NO_SLOT UINT32_MAX

/* --- table --- */

static int slot_take(struct worker *w, struct conn *c)
{
    uint32_t i;
    if (w->n_conns >= LIMIT_CONNS_WORKER)
        return ERR_LIMIT;
    if (w->n_conns < w->n_slots) {
        i = w->free_slot;
        w->free_slot = w->slots[i].next_free;
    } else {
        if (w->n_slots == w->cap_slots) {
            uint32_t cap = w->cap_slots ? 2 * w->cap_slots : 256;
            struct slot *slots = mem_realloc(w->slots, cap * sizeof(*slots));
            if (!slots)
                return ERR_NOMEM;
            w->slots = slots;
            w->cap_slots = cap;
        }
        i = w->n_slots++;
        /* Ids outlive the process in tokens of the edge: those of another run must not fit. */
        w->slots[i] = (struct slot){.generation = (uint32_t)rand_u64(&w->net.rand)};
    }
    struct slot *s = &w->slots[i];
    s->conn = c;
    if (++s->generation == 0)
        s->generation = 1;
    c->id = (flow_id)w->net.worker << (SLOT_BITS + GENERATION_BITS) |
            (flow_id)i << GENERATION_BITS | s->generation;
    w->n_conns++;
    return 0;
}

static uint32_t slot_of(flow_id id)
{
    return (uint32_t)(id >> GENERATION_BITS) & ((1u << SLOT_BITS) - 1);
}

static void slot_give(struct conn *c)
{
    struct worker *w = c->w;
    uint32_t i = slot_of(c->id);
    w->slots[i].conn = NULL;
    w->slots[i].next_free = w->free_slot;
    w->free_slot = i;
    w->n_conns--;
}

struct conn *conn_find(struct worker *w, flow_id flow)
{
    uint32_t i = slot_of(flow);
    if (flow == 0 || flow_worker(flow) != w->net.worker || i >= w->n_slots)
        return NULL;
    const struct slot *s = &w->slots[i];
    if (!s->conn || s->generation != (uint32_t)flow || s->conn->state >= CONN_CLOSING)
        return NULL;
    return s->conn;
}

void conn_path(const struct conn *c, struct path *ret)
{
    *ret = (struct path){.transport = (enum transport)c->transport,
                         .listener = c->l->index,
                         .flow = c->id,
                         .local = c->local,
                         .remote = c->remote};
}

void conn_each(struct net *n, bool (*fn)(void *arg, const struct net_flow_info *info), void *arg)
{
    struct worker *w = CONTAINER_OF(n, struct worker, net);
    uint64_t now = worker_now_ms(w);
    for (uint32_t i = 0; i < w->n_slots; i++) {
        const struct conn *c = w->slots[i].conn;
        if (!c)
            continue;
        struct net_flow_info info = {
            .hop = c->hop, .user = c->user, .is_open = c->state == CONN_OPEN};
        conn_path(c, &info.path);
        info.age_ms = now > c->since_ms ? now - c->since_ms : 0;
        info.idle_ms = now > c->rx_ms ? now - c->rx_ms : 0;
        if (!fn(arg, &info))
            return;
    }
}

/* --- reuse --- */

/* transport, family, port, address, and for outgoing TLS the name that the certificate was checked
 * for; then what kind. */
static size_t key_build(char dst[20 + 256], enum transport t, const struct addr *a, struct str name,
                        bool is_alias)
{
    uint16_t port = addr_port(a);
    size_t n = 0;
    dst[n++] = (char)t;
    dst[n++] = is_alias ? 'a' : 'o';
    dst[n++] = (char)(port >> 8);
    dst[n++] = (char)port;
    if (addr_is_v6(a)) {
        memcpy(dst + n, &a->v6.sin6_addr, 16);
        n += 16;
    } else {
        memcpy(dst + n, &a->v4.sin_addr, 4);
        n += 4;
    }
    for (size_t i = 0; t == TRANSPORT_TLS && !is_alias && i < name.n && i < 235; i++)
        dst[n++] = str_lower(name.p[i]);
    return n;
}

int conn_key_add(struct conn *c, const struct addr *addr, struct str name, bool is_alias)
{
    char bytes[20 + 256];
    size_t n = key_build(bytes, (enum transport)c->transport, addr, name, is_alias);
    unsigned count = 0;
    struct map_node *old = map_find(&c->w->keys, str_make(bytes, n));
    for (struct conn_key *k = c->keys; k; k = k->next) {
        if (old == &k->node)
            return 0;
        count++;
    }
    if (count >= ALIASES_MAX)
        return ERR_LIMIT;
    struct conn_key *key = mem_alloc(sizeof(*key) + n);
    if (!key)
        return ERR_NOMEM;
    memcpy(key->bytes, bytes, n);
    key->n = (uint8_t)n;
    key->c = c;
    key->is_alias = is_alias;
    if (old) { /* the newer connection is the one that lives: a peer that restarted has forgotten
                  the other */
        struct conn_key *other = CONTAINER_OF(old, struct conn_key, node);
        struct conn_key **at = &other->c->keys;
        while (*at != other)
            at = &(*at)->next;
        *at = other->next;
        map_remove(&c->w->keys, old);
        mem_free(other);
    }
    int err = map_add(&c->w->keys, &key->node, str_make(key->bytes, n));
    if (err) {
        mem_free(key);
        return err;
    }
    key->next = c->keys;
    c->keys = key;
    return 0;
}

static void keys_remove(struct conn *c)
{
    while (c->keys) {
        struct conn_key *key = c->keys;
        c->keys = key->next;
        map_remove(&c->w->keys, &key->node);
        mem_free(key);
    }
}

static bool is_named(const struct hop_facts *hop, struct str name)
{
    for (size_t i = 0; hop->peer_verified && i < hop->n_peer_names; i++) {
        if (str_eq_nocase(hop->peer_names[i], name))
            return true;
    }
    return false;
}

struct conn *conn_lookup(struct worker *w, enum transport t, const struct addr *remote,
                         struct str name)
{
    char bytes[20 + 256];
    struct map_node *node =
        map_find(&w->keys, str_make(bytes, key_build(bytes, t, remote, name, false)));
    if (node)
        return CONTAINER_OF(node, struct conn_key, node)->c;
    node = map_find(&w->keys, str_make(bytes, key_build(bytes, t, remote, name, true)));
    if (!node)
        return NULL;
    struct conn *c = CONTAINER_OF(node, struct conn_key, node)->c;
    /* RFC 5923 8.2: a connection stands for the names in its certificate and for no others. */
    return t != TRANSPORT_TLS || is_named(c->hop, name) ? c : NULL;
}

/* --- time limits: one timer a connection, which looks what is due only when it fires --- */

static uint64_t deadline(const struct conn *c, enum net_close_why *ret_why, const char **ret_code)
{
    uint64_t due;
    *ret_why = NET_CLOSE_IDLE;
    *ret_code = "conn-idle";
    switch ((enum conn_state)c->state) {
    case CONN_CONNECTING:
        *ret_why = NET_CLOSE_UNREACHABLE;
        *ret_code = "conn-timeout";
        return c->since_ms + LIMIT_CONNECT_MS;
    case CONN_HANDSHAKE:
        *ret_why = NET_CLOSE_TLS;
        *ret_code = "tls-timeout";
        return c->since_ms + LIMIT_HANDSHAKE_MS;
    case CONN_UPGRADE:
        *ret_why = NET_CLOSE_PROTOCOL;
        *ret_code = "ws-timeout";
        return c->since_ms + LIMIT_HANDSHAKE_MS;
    case CONN_DRAIN:
        return c->since_ms + DRAIN_MS;
    case CONN_LINGER:
        return c->since_ms + LINGER_MS;
    case CONN_OPEN:
        break;
    default:
        return UINT64_MAX;
    }
    due = c->rx_ms + c->idle_ms;
    if (!c->has_message && !c->is_outgoing && c->since_ms + LIMIT_UNAUTH_IDLE_MS < due) {
        due = c->since_ms + LIMIT_UNAUTH_IDLE_MS;
        *ret_code = "conn-no-message";
    }
    if (c->part_ms && c->part_ms + LIMIT_SLOW_MESSAGE_MS < due) {
        due = c->part_ms + LIMIT_SLOW_MESSAGE_MS;
        *ret_why = NET_CLOSE_PROTOCOL;
        *ret_code = "conn-slow";
    }
    if (c->is_blocked && c->blocked_ms + LIMIT_SEND_STALL_MS < due) {
        due = c->blocked_ms + LIMIT_SEND_STALL_MS;
        *ret_why = NET_CLOSE_OVERLOAD;
        *ret_code = "conn-stalled";
    }
    return due;
}

static void on_timer(struct wheel_timer *timer)
{
    struct conn *c = CONTAINER_OF(timer, struct conn, timer);
    struct worker *w = c->w;
    enum net_close_why why;
    const char *code;
    if (deadline(c, &why, &code) > worker_now_ms(w)) {
        conn_arm(c);
        return;
    }
    if (c->state >= CONN_CLOSING) {
        conn_drop(c);
        return;
    }
    struct reason reason;
    reason_set(&reason, code, NULL, 0, "time limit");
    if (c->part_ms)
        STAT_ADD(w, conns_closed_slow, 1);
    else if (why == NET_CLOSE_IDLE)
        STAT_ADD(w, conns_closed_idle, 1);
    if (c->state == CONN_HANDSHAKE)
        tls_refused(c, &reason);
    conn_close(c, why, &reason);
}

void conn_arm(struct conn *c)
{
    enum net_close_why why;
    const char *code;
    uint64_t due = deadline(c, &why, &code), now = wheel_now_ms(c->w->net.wheel);
    if (due == UINT64_MAX || (wheel_is_running(&c->timer) && c->timer.due_ms <= due))
        return;
    wheel_start(c->w->net.wheel, &c->timer, due > now ? due - now : 0);
}

/* --- states --- */

static void on_poll(uv_poll_t *poll, int status, int events);

void conn_want(struct conn *c, unsigned mask)
{
    if (c->mask == mask)
        return;
    c->mask = (uint8_t)mask;
    (void)uv_poll_start(&c->poll, (int)mask, on_poll);
}

void conn_watch(struct conn *c)
{
    bool reads = !c->signing && list_is_empty(&c->signing_node);
    conn_want(c, (reads ? UV_READABLE : 0u) | (c->is_blocked ? UV_WRITABLE : 0u));
}

void conn_set_state(struct conn *c, enum conn_state state)
{
    bool counts = state == CONN_HANDSHAKE || state == CONN_UPGRADE;
    if (counts != c->is_counted) {
        c->w->handshakes += counts ? 1u : -1u;
        c->is_counted = counts;
        if (counts)
            STAT_ADD(c->w, handshakes_now, 1);
        else
            STAT_SUB(c->w, handshakes_now, 1);
    }
    c->state = (uint8_t)state;
    c->since_ms = worker_now_ms(c->w);
    conn_arm(c);
}

/* The connection can carry messages from here on. */
void conn_opened(struct conn *c)
{
    c->rx_ms = worker_now_ms(c->w);
    c->is_announced = true;
    conn_set_state(c, CONN_OPEN);
    if (c->is_outgoing) {
        const struct net_target target = {(enum transport)c->transport, c->remote};
        locator_worked(c->w->locator, &target);
    }
    if (c->out && list_is_empty(&c->dirty))
        list_append(&c->w->dirty, &c->dirty);
}

static void connect_failed(struct conn *c, int error)
{
    struct reason reason;
    reason_set(&reason, "conn-failed", "RFC 3261 18.4", 0, "%s", strerror(error));
    conn_close(c, error == ECONNREFUSED ? NET_CLOSE_REFUSED : NET_CLOSE_UNREACHABLE, &reason);
}

static void on_connected(struct conn *c)
{
    int error = 0;
    socklen_t len = sizeof(error);
    (void)getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error) {
        connect_failed(c, error);
        return;
    }
    conn_want(c, UV_READABLE);
    if (c->transport == TRANSPORT_TLS) {
        conn_set_state(c, CONN_HANDSHAKE);
        tls_step(c);
    } else {
        conn_opened(c);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct conn *c = poll->data;
    worker_turn(c->w);
    if (status < 0) { /* libuv has stopped watching; reading says what it is */
        c->mask = 0;
        events = UV_READABLE;
    }
    switch ((enum conn_state)c->state) {
    case CONN_CONNECTING:
        on_connected(c);
        return;
    case CONN_CLOSING:
    case CONN_DEAD:
        return;
    default:
        break;
    }
    if (events & UV_WRITABLE) {
        c->is_blocked = false;
        conn_watch(c);
        stream_flush(c);
    }
    if ((events & UV_READABLE) && c->state != CONN_CLOSING && c->state != CONN_DEAD)
        stream_readable(c);
    if (status < 0 && c->state < CONN_CLOSING) {
        struct reason reason;
        reason_set(&reason, "conn-error", NULL, 0, "%s", uv_strerror(status));
        conn_close(c, NET_CLOSE_PEER, &reason);
    }
}

/* --- beginnings --- */

static struct conn *conn_new(struct listener *l, int fd, enum transport t,
                             const struct addr *remote)
{
    struct worker *w = l->w;
    struct conn *c = mem_zalloc(sizeof(*c));
    if (!c)
        return NULL;
    if (slot_take(w, c) != 0) /* c->w is not needed before */
        goto fail;
    c->w = w;
    if (uv_poll_init(&w->loop, &c->poll, fd) != 0) {
        slot_give(c);
        goto fail;
    }
    c->poll.data = c;
    c->is_polled = true;
    c->l = listener_ref(l);
    c->fd = fd;
    c->transport = (uint8_t)t;
    c->remote = *remote;
    c->idle_ms = l->idle_ms ? l->idle_ms : LIMIT_IDLE_MS;
    c->rx_ms = worker_now_ms(w);
    list_init(&c->dirty);
    list_init(&c->ending);
    list_init(&c->signing_node);
    wheel_timer_init(&c->timer, on_timer);
    STAT_ADD(w, conns_open[t], 1);
    return c;
fail:
    mem_free(c);
    return NULL;
}

static void refuse(struct worker *w, int fd, const struct addr *remote, enum worker_log kind,
                   const char *why)
{
    char text[ADDR_TEXT_MAX];
    close(fd);
    if (kind == WORKER_LOG_SOURCE)
        STAT_ADD(w, conns_refused_source, 1);
    else
        STAT_ADD(w, conns_refused_full, 1);
    if (worker_may_log(w, kind))
        LOG(LOG_WARN, "conn-refused", LS("peer", addr_text(remote, text)), LZ("why", why),
            LU("connections", w->n_conns), LU("handshakes", w->handshakes),
            LU("refused_source", w->stats.conns_refused_source),
            LU("refused_full", w->stats.conns_refused_full));
}

void conn_accepted(struct listener *l, int fd, const struct addr *remote)
{
    struct worker *w = l->w;
    bool is_tls = transport_is_secure(l->transport);
    if (w->n_conns >= LIMIT_CONNS_WORKER ||
        (l->transport != TRANSPORT_TCP && w->handshakes >= LIMIT_HANDSHAKES_WORKER)) {
        refuse(w, fd, remote, WORKER_LOG_FULL, "full");
        return;
    }
    struct source *source = sources_take(&w->group->sources, remote, l->max_conns_source);
    if (!source) {
        refuse(w, fd, remote, WORKER_LOG_SOURCE, "too many of this source");
        return;
    }
    struct conn *c = conn_new(l, fd, l->transport, remote);
    if (!c) {
        sources_give(&w->group->sources, source);
        refuse(w, fd, remote, WORKER_LOG_FULL, "no memory");
        return;
    }
    c->source = source;
    c->hop = &hop_clear_in;
    c->local = l->addr;
    socklen_t len = sizeof(c->local);
    if (l->is_any)
        (void)getsockname(fd, &c->local.sa, &len);
    STAT_ADD(w, conns_accepted[c->transport], 1);
    conn_want(c, UV_READABLE);
    conn_set_state(c, is_tls                         ? CONN_HANDSHAKE
                      : l->transport == TRANSPORT_WS ? CONN_UPGRADE
                                                     : CONN_OPEN);
    c->is_announced = l->transport == TRANSPORT_TCP;
    if (is_tls && tls_accept(c) != 0)
        conn_drop(c);
}

/* In whose name: from the listener's own address where that can reach the other side. */
static void bind_source(int fd, const struct listener *l, const struct addr *remote)
{
    int one = 1;
    struct addr from = l->addr;
    if (l->is_any || addr_is_v6(&from) != addr_is_v6(remote) ||
        addr_is_loopback(&from) != addr_is_loopback(remote))
        return;
    addr_set_port(&from, 0);
    (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    (void)bind(fd, &from.sa, addr_len(&from)); /* else the system chooses */
}

static int dial_socket(const struct listener *l, const struct addr *remote)
{
    int one = 1;
    unsigned stall = LIMIT_SEND_STALL_MS;
    int fd = socket(remote->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &stall, sizeof(stall));
    bind_source(fd, l, remote);
    return fd;
}

/* Every connection has a listener, for its settings; that of a client is made when it is first
 * needed. */
static struct listener *dial_listener(struct worker *w, uint16_t index)
{
    const struct net_listener none = {.transport = TRANSPORT_TCP};
    const struct addr any = {.v4 = {.sin_family = AF_INET}};
    if (index < w->n_listeners)
        return w->listeners[index];
    if (!w->client && (w->client = listener_new(w, &none, &any)) != NULL)
        listener_set(w->client, &none, NET_LISTENER_GONE, NULL);
    return w->client;
}

int conn_dial(struct worker *w, const struct net_connect_args *args, struct conn **ret)
{
    if ((args->transport != TRANSPORT_TCP && args->transport != TRANSPORT_TLS) ||
        (args->listener >= w->n_listeners && args->listener != NET_LISTENER_GONE) ||
        !addr_is_set(&args->remote) || (args->transport == TRANSPORT_TLS && !args->tls))
        return ERR_INVALID;
    if (w->n_conns >= LIMIT_CONNS_WORKER || w->is_done)
        return ERR_LIMIT;
    struct listener *l = dial_listener(w, args->listener);
    if (!l)
        return ERR_NOMEM;
    int fd = dial_socket(l, &args->remote);
    if (fd < 0) {
        int error = errno;
        if (worker_may_log(w, WORKER_LOG_ACCEPT))
            LOG(LOG_ERROR, "conn-socket", LZ("error", strerror(error)));
        return error == EMFILE || error == ENFILE ? ERR_LIMIT : ERR_IO;
    }
    struct conn *c = conn_new(l, fd, args->transport, &args->remote);
    if (!c) {
        close(fd);
        return ERR_NOMEM;
    }
    c->is_outgoing = true;
    c->hop = &hop_clear_out;
    conn_set_state(c, CONN_CONNECTING);
    if (args->transport == TRANSPORT_TLS)
        c->tls_client = pki_tls_client_ref(args->tls);
    int err = conn_key_add(c, &args->remote, args->server_name, false);
    if (!err && args->transport == TRANSPORT_TLS)
        err = tls_dial(c, args->server_name);
    if (err) {
        conn_drop(c);
        return err;
    }
    c->is_announced = true;
    if (connect(fd, &args->remote.sa, addr_len(&args->remote)) != 0 && errno != EINPROGRESS)
        connect_failed(c, errno);
    else
        conn_want(c, UV_WRITABLE);
    socklen_t len = sizeof(c->local);
    if (getsockname(fd, &c->local.sa, &len) != 0)
        c->local = l->addr;
    STAT_ADD(w, conns_dialled[c->transport], 1);
    *ret = c;
    return 0;
}

/* --- ends --- */

void conn_close(struct conn *c, enum net_close_why why, const struct reason *reason)
{
    if (c->state >= CONN_CLOSING)
        return;
    c->why = (uint8_t)why;
    if (reason) {
        c->reason = mem_alloc(sizeof(*c->reason));
        if (c->reason)
            *c->reason = *reason;
    }
    if (c->is_outgoing && c->state < CONN_OPEN && why != NET_CLOSE_LOCAL) {
        const struct net_target target = {(enum transport)c->transport, c->remote};
        locator_failed(c->w->locator, &target); /* RFC 3263 4.3: others first for a while */
    }
    bool was_open = c->state == CONN_OPEN || c->state == CONN_UPGRADE;
    /* Nothing can be flushed through a connection that is not there yet, or to one that does not
     * read. */
    c->has_failed |= !was_open || why == NET_CLOSE_OVERLOAD || why == NET_CLOSE_TLS;
    keys_remove(c);
    wheel_cancel(c->w->net.wheel, &c->timer);
    conn_set_state(c, CONN_CLOSING);
    list_append(&c->w->ending, &c->ending);
}

void conn_drop(struct conn *c)
{
    if (c->state == CONN_DEAD)
        return;
    keys_remove(c);
    conn_set_state(c, CONN_DEAD);
    list_remove(&c->ending);
    list_append(&c->w->ending, &c->ending);
}

static void on_freed(uv_handle_t *handle)
{
    mem_free(handle->data);
}

static void conn_free(struct conn *c)
{
    struct worker *w = c->w;
    wheel_cancel(w->net.wheel, &c->timer);
    list_remove(&c->dirty);
    list_remove(&c->ending);
    stream_free(c);
    tls_free(c);
    if (c->source)
        sources_give(&w->group->sources, c->source);
    STAT_SUB(w, conns_open[c->transport], 1); /* after the place of its source is free */
    mem_free(c->reason);
    slot_give(c);
    listener_unref(c->l);
    uv_close((uv_handle_t *)&c->poll, on_freed);
    close(c->fd);
}

static void announce(struct conn *c)
{
    struct worker *w = c->w;
    struct path path;
    void *user = c->user;
    conn_path(c, &path);
    c->is_announced = false;
    c->user = NULL; /* the edge frees it, while the connection may still be draining */
    if (!w->is_edge_gone)
        w->net.user.on_flow_closed(w->net.user.arg, c->id, &path, (enum net_close_why)c->why,
                                   c->reason, user);
}

/* All is written: say so to the other side, and give it time to read where it may still be sending,
 * since closing a socket with unread input resets the connection and takes what was written with
 * it. */
static void finish(struct conn *c)
{
    struct worker *w = c->w;
    if (w->is_done || c->has_eof || shutdown(c->fd, SHUT_WR) != 0) {
        conn_drop(c);
        return;
    }
    wheel_cancel(w->net.wheel, &c->timer);
    conn_set_state(c, CONN_LINGER);
    conn_want(c, UV_READABLE);
}

void conn_end(struct conn *c)
{
    if (c->state == CONN_DEAD) {
        conn_free(c);
        return;
    }
    if (c->is_announced)
        announce(c);
    if (c->has_failed && c->why == NET_CLOSE_TLS && c->is_close_sent && !c->is_blocked) {
        tls_free(c); /* an alert tells the other side why; let it be read */
        finish(c);
        return;
    }
    if (c->has_failed) {
        conn_drop(c);
        return;
    }
    if (c->transport == TRANSPORT_WS || c->transport == TRANSPORT_WSS)
        wsconn_close(c, c->why == NET_CLOSE_PROTOCOL ? 1002 : 1001);
    if (c->state == CONN_DEAD)
        return;
    conn_set_state(c, CONN_DRAIN);
    stream_flush(c);
}

void conn_drained(struct conn *c)
{
    if (c->ssl)
        tls_close(c);
    if (c->state == CONN_DRAIN && !c->is_blocked)
        finish(c);
}
