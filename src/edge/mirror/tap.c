/* The mirror (edge/mirror/tap.h): one datagram a message, HEP version 3 (evidence/hep.h), redacted (redact.h) unless the configuration
 * asks for secrets. One socket for all workers; sendmsg on it is atomic, and nothing else here changes after the start. */
#include "edge/mirror/tap.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/secret.h"
#include "edge/edge_priv.h"
#include "edge/mirror/redact.h"
#include "evidence/hep.h"
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define TAP_SEND_BUFFER (4 << 20) /* what may wait in the kernel while the collector's host is looked up */

struct edge_tap {
    int fd;
    uint32_t capture_id;
    bool allow_secrets;
    struct secret key;
};

int edge_tap_new(const struct config_hep *cfg, struct edge_tap **ret, struct reason *why)
{
    struct edge_tap *t = mem_zalloc(sizeof *t);
    int size = TAP_SEND_BUFFER;

    if (!t)
        return ERR_NOMEM;
    t->capture_id = cfg->capture_id;
    t->allow_secrets = cfg->allow_secrets;
    t->fd = -1;
    if (cfg->password.n > HEP_KEY_MAX || secret_set(&t->key, cfg->password.p, cfg->password.n) != 0) {
        reason_set(why, "hep-password", NULL, 0, "the password of the mirror has more than %d bytes", HEP_KEY_MAX);
        edge_tap_free(t);
        return ERR_LIMIT;
    }
    t->fd = socket(cfg->collector.sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (t->fd < 0 || connect(t->fd, &cfg->collector.sa, addr_len(&cfg->collector)) != 0) {
        char text[ADDR_TEXT_MAX];

        addr_text(&cfg->collector, text);
        reason_set(why, "hep-socket", NULL, 0, "the mirror's collector %s: %s", text, strerror(errno));
        edge_tap_free(t);
        return ERR_IO;
    }
    (void)setsockopt(t->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    *ret = t;
    return 0;
}

void edge_tap_free(struct edge_tap *t)
{
    if (!t)
        return;
    if (t->fd >= 0)
        close(t->fd);
    secret_done(&t->key);
    mem_free(t);
}

static int tap_write(struct edge_tap *t, bool out, const struct path *p, struct str payload, uint64_t wall_us)
{
    char head[HEP_HEAD_MAX];
    struct sbuf b = sbuf_make(head, sizeof head);
    struct hep_packet packet = {
        .ip_protocol = p->transport == TRANSPORT_UDP ? IPPROTO_UDP : IPPROTO_TCP,
        .from = out ? p->local : p->remote,
        .to = out ? p->remote : p->local,
        .wall_us = wall_us,
        .capture_id = t->capture_id,
        .auth_key = str_make((const char *)t->key.p, t->key.n),
        .payload_n = payload.n,
    };
    struct iovec v[2];
    struct msghdr h = {.msg_iov = v, .msg_iovlen = 2};
    int err;

    if ((err = hep_head_build(&b, &packet)) != 0)
        return err;
    v[0] = (struct iovec){head, b.n};
    v[1] = (struct iovec){(void *)(uintptr_t)payload.p, payload.n}; /* sendmsg only reads */
    /* A refusal by ICMP is reported by the next call: that one is repeated, so that not every second copy is lost. */
    if (sendmsg(t->fd, &h, MSG_NOSIGNAL) < 0 && (errno != ECONNREFUSED || sendmsg(t->fd, &h, MSG_NOSIGNAL) < 0))
        return ERR_AGAIN;
    return 0;
}

int edge_tap_send(struct edge_tap *t, bool out, const struct path *p, struct str bytes, uint64_t wall_us)
{
    struct arena *a;
    struct buf *copy;
    int err;

    if (t->allow_secrets)
        return tap_write(t, out, p, bytes, wall_us);
    a = arena_new(4096, LIMIT_MSG_ARENA_BYTES);
    if (!a)
        return ERR_NOMEM;
    err = redact_message(a, bytes, &copy, NULL);
    if (err == 0) {
        err = tap_write(t, out, p, buf_str(copy), wall_us);
        buf_unref(copy);
    }
    arena_free(a);
    return err;
}

/* A binding's path says only which connection it is. One of another worker is at the listener's address. */
static void path_complete(struct edge_worker *w, struct path *p)
{
    struct path full;

    if (addr_is_set(&p->local) || !p->flow)
        return;
    if (flow_worker(p->flow) == w->id && net_flow_path(w->net, p->flow, &full) == 0)
        p->local = full.local;
    else if (p->listener < w->cfg->n_listens)
        p->local = w->cfg->listens[p->listener].addr;
}

void tap_message_send(struct edge_worker *w, bool out, const struct path *p, struct str bytes)
{
    struct path path = *p;
    struct timespec ts;
    uint64_t wall_us;

    path_complete(w, &path);

    clock_gettime(CLOCK_REALTIME, &ts);
    wall_us = (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
    edge_count(w, edge_tap_send(w->edge->tap, out, &path, bytes, wall_us) == 0 ? EC_TAP_SENT : EC_TAP_DROPPED);
}
