/*
 * One end of DTLS-SRTP on a socket, by the same code as calls have (keying/leg.h), for peers that
 * know nothing of SDP: openssl s_client and s_server.
 *
 *   dtls_end client HOST PORT FINGERPRINT SECONDS [rtcp] [SUITE...]   FINGERPRINT: "AB:CD:..."
 * (SHA-256) of the peer's certificate dtls_end server HOST PORT FINGERPRINT SECONDS [rtcp]
 * [SUITE...]
 *
 * With `rtcp` there are two associations, as without rtcp-mux: the second from (or on) a socket of
 * its own, PORT + 1 of a server. Prints "ready" when a server listens; for each association "path
 * N", its suite and its keys in the order of the exporter (client key, server key, client salt,
 * server salt; RFC 5764 4.2), then "facts ...". Exit status: 0 all associations came, 1 a reason is
 * printed, 2 usage.
 */
#include "keying/dtls.h"
#include "keying/leg.h"
#include "sdp/sdp.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LINGER_MS 600 /* our last flight may be needed once more */

struct end {
    struct keying_leg *leg;
    struct keying_policy policy;
    struct rand_source rand;
    bool is_client;
    unsigned n_paths;
    int fd[2];
    struct addr peer[2]; /* client: where to */
    struct keying_keys send[2], receive[2];
    unsigned n_sends;
};

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static struct keying_at now(struct end *e)
{
    return (struct keying_at){
        .now_ms = now_ms(), .wall_ms = (uint64_t)time(NULL) * 1000, .rand = &e->rand};
}

static void die(const char *what)
{
    printf("failed: %s\n", what);
    exit(1);
}

static void put_hex(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        printf("%02X", p[i]);
}

static void print_keys(const struct end *e, unsigned path)
{
    const struct keying_keys *client = e->is_client ? &e->send[path] : &e->receive[path];
    const struct keying_keys *server = e->is_client ? &e->receive[path] : &e->send[path];
    const struct keying_suite *s = client->suite;
    printf("path %u %s ", path, s->name);
    put_hex(client->key[0].key, s->key_len);
    put_hex(server->key[0].key, s->key_len);
    put_hex(client->key[0].salt, s->salt_len);
    put_hex(server->key[0].salt, s->salt_len);
    printf("\n");
}

static void installed(struct end *e, const struct keying_install *in)
{
    for (unsigned path = 0; path < e->n_paths; path++) {
        if (in->paths & (1u << path))
            *(in->is_send ? &e->send[path] : &e->receive[path]) = *in->keys;
        if (in->is_send && (in->paths & (1u << path))) { /* the second of the two */
            e->n_sends++;
            print_keys(e, path);
        }
    }
}

static void drain(struct end *e)
{
    struct keying_event ev;
    while (keying_leg_next(e->leg, &ev)) {
        unsigned path = ev.path == KEYING_RTCP;
        const struct addr *to = addr_is_set(&ev.to) ? &ev.to : &e->peer[path];
        if (ev.kind == KEYING_EVENT_SEND)
            (void)!sendto(e->fd[path], ev.bytes, ev.n, 0, &to->sa, addr_len(to));
        else if (ev.kind == KEYING_EVENT_INSTALL)
            installed(e, &ev.install);
        else if (ev.kind == KEYING_EVENT_FAILED)
            die(ev.reason.detail);
    }
    fflush(stdout);
}

/* What an offer of the peer would say. */
static void describe(struct end *e, const char *fingerprint)
{
    struct arena *a = arena_new(4096, 1u << 20);
    struct str text =
        arena_fmt(a,
                  "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
                  "m=audio 5000 UDP/TLS/RTP/SAVP 0\r\na=fingerprint:sha-256 %s\r\na=setup:%s\r\n",
                  fingerprint, e->is_client ? "passive" : "active");
    struct keying_wish wish = {.is_hop_private = true, .paths = (uint8_t)(e->n_paths == 2 ? 3 : 1)};
    struct keying_heard heard = {.is_hop_private = true};
    struct keying_at at = now(e);
    struct keying_said said;
    struct reason why = {0};
    struct sdp *sdp = NULL;
    char room[4096];
    keying_said_init(&said, room, sizeof(room));
    if (text.p == NULL || sdp_parse(a, text, &sdp, &why) != 0)
        die("a fingerprint that cannot be in a description");
    heard.sdp = sdp;
    if (keying_leg_new(&e->leg, &e->policy) != 0 ||
        keying_leg_answer(e->leg, 0, &at, &wish, &heard, &said, &why) != 0)
        die(why.detail);
    arena_free(a);
}

static void open_sockets(struct end *e, const char *host, uint16_t port)
{
    for (unsigned i = 0; i < e->n_paths; i++) {
        struct addr at;
        if (addr_parse(&at, str_z(host), (uint16_t)(e->is_client ? port : port + i)) != 0)
            die("not an address");
        e->peer[i] = at;
        e->fd[i] = socket(at.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (e->is_client)
            addr_set_port(&at, 0);
        if (e->fd[i] < 0 || bind(e->fd[i], &at.sa, addr_len(&at)) != 0)
            die("no socket");
    }
}

static void receive(struct end *e, unsigned path)
{
    uint8_t p[2048];
    struct addr from;
    socklen_t len = sizeof(from);
    ssize_t n = recvfrom(e->fd[path], p, sizeof(p), 0, &from.sa, &len);
    struct keying_at at = now(e);
    if (n > 0)
        keying_leg_packet(e->leg, 0, &at, path ? KEYING_RTCP : KEYING_RTP, &from, true, p, (size_t)n);
}

static void run(struct end *e, uint64_t ms)
{
    uint64_t end = now_ms() + ms;
    bool is_done = false;
    while (now_ms() < end) {
        struct pollfd fds[2] = {{.fd = e->fd[0], .events = POLLIN},
                                {.fd = e->fd[1], .events = POLLIN}};
        struct keying_at at = now(e);
        (void)!poll(fds, e->n_paths, 20);
        for (unsigned i = 0; i < e->n_paths; i++) {
            if (fds[i].revents)
                receive(e, i);
        }
        at = now(e);
        if (keying_leg_timer(e->leg) <= at.now_ms)
            keying_leg_tick(e->leg, &at);
        drain(e);
        if (e->n_sends >= e->n_paths && !is_done) {
            is_done = true;
            end = at.now_ms + LINGER_MS;
        }
    }
}

static void options(struct end *e, char **arg)
{
    if (*arg != NULL && strcmp(*arg, "rtcp") == 0) {
        e->n_paths = 2;
        arg++;
    }
    if (*arg != NULL)
        e->policy.n_suites = 0;
    for (; *arg != NULL; arg++) {
        const struct keying_suite *s = keying_suite_find(str_z(*arg));
        if (s == NULL || e->policy.n_suites == KEYING_SUITES)
            die("no such suite");
        e->policy.suites[e->policy.n_suites++] = (uint8_t)s->id;
    }
}

int main(int argc, char **argv)
{
    struct end e = {.n_paths = 1};
    if (argc < 6 || (strcmp(argv[1], "client") != 0 && strcmp(argv[1], "server") != 0)) {
        fprintf(stderr,
                "usage: dtls_end client|server HOST PORT FINGERPRINT SECONDS [rtcp] [SUITE...]\n");
        return 2;
    }
    uint64_t ms = (uint64_t)atoi(argv[5]) * 1000;
    e.is_client = argv[1][0] == 'c';
    rand_system_init(&e.rand);
    keying_policy_init(&e.policy);
    e.policy.handshake_ms = (uint32_t)ms;
    options(&e, argv + 6);
    if (keying_dtls_identity_new(&e.policy.identity, (uint64_t)time(NULL), &e.rand) != 0)
        die("no certificate");
    open_sockets(&e, argv[2], (uint16_t)atoi(argv[3]));
    describe(&e, argv[4]);
    printf("ready\n");
    drain(&e);
    run(&e, ms + 500);
    const struct keying_facts *f = keying_leg_facts(e.leg, 0);
    printf("facts proof=%s resumed=%d attacks=%u failures=%u hash=%s\n",
           keying_proof_text(f->proof), f->is_resumed, f->attacks, f->handshake_failures,
           f->fingerprint_hash ? f->fingerprint_hash : "-");
    int status = f->proof >= KEYING_PROOF_HANDSHAKE ? 0 : 1;
    keying_leg_free(e.leg);
    keying_dtls_identity_unref(e.policy.identity);
    return status;
}
