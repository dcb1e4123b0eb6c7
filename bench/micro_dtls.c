/* What a DTLS-SRTP handshake costs: microseconds of CPU time for each, P-256 certificates on both
 * sides, one after the other.
 *
 *     micro_dtls self [N]                both sides in this process, without sockets: ours by role,
 *                                        and OpenSSL alone as a floor
 *     micro_dtls relay [N]               the media plane with its key threads as the server
 *     micro_dtls rtpengine PID PORT [N]  rtpengine as the server; PORT of its ng protocol
 *
 * relay and rtpengine: calls are set up first, then the client (a process of its own, the same for
 * both: OpenSSL, a socket, one datagram a flight) shakes hands with each; counted is the CPU time
 * of all threads of the server meanwhile. Loopback only. */
#include "keying/dtls.h"
#include "relay/keys.h"
#include <dirent.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CALLS_MAX 2000
#define SDP_ROOM 4096

static char fingerprint[100]; /* the client's */
static SSL_CTX *client_ctx, *server_ctx;

_Noreturn static void die(const char *what)
{
    (void)fprintf(stderr, "micro_dtls: %s\n", what);
    exit(1);
}

static double cpu_us(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return 1e6 * (double)t.tv_sec + 1e-3 * (double)t.tv_nsec;
}

/* ---- the bare library ---- */

static int any_certificate(X509_STORE_CTX *store, void *arg)
{
    (void)store;
    (void)arg;
    return 1;
}

static SSL_CTX *ctx_make(EVP_PKEY *key, X509 *cert)
{
    SSL_CTX *ctx = SSL_CTX_new(DTLS_method());

    if (ctx == NULL || SSL_CTX_use_certificate(ctx, cert) != 1 ||
        SSL_CTX_use_PrivateKey(ctx, key) != 1 ||
        SSL_CTX_set_tlsext_use_srtp(ctx, "SRTP_AES128_CM_SHA1_80") != 0)
        die("no context");
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_QUERY_MTU);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, any_certificate, NULL);
    return ctx;
}

static void library_init(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    unsigned char md[32];
    unsigned n = 0;

    if (key == NULL || cert == NULL || X509_set_version(cert, 2) != 1 ||
        ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) != 1 ||
        X509_gmtime_adj(X509_getm_notBefore(cert), -3600) == NULL ||
        X509_gmtime_adj(X509_getm_notAfter(cert), 86400) == NULL ||
        X509_set_pubkey(cert, key) != 1 || X509_sign(cert, key, EVP_sha256()) == 0 ||
        X509_digest(cert, EVP_sha256(), md, &n) != 1)
        die("no certificate");
    for (unsigned i = 0; i < n; i++)
        (void)snprintf(fingerprint + 3 * i, 4, "%02X%s", md[i], i + 1 < n ? ":" : "");
    client_ctx = ctx_make(key, cert);
    server_ctx = ctx_make(key, cert);
}

static SSL *ssl_make(SSL_CTX *ctx, bool is_client)
{
    SSL *ssl = SSL_new(ctx);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());

    if (ssl == NULL || in == NULL || out == NULL)
        die("no memory");
    BIO_set_mem_eof_return(in, -1);
    SSL_set_bio(ssl, in, out);
    SSL_set_mtu(ssl, 1200);
    if (is_client)
        SSL_set_connect_state(ssl);
    else
        SSL_set_accept_state(ssl);
    return ssl;
}

static void bare(unsigned n, double *ret_client, double *ret_server)
{
    *ret_client = *ret_server = 0;
    for (unsigned i = 0; i < n; i++) {
        SSL *ssl[2] = {ssl_make(client_ctx, true), ssl_make(server_ctx, false)};
        double *sum[2] = {ret_client, ret_server};
        unsigned done = 0;

        for (unsigned turn = 0; done != 3 && turn < 20; turn++) {
            unsigned side = turn & 1;
            double before = cpu_us(CLOCK_THREAD_CPUTIME_ID);
            unsigned char p[8192];
            int len;

            if (SSL_do_handshake(ssl[side]) == 1)
                done |= 1u << side;
            *sum[side] += cpu_us(CLOCK_THREAD_CPUTIME_ID) - before;
            while ((len = BIO_read(SSL_get_wbio(ssl[side]), p, sizeof(p))) > 0)
                (void)BIO_write(SSL_get_rbio(ssl[1 - side]), p, len);
        }
        if (done != 3)
            die("the bare library does not finish");
        SSL_free(ssl[0]);
        SSL_free(ssl[1]);
    }
}

/* ---- ours, without sockets ---- */

struct side {
    struct keying_medium *m;
    struct keying_policy policy;
    struct keying_wish wish;
    struct rand_source rand;
    struct addr addr;
    double us;
    unsigned n_keys;
};

static struct keying_at at_of(struct side *s, uint64_t now_ms)
{
    return (struct keying_at){.now_ms = now_ms, .wall_ms = 1, .rand = &s->rand};
}

static void side_init(struct side *s, struct keying_dtls_identity *id, const char *host)
{
    keying_policy_init(&s->policy);
    s->policy.identity = id;
    s->wish = (struct keying_wish){.policy = &s->policy, .is_hop_private = true, .paths = 1};
    rand_system_init(&s->rand);
    if (addr_parse(&s->addr, str_z(host), 5000) != 0)
        die("no address");
}

static struct sdp *sdp_make(struct arena *a, const char *host, unsigned port, const char *lines)
{
    char text[SDP_ROOM];
    struct reason why;
    struct sdp *sdp;
    int n = snprintf(text, sizeof(text),
                     "v=0\r\no=- 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\n"
                     "m=audio %u UDP/TLS/RTP/SAVP 0\r\n%s",
                     host, host, port, lines);

    if (sdp_parse(a, arena_str(a, str_make(text, (size_t)n)), &sdp, &why) != 0)
        die("no description");
    return sdp;
}

static void lines_of(const struct keying_said *said, char *dst, size_t cap)
{
    size_t n = 0;

    dst[0] = '\0';
    for (size_t i = 0; i < said->n; i++)
        n += (size_t)snprintf(dst + n, cap - n, "a=%.*s:%.*s\r\n", STR_FMT(said->attr[i].name),
                              STR_FMT(said->attr[i].value));
}

/* What a side has to say goes to the other, whose time it takes. */
static void talk(struct side s[2], int from, uint64_t now_ms)
{
    struct keying_event ev;
    double before = cpu_us(CLOCK_THREAD_CPUTIME_ID);
    bool any;

    for (;;) {
        any = keying_dtls.next(s[from].m, &ev);
        s[from].us += cpu_us(CLOCK_THREAD_CPUTIME_ID) - before;
        if (!any)
            return;
        if (ev.kind == KEYING_EVENT_INSTALL)
            s[from].n_keys++;
        before = cpu_us(CLOCK_THREAD_CPUTIME_ID);
        if (ev.kind == KEYING_EVENT_SEND) {
            struct keying_at at = at_of(&s[1 - from], now_ms);

            keying_dtls.packet(s[1 - from].m, &at, ev.path, &s[from].addr, true, ev.bytes,
                               ev.n);
            s[1 - from].us += cpu_us(CLOCK_THREAD_CPUTIME_ID) - before;
            before = cpu_us(CLOCK_THREAD_CPUTIME_ID);
        }
    }
}

static void shake(struct side s[2])
{
    static char text[SDP_ROOM];
    struct arena *a = arena_new(8192, 1u << 20);
    struct keying_said said;
    char room[SDP_ROOM];
    struct reason why;
    struct keying_at at[2] = {at_of(&s[0], 100), at_of(&s[1], 100)};
    struct keying_heard heard = {.is_hop_private = true};

    s[0].n_keys = s[1].n_keys = 0;
    keying_said_init(&said, room, sizeof(room));
    if (a == NULL || keying_dtls.new(&s[0].m, NULL, 0) != 0 ||
        keying_dtls.new(&s[1].m, NULL, 0) != 0 ||
        keying_dtls.offer(s[0].m, &at[0], &s[0].wish, &said, &why) != 0)
        die("no offer");
    lines_of(&said, text, sizeof(text));
    heard.sdp = sdp_make(a, "192.0.2.1", 5000, text);
    keying_said_init(&said, room, sizeof(room));
    if (keying_dtls.answer(s[1].m, &at[1], &s[1].wish, &heard, &said, &why) != 0)
        die("no answer");
    lines_of(&said, text, sizeof(text));
    heard.sdp = sdp_make(a, "192.0.2.2", 5000, text);
    if (keying_dtls.accept(s[0].m, &at[0], &s[0].wish, &heard, &why) != 0)
        die("not accepted");
    for (uint64_t now = 101; s[0].n_keys + s[1].n_keys < 4; now++) {
        if (now > 150)
            die("no keys");
        for (int i = 0; i < 2; i++) {
            struct keying_at then = at_of(&s[i], now);
            double before = cpu_us(CLOCK_THREAD_CPUTIME_ID);

            keying_dtls.tick(s[i].m, &then);
            s[i].us += cpu_us(CLOCK_THREAD_CPUTIME_ID) - before;
            talk(s, i, now);
        }
    }
    for (int i = 0; i < 2; i++) {
        double before = cpu_us(CLOCK_THREAD_CPUTIME_ID);

        keying_dtls.free(s[i].m);
        s[i].us += cpu_us(CLOCK_THREAD_CPUTIME_ID) - before;
    }
    arena_free(a);
}

static void self(unsigned n)
{
    struct side s[2] = {{.us = 0}};
    struct keying_dtls_identity *id[2];
    double client, server;

    for (int i = 0; i < 2; i++) {
        struct rand_source rand;

        rand_system_init(&rand);
        if (keying_dtls_identity_new(&id[i], (uint64_t)time(NULL), &rand) != 0)
            die("no identity");
        side_init(&s[i], id[i], i == 0 ? "192.0.2.1" : "192.0.2.2");
    }
    shake(s); /* warm */
    s[0].us = s[1].us = 0;
    for (unsigned i = 0; i < n; i++)
        shake(s);
    bare(1, &client, &server);
    bare(n, &client, &server);
    printf("ours:   server %.0f us, client %.0f us\n", s[0].us / n, s[1].us / n);
    printf("bare:   server %.0f us, client %.0f us\n", server / n, client / n);
    keying_dtls_identity_unref(id[0]);
    keying_dtls_identity_unref(id[1]);
}

/* ---- the client over a socket ---- */

static int udp(struct sockaddr_in *ret)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(*ret);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 ||
        getsockname(fd, (struct sockaddr *)ret, &len) != 0)
        die("no socket");
    return fd;
}

static bool connect_to(int fd, uint16_t port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    SSL *ssl = ssl_make(client_ctx, true);
    bool ok = false;

    for (unsigned i = 0; i < 50 && !ok; i++) {
        struct pollfd pfd = {.fd = fd, .events = POLLIN};
        unsigned char p[8192];
        ssize_t n;
        int len;

        ok = SSL_do_handshake(ssl) == 1;
        len = BIO_read(SSL_get_wbio(ssl), p, sizeof(p));
        if (len > 0 && sendto(fd, p, (size_t)len, 0, (struct sockaddr *)&to, sizeof(to)) != len)
            break;
        if (ok)
            break;
        if (poll(&pfd, 1, 1000) != 1) {
            (void)DTLSv1_handle_timeout(ssl);
            continue;
        }
        n = recv(fd, p, sizeof(p), 0);
        if (n > 0)
            (void)BIO_write(SSL_get_rbio(ssl), p, (int)n);
    }
    SSL_free(ssl);
    return ok;
}

static int fds[CALLS_MAX];
static uint16_t local_ports[CALLS_MAX], ports[CALLS_MAX];

static void clients_bind(unsigned n)
{
    struct rlimit files = {.rlim_cur = 4 * CALLS_MAX + 100, .rlim_max = 4 * CALLS_MAX + 100};

    (void)setrlimit(RLIMIT_NOFILE, &files);
    for (unsigned i = 0; i < n; i++) {
        struct sockaddr_in a;

        fds[i] = udp(&a);
        local_ports[i] = ntohs(a.sin_port);
    }
}

/* In a process of its own; returns when all hands are shaken. */
static void clients_run(unsigned n)
{
    pid_t child = fork();
    int status = 0;

    if (child == 0) {
        for (unsigned i = 0; i < n; i++) {
            if (!connect_to(fds[i], ports[i]))
                _exit(1);
        }
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        die("a handshake failed");
}

/* ---- the media plane ---- */

static void no_change(void *arg, uint64_t cookie, const struct relay_keys_change *change)
{
    (void)arg;
    (void)cookie;
    if (change->kind == RELAY_KEYS_FAILED)
        die(change->reason.code);
}

static double self_us(void)
{
    struct rusage u;

    (void)getrusage(RUSAGE_SELF, &u);
    return 1e6 * (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void with_relay(unsigned n)
{
    static struct relay_call *calls[CALLS_MAX];
    static struct relay_end *ends[CALLS_MAX];
    static struct relay_keys *keys[CALLS_MAX];
    struct relay_config config = {
        .n_workers = 1, .n_at = 1, .port_min = 20000, .port_max = 32000, .silent_ms = 0};
    struct relay_keyring_args ka = {.n_threads = 1, .on_change = no_change};
    struct relay_keyring *ring;
    struct keying_policy policy;
    struct relay *relay;
    struct reason why;
    double before, after;

    if (addr_parse(&config.at[0].local, STR("127.0.0.1"), 0) != 0 ||
        relay_new(&config, &relay, &why) != 0 || relay_keyring_new(&ring, &ka) != 0)
        die("no relay");
    keying_policy_init(&policy);
    policy.identity = relay_keyring_identity(ring);
    for (unsigned i = 0; i < n; i++) {
        struct arena *a = arena_new(8192, 1u << 20);
        struct relay_end_args ea = {.cookie = i};
        struct relay_end_setting set = {.protection = RELAY_PROTECT,
                                        .mux = true,
                                        .sends = true,
                                        .receives = true,
                                        .latch = RELAY_LATCH_AUTHENTIC};
        struct keying_wish wish = {.policy = &policy, .is_hop_private = true, .paths = 1};
        struct keying_heard offer = {.is_hop_private = true};
        struct keying_said said;
        char room[SDP_ROOM], lines[256];
        struct addr rtp, rtcp;

        if (a == NULL || relay_call_new(relay, &calls[i]) != 0 ||
            relay_end_new(calls[i], &ea, &ends[i], &why) != 0 ||
            relay_keys_new(ring, &policy, i, &keys[i]) != 0)
            die("no end");
        relay_end_local(ends[i], &rtp, &rtcp);
        ports[i] = addr_port(&rtp);
        relay_keys_bind(keys[i], 0, ends[i]);
        (void)snprintf(lines, sizeof(lines), "a=setup:active\r\na=fingerprint:sha-256 %s\r\n",
                       fingerprint);
        offer.sdp = sdp_make(a, "127.0.0.1", local_ports[i], lines);
        keying_said_init(&said, room, sizeof(room));
        if (relay_keys_answer(keys[i], 0, &wish, &offer, &said, &why) != 0)
            die(why.code);
        if (addr_parse(&set.rtp, STR("127.0.0.1"), local_ports[i]) != 0)
            die("no address");
        relay_end_set(ends[i], &set);
        arena_free(a);
    }
    before = self_us();
    clients_run(n);
    (void)usleep(50000); /* what is under way */
    after = self_us();
    for (unsigned i = 0; i < n; i++) {
        struct keying_facts facts;

        relay_keys_facts(keys[i], 0, &facts);
        if (facts.proof < KEYING_PROOF_HANDSHAKE)
            die("no keys");
    }
    printf("relay: %.0f us\n", (after - before) / n);
    for (unsigned i = 0; i < n; i++) {
        relay_keys_free(keys[i]);
        relay_call_free(calls[i]);
    }
    relay_free(relay);
    keying_dtls_identity_unref(policy.identity);
    relay_keyring_free(ring);
}

/* ---- rtpengine ---- */

/* Run time of all threads, in nanoseconds (schedstat). */
static double other_us(const char *pid)
{
    char path[512];
    double sum = 0;
    DIR *dir;

    (void)snprintf(path, sizeof(path), "/proc/%s/task", pid);
    dir = opendir(path);
    if (dir == NULL)
        die("no such process");
    for (struct dirent *d; (d = readdir(dir)) != NULL;) {
        unsigned long long ns;
        FILE *f;

        (void)snprintf(path, sizeof(path), "/proc/%s/task/%s/schedstat", pid, d->d_name);
        f = d->d_name[0] != '.' ? fopen(path, "r") : NULL;
        if (f != NULL && fscanf(f, "%llu", &ns) == 1)
            sum += (double)ns / 1000;
        if (f != NULL)
            (void)fclose(f);
    }
    (void)closedir(dir);
    return sum;
}

static void ask(int fd, const struct sockaddr_in *to, const char *command, unsigned call,
                const char *more, const char *sdp, char *ret, size_t cap)
{
    char text[SDP_ROOM * 2], id[32];
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    ssize_t got;
    int n;

    (void)snprintf(id, sizeof(id), "call-%d-%u", (int)getpid(), call);
    n = snprintf(text, sizeof(text),
                 "%u_%c d7:command%zu:%s7:call-id%zu:%s8:from-tag1:a%s3:sdp%zu:%se", call,
                 command[0], strlen(command), command, strlen(id), id, more, strlen(sdp), sdp);
    if (sendto(fd, text, (size_t)n, 0, (const struct sockaddr *)to, sizeof(*to)) != n ||
        poll(&pfd, 1, 5000) != 1 || (got = recv(fd, ret, cap - 1, 0)) <= 0)
        die("no answer by ng");
    ret[got] = '\0';
    if (strstr(ret, "6:result2:ok") == NULL)
        die(ret);
}

static void with_rtpengine(const char *pid, uint16_t port, unsigned n)
{
    struct sockaddr_in own, to = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons(port)};
    int fd = udp(&own);
    double before, after;

    for (unsigned i = 0; i < n; i++) {
        char sdp[SDP_ROOM], ret[SDP_ROOM * 2];
        const char *m;

        (void)snprintf(sdp, sizeof(sdp),
                       "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                       "m=audio %u UDP/TLS/RTP/SAVP 0\r\na=rtcp-mux\r\na=setup:active\r\n"
                       "a=fingerprint:sha-256 %s\r\n",
                       local_ports[i], fingerprint);
        ask(fd, &to, "offer", i, "18:transport-protocol7:RTP/AVP", sdp, ret, sizeof(ret));
        ask(fd, &to, "answer", i, "6:to-tag1:b",
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            "m=audio 9 RTP/AVP 0\r\n",
            ret, sizeof(ret));
        m = strstr(ret, "m=audio ");
        if (m == NULL || strstr(ret, "a=setup:passive") == NULL)
            die("not the answer that was expected");
        ports[i] = (uint16_t)strtoul(m + 8, NULL, 10);
    }
    before = other_us(pid);
    clients_run(n);
    (void)usleep(50000);
    after = other_us(pid);
    printf("rtpengine: %.0f us\n", (after - before) / n);
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "self";
    int at = strcmp(mode, "rtpengine") == 0 ? 4 : 2;
    unsigned n = argc > at ? (unsigned)strtoul(argv[at], NULL, 10) : 500;

    if (n < 1 || n > CALLS_MAX)
        die("1 to 2000 handshakes");
    library_init();
    if (strcmp(mode, "self") == 0) {
        self(n);
        return 0;
    }
    clients_bind(n);
    if (strcmp(mode, "relay") == 0)
        with_relay(n);
    else if (strcmp(mode, "rtpengine") == 0 && argc > 3)
        with_rtpengine(argv[2], (uint16_t)strtoul(argv[3], NULL, 10), n);
    else
        die("self [N] | relay [N] | rtpengine PID PORT [N]");
    return 0;
}
