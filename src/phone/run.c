/* One phone as a process: TLS context, one worker of net, and the main thread that waits for the
 * script's end or a signal. The script and the phone live on the worker's thread from worker_start
 * to worker_stop. */
#include "phone/run.h"
#include "keying/dtls.h"
#include "net/worker.h"
#include "phone/script.h"
#include "pki/tls.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

struct process {
    struct phone_run *run;
    struct phone_out out;
    struct phone_media_rtp media;
    struct script *script;
    struct phone_anchors *anchors; /* NULL: none */
    int done_fd;
    _Atomic int status;
    uint64_t begin_us;
};

static uint64_t now_us(void *arg)
{
    struct process *p = arg;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000 - p->begin_us;
}

static void say_error(struct process *p, const char *what, const struct reason *why)
{
    const struct log_field f[] = {LZ("reason", why->code), LZ("detail", why->detail)};
    PHONE_SAY(&p->out, "error", f, "%s: %s", what,
              why->detail[0] ? why->detail
              : why->code    ? why->code
                             : "failed");
}

/* ---- on the worker's thread ---- */

static void on_done(void *arg, int status)
{
    struct process *p = arg;
    uint64_t one = 1;
    p->status = status;
    (void)!write(p->done_fd, &one, sizeof(one));
}

static int worker_start(void *arg, struct net *net, struct net_user *ret_user)
{
    struct process *p = arg;
    int err = p->anchors ? phone_anchors_worker_start(p->anchors, net) : 0;
    if (!err)
        err = script_new(net, p->run, &p->out, on_done, p, &p->script);
    if (!err)
        phone_net_user(script_phone(p->script), ret_user);
    else if (p->anchors)
        phone_anchors_worker_stop(p->anchors);
    return err;
}

static void worker_stop(void *arg, struct net *net, void *user_arg)
{
    struct process *p = arg;
    (void)net;
    (void)user_arg;
    script_free(p->script);
    p->script = NULL;
    if (p->anchors)
        phone_anchors_worker_stop(p->anchors);
}

static void begin(void *phone, void *arg)
{
    struct process *p = arg;
    (void)phone;
    script_begin(p->script);
}

static void interrupt(void *phone, void *arg)
{
    struct process *p = arg;
    (void)phone;
    script_interrupt(p->script);
}

/* ---- main thread ---- */

/* The script's end, or signals: the first hangs up in order, the second ends at once. */
static void wait_for_end(struct process *p, struct net_group *g, int signal_fd)
{
    struct pollfd fds[] = {{.fd = p->done_fd, .events = POLLIN},
                           {.fd = signal_fd, .events = POLLIN}};
    for (unsigned signals = 0; signals < 2;) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return;
        if (fds[0].revents)
            return;
        if (fds[1].revents) {
            struct signalfd_siginfo info;
            if (read(signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
                signals++;
            if (net_group_post(g, 0, interrupt, p) != 0)
                return;
        }
    }
}

static int tls_make(struct process *p, struct pki_tls_client **ret)
{
    struct phone_run *run = p->run;
    struct pki_tls_identity own = {.cert_pem = run->cert, .key_pem = run->key};
    struct pki_tls_options o = {.ca_pem = run->ca, .min_version = run->tls_min};
    struct reason why = {0};
    *ret = NULL;
    if (run->phone.has_transport && run->phone.transport != TRANSPORT_TLS)
        return 0;
    if (run->cert) {
        o.identities = &own;
        o.n_identities = 1;
    }
    int err = pki_tls_client_new(&o, ret, &why);
    if (err)
        say_error(p, "TLS", &why);
    return err;
}

/* The certificate behind the fingerprints of DTLS-SRTP: of this process, and gone with it (RFC 5763
 * 5, 6.1). */
static int identity_make(struct process *p)
{
    struct rand_source rand;
    struct timespec t;
    struct reason why = {0};
    rand_system_init(&rand);
    clock_gettime(CLOCK_REALTIME, &t);
    int err = keying_dtls_identity_new(&p->run->keying.identity, (uint64_t)t.tv_sec, &rand);
    if (err) {
        reason_set(&why, "dtls-identity", "RFC 5763 5", 0, "%s", err_text(err));
        say_error(p, "DTLS", &why);
    }
    return err;
}

/* What the user signs by, and whom the phone believes without its edge's word (RFC 8862). */
static int signatures_make(struct process *p)
{
    struct phone_run *run = p->run;
    struct reason why = {0};
    struct timespec t;
    char user[512];
    int err = 0;
    clock_gettime(CLOCK_REALTIME, &t);
    if (run->signer.cert) {
        snprintf(user, sizeof(user), "sip:%.*s@%.*s", STR_FMT(run->phone.user),
                 STR_FMT(run->phone.domain));
        run->signer.user = str_z(user);
        run->signer.now_s = (uint64_t)t.tv_sec;
        err = phone_signer_new(&run->signer, &run->phone.signer, &why);
    }
    if (!err && run->anchors.ca)
        err = phone_anchors_new(&run->anchors, &p->anchors, &why);
    if (!err && p->anchors)
        run->phone.verifier = phone_anchors_verifier(p->anchors);
    if (err)
        say_error(p, "identity", &why);
    return err;
}

static void signatures_free(struct process *p)
{
    phone_anchors_free(p->anchors);
    p->anchors = NULL;
    p->run->phone.verifier = NULL;
    phone_signer_free(p->run->phone.signer);
    p->run->phone.signer = NULL;
}

/* The worker: with a UDP socket, or as a client that listens nowhere. */
static int group_make(struct process *p, struct net_group **ret)
{
    struct phone_run *run = p->run;
    struct net_listener udp = {.transport = TRANSPORT_UDP, .addr = run->bind};
    struct net_group_args args = {.n_workers = 1,
                                  .worker_start = worker_start,
                                  .worker_stop = worker_stop,
                                  .arg = p,
                                  .dns_forward = run->dns};
    struct reason why = {0};
    run->phone.listener = NET_LISTENER_GONE;
    if (run->phone.has_transport && run->phone.transport == TRANSPORT_UDP) {
        struct addr server;
        if (!addr_is_set(&udp.addr)) {
            bool v6 = addr_parse(&server, run->phone.server, 0) == 0 && addr_is_v6(&server);
            if (addr_parse(&udp.addr, v6 ? STR("::") : STR("0.0.0.0"), 0) != 0)
                return ERR_INVALID;
        }
        args.listeners = &udp;
        args.n_listeners = 1;
        run->phone.listener = 0;
    }
    int err = net_group_start(&args, ret, &why);
    if (!err && args.n_listeners && (err = net_group_addr(*ret, 0, &run->phone.local)) != 0)
        net_group_stop(*ret);
    if (err)
        say_error(p, "network", &why);
    return err;
}

static int run_blocked(struct process *p, int signal_fd)
{
    struct net_group *g;
    struct pki_tls_client *tls;
    if (tls_make(p, &tls) != 0)
        return PHONE_NOT_REGISTERED;
    if (identity_make(p) != 0) {
        pki_tls_client_unref(tls);
        return PHONE_NOT_REGISTERED;
    }
    p->run->phone.tls = tls;
    int status = PHONE_NOT_REGISTERED;
    if (signatures_make(p) == 0 && group_make(p, &g) == 0) {
        p->status = PHONE_NOT_REGISTERED;
        if (p->anchors)
            phone_anchors_set_group(p->anchors, g);
        if (net_group_post(g, 0, begin, p) == 0)
            wait_for_end(p, g, signal_fd);
        phone_anchors_stop(p->anchors);
        net_group_stop(g);
        status = p->status;
    }
    signatures_free(p);
    pki_tls_client_unref(tls);
    keying_dtls_identity_unref(p->run->keying.identity);
    p->run->keying.identity = NULL;
    return status;
}

int phone_run(struct phone_run *run)
{
    struct process p = {
        .run = run,
        .out = {.file = run->quiet ? NULL : stdout, .json = run->json, .now_us = now_us}};
    sigset_t set, old;
    p.out.arg = &p;
    p.out.trace = run->trace ? stderr : NULL;
    p.begin_us = now_us(&p);
    p.media = (struct phone_media_rtp){
        .sound = &run->sound, .codecs = run->codecs, .keying = &run->keying};
    run->phone.media = &phone_media_rtp_ops;
    run->phone.media_arg = &p.media;
    if (!run->trace)
        log_threshold = LOG_ERROR; /* what the rooms below log, the events say as well */
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, &old); /* the worker inherits it: signals come here */
    int signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
    p.done_fd = eventfd(0, EFD_CLOEXEC);
    int status = PHONE_NOT_REGISTERED;
    if (signal_fd >= 0 && p.done_fd >= 0)
        status = run_blocked(&p, signal_fd);
    if (signal_fd >= 0)
        close(signal_fd);
    if (p.done_fd >= 0)
        close(p.done_fd);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return status;
}
