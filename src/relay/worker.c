/* A media worker: one thread that waits for datagrams on the ports of its calls and passes them on.
 * Under load packets are left to gather for a moment (config.wait_us), so that one wake-up does for
 * many. Commands of other threads are worked off between packets. */
#include "base/err.h"
#include "base/mem.h"
#include "relay/relay_priv.h"
#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS 256
#define TICK_MS 500u
#define COMMANDS_TURN 256u /* before packets have their turn again */
#define TRIES 4u           /* reads of one port that may end in somebody else's error */
#define ROUNDS 64u         /* looks at the ports without a wait */
#define GATHER_MIN 2u      /* packets to be expected, from which on it pays to wait */
#define WINDOW_US 10000u   /* over which packets are counted for that */
#define TIMER_SLACK_NS 1000ul

void relay_worker_clock(struct relay_worker *w)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    w->now_us = (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
    w->now_ms = w->now_us / 1000;
}

static void wake(void *arg)
{
    struct relay_worker *w = arg;
    uint64_t one = 1;

    (void)!write(w->wake_fd, &one, sizeof(one));
}

/* Once a connected port has been empty, what comes by it can only be of the address that it is
 * connected to, and need not be asked where it comes from: that costs a tenth of the call. */
static bool is_to_be_emptied(const struct relay_port *port)
{
    return port->is_connected && !port->is_alone &&
           port->end->worker->now_ms >= port->end->alone_ms;
}

/* One datagram, if there is one: the port is told again while more wait there. */
static unsigned read_port(struct relay_port *port)
{
    const int flags = MSG_DONTWAIT | MSG_TRUNC;
    uint8_t p[LIMIT_RELAY_PACKET + MEDIA_SRTP_GROWTH] NO_AUTO_INIT;
    unsigned n_packets = 0;

    for (unsigned i = 0; i < TRIES; i++) {
        struct addr from NO_AUTO_INIT;
        socklen_t len = sizeof(from);
        bool is_alone = port->is_alone;
        ssize_t n = is_alone ? recv(port->fd, p, LIMIT_RELAY_PACKET, flags)
                             : recvfrom(port->fd, p, LIMIT_RELAY_PACKET, flags, &from.sa, &len);

        if (n >= 0) {
            relay_packet_in(port->end, port->path,
                            is_alone ? &port->end->way[port->path].to : &from, p, (size_t)n);
            n_packets++;
            if (!is_to_be_emptied(port))
                break;
        } else if (errno == EAGAIN) {
            port->is_alone = is_to_be_emptied(port) || is_alone;
            break;
        }
        /* Else an ICMP error for something sent before: it says nothing about the call. */
    }
    return n_packets;
}

void relay_worker_bury(struct relay_worker *w)
{
    while (w->graves != NULL) {
        struct relay_grave *g = w->graves;

        w->graves = g->next;
        g->bury(g);
    }
    w->last_grave = &w->graves;
}

static void tick(struct relay_worker *w)
{
    if (w->now_ms < w->tick_ms)
        return;
    w->tick_ms = w->now_ms + TICK_MS;
    LIST_EACH(e, &w->ends, struct relay_end, wnode) {
        relay_end_tick(e);
    }
}

static int wait_ms(const struct relay_worker *w)
{
    return list_is_empty(&w->ends)  ? -1
           : w->tick_ms > w->now_ms ? (int)(w->tick_ms - w->now_ms)
                                    : 0;
}

static void warm(const void *p, size_t n)
{
    const char *end = (const char *)p + n;

    for (const char *at = p; at < end; at += RELAY_LINE)
        PREFETCH(at);
    PREFETCH(end - 1); /* it may begin anywhere in a line */
}

/* Asks for the memory that the next packets need, while the kernel is busy with this one: each step
 * finds what the one before has asked for. With hundreds of calls none of it is in the first
 * caches, and one after the other the misses would cost as much as the cipher. */
static void warm_up(const struct epoll_event *events, int n)
{
    enum { FAR = 5 }; /* the step that looks furthest ahead */

    for (int ahead = n > FAR ? FAR : n - 1; ahead >= 0; ahead--) {
        const struct relay_port *port = events[ahead].data.ptr;
        const struct relay_end *e, *partner;

        if (port == NULL)
            continue;
        if (ahead == FAR) {
            PREFETCH(port);
            continue;
        }
        e = port->end;
        if (ahead == FAR - 1) {
            warm(e, offsetof(struct relay_end, way[KEYING_RTCP]));
            warm(&e->quality, sizeof(e->quality));
            continue;
        }
        partner = e->partner;
        if (ahead == FAR - 2 && partner != NULL)
            warm(partner, offsetof(struct relay_end, way) + sizeof(struct addr));
        if (ahead > 0 && e->protection == RELAY_PROTECT)
            media_srtp_warm(e->srtp[MEDIA_SRTP_RECEIVE][port->path], (unsigned)(FAR - 2 - ahead));
        if (ahead < FAR - 2 && partner != NULL && partner->protection == RELAY_PROTECT)
            media_srtp_warm(partner->srtp[MEDIA_SRTP_SEND][port->path],
                            (unsigned)(FAR - 3 - ahead));
    }
}

/* One look at what is ready: commands first (who sends after a command was given may expect it to
 * hold), then a datagram of each port that has one. */
static unsigned look(struct relay_worker *w, int timeout_ms)
{
    NO_AUTO_INIT struct epoll_event events[EVENTS];
    unsigned n_packets = 0;
    int n = epoll_wait(w->epoll_fd, events, EVENTS, timeout_ms);

    relay_worker_clock(w);
    (void)mq_drain(w->q, w, COMMANDS_TURN);
    for (int i = 0; i < n; i++) {
        warm_up(events + i, n - i);
        if (events[i].data.ptr != NULL)
            n_packets += read_port(events[i].data.ptr);
    }
    relay_worker_bury(w);
    return n_packets;
}

/* How long packets may gather now. To wake up costs more than to pass on a packet, so under load it
 * is done for several at once: as soon as that many are to be expected within the time they may be
 * held up, which is wait_us less what the turn itself takes. */
static unsigned gather_us(struct relay_worker *w, uint64_t began_us, unsigned n_packets)
{
    const unsigned wait_us = w->relay->config.wait_us;
    uint64_t elapsed_us = began_us - w->window_us, took_us;

    w->window_packets += n_packets;
    if (elapsed_us >= WINDOW_US) {
        w->is_busy = w->window_packets * wait_us >= GATHER_MIN * elapsed_us;
        w->window_packets = 0;
        w->window_us = began_us;
    }
    if (!w->is_busy || n_packets == 0)
        return 0;
    relay_worker_clock(w);
    took_us = w->now_us - began_us;
    return took_us < wait_us ? (unsigned)(wait_us - took_us) : 0;
}

static void *worker_main(void *arg)
{
    struct relay_worker *w = arg;

    (void)prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS);
    while (!atomic_load(&w->is_stopping)) {
        unsigned n = look(w, wait_ms(w)), n_more = n, us;
        uint64_t began_us = w->now_us;

        relay_tally(&w->wakeups, 1);
        /* Again as long as it is as much as before: several wait at the same ports. */
        for (unsigned i = 0, before = 0; i < ROUNDS && n_more > before / 2; i++) {
            before = n_more;
            n_more = look(w, 0);
            n += n_more;
        }
        relay_tally(&w->batches, n > 1);
        tick(w);
        us = gather_us(w, began_us, n);
        if (us > 0)
            (void)nanosleep(&(struct timespec){.tv_nsec = (long)us * 1000}, NULL);
    }
    return NULL;
}

int relay_worker_watch(struct relay_worker *w, struct relay_port *port)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = port};

    return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, port->fd, &event) == 0 ? 0 : ERR_IO;
}

int relay_worker_start(struct relay_worker *w, struct relay *r)
{
    /* Edge triggered: each write is told once, and the number in it never read. */
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};
    sigset_t all, before;

    w->relay = r;
    w->is_dry = r->config.dry;
    w->epoll_fd = w->wake_fd = -1;
    list_init(&w->ends);
    w->last_grave = &w->graves;
    relay_worker_clock(w);
    if (r->config.dry)
        return 0;
    w->q = mq_new(SIZE_MAX / 2, wake, w); /* each call and end has one place in it, or two */
    if (w->q == NULL)
        return ERR_NOMEM;
    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->epoll_fd < 0 || w->wake_fd < 0 ||
        epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->wake_fd, &event) != 0)
        return ERR_IO;
    (void)sigfillset(&all); /* signals are the main thread's */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    w->has_thread = pthread_create(&w->thread, NULL, worker_main, w) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return w->has_thread ? 0 : ERR_NOMEM;
}

void relay_worker_stop(struct relay_worker *w)
{
    if (w->has_thread) {
        atomic_store(&w->is_stopping, true);
        wake(w);
        (void)pthread_join(w->thread, NULL);
    }
    w->has_thread = false;
    while (w->q != NULL && mq_drain(w->q, w, COMMANDS_TURN) > 0)
        continue;
    relay_worker_bury(w);
}
