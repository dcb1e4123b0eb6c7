/* sipload: offers a SIP server a known load, judges every answer, and says what each unit cost the
 * server. Closed loop (so many units in flight) or a fixed offered rate; results go out as one line
 * of JSON. One thread. */
#include "load.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

struct load load;

static uint32_t n_slots;
static uint32_t serial;
static volatile sig_atomic_t interrupted;

struct sample {
    uint64_t at_ns, own_ns, received, sent;
    struct proc_use use;
};

uint64_t clock_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

/* ---- units ---- */

void out_branch(struct out *o, const struct load *l, const struct unit *u, char kind)
{
    out_lit(o, "z9hG4bK");
    out_bytes(o, &kind, 1);
    out_hex(o, u->slot, 4);
    out_hex(o, u->serial, 8);
    out_hex(o, l->run_id, 8);
}

void out_call_id(struct out *o, const struct load *l, const struct unit *u)
{
    out_hex(o, u->slot, 4);
    out_hex(o, u->serial, 8);
    out_hex(o, l->run_id, 8);
    out_lit(o, "@load.bench.test");
}

static bool hex_scan(const char *p, unsigned digits, uint64_t *ret_n)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < digits; i++) {
        char c = p[i];
        if (c >= '0' && c <= '9')
            n = n * 16 + (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            n = n * 16 + (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    *ret_n = n;
    return true;
}

static bool unit_is_busy(const struct unit *u)
{
    return u->state == UNIT_CONNECTING || u->state == UNIT_FIRST || u->state == UNIT_SECOND;
}

static struct unit *unit_by_branch(struct load *l, struct slice branch, char *ret_kind)
{
    uint64_t slot, number, run;

    if (branch.len != 28 || !slice_starts(branch, S("z9hG4bK")) ||
        !hex_scan(branch.p + 8, 4, &slot) || !hex_scan(branch.p + 12, 8, &number) ||
        !hex_scan(branch.p + 20, 8, &run) || slot >= n_slots || run != l->run_id)
        return NULL;
    *ret_kind = branch.p[7];
    return l->units[slot].serial == number ? &l->units[slot] : NULL;
}

void unit_send(struct load *l, struct unit *u, const struct out *o)
{
    if (o->cut) {
        fprintf(stderr, "sipload: a request grew too long\n");
        unit_fail_timeout(l, u);
        return;
    }
    u->sent_len = o->len;
    u->resend_gap_ns = LOAD_T1_MS * NS_PER_MS;
    u->resend_ns = u->link->proto == PROTO_UDP ? l->now_ns + u->resend_gap_ns : UINT64_MAX;
    link_send(u->link, u->sent, u->sent_len, NULL);
}

static void unit_end(struct load *l, struct unit *u, enum unit_state state)
{
    u->state = state;
    u->resend_ns = UINT64_MAX;
    l->in_flight--;
    if (state == UNIT_DONE) {
        l->all.done++;
        l->window.done += l->measuring;
    } else {
        l->all.failed++;
        l->window.failed += l->measuring;
    }
}

void unit_done(struct load *l, struct unit *u)
{
    if (unit_is_busy(u))
        unit_end(l, u, UNIT_DONE);
}

void unit_latency(struct load *l, struct unit *u)
{
    if (!l->measuring || u->counted_latency)
        return;
    u->counted_latency = true;
    uint64_t us = (clock_ns() - u->begun_ns) / 1000;
    uint64_t bucket = us < 65536 ? us : 65536 + us / 1000;
    l->window.latency[bucket < LATENCY_BUCKETS ? bucket : LATENCY_BUCKETS - 1]++;
    l->window.n_latency++;
}

static void complain(const char *what, const struct text *t)
{
    static int said;

    if (said++ < 5)
        fprintf(stderr, "sipload: %s: %d %.*s to %.*s\n%.*s\n", what, t->status, (int)t->method.len,
                t->method.p, (int)t->to.len, t->to.p, (int)(t->body.p - t->via[0].p), t->via[0].p);
}

void unit_fail_status(struct load *l, struct unit *u, const struct text *t)
{
    if (!unit_is_busy(u))
        return;
    l->all.by_status[t->status]++;
    complain("refused", t);
    unit_end(l, u, UNIT_FAILED);
}

void unit_fail_check(struct load *l, struct unit *u, const char *what, const struct text *t)
{
    complain(what, t);
    l->all.check_failures++;
    if (unit_is_busy(u))
        unit_end(l, u, UNIT_FAILED);
}

void unit_fail_timeout(struct load *l, struct unit *u)
{
    if (!unit_is_busy(u))
        return;
    l->all.timeouts++;
    unit_end(l, u, UNIT_FAILED);
    if (u->link != NULL && u->link->unit == u) {
        u->link->unit = NULL;
        link_close(u->link);
    }
}

static struct unit *unit_begin(struct load *l, uint64_t begun_ns)
{
    struct unit *u = NULL;

    for (uint32_t i = 0; i < n_slots; i++) {
        u = &l->units[l->next_slot++ % n_slots];
        if (!unit_is_busy(u))
            break;
    }
    if (unit_is_busy(u))
        return NULL;
    if (u->callee.serial != 0 && u->callee.serial == u->serial && u->state == UNIT_DONE &&
        !u->callee.acked)
        l->all.unacked++;
    u->slot = (uint32_t)(u - l->units);
    u->serial = ++serial;
    u->user = l->opt.first_user + (uint32_t)(l->started % l->opt.users);
    u->link = l->opt.links > 0 ? l->links[u->user % l->opt.links] : NULL;
    u->begun_ns = begun_ns;
    u->deadline_ns = l->now_ns + l->opt.timeout_ms * NS_PER_MS;
    u->counted_latency = u->challenged = false;
    u->resend_ns = UINT64_MAX;
    u->sent_len = u->ack_len = 0;
    u->callee.serial = 0;
    u->state = UNIT_FIRST;
    l->started++;
    l->in_flight++;
    l->scenario->begin(l, u);
    return u;
}

static void units_timers(struct load *l)
{
    for (uint32_t i = 0; i < n_slots; i++) {
        struct unit *u = &l->units[i];
        if (u->callee.serial != 0)
            call_resend(l, u);
        if (!unit_is_busy(u))
            continue;
        if (l->now_ns >= u->deadline_ns) {
            if (l->all.timeouts < 1)
                fprintf(stderr, "sipload: no answer to: %.*s\n", (int)u->sent_len, u->sent);
            unit_fail_timeout(l, u);
        } else if (l->now_ns >= u->resend_ns) {
            l->all.retransmissions++;
            u->resend_gap_ns *= 2;
            if (u->resend_gap_ns > LOAD_T2_MS * NS_PER_MS)
                u->resend_gap_ns = LOAD_T2_MS * NS_PER_MS;
            u->resend_ns = l->now_ns + u->resend_gap_ns;
            link_send(u->link, u->sent, u->sent_len, NULL);
        }
    }
}

/* ---- what the links report ---- */

static void on_message(struct link *link, const struct text *t, const struct sockaddr_in *from)
{
    char kind;

    if (t->is_request) {
        call_request(&load, link, t, from);
        return;
    }
    struct unit *u = unit_by_branch(&load, text_param(t->via[0], S("branch")), &kind);
    if (u == NULL || u->link != link)
        load.all.stray++;
    else
        load.scenario->response(&load, u, kind, t);
}

static void on_ready(struct link *link)
{
    if (link->unit != NULL && load.scenario->ready != NULL)
        load.scenario->ready(&load, link->unit);
}

static void on_closed(struct link *link)
{
    if (link->role != LINK_CLIENT || load.stopping)
        return;
    load.all.lost_links++;
    if (link->unit != NULL && unit_is_busy(link->unit) && link->unit->link == link) {
        if (load.all.lost_links < 4)
            fprintf(stderr, "sipload: the server closed a connection in use\n");
        unit_end(&load, link->unit, UNIT_FAILED);
        return;
    }
    if (link->unit != NULL) {
        load.open_phones--;
        return;
    }
    fprintf(stderr, "sipload: connection lost\n");
    for (uint32_t i = 0; i < n_slots; i++)
        if (unit_is_busy(&load.units[i]) && load.units[i].link == link)
            unit_end(&load, &load.units[i], UNIT_FAILED);
    load.stopping = true;
}

/* ---- the run ---- */

static void sample_take(const struct load *l, struct sample *s)
{
    struct timespec ts;

    memset(s, 0, sizeof(*s));
    if (l->opt.pid > 0 && proc_use_read(l->opt.pid, &s->use) != 0)
        fprintf(stderr, "sipload: process %d cannot be read\n", l->opt.pid);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    s->own_ns = (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
    s->at_ns = clock_ns();
    s->received = l->wire.received;
    s->sent = l->wire.sent;
}

static uint64_t next_due_ns;

static void units_start(struct load *l, uint64_t limit)
{
    if (l->stopping)
        return;
    if (l->opt.rate == 0) {
        while (l->in_flight < l->opt.in_flight && l->started < limit)
            if (unit_begin(l, l->now_ns) == NULL)
                break;
        return;
    }
    uint64_t gap = NS_PER_S / l->opt.rate;
    for (int n = 0; n < 256 && next_due_ns <= l->now_ns && l->started < limit; n++) {
        if (unit_begin(l, next_due_ns) == NULL) {
            l->all
                .failed++; /* as many in flight as can be remembered: the server does not keep up */
            l->all.timeouts++;
            l->started++;
        }
        next_due_ns += gap;
    }
}

static void turn(struct load *l, uint64_t limit, uint64_t until_ns)
{
    static uint64_t timers_ns;
    uint64_t wait = 20 * NS_PER_MS;

    l->now_ns = clock_ns();
    if (l->now_ns >= timers_ns) {
        units_timers(l);
        timers_ns = l->now_ns + 50 * NS_PER_MS;
    }
    units_start(l, limit);
    wire_flush(&l->wire);
    if (until_ns <= l->now_ns)
        wait = 0;
    else if (until_ns - l->now_ns < wait)
        wait = until_ns - l->now_ns;
    if (l->opt.rate > 0 && !l->stopping && l->started < limit) {
        uint64_t now = clock_ns();
        uint64_t due = next_due_ns > now ? next_due_ns - now : 0;
        wait = due < wait ? due : wait;
    }
    wire_poll(&l->wire, wait);
}

static void turn_until(struct load *l, uint64_t limit, uint64_t until_ns)
{
    do
        turn(l, limit, until_ns);
    while (!interrupted && !l->stopping && clock_ns() < until_ns);
}

static void drain(struct load *l)
{
    uint64_t until = clock_ns() + (l->opt.timeout_ms + 100) * NS_PER_MS;

    while (l->in_flight > 0 && clock_ns() < until && !interrupted)
        turn(l, l->started, until);
    until = clock_ns() + 30 * NS_PER_MS; /* the last ACKs reach the callee */
    while (clock_ns() < until && !interrupted)
        turn(l, l->started, until);
    for (uint32_t i = 0; i < n_slots; i++) {
        struct unit *u = &l->units[i];
        if (u->state == UNIT_DONE && u->callee.serial != 0 && u->callee.serial == u->serial &&
            !u->callee.acked)
            l->all.unacked++;
    }
}

static uint64_t latency_at(const struct tally *t, double share)
{
    uint64_t want = (uint64_t)((double)t->n_latency * share), seen = 0;

    for (uint32_t i = 0; i < LATENCY_BUCKETS; i++) {
        seen += t->latency[i];
        if (seen > want)
            return i < 65536 ? i : (i - 65536) * 1000ull;
    }
    return 0;
}

static void report_failures(const struct tally *t)
{
    printf(",\"failures\":{\"timeout\":%llu,\"check\":%llu,\"lost_connections\":%llu",
           (unsigned long long)t->timeouts, (unsigned long long)t->check_failures,
           (unsigned long long)t->lost_links);
    for (int i = 100; i < 700; i++)
        if (t->by_status[i] > 0)
            printf(",\"%d\":%llu", i, (unsigned long long)t->by_status[i]);
    printf("}");
}

static void report(const struct load *l, const struct sample *a, const struct sample *b)
{
    static const char *const protos[] = {"udp", "tcp", "tls"};
    double span = (double)(b->at_ns - a->at_ns) / 1e9;
    double units = l->window.done > 0 ? (double)l->window.done : 1.0;
    double cpu = (double)(b->use.cpu_ns - a->use.cpu_ns) / 1e3;

    printf("{\"label\":\"%s\",\"scenario\":\"%s\",\"proto\":\"%s\",\"mode\":\"%s\",\"offered\":%u,"
           "\"links\":%u,\"users\":%u",
           l->opt.label, l->opt.scenario, protos[l->opt.proto],
           l->opt.rate > 0 ? "paced" : "closed", l->opt.rate > 0 ? l->opt.rate : l->opt.in_flight,
           l->opt.links, l->opt.users);
    printf(",\"seconds\":%.3f,\"done\":%llu,\"failed\":%llu,\"all_done\":%llu,\"rate\":%.1f", span,
           (unsigned long long)l->window.done,
           (unsigned long long)(l->all.failed + l->all.unacked + l->wire.garbage),
           (unsigned long long)l->all.done, (double)l->window.done / span);
    printf(",\"p50_us\":%llu,\"p99_us\":%llu", (unsigned long long)latency_at(&l->window, 0.5),
           (unsigned long long)latency_at(&l->window, 0.99));
    printf(",\"retransmissions\":%llu,\"stray\":%llu,\"unacked\":%llu,\"challenged_again\":%llu"
           ",\"not_understood\":%llu",
           (unsigned long long)l->all.retransmissions, (unsigned long long)l->all.stray,
           (unsigned long long)l->all.unacked, (unsigned long long)l->all.challenged_again,
           (unsigned long long)l->wire.garbage);
    printf(",\"messages_in\":%.2f,\"messages_out\":%.2f", (double)(b->sent - a->sent) / units,
           (double)(b->received - a->received) / units);
    report_failures(&l->all);
    if (l->opt.pid > 0)
        printf(",\"server_cpu_us\":%.2f,\"server_cores\":%.3f,\"server_switches\":%.2f,"
               "\"server_processes\":%u",
               cpu / units, cpu / 1e6 / span, (double)(b->use.wakeups - a->use.wakeups) / units,
               b->use.processes);
    printf(",\"generator_cpu_us\":%.2f", (double)(b->own_ns - a->own_ns) / 1e3 / units);
    if (l->wire.tls_version[0] != '\0')
        printf(",\"tls\":\"%s\"", l->wire.tls_version);
}

static void report_pss(const struct load *l)
{
    uint64_t kib;

    if (l->opt.pid > 0 && proc_pss_read(l->opt.pid, &kib) == 0)
        printf(",\"server_pss_kib\":%llu", (unsigned long long)kib);
}

/* Waits until every link of the scenario is up; each is opened once. */
static int links_open(struct load *l)
{
    l->links = calloc(l->opt.links + 1, sizeof(*l->links));
    if (l->links == NULL)
        return -1;
    for (unsigned i = 0; i < l->opt.links; i++) {
        struct sockaddr_in from = {.sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        if (l->opt.bind_port != 0)
            from.sin_port = htons((uint16_t)(l->opt.bind_port + i));
        if (l->opt.proto == PROTO_UDP)
            l->links[i] = wire_udp(&l->wire, from, &l->opt.server, LINK_CLIENT);
        else
            l->links[i] = wire_connect(&l->wire, l->opt.proto, from, l->opt.server);
        if (l->links[i] == NULL)
            return -1;
        uint64_t until = clock_ns() + 5 * NS_PER_S;
        while (l->links[i]->state < LINK_READY && !l->stopping && clock_ns() < until)
            wire_poll(&l->wire, 10 * NS_PER_MS);
        if (l->stopping || l->links[i]->state != LINK_READY)
            return -1;
    }
    return 0;
}

static void run_timed(struct load *l, struct sample *a, struct sample *b)
{
    uint64_t begin = clock_ns();
    uint64_t warm = begin + (uint64_t)(l->opt.warm_s * 1e9);

    next_due_ns = begin;
    if (l->opt.warm_s > 0)
        turn_until(l, UINT64_MAX, warm);
    sample_take(l, a);
    l->measuring = true;
    turn_until(l, UINT64_MAX, a->at_ns + (uint64_t)(l->opt.seconds * 1e9));
    l->measuring = false;
    sample_take(l, b);
    l->stopping = true;
    drain(l);
}

static void run_counted(struct load *l, uint64_t count, struct sample *a, struct sample *b)
{
    next_due_ns = clock_ns();
    sample_take(l, a);
    l->measuring = true;
    while (!interrupted && !l->stopping && (l->started < count || l->in_flight > 0)) {
        turn(l, count, UINT64_MAX);
        if (l->all.failed > 64 && l->all.failed > l->all.done)
            l->stopping = true; /* a server that does not answer would keep this going for hours */
    }
    drain(l);
    sample_take(l, b);
    l->measuring = false;
}

static int run_idle(struct load *l)
{
    struct sample a, b, c, d;
    uint64_t before = 0, after = 0;
    double n;

    if (l->opt.pid > 0 && proc_pss_read(l->opt.pid, &before) != 0)
        return -1;
    run_counted(l, l->opt.phones, &a, &b);
    turn_until(l, l->started, clock_ns() + 1500 * NS_PER_MS);
    sample_take(l, &c);
    turn_until(l, l->started, clock_ns() + (uint64_t)(l->opt.hold_s * 1e9));
    sample_take(l, &d);
    if (l->opt.pid > 0 && proc_pss_read(l->opt.pid, &after) != 0)
        return -1;
    report(l, &a, &b);
    n = l->open_phones > 0 ? (double)l->open_phones : 1.0;
    printf(",\"phones\":%llu,\"pss_before_kib\":%llu,\"pss_after_kib\":%llu,\"kib_per_phone\":%.3f,"
           "\"idle_cpu_ms_per_s\":%.3f}\n",
           (unsigned long long)l->open_phones, (unsigned long long)before,
           (unsigned long long)after, ((double)after - (double)before) / n,
           (double)(d.use.cpu_ns - c.use.cpu_ns) / 1e6 / ((double)(d.at_ns - c.at_ns) / 1e9));
    l->stopping = true;
    return l->open_phones == l->opt.phones ? 0 : 1;
}

/* ---- the program ---- */

static int load_init(struct load *l)
{
    struct rlimit files = {0, 0};

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    signal(SIGPIPE, SIG_IGN);
    l->run_id = (uint32_t)(clock_ns() / 1000) ^ (uint32_t)getpid() << 16;
    n_slots = l->opt.rate > 0              ? LOAD_SLOTS
              : l->opt.in_flight * 4 < 512 ? 512
                                           : l->opt.in_flight * 4;
    l->units = calloc(LOAD_SLOTS, sizeof(*l->units));
    if (l->units == NULL || digest_init() != 0 || identity_init(&l->opt) != 0)
        return -1;
    if (wire_init(&l->wire, (struct wire_handlers){on_message, on_ready, on_closed}, l->opt.cert,
                  l->opt.key) != 0)
        return -1;
    if (l->scenario->prepare != NULL && l->scenario->prepare(l) != 0)
        return -1;
    l->wire.gather = l->opt.gather;
    l->wire.lose_percent = l->opt.lose_percent;
    return links_open(l);
}

int main(int argc, char **argv)
{
    struct load *l = &load;
    struct sample a, b;
    int rc = 0;

    if (!options_scan(l, argc, argv)) {
        return 2;
    }
    if (load_init(l) != 0) {
        fprintf(stderr, "sipload: cannot begin: no memory, or the server cannot be reached\n");
        return 3;
    }
    if (l->scenario == &scenario_idle) {
        rc = run_idle(l) == 0 ? 0 : 1;
    } else {
        if (l->opt.once)
            run_counted(l, l->opt.users, &a, &b);
        else
            run_timed(l, &a, &b);
        report(l, &a, &b);
        report_pss(l);
        printf("}\n");
    }
    register_done();
    if (interrupted)
        return 4;
    return rc != 0 || l->window.done == 0 || l->all.failed > 0 ? 1 : 0;
}
