/* Two-way RTP streams through a media relay: both parties of each call send 20 ms of G.711 fifty
 * times a second, evenly spread over time, and check every packet that comes: from where, whether
 * it authenticates, each byte. Beside them calls may come and go.
 *
 *     rtpload --port CONTROL [--ng | --sip] [--pid SERVER] --streams N --a rtp|cm80|gcm|dtls --b
 * ... \
 *             [--warm S] [--seconds S] [--name TEXT]
 *             [--churn CALLS-A-SECOND [--churn-a SUITE] [--churn-b SUITE] [--life SECONDS]]
 *
 * Prints one line of JSON. Latency is from before the sending system call to the kernel's time
 * stamp at the receiver, so it does not depend on when this program gets to read. */
#include "rtpload.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    PAYLOAD = 160,
    PACKET = 12 + PAYLOAD,
    ROOM = 256,
    FRAME_US = 20000,
    BATCH = 8, /* packets sent at once at most, when they are due */
    GATHER_US = 1000,
    LATENCIES = 8 << 20,
    CHURNERS = 4, /* threads: a handshake is waited for */
    SHAKES = 1 << 16
};

struct endpoint {
    int fd;
    struct side side;
    struct endpoint *other;
    struct crypto tx, rx;
    uint32_t ssrc;
    uint16_t seq_out, seq_in;
    bool has_in;
    uint64_t sent, got, bad, dup, foreign;
    uint64_t seen[4]; /* of the last 256 */
};

static struct {
    unsigned streams, warm, seconds, churn, life;
    uint16_t port;
    enum control_kind kind;
    pid_t pid;
    enum suite a, b, churn_a, churn_b;
    bool has_churn_a, has_churn_b;
    const char *name;
} opt = {
    .streams = 100, .warm = 2, .seconds = 4, .life = 2, .a = SUITE_RTP, .b = SUITE_RTP, .name = ""};

static struct endpoint *ends;
static unsigned n_ends;
static atomic_bool measuring, stopping;
static uint32_t *latency_us;
static size_t n_latency;
static uint64_t n_sent, n_got; /* while measuring */
static char fingerprint[128];
static atomic_uint churn_made, churn_failed, churn_lost;
static uint32_t shake_us[SHAKES];
static atomic_uint n_shakes;

static uint64_t now_ns(clockid_t id)
{
    struct timespec t;
    (void)clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

_Noreturn static void die(const char *what)
{
    fprintf(stderr, "rtpload: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- packets ---- */

static void endpoint_open(struct endpoint *e, enum suite suite)
{
    int on = 1, buf = 1 << 20;
    socklen_t len = sizeof(e->side.at);
    e->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    e->side.suite = suite;
    e->side.at =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (e->fd < 0 || bind(e->fd, (struct sockaddr *)&e->side.at, len) != 0 ||
        getsockname(e->fd, (struct sockaddr *)&e->side.at, &len) != 0 ||
        setsockopt(e->fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)) != 0)
        die("socket");
    (void)setsockopt(e->fd, SOL_SOCKET, SO_RCVBUF, &buf, sizeof(buf));
    if (RAND_bytes(e->side.key, sizeof(e->side.key)) != 1 ||
        RAND_bytes((unsigned char *)&e->ssrc, 4) != 1 ||
        RAND_bytes((unsigned char *)&e->seq_out, 2) != 1)
        die("random");
    e->seq_out &= 0x3fff;
    memcpy(e->side.fingerprint, fingerprint, sizeof(fingerprint));
}

static bool endpoint_keys(struct endpoint *e)
{
    uint64_t began = now_ns(CLOCK_MONOTONIC);
    if (e->side.suite == SUITE_DTLS) {
        if (!dtls_handshake(e->fd, &e->side.to, e->side.key, e->side.their_key))
            return false;
        unsigned i = atomic_fetch_add(&n_shakes, 1);
        if (i < SHAKES)
            shake_us[i] = (uint32_t)((now_ns(CLOCK_MONOTONIC) - began) / 1000);
    }
    crypto_init(&e->tx, e->side.suite, e->side.key, true);
    crypto_init(&e->rx, e->side.suite, e->side.their_key, false);
    return true;
}

static uint8_t pattern(uint32_t ssrc, uint16_t seq, unsigned i)
{
    return (uint8_t)(ssrc + seq * 7u + i * 13u);
}

static void packet_send(struct endpoint *e)
{
    uint8_t p[ROOM];
    uint64_t now;
    uint16_t seq = e->seq_out++;
    uint32_t ts = seq * 160u;
    p[0] = 0x80;
    p[1] = 0;
    p[2] = (uint8_t)(seq >> 8);
    p[3] = (uint8_t)seq;
    for (unsigned i = 0; i < 4; i++) {
        p[4 + i] = (uint8_t)(ts >> (24 - 8 * i));
        p[8 + i] = (uint8_t)(e->ssrc >> (24 - 8 * i));
    }
    for (unsigned i = 8; i < PAYLOAD; i++)
        p[12 + i] = pattern(e->ssrc, seq, i);
    now = now_ns(CLOCK_REALTIME);
    memcpy(p + 12, &now, 8);
    size_t n = crypto_seal(&e->tx, p, PACKET, 0);
    if (sendto(e->fd, p, n, 0, (struct sockaddr *)&e->side.to, sizeof(e->side.to)) != (ssize_t)n)
        return;
    e->sent++;
}

static void packet_check(struct endpoint *e, uint8_t *p, size_t n, const struct sockaddr_in *from,
                         uint64_t at)
{
    uint16_t seq = (uint16_t)(p[2] << 8 | p[3]);
    uint64_t sent_at;
    if (p[0] >= 20 && p[0] <= 63) /* the end of a handshake */
        return;
    if (n >= 2 && p[1] >= 200 && p[1] <= 207) /* RTCP of the server's own */
        return;
    if (from->sin_port != e->side.to.sin_port) {
        e->foreign++;
        return;
    }
    n = crypto_open(&e->rx, p, n, 0);
    if (n != PACKET) {
        e->bad++;
        return;
    }
    for (unsigned i = 8; i < PAYLOAD; i++) {
        if (p[12 + i] != pattern(e->other->ssrc, seq, i)) {
            e->bad++;
            return;
        }
    }
    if (!e->has_in || (int16_t)(uint16_t)(seq - e->seq_in) > 0) {
        for (uint16_t s = e->has_in ? (uint16_t)(e->seq_in + 1) : seq; s != (uint16_t)(seq + 1);
             s++)
            e->seen[s / 64 % 4] &= ~(1ull << s % 64);
        e->seq_in = seq;
        e->has_in = true;
    }
    if (e->seen[seq / 64 % 4] >> seq % 64 & 1) {
        e->dup++;
        return;
    }
    e->seen[seq / 64 % 4] |= 1ull << seq % 64;
    e->got++;
    if (!atomic_load_explicit(&measuring, memory_order_relaxed))
        return;
    n_got++;
    memcpy(&sent_at, p + 12, 8);
    if (n_latency < LATENCIES && at > sent_at)
        latency_us[n_latency++] = (uint32_t)((at - sent_at) / 1000);
}

static void packet_take(struct endpoint *e)
{
    for (unsigned i = 0; i < 4; i++) {
        uint8_t p[ROOM];
        union {
            char buf[CMSG_SPACE(sizeof(struct timespec))];
            struct cmsghdr align;
        } control;
        struct sockaddr_in from;
        struct iovec iov = {p, sizeof(p)};
        struct msghdr m = {.msg_name = &from,
                           .msg_namelen = sizeof(from),
                           .msg_iov = &iov,
                           .msg_iovlen = 1,
                           .msg_control = control.buf,
                           .msg_controllen = sizeof(control.buf)};
        ssize_t n = recvmsg(e->fd, &m, MSG_DONTWAIT);
        uint64_t at = 0;
        if (n <= 0)
            return;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c != NULL; c = CMSG_NXTHDR(&m, c)) {
            if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
                struct timespec t;
                memcpy(&t, CMSG_DATA(c), sizeof(t));
                at = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
            }
        }
        packet_check(e, p, (size_t)n, &from, at);
    }
}

/* ---- threads ---- */

static void sleep_until(uint64_t ns)
{
    struct timespec t = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

/* Every party has its own moment in the 20 ms; they are in random order. */
static void *sender_main(void *arg)
{
    unsigned *order = arg;
    uint64_t start = now_ns(CLOCK_MONOTONIC), k = 0;
    const double step = FRAME_US * 1000.0 / n_ends;
    unsigned batch = n_ends / 2 < BATCH * 20 ? 1 + n_ends / 40 : BATCH;
    (void)prctl(PR_SET_TIMERSLACK, 1000ul);
    while (!atomic_load_explicit(&stopping, memory_order_relaxed)) {
        sleep_until(start + (uint64_t)((double)(k + batch) * step));
        bool m = atomic_load_explicit(&measuring, memory_order_relaxed);
        for (unsigned i = 0; i < batch; i++, k++) {
            packet_send(&ends[order[k % n_ends]]);
            n_sent += m;
        }
    }
    return NULL;
}

static void *receiver_main(void *arg)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[512];
    (void)arg;
    (void)prctl(PR_SET_TIMERSLACK, 1000ul);
    for (unsigned i = 0; i < n_ends; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &ends[i]};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, ends[i].fd, &e) != 0)
            die("epoll");
    }
    while (!atomic_load_explicit(&stopping, memory_order_relaxed)) {
        int n = epoll_wait(epoll, events, 512, 100);
        for (int i = 0; i < n; i++)
            packet_take(events[i].data.ptr);
        (void)nanosleep(&(struct timespec){.tv_nsec = GATHER_US * 1000}, NULL);
    }
    (void)close(epoll);
    return NULL;
}

/* Calls that come and go: three packets each way, the last checked, then gone some seconds later.
 */
struct churner {
    struct control control;
    pthread_t thread;
    unsigned first_id;
};

static void churn_end(struct churner *c, struct endpoint *a, unsigned id)
{
    struct endpoint *b = a + 1;
    if (a->fd < 0)
        return;
    packet_take(a);
    packet_take(b);
    if (a->got < 3 || b->got < 3)
        (void)atomic_fetch_add(&churn_lost, 6u - (unsigned)(a->got + b->got));
    if (!control_end(&c->control, id))
        (void)atomic_fetch_add(&churn_failed, 1);
    for (struct endpoint *e = a; e <= b; e++) {
        crypto_done(&e->tx);
        crypto_done(&e->rx);
        (void)close(e->fd);
        *e = (struct endpoint){.fd = -1};
    }
}

static void *churn_main(void *arg)
{
    struct churner *c = arg;
    unsigned life = (opt.churn * opt.life + CHURNERS - 1) / CHURNERS, id = c->first_id;
    struct endpoint *pool = calloc((size_t)life * 2, sizeof(*pool));
    uint64_t next = now_ns(CLOCK_MONOTONIC);
    if (pool == NULL)
        die("memory");
    for (unsigned i = 0; i < 2 * life; i++)
        pool[i].fd = -1;
    for (unsigned k = 0; !atomic_load_explicit(&stopping, memory_order_relaxed); k++, id++) {
        struct endpoint *a = &pool[(size_t)(k % life) * 2], *b = a + 1;
        next += 1000000000u / opt.churn * CHURNERS;
        sleep_until(next);
        churn_end(c, a, id - life);
        endpoint_open(a, opt.churn_a);
        endpoint_open(b, opt.churn_b);
        a->other = b;
        b->other = a;
        if (!control_call(&c->control, id, &a->side, &b->side) || !endpoint_keys(a) ||
            !endpoint_keys(b)) {
            (void)atomic_fetch_add(&churn_failed, 1);
            continue;
        }
        (void)atomic_fetch_add(&churn_made, 1);
        for (unsigned i = 0; i < 3; i++) {
            packet_send(a);
            packet_send(b);
        }
    }
    (void)usleep(50000); /* what is still on its way */
    for (unsigned i = 0; i < life; i++)
        churn_end(c, &pool[(size_t)((id - c->first_id + i) % life) * 2], id - life + i);
    free(pool);
    return NULL;
}

/* ---- the server's costs ---- */

static double cpu_us(pid_t pid)
{
    char path[300];
    double sum = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/task", pid);
    DIR *d = opendir(path);
    if (d == NULL)
        return 0;
    for (struct dirent *t = readdir(d); t != NULL; t = readdir(d)) {
        unsigned long long ns;
        (void)snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", pid, t->d_name);
        FILE *f = t->d_name[0] != '.' ? fopen(path, "re") : NULL;
        if (f == NULL)
            continue;
        if (fscanf(f, "%llu", &ns) == 1)
            sum += (double)ns / 1000;
        (void)fclose(f);
    }
    (void)closedir(d);
    return sum;
}

static double rss_kib(pid_t pid)
{
    char path[64];
    unsigned long size, resident = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/statm", pid);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return 0;
    if (fscanf(f, "%lu %lu", &size, &resident) != 2)
        resident = 0;
    (void)fclose(f);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1024;
}

static double own_cpu_us(void)
{
    struct rusage r;
    (void)getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e6 +
           (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static unsigned part_of(const uint32_t *v, size_t n, double part)
{
    return n == 0 ? 0 : v[(size_t)(part * (double)(n - 1))];
}

static unsigned latency_at(double part)
{
    return part_of(latency_us, n_latency, part);
}

static bool arguments(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(name, "--ng") == 0) {
            opt.kind = CONTROL_NG;
            continue;
        }
        if (strcmp(name, "--sip") == 0) {
            opt.kind = CONTROL_SIP;
            continue;
        }
        if (strcmp(name, "--port") == 0)
            opt.port = (uint16_t)strtoul(value, NULL, 10);
        else if (strcmp(name, "--pid") == 0)
            opt.pid = (pid_t)strtol(value, NULL, 10);
        else if (strcmp(name, "--streams") == 0)
            opt.streams = (unsigned)strtoul(value, NULL, 10);
        else if (strcmp(name, "--warm") == 0)
            opt.warm = (unsigned)strtoul(value, NULL, 10);
        else if (strcmp(name, "--seconds") == 0)
            opt.seconds = (unsigned)strtoul(value, NULL, 10);
        else if (strcmp(name, "--churn") == 0)
            opt.churn = (unsigned)strtoul(value, NULL, 10);
        else if (strcmp(name, "--life") == 0)
            opt.life = (unsigned)strtoul(value, NULL, 10);
        else if (strcmp(name, "--churn-a") == 0 && suite_of(value, &opt.churn_a))
            opt.has_churn_a = true;
        else if (strcmp(name, "--churn-b") == 0 && suite_of(value, &opt.churn_b))
            opt.has_churn_b = true;
        else if (strcmp(name, "--name") == 0)
            opt.name = value;
        else if (strcmp(name, "--a") == 0   ? !suite_of(value, &opt.a)
                 : strcmp(name, "--b") == 0 ? !suite_of(value, &opt.b)
                                            : true)
            return false;
        i++;
    }
    if (!opt.has_churn_a)
        opt.churn_a = opt.a;
    if (!opt.has_churn_b)
        opt.churn_b = opt.b;
    return opt.port != 0 && opt.streams > 0 && opt.seconds > 0 && opt.life > 0;
}

int main(int argc, char **argv)
{
    struct control control;
    static struct churner churner[CHURNERS];
    struct rlimit files;
    pthread_t sender, receiver;
    uint64_t lost = 0, sent = 0, got = 0, bad = 0, dup = 0, foreign = 0;
    if (!arguments(argc, argv)) {
        fprintf(stderr,
                "usage: rtpload --port P [--ng] [--pid N] --streams N --a SUITE --b SUITE\n");
        return 2;
    }
    (void)getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    if (!dtls_init(fingerprint) || !control_open(&control, "127.0.0.1", opt.port, opt.kind))
        die("control");
    for (unsigned i = 0; i < CHURNERS; i++) {
        if (!control_open(&churner[i].control, "127.0.0.1", opt.port, opt.kind))
            die("control");
        churner[i].control.n = (i + 1) << 28; /* cookies that are nobody else's */
        churner[i].first_id = 1000000 + i * 250000;
    }
    n_ends = 2 * opt.streams;
    ends = calloc(n_ends, sizeof(*ends));
    latency_us = calloc(LATENCIES, sizeof(*latency_us));
    unsigned *order = calloc(n_ends, sizeof(*order));
    if (ends == NULL || latency_us == NULL || order == NULL)
        die("memory");
    double rss_before = rss_kib(opt.pid), cpu_before = cpu_us(opt.pid);
    for (unsigned i = 0; i < opt.streams; i++) {
        struct endpoint *a = &ends[2 * i], *b = a + 1;
        endpoint_open(a, opt.a);
        endpoint_open(b, opt.b);
        a->other = b;
        b->other = a;
        if (!control_call(&control, i, &a->side, &b->side))
            die("call");
        if (!endpoint_keys(a) || !endpoint_keys(b))
            die("DTLS");
        if (i > 0)
            continue;
        /* What a server takes once, for libraries and the like, is in nobody's stream. */
        for (unsigned k = 0; k < 10; k++) {
            packet_send(a);
            packet_send(b);
            (void)usleep(20000);
            packet_take(a);
            packet_take(b);
        }
        rss_before = rss_kib(opt.pid);
    }
    double setup = (cpu_us(opt.pid) - cpu_before) / opt.streams;
    for (unsigned i = 0; i < n_ends; i++)
        order[i] = i;
    srandom(1);
    for (unsigned i = n_ends - 1; i > 0; i--) {
        unsigned j = (unsigned)random() % (i + 1), t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
    if (pthread_create(&receiver, NULL, receiver_main, NULL) != 0 ||
        pthread_create(&sender, NULL, sender_main, order) != 0)
        die("thread");
    for (unsigned i = 0; opt.churn > 0 && i < CHURNERS; i++) {
        if (pthread_create(&churner[i].thread, NULL, churn_main, &churner[i]) != 0)
            die("thread");
    }
    (void)sleep(opt.warm);
    atomic_store(&n_shakes, 0); /* from here on beside the streams */
    atomic_store(&measuring, true);
    double cpu0 = cpu_us(opt.pid), own0 = own_cpu_us();
    uint64_t t0 = now_ns(CLOCK_MONOTONIC);
    (void)sleep(opt.seconds);
    double cpu1 = cpu_us(opt.pid), own1 = own_cpu_us();
    uint64_t t1 = now_ns(CLOCK_MONOTONIC);
    atomic_store(&measuring, false);
    double rss = rss_kib(opt.pid) - rss_before;
    (void)usleep(50000);
    atomic_store(&stopping, true);
    (void)pthread_join(sender, NULL);
    for (unsigned i = 0; opt.churn > 0 && i < CHURNERS; i++)
        (void)pthread_join(churner[i].thread, NULL);
    (void)pthread_join(receiver, NULL);
    (void)usleep(200000); /* what is still on its way */
    for (unsigned i = 0; i < n_ends; i++) {
        for (unsigned k = 0; k < 64; k++)
            packet_take(&ends[i]);
    }
    for (unsigned i = 0; i < n_ends; i++) {
        sent += ends[i].sent;
        got += ends[i].got;
        bad += ends[i].bad;
        dup += ends[i].dup;
        foreign += ends[i].foreign;
    }
    lost = sent - got;
    qsort(latency_us, n_latency, sizeof(*latency_us), by_value);
    size_t n_shaken = atomic_load(&n_shakes) < SHAKES ? atomic_load(&n_shakes) : SHAKES;
    qsort(shake_us, n_shaken, sizeof(*shake_us), by_value);
    double seconds = (double)(t1 - t0) / 1e9;
    printf("{\"name\":\"%s\",\"a\":%d,\"b\":%d,\"streams\":%u,\"sent\":%llu,\"lost\":%llu,\"bad\":%"
           "llu,\"dup\":%llu,"
           "\"foreign\":%llu,\"pps\":%.0f,\"cpu_us\":%.2f,\"cores\":%.2f,\"p50\":%u,\"p99\":%u,"
           "\"p999\":%u,"
           "\"max\":%u,\"rss_kib\":%.2f,\"setup_us\":%.0f,\"gen_us\":%.2f,\"churned\":%u,"
           "\"churn_failed\":%u,\"churn_lost\":%u,\"shake_p50\":%u,\"shake_p99\":%u}\n",
           opt.name, opt.a, opt.b, opt.streams, (unsigned long long)sent, (unsigned long long)lost,
           (unsigned long long)bad, (unsigned long long)dup, (unsigned long long)foreign,
           (double)n_got / seconds, n_got > 0 ? (cpu1 - cpu0) / (double)n_got : 0,
           (cpu1 - cpu0) / 1e6 / seconds, latency_at(0.5), latency_at(0.99), latency_at(0.999),
           latency_at(1), rss / opt.streams, setup, (own1 - own0) / (double)(n_got + 1),
           atomic_load(&churn_made), atomic_load(&churn_failed), atomic_load(&churn_lost),
           part_of(shake_us, n_shaken, 0.5), part_of(shake_us, n_shaken, 0.99));
    for (unsigned i = 0; i < opt.streams; i++)
        (void)control_end(&control, i);
    return bad > 0 || got == 0 ? 1 : 0;
}
