/* A call's audio as RTP (RFC 3550, 3551, 4733): two sockets and a thread that sends a frame every
 * 20 ms, receives, and plays. What protects it is media_keys.c's: every packet goes through
 * media_keys_protect or media_keys_open, every description through media_keys_offer, _answer or
 * _accept. Protected packets are taken from wherever they come, since they prove whose they are;
 * clear ones from the host that the other side's description names, and, once one was valid, from
 * that port alone.
 *
 * Packets of key management come before anybody has answered (RFC 8842 5.2), so the thread runs
 * from our offer on.
 *
 * Owner: the call. The thread holds the lock while it works on a packet or frame, the phone's
 * thread while it changes or reads something; neither waits for anything inside. */
#include "base/mem.h"
#include "media/srtp.h"
#include "phone/media.h"
#include "phone/media_codecs.h"
#include "phone/media_keys.h"
#include "phone/media_socket.h"
#include "phone/sound.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define BURST 64u /* packets read at once before the next frame is due */
#define CATCH_UP 5u
#define ROOM (RTP_PACKET_MAX + MEDIA_SRTP_GROWTH)

/* One answer to our offer, or the call itself. */
struct branch {
    struct media_keys *keys; /* NULL: not in use */
    bool is_offering;        /* our offer is out, this one has not answered it */
    bool mux;
    struct sdp_target target;
};

struct phone_media {
    struct phone_media_user user;
    const struct phone_media_rtp *cfg;
    struct addr local; /* of RTP; RTCP is the next port */
    int rtp_fd, rtcp_fd, wake_fd, timer_fd;
    pthread_t thread;
    bool has_thread;
    struct media_codecs codecs;
    pthread_mutex_t lock; /* of what follows */
    struct rand_source rand;
    struct branch branch[PHONE_MEDIA_BRANCHES];
    unsigned now;         /* the one that counts */
    enum sdp_proto proto; /* of our last offer */
    uint8_t without;      /* methods that were refused: keying_wish.without */
    bool wants_rekey;
    bool is_answering; /* our answer is not out yet: nothing of key management goes before it */
    struct media_stream *stream;
    struct sound *sound;
    unsigned rate;
    bool sends, receives, has_first, is_stopping;
    bool has_from; /* clear: a valid packet came from here */
    struct addr from;
    uint64_t foreign;
    const struct codec_info *codec;
};

static struct branch *now_of(struct phone_media *m)
{
    return &m->branch[m->now];
}

/* ---- clocks ---- */

static uint64_t clock_us(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static struct keying_at keying_now(struct phone_media *m)
{
    return (struct keying_at){.now_ms = clock_us(CLOCK_MONOTONIC) / 1000,
                              .wall_ms = clock_us(CLOCK_REALTIME) / 1000,
                              .rand = &m->rand};
}

/* ---- the wire ---- */

static void send_raw(int fd, const struct addr *to, const uint8_t *p, size_t n)
{
    if (addr_is_set(to))
        (void)!sendto(fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL, &to->sa, addr_len(to));
}

/* Protects and sends; p has ROOM bytes. */
static void send_packet(struct phone_media *m, bool is_rtcp, uint8_t *p, size_t n)
{
    const struct branch *b = now_of(m);
    if (!b->target.is_null && media_keys_protect(b->keys, is_rtcp, p, &n, ROOM))
        send_raw(is_rtcp && !b->mux ? m->rtcp_fd : m->rtp_fd,
                 is_rtcp ? &b->target.rtcp : &b->target.rtp, p, n);
}

/* ---- key management ---- */

struct to_branch {
    struct phone_media *m;
    const struct branch *b;
};

static void send_keying(void *arg, enum keying_path path, const struct addr *to, const uint8_t *p,
                        size_t n)
{
    const struct to_branch *t = arg;
    bool is_rtcp = path == KEYING_RTCP || path == KEYING_RTCP_BACK;
    if (to == NULL)
        to = is_rtcp ? &t->b->target.rtcp : &t->b->target.rtp;
    send_raw(is_rtcp ? t->m->rtcp_fd : t->m->rtp_fd, to, p, n);
}

static void tell_news(struct phone_media *m, unsigned news)
{
    if (news & MEDIA_KEYS_CHANGED)
        m->user.on_news(m->user.arg, m->user.call, PHONE_MEDIA_SECURITY);
    if (news & MEDIA_KEYS_REKEY) {
        m->wants_rekey = true;
        m->user.on_news(m->user.arg, m->user.call, PHONE_MEDIA_REKEY);
    }
    if (news & MEDIA_KEYS_FAILED)
        m->user.on_news(m->user.arg, m->user.call, PHONE_MEDIA_FAILED);
}

/* What key management wants done, after whatever may have moved it on. */
static void work(struct phone_media *m, struct branch *b)
{
    struct to_branch to = {m, b};
    if (m->is_answering)
        return;
    unsigned news = media_keys_drain(b->keys, send_keying, &to);
    if (b == now_of(m))
        tell_news(m, news);
}

static void tick_all(struct phone_media *m)
{
    struct keying_at at = keying_now(m);
    for (unsigned i = 0; i < PHONE_MEDIA_BRANCHES; i++) {
        struct branch *b = &m->branch[i];
        if (b->keys == NULL)
            continue;
        media_keys_tick(b->keys, &at);
        work(m, b);
    }
}

/* Whose packet it is: the answer's that names its source, else that of the one that counts. All
 * have one port of ours. */
static struct branch *branch_of(struct phone_media *m, const struct addr *from)
{
    for (unsigned i = 0; i < PHONE_MEDIA_BRANCHES; i++) {
        struct branch *b = &m->branch[i];
        if (b->keys != NULL && (addr_eq(&b->target.rtp, from) || addr_eq(&b->target.rtcp, from)))
            return b;
    }
    return now_of(m);
}

/* ---- what comes ---- */

static void take_rtp(struct phone_media *m, const struct addr *from, const uint8_t *p, size_t n)
{
    bool is_clear = media_keys_is_clear(now_of(m)->keys);
    char digit;
    if (is_clear && m->has_from && !addr_eq(&m->from, from)) {
        m->foreign++;
        return;
    }
    enum media_stream_rx rx = media_stream_receive(m->stream, p, n, clock_us(CLOCK_MONOTONIC));
    if (rx != MEDIA_RX_AUDIO && rx != MEDIA_RX_EVENT)
        return;
    m->has_from = true;
    m->from = *from;
    if (rx == MEDIA_RX_AUDIO && !m->has_first) {
        m->has_first = true;
        m->user.on_first(m->user.arg, m->user.call);
    }
    while (media_stream_digit(m->stream, &digit))
        m->user.on_digit(m->user.arg, m->user.call, digit);
}

/* May these bytes be looked at? Clear ones from the right host, protected ones if they are
 * authentic. */
static bool is_theirs(struct phone_media *m, const struct branch *b, bool is_rtcp,
                      bool is_rtcp_port, const struct addr *from, uint8_t *p, size_t *n)
{
    struct keying_at at = keying_now(m);
    if (media_keys_is_clear(b->keys))
        return addr_eq_host(from, is_rtcp_port ? &b->target.rtcp : &b->target.rtp);
    return media_keys_open(b->keys, &at, is_rtcp, is_rtcp_port ? KEYING_RTCP : KEYING_RTP, p, n);
}

static void receive_media(struct phone_media *m, bool is_rtcp, bool is_rtcp_port,
                          const struct addr *from, uint8_t *p, size_t n)
{
    struct branch *b = now_of(m);
    if (m->stream == NULL)
        return;
    if (b->target.is_null || !is_theirs(m, b, is_rtcp, is_rtcp_port, from, p, &n)) {
        m->foreign++;
        return;
    }
    if (is_rtcp)
        (void)!media_stream_rtcp_receive(m->stream, p, n, clock_us(CLOCK_MONOTONIC),
                                         clock_us(CLOCK_REALTIME));
    else if (m->receives)
        take_rtp(m, from, p, n);
    work(m, b);
}

/* Which protocol it is, RFC 7983. */
static void receive_packet(struct phone_media *m, bool is_rtcp_port, const struct addr *from,
                           uint8_t *p, size_t n)
{
    struct keying_at at;
    struct branch *b;
    switch (rtp_demux(p, n)) {
    case RTP_DEMUX_DTLS:
        at = keying_now(m);
        b = branch_of(m, from);
        media_keys_packet(b->keys, &at, is_rtcp_port ? KEYING_RTCP : KEYING_RTP, from, p, n);
        work(m, b);
        break;
    case RTP_DEMUX_RTCP:
        if (is_rtcp_port || now_of(m)->mux)
            receive_media(m, true, is_rtcp_port, from, p, n);
        break;
    case RTP_DEMUX_RTP:
        if (!is_rtcp_port)
            receive_media(m, false, false, from, p, n);
        break;
    case RTP_DEMUX_OTHER: /* none of ours: no ICE, no ZRTP, no TURN */
    case RTP_DEMUX_STUN:
    case RTP_DEMUX_ZRTP:
    case RTP_DEMUX_TURN:
        break;
    }
}

/* ---- the thread ---- */

static void receive_all(struct phone_media *m, int fd, bool is_rtcp_port)
{
    uint8_t p[2048]; /* DTLS may be longer than RTP */
    for (unsigned i = 0; i < BURST; i++) {
        struct addr from;
        socklen_t len = sizeof(from);
        ssize_t n = recvfrom(fd, p, sizeof(p), MSG_DONTWAIT | MSG_TRUNC, &from.sa, &len);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n > 0 && (size_t)n <= sizeof(p)) /* errors are ICMP's of packets gone before */
            receive_packet(m, is_rtcp_port, &from, p, (size_t)n);
    }
}

static void frame(struct phone_media *m)
{
    int16_t pcm[CODEC_FRAME_MAX];
    uint8_t p[ROOM];
    size_t n = m->rate / 1000 * CODEC_FRAME_MS, len;
    uint64_t now = clock_us(CLOCK_MONOTONIC);
    bool is_ready = media_keys_is_ready(now_of(m)->keys), sends = m->sends && is_ready;
    if (sends)
        sound_fill(m->sound, pcm, n);
    if (media_stream_frame(m->stream, sends ? pcm : NULL, p, RTP_PACKET_MAX, &len) == 0 && sends)
        send_packet(m, false, p, len);
    bool is_heard = media_stream_play(m->stream, pcm);
    if (m->receives && (is_heard || m->has_first))
        sound_hear(m->sound, pcm, n);
    if (is_ready && now >= media_stream_rtcp_due_us(m->stream) &&
        media_stream_rtcp_build(m->stream, now, clock_us(CLOCK_REALTIME), false, p, RTP_PACKET_MAX,
                                &len) == 0)
        send_packet(m, true, p, len);
}

static void frames_due(struct phone_media *m)
{
    uint64_t n = 0;
    if (read(m->timer_fd, &n, sizeof(n)) != (ssize_t)sizeof(n))
        return;
    tick_all(m);
    for (uint64_t i = 0; i < n && i < CATCH_UP && m->stream != NULL; i++)
        frame(m);
}

static void *thread_main(void *arg)
{
    struct phone_media *m = arg;
    struct pollfd fds[] = {{.fd = m->rtp_fd, .events = POLLIN},
                           {.fd = m->rtcp_fd, .events = POLLIN},
                           {.fd = m->timer_fd, .events = POLLIN},
                           {.fd = m->wake_fd, .events = POLLIN}};
    bool is_stopping = false;
    while (!is_stopping) {
        if (poll(fds, ARRAY_LEN(fds), -1) < 0 && errno != EINTR)
            break;
        pthread_mutex_lock(&m->lock);
        if (fds[0].revents)
            receive_all(m, m->rtp_fd, false);
        if (fds[1].revents)
            receive_all(m, m->rtcp_fd, true);
        if (fds[2].revents)
            frames_due(m);
        is_stopping = m->is_stopping;
        pthread_mutex_unlock(&m->lock);
    }
    uint8_t p[ROOM];
    size_t len;
    if (m->stream != NULL &&
        media_stream_rtcp_build(m->stream, clock_us(CLOCK_MONOTONIC), clock_us(CLOCK_REALTIME),
                                true, p, RTP_PACKET_MAX, &len) == 0)
        send_packet(m, true, p, len);
    return NULL;
}

static int thread_start(struct phone_media *m, struct reason *why)
{
    const struct itimerspec every = {.it_interval = {.tv_nsec = CODEC_FRAME_MS * 1000000},
                                     .it_value = {.tv_nsec = CODEC_FRAME_MS * 1000000}};
    if (m->has_thread)
        return 0;
    m->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    m->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (m->wake_fd < 0 || m->timer_fd < 0 || timerfd_settime(m->timer_fd, 0, &every, NULL) != 0 ||
        (errno = pthread_create(&m->thread, NULL, thread_main, m)) != 0) {
        reason_set(why, "media-thread", NULL, 500, "%s", strerror(errno));
        return ERR_IO;
    }
    m->has_thread = true;
    return 0;
}

/* ---- phone_media_ops ---- */

static void op_close(struct phone_media *m)
{
    if (m->has_thread) {
        uint64_t one = 1;
        pthread_mutex_lock(&m->lock);
        m->is_stopping = true;
        pthread_mutex_unlock(&m->lock);
        (void)!write(m->wake_fd, &one, sizeof(one));
        pthread_join(m->thread, NULL);
    }
    media_socket_close(m->rtp_fd);
    media_socket_close(m->rtcp_fd);
    media_socket_close(m->wake_fd);
    media_socket_close(m->timer_fd);
    for (unsigned i = 0; i < PHONE_MEDIA_BRANCHES; i++)
        media_keys_free(m->branch[i].keys);
    media_stream_free(m->stream);
    sound_free(m->sound);
    pthread_mutex_destroy(&m->lock);
    mem_free(m);
}

static int op_open(void *arg, const struct addr *local, struct rand_source *rand,
                   const struct phone_media_user *user, struct phone_media **ret,
                   struct reason *why)
{
    struct phone_media *m = mem_zalloc(sizeof(*m));
    *ret = NULL;
    (void)rand; /* belongs to the phone's thread */
    if (m == NULL)
        return ERR_NOMEM;
    m->cfg = arg;
    m->user = *user;
    m->local = *local;
    m->rtp_fd = m->rtcp_fd = m->wake_fd = m->timer_fd = -1;
    pthread_mutex_init(&m->lock, NULL);
    rand_system_init(&m->rand);
    int err = media_keys_new(&m->branch[0].keys, m->cfg->keying);
    if (!err)
        err = media_codecs_make(&m->codecs, m->cfg->codecs, why);
    if (!err && media_sockets_open(&m->local, &m->rtp_fd, &m->rtcp_fd) != 0) {
        reason_set(why, "media-socket", NULL, 500, "%s", strerror(errno));
        err = ERR_IO;
    }
    if (err)
        op_close(m);
    else
        *ret = m;
    return err;
}

static uint8_t paths_of(bool mux)
{
    return mux ? 1u << KEYING_RTP : 1u << KEYING_RTP | 1u << KEYING_RTCP;
}

static int op_offer(struct phone_media *m, struct arena *a, bool is_hop_private,
                    struct sdp_new_media *ret, struct reason *why)
{
    struct branch *b = now_of(m);
    *ret = (struct sdp_new_media){.kind = STR("audio"),
                                  .port = addr_port(&m->local),
                                  .codecs = m->codecs.codec,
                                  .n_codecs = m->codecs.n,
                                  .ptime_ms = CODEC_FRAME_MS,
                                  .rtcp_mux = true};
    pthread_mutex_lock(&m->lock);
    struct keying_at at = keying_now(m);
    const struct keying_wish wish = {.is_hop_private = is_hop_private,
                                     .rekey = m->wants_rekey,
                                     .paths = paths_of(true),
                                     .without = m->without};
    int err = media_keys_offer(b->keys, &at, &wish, a, ret, why);
    b->is_offering = !err;
    m->proto = sdp_proto_parse(ret->proto);
    pthread_mutex_unlock(&m->lock);
    return err ? err : thread_start(m, why);
}

/* Where the other side is, and that we can get there. */
static int target_get(const struct phone_media *m, const struct sdp *remote, int media, bool mux,
                      struct sdp_target *ret, struct reason *why)
{
    int err = sdp_media_target(remote, media, mux, ret);
    if (err) {
        reason_set(why, "media-address", "RFC 8866 5.7", 488,
                   "the other side's address cannot be used");
    } else if (addr_is_v6(&ret->rtp) != addr_is_v6(&m->local)) {
        reason_set(why, "media-address", "RFC 6157 5", 488,
                   "the other side's address is of another family than ours");
        err = ERR_UNSUPPORTED;
    }
    return err;
}

static bool has_moved(const struct branch *b, const struct sdp_target *target)
{
    return addr_is_set(&b->target.rtp) && !addr_eq(&b->target.rtp, &target->rtp);
}

/* Our answer to an offer, by these keys: the call's own, or others that are only tried. */
static int answer_with(struct phone_media *m, struct media_keys *keys, struct arena *a,
                       const struct sdp *offer, int media, bool is_hop_private,
                       struct sdp_new_media *ret, struct reason *why)
{
    bool mux = sdp_has(offer, media, SDP_A_RTCP_MUX);
    struct sdp_target target;
    if (offer->media[media].kind != SDP_AUDIO || !sdp_proto_is_rtp(offer->media[media].proto)) {
        reason_set(why, "media-kind", "RFC 3264 6", 488, "%.*s %.*s is not audio by RTP",
                   STR_FMT(offer->media[media].kind_text), STR_FMT(offer->media[media].proto_text));
        return ERR_UNSUPPORTED;
    }
    int err = media_codecs_answer(&m->codecs, a, offer, media, ret, why);
    if (!err)
        err = target_get(m, offer, media, mux, &target, why);
    if (err)
        return err;
    struct keying_at at = keying_now(m);
    const struct keying_wish wish = {.is_hop_private = is_hop_private, .paths = paths_of(mux)};
    const struct keying_heard heard = {.sdp = offer,
                                       .section = media,
                                       .is_hop_private = is_hop_private,
                                       .is_moved = has_moved(now_of(m), &target)};
    err = media_keys_answer(keys, &at, &wish, &heard, a, ret, why);
    ret->port = addr_port(&m->local);
    ret->ptime_ms = CODEC_FRAME_MS;
    ret->rtcp_mux = mux;
    return err == ERR_REFUSED ? ERR_UNSUPPORTED : err;
}

static int op_answer(struct phone_media *m, struct arena *a, const struct sdp *offer, int media,
                     bool is_hop_private, struct sdp_new_media *ret, struct reason *why)
{
    pthread_mutex_lock(&m->lock);
    int err = answer_with(m, now_of(m)->keys, a, offer, media, is_hop_private, ret, why);
    m->is_answering = !err;
    pthread_mutex_unlock(&m->lock);
    return err;
}

static int op_check(struct phone_media *m, const struct sdp *offer, int media, bool is_hop_private,
                    struct reason *why)
{
    struct arena *a = arena_new(1024, 64u << 10);
    struct media_keys *keys = NULL;
    struct sdp_new_media ignored = {0};
    int err = a == NULL ? ERR_NOMEM : media_keys_new(&keys, m->cfg->keying);
    if (!err) {
        pthread_mutex_lock(&m->lock);
        err = answer_with(m, keys, a, offer, media, is_hop_private, &ignored, why);
        pthread_mutex_unlock(&m->lock);
        media_keys_free(keys);
    }
    arena_free(a);
    return err;
}

static int stream_make(struct phone_media *m, const struct media_stream_args *args,
                       struct reason *why)
{
    if (m->stream)
        return media_stream_change(m->stream, args);
    m->rate = args->codec->rate;
    int err = sound_new(m->cfg->sound, m->rate, &m->sound, why);
    if (err)
        return err;
    m->stream = media_stream_new(args, m->rate, &m->rand, clock_us(CLOCK_MONOTONIC));
    return m->stream ? 0 : ERR_NOMEM;
}

/* The answer came: its keys, those of a twin of the first if another has answered before. */
static int accept_answer(struct phone_media *m, struct branch *b,
                         const struct phone_media_exchange *x, const struct sdp_target *target,
                         bool mux, struct reason *why)
{
    int err = 0;
    if (b->keys == NULL) {
        err = media_keys_fork(now_of(m)->keys, &b->keys);
        b->is_offering = !err;
    }
    if (err || !b->is_offering) /* the same answer once more */
        return err;
    struct keying_at at = keying_now(m);
    const struct keying_wish wish = {.is_hop_private = x->is_hop_private, .paths = paths_of(mux)};
    const struct keying_heard heard = {.sdp = x->remote,
                                       .section = x->media,
                                       .is_hop_private = x->is_hop_private,
                                       .is_moved = has_moved(b, target)};
    err = media_keys_accept(b->keys, &at, &wish, &heard, why);
    if (!err) {
        b->is_offering = false;
        m->wants_rekey = false;
    }
    return err;
}

/* This answer, or this exchange, counts from now on. */
static void take(struct phone_media *m, struct branch *b, const struct phone_media_exchange *x,
                 const struct sdp_target *target, bool mux)
{
    if (b != now_of(m) || !addr_eq(&b->target.rtp, &target->rtp))
        m->has_from = false;
    b->target = *target;
    b->mux = mux;
    m->now = (unsigned)(b - m->branch);
    m->is_answering = false;
    m->sends = ((unsigned)x->dir & SDP_SENDONLY) != 0;
    m->receives = ((unsigned)x->dir & SDP_RECVONLY) != 0;
}

static int op_agreed(struct phone_media *m, const struct phone_media_exchange *x,
                     struct reason *why)
{
    struct media_stream_args args;
    struct sdp_target target;
    bool mux = sdp_has(x->remote, x->media, SDP_A_RTCP_MUX); /* we always have it, or answer it */
    int err = media_codecs_agreed(&m->codecs, x->remote, x->media, x->we_offered, &args, why);
    if (!err)
        err = target_get(m, x->remote, x->media, mux, &target, why);
    if (err || x->branch >= PHONE_MEDIA_BRANCHES)
        return err ? err : ERR_LIMIT;
    pthread_mutex_lock(&m->lock);
    struct branch *b = x->we_offered ? &m->branch[x->branch] : now_of(m);
    if (x->we_offered)
        err = accept_answer(m, b, x, &target, mux, why);
    if (!err)
        err = stream_make(m, &args, why);
    if (!err) {
        m->codec = args.codec;
        take(m, b, x, &target, mux);
        work(m, b);
        if (media_keys_failure(b->keys) != NULL)
            tell_news(m, MEDIA_KEYS_FAILED);
    }
    pthread_mutex_unlock(&m->lock);
    return err ? err : thread_start(m, why);
}

static void branches_drop(struct phone_media *m)
{
    for (unsigned i = 0; i < PHONE_MEDIA_BRANCHES; i++) {
        if (i == m->now)
            continue;
        media_keys_free(m->branch[i].keys);
        m->branch[i] = (struct branch){.keys = NULL};
    }
}

static void op_rollback(struct phone_media *m)
{
    pthread_mutex_lock(&m->lock);
    media_keys_rollback(now_of(m)->keys);
    now_of(m)->is_offering = false;
    m->is_answering = false;
    pthread_mutex_unlock(&m->lock);
}

static void op_settled(struct phone_media *m)
{
    pthread_mutex_lock(&m->lock);
    struct keying_at at = keying_now(m);
    unsigned others = 0;
    for (unsigned i = 0; i < PHONE_MEDIA_BRANCHES; i++)
        others += i != m->now && m->branch[i].keys != NULL;
    branches_drop(m);
    /* Where others have answered, a handshake of theirs may still be under way, which is no attack:
     * then time tells (keying_policy.handshake_ms). */
    if (others == 0)
        media_keys_settled(now_of(m)->keys, &at);
    work(m, now_of(m));
    pthread_mutex_unlock(&m->lock);
}

static bool op_next_way(struct phone_media *m)
{
    const struct keying_policy *policy = m->cfg->keying;
    bool is_left = false;
    pthread_mutex_lock(&m->lock);
    if (sdp_proto_is_dtls(m->proto))
        m->without |= 1u << KEYING_DTLS;
    else if (sdp_proto_is_secure(m->proto))
        m->without |= 1u << KEYING_SDES;
    for (size_t i = 0; i < policy->n_methods && sdp_proto_is_secure(m->proto); i++)
        is_left |= !(m->without & (1u << policy->methods[i]));
    if (is_left)
        branches_drop(m);
    pthread_mutex_unlock(&m->lock);
    return is_left;
}

static int op_dial(struct phone_media *m, struct str digits)
{
    pthread_mutex_lock(&m->lock);
    int err = m->stream ? media_stream_dial(m->stream, digits) : ERR_UNSUPPORTED;
    pthread_mutex_unlock(&m->lock);
    return err;
}

static bool op_is_dialling(struct phone_media *m)
{
    pthread_mutex_lock(&m->lock);
    bool is = m->stream && media_stream_is_dialling(m->stream);
    pthread_mutex_unlock(&m->lock);
    return is;
}

static void op_figures(struct phone_media *m, struct phone_media_figures *ret)
{
    *ret = (struct phone_media_figures){.has_expected = m->cfg->sound->expect_hz != 0};
    pthread_mutex_lock(&m->lock);
    if (m->stream) {
        media_stream_quality(m->stream, &ret->q);
        ret->codec = m->codec->name;
        if (!now_of(m)->target.is_null)
            ret->remote = now_of(m)->target.rtp;
        ret->is_heard = sound_is_heard(m->sound, &ret->tonal_ms, &ret->loud_ms);
        ret->foreign = m->foreign;
    }
    pthread_mutex_unlock(&m->lock);
}

static void op_security(struct phone_media *m, struct phone_media_security *ret)
{
    struct keying_facts facts;
    pthread_mutex_lock(&m->lock);
    media_keys_facts(now_of(m)->keys, &facts);
    pthread_mutex_unlock(&m->lock);
    phone_media_words(&facts, ret);
}

static bool op_failure(struct phone_media *m, struct reason *ret)
{
    pthread_mutex_lock(&m->lock);
    const struct reason *why = media_keys_failure(now_of(m)->keys);
    if (why != NULL)
        *ret = *why;
    pthread_mutex_unlock(&m->lock);
    return why != NULL;
}

const struct phone_media_ops phone_media_rtp_ops = {
    .open = op_open,
    .close = op_close,
    .offer = op_offer,
    .answer = op_answer,
    .check = op_check,
    .agreed = op_agreed,
    .rollback = op_rollback,
    .settled = op_settled,
    .next_way = op_next_way,
    .dial = op_dial,
    .is_dialling = op_is_dialling,
    .figures = op_figures,
    .security = op_security,
    .failure = op_failure,
};
