/* Jobs to the keeper and its answers back; see signer.h. */
#include "keeper/signer.h"
#include "base/mem.h"
#include "keeper/frame.h"
#include "net/net.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#define OUT_BYTES (4 * LIMIT_KEEPER_FRAME)
#define IN_BYTES 32768u

struct waiting {
    enum keeper_type answer; /* of that kind */
    /* One of them; both NULL: cancelled, or timed out: its answer is thrown away. */
    struct identity_sign_job *job;
    struct pki_sign_job *tls;
    bool is_answered;
    uint64_t due_ms;
};

struct keeper_signer {
    struct identity_signer base;
    struct pki_signer tls;
    struct net *net;
    struct wheel *wheel;
    struct wheel_timer timer; /* of the oldest */
    int fd;
    struct net_watch *watch;
    bool is_broken; /* nothing can be written any more; ends when the loop says so */
    bool wants_write;
    uint64_t first, next; /* ids: first <= id < next wait for answers */
    uint64_t in_time;     /* those before it are too late */
    uint64_t oldest[2];   /* of identities, of TLS: none before it waits any more */
    size_t max_waiting;
    struct waiting *ring; /* id % max_waiting */
    size_t n_in, n_out, n_written;
    struct keeper_signer_stats stats;
    char in[IN_BYTES];
    char out[OUT_BYTES];
};

static struct keeper_signer *of(struct identity_signer *base)
{
    return CONTAINER_OF(base, struct keeper_signer, base);
}

static struct waiting *at(struct keeper_signer *s, uint64_t id)
{
    return &s->ring[id % s->max_waiting];
}

static void complete(struct keeper_signer *s, uint64_t id, int err, struct str signature)
{
    struct identity_sign_job *job = at(s, id)->job;
    struct pki_sign_job *tls = at(s, id)->tls;

    at(s, id)->job = NULL;
    at(s, id)->tls = NULL;
    if (!job && !tls)
        return;
    if (err == 0)
        s->stats.signed_++;
    else if (err == ERR_REFUSED)
        s->stats.refused++;
    else if (err == ERR_TIMEOUT)
        s->stats.timeouts++;
    else if (err == ERR_CLOSED)
        s->stats.lost++;
    else
        s->stats.failed++;
    if (job)
        identity_sign_complete(job, err, signature);
    else
        tls->done(tls, err, signature);
}

/* --- time --- */

static void set_timer(struct keeper_signer *s)
{
    uint64_t id = s->in_time > s->first ? s->in_time : s->first;
    uint64_t now = wheel_now_ms(s->wheel), due;

    if (id == s->next) {
        wheel_cancel(s->wheel, &s->timer);
        return;
    }
    due = at(s, id)->due_ms;
    if (!wheel_is_running(&s->timer))
        wheel_start(s->wheel, &s->timer, due > now ? due - now : 0);
}

/* Their answers may still come, and are then thrown away; the order is kept. */
static void on_timer(struct wheel_timer *t)
{
    struct keeper_signer *s = CONTAINER_OF(t, struct keeper_signer, timer);
    uint64_t now = wheel_now_ms(s->wheel);

    if (s->in_time < s->first)
        s->in_time = s->first;
    while (s->in_time < s->next && at(s, s->in_time)->due_ms <= now)
        complete(s, s->in_time++, ERR_TIMEOUT, STR_NULL);
    set_timer(s);
}

/* --- the connection --- */

static void disconnect(struct keeper_signer *s)
{
    uint64_t end = s->next;

    if (s->watch)
        net_watch_stop(s->net, s->watch);
    s->watch = NULL;
    if (s->fd >= 0)
        (void)close(s->fd);
    s->fd = -1;
    s->is_broken = s->wants_write = false;
    s->n_in = s->n_out = s->n_written = 0;
    wheel_cancel(s->wheel, &s->timer);
    /* A completion may ask again; without a connection it is refused, so this ends. */
    while (s->first < end)
        complete(s, s->first++, ERR_CLOSED, STR_NULL);
}

static void want_write(struct keeper_signer *s, bool want)
{
    if (s->wants_write == want)
        return;
    s->wants_write = want;
    if (s->watch)
        net_watch_want_write(s->net, s->watch, want);
}

static void flush(struct keeper_signer *s)
{
    while (s->n_written < s->n_out) {
        ssize_t n = send(s->fd, s->out + s->n_written, s->n_out - s->n_written,
                         MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            s->is_broken = errno != EAGAIN;
            break;
        }
        s->n_written += (size_t)n;
    }
    if (s->n_written == s->n_out)
        s->n_written = s->n_out = 0;
    want_write(s, s->n_out > 0 && !s->is_broken);
}

/* The one that an answer must be for. */
static uint64_t oldest_of(struct keeper_signer *s, bool is_tls)
{
    uint64_t *id = &s->oldest[is_tls];

    if (*id < s->first)
        *id = s->first;
    while (*id < s->next &&
           (at(s, *id)->is_answered || (at(s, *id)->answer == KEEPER_TLS_SIGNED) != is_tls))
        ++*id;
    return *id;
}

/* Answers come in the order of the requests, of those for identities and of those for TLS; anything
 * else is not our keeper. */
static bool take_answers(struct keeper_signer *s)
{
    size_t done = 0, n;
    int fd = s->fd;

    for (;;) {
        struct keeper_frame f;
        int err = keeper_frame_parse(str_make(s->in + done, s->n_in - done), &f, &n);

        if (err == ERR_AGAIN)
            break;
        if (err != 0 || f.id != oldest_of(s, f.type == KEEPER_TLS_SIGNED) || f.id == s->next ||
            f.type != at(s, f.id)->answer)
            return false;
        done += n;
        at(s, f.id)->is_answered = true;
        while (s->first < s->next && at(s, s->first)->is_answered)
            s->first++;
        complete(s, f.id, keeper_status_err(f.status), f.body);
        if (s->fd != fd) /* attached to another meanwhile */
            return true;
    }
    memmove(s->in, s->in + done, s->n_in - done);
    s->n_in -= done;
    return true;
}

/* false: it has ended. */
static bool receive(struct keeper_signer *s)
{
    for (;;) {
        ssize_t n = recv(s->fd, s->in + s->n_in, sizeof(s->in) - s->n_in, MSG_DONTWAIT);
        bool was_full;

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        if (n == 0)
            return false;
        s->n_in += (size_t)n;
        was_full = s->n_in == sizeof(s->in);
        if (!take_answers(s))
            return false;
        if (!was_full || s->fd < 0)
            return true;
    }
}

void keeper_signer_ready(struct keeper_signer *s)
{
    if (s->fd < 0)
        return;
    if (!receive(s)) {
        disconnect(s);
        return;
    }
    if (s->fd >= 0 && s->n_out > 0 && !s->is_broken)
        flush(s);
    if (s->is_broken)
        disconnect(s);
    else
        set_timer(s);
}

static void on_watch(void *arg)
{
    keeper_signer_ready(arg);
}

/* --- jobs --- */

static int ask(struct keeper_signer *s, const struct keeper_frame *f, const struct waiting *w)
{
    struct sbuf b = {s->out, s->n_out, sizeof(s->out), false};

    if (s->fd < 0 || s->is_broken)
        return ERR_CLOSED;
    if (f->name.n == 0)
        return ERR_INVALID;
    if (s->next - s->first >= s->max_waiting)
        return ERR_LIMIT;
    keeper_frame_build(&b, f);
    if (b.overflow)
        return ERR_LIMIT;
    s->n_out = b.n;
    s->stats.asked++;
    *at(s, s->next) = *w;
    at(s, s->next)->due_ms = wheel_now_ms(s->wheel) + LIMIT_KEEPER_MS;
    /* With others under way it goes out when they come back, else at the end of this turn: together
     * with its like, for to wake the keeper up costs as much as to sign. */
    if (s->first == s->next++) {
        if (s->watch)
            net_watch_at_end(s->net, s->watch);
        else
            flush(s);
    }
    set_timer(s);
    return 0;
}

static int start(struct identity_signer *base, struct identity_sign_job *job)
{
    struct keeper_signer *s = of(base);
    bool is_old = job->digest_string.n > 0;
    const struct keeper_frame f = {.type = is_old ? KEEPER_RFC4474 : KEEPER_SIGN,
                                   .id = s->next,
                                   .name = job->key,
                                   .body = is_old ? job->digest_string : job->passport.input};
    enum keeper_type answer = is_old ? KEEPER_RFC4474_SIGNED : KEEPER_SIGNED;

    return ask(s, &f, &(struct waiting){.answer = answer, .job = job});
}

static int start_tls(struct pki_signer *tls, struct pki_sign_job *job)
{
    struct keeper_signer *s = CONTAINER_OF(tls, struct keeper_signer, tls);
    const struct pki_sign_request *r = &job->request;
    const struct keeper_frame f = {.type = KEEPER_TLS,
                                   .id = s->next,
                                   .name = r->key,
                                   .kind = (uint8_t)r->kind,
                                   .scheme = r->scheme,
                                   .body = r->input};

    return ask(s, &f, &(struct waiting){.answer = KEEPER_TLS_SIGNED, .tls = job});
}

static void cancel_tls(struct pki_signer *tls, struct pki_sign_job *job)
{
    struct keeper_signer *s = CONTAINER_OF(tls, struct keeper_signer, tls);

    for (uint64_t id = s->first; id < s->next; id++) {
        if (at(s, id)->tls == job)
            at(s, id)->tls = NULL;
    }
}

static void cancel(struct identity_signer *base, struct identity_sign_job *job)
{
    struct keeper_signer *s = of(base);

    for (uint64_t id = s->first; id < s->next; id++) {
        if (at(s, id)->job == job) {
            at(s, id)->job = NULL;
            return;
        }
    }
}

/* --- its life --- */

int keeper_signer_new(const struct keeper_signer_args *args, struct keeper_signer **ret)
{
    struct keeper_signer *s = mem_zalloc(sizeof(*s));
    size_t max = args->max_waiting ? args->max_waiting : LIMIT_KEEPER_WAITING;

    *ret = NULL;
    if (!s)
        return ERR_NOMEM;
    s->ring = mem_zalloc_array(max, sizeof(*s->ring));
    if (!s->ring) {
        mem_free(s);
        return ERR_NOMEM;
    }
    s->base = (struct identity_signer){.start = start, .cancel = cancel};
    s->tls = (struct pki_signer){.start = start_tls, .cancel = cancel_tls};
    s->net = args->net;
    s->wheel = args->wheel;
    s->max_waiting = max;
    s->fd = -1;
    wheel_timer_init(&s->timer, on_timer);
    *ret = s;
    return 0;
}

void keeper_signer_free(struct keeper_signer *s)
{
    if (!s)
        return;
    disconnect(s);
    mem_free(s->ring);
    mem_free(s);
}

struct identity_signer *keeper_signer_base(struct keeper_signer *s)
{
    return &s->base;
}

struct pki_signer *keeper_signer_tls(struct keeper_signer *s)
{
    return &s->tls;
}

void keeper_signer_attach(struct keeper_signer *s, int fd)
{
    int flags = fcntl(fd, F_GETFL);

    disconnect(s);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        (s->net && net_watch_start(s->net, fd, on_watch, s, &s->watch) != 0)) {
        (void)close(fd);
        return;
    }
    s->fd = fd;
}

void keeper_signer_stats(const struct keeper_signer *s, struct keeper_signer_stats *ret)
{
    *ret = s->stats;
}

int keeper_signer_fd(const struct keeper_signer *s)
{
    return s->fd;
}

bool keeper_signer_wants_write(const struct keeper_signer *s)
{
    return s->wants_write;
}
