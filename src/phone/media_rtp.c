/* A call's audio as clear RTP (RFC 3550, 3551, 4733; profile RTP/AVP): two sockets and a thread
 * that sends a frame every 20 ms, receives, and plays. Packets are taken from the host that the
 * other side's description names, and, once one was valid, from that port alone.
 *
 * Where protection comes in: send_packet and receive_packet are the only places that touch the
 * wire; offer, answer and agreed the only ones that touch descriptions.
 *
 * Owner: the call. The thread holds the lock while it works on a packet or frame, the phone's
 * thread while it changes or reads something; neither waits for anything inside. */
#include "base/mem.h"
#include "phone/media.h"
#include "phone/sound.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define PORT_TRIES 64u
#define BURST 64u /* packets read at once before the next frame is due */
#define CATCH_UP 5u
#define CODECS_MAX 8u
#define PT_EVENT_8K 101u
#define PT_EVENT_48K 102u
#define PT_DYNAMIC 96u

struct phone_media {
    struct phone_media_user user;
    const struct phone_media_rtp *cfg;
    struct addr local; /* of RTP; RTCP is the next port */
    int rtp_fd, rtcp_fd, wake_fd, timer_fd;
    pthread_t thread;
    bool has_thread;
    /* what our descriptions offer */
    struct sdp_codec codecs[CODECS_MAX];
    size_t n_codecs;
    pthread_mutex_t lock; /* of what follows */
    struct rand_source rand;
    struct media_stream *stream;
    struct sound *sound;
    unsigned rate;
    struct sdp_target target;
    bool mux, sends, receives, has_first, is_stopping;
    bool has_from; /* a valid packet came from here */
    struct addr from;
    uint64_t foreign;
    const struct codec_info *codec;
};

/* ---- clocks ---- */

static uint64_t clock_us(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- the wire ---- */

static void send_packet(const struct phone_media *m, bool is_rtcp, const uint8_t *p, size_t n)
{
    const struct addr *to = is_rtcp ? &m->target.rtcp : &m->target.rtp;
    if (addr_is_set(to) && !m->target.is_null)
        (void)!sendto(is_rtcp && !m->mux ? m->rtcp_fd : m->rtp_fd, p, n,
                      MSG_DONTWAIT | MSG_NOSIGNAL, &to->sa, addr_len(to));
}

static void take_rtp(struct phone_media *m, const struct addr *from, const uint8_t *p, size_t n)
{
    char digit;
    if (m->has_from && !addr_eq(&m->from, from)) {
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

static void receive_packet(struct phone_media *m, bool is_rtcp_port, const struct addr *from,
                           const uint8_t *p, size_t n)
{
    enum rtp_demux kind = rtp_demux(p, n);
    if (m->target.is_null || !addr_eq_host(from, is_rtcp_port ? &m->target.rtcp : &m->target.rtp)) {
        m->foreign++;
        return;
    }
    if (kind == RTP_DEMUX_RTCP && (is_rtcp_port || m->mux))
        (void)!media_stream_rtcp_receive(m->stream, p, n, clock_us(CLOCK_MONOTONIC),
                                         clock_us(CLOCK_REALTIME));
    else if (kind == RTP_DEMUX_RTP && !is_rtcp_port && m->receives)
        take_rtp(m, from, p, n);
}

/* ---- the thread ---- */

static void receive_all(struct phone_media *m, int fd, bool is_rtcp_port)
{
    uint8_t p[RTP_PACKET_MAX + 1];
    for (unsigned i = 0; i < BURST; i++) {
        struct addr from;
        socklen_t len = sizeof(from);
        ssize_t n = recvfrom(fd, p, sizeof(p), MSG_DONTWAIT, &from.sa, &len);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n > 0 && (size_t)n <= RTP_PACKET_MAX) /* errors are ICMP's of packets gone before */
            receive_packet(m, is_rtcp_port, &from, p, (size_t)n);
    }
}

static void frame(struct phone_media *m)
{
    int16_t pcm[CODEC_FRAME_MAX];
    uint8_t p[RTP_PACKET_MAX];
    size_t n = m->rate / 1000 * CODEC_FRAME_MS, len;
    uint64_t now = clock_us(CLOCK_MONOTONIC);
    if (m->sends)
        sound_fill(m->sound, pcm, n);
    if (media_stream_frame(m->stream, m->sends ? pcm : NULL, p, sizeof(p), &len) == 0 && m->sends)
        send_packet(m, false, p, len);
    bool is_heard = media_stream_play(m->stream, pcm);
    if (m->receives && (is_heard || m->has_first))
        sound_hear(m->sound, pcm, n);
    if (now >= media_stream_rtcp_due_us(m->stream) &&
        media_stream_rtcp_build(m->stream, now, clock_us(CLOCK_REALTIME), false, p, sizeof(p),
                                &len) == 0)
        send_packet(m, true, p, len);
}

static void frames_due(struct phone_media *m)
{
    uint64_t n = 0;
    if (read(m->timer_fd, &n, sizeof(n)) != (ssize_t)sizeof(n))
        return;
    for (uint64_t i = 0; i < n && i < CATCH_UP; i++)
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
    uint8_t p[512];
    size_t len;
    if (media_stream_rtcp_build(m->stream, clock_us(CLOCK_MONOTONIC), clock_us(CLOCK_REALTIME),
                                true, p, sizeof(p), &len) == 0)
        send_packet(m, true, p, len);
    return NULL;
}

static int thread_start(struct phone_media *m, struct reason *why)
{
    const struct itimerspec every = {.it_interval = {.tv_nsec = CODEC_FRAME_MS * 1000000},
                                     .it_value = {.tv_nsec = CODEC_FRAME_MS * 1000000}};
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

/* ---- sockets ---- */

static int bound(const struct addr *at, int *ret_fd)
{
    int fd = socket(at->sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, &at->sa, addr_len(at)) == 0) {
        *ret_fd = fd;
        return 0;
    }
    if (fd >= 0)
        close(fd);
    return ERR_IO;
}

/* An even port and the next one (RFC 3550 11). */
static int sockets_open(struct phone_media *m)
{
    for (unsigned i = 0; i < PORT_TRIES; i++) {
        struct addr at = m->local, next;
        socklen_t len = sizeof(at);
        addr_set_port(&at, 0);
        if (bound(&at, &m->rtp_fd) != 0)
            return ERR_IO;
        if (getsockname(m->rtp_fd, &at.sa, &len) == 0 && addr_port(&at) % 2 == 0) {
            next = at;
            addr_set_port(&next, (uint16_t)(addr_port(&at) + 1));
            if (bound(&next, &m->rtcp_fd) == 0) {
                m->local = at;
                return 0;
            }
        }
        close(m->rtp_fd);
        m->rtp_fd = -1;
    }
    return ERR_IO;
}

static void fd_close(int fd)
{
    if (fd >= 0)
        close(fd);
}

/* ---- what we offer ---- */

static void codec_add(struct phone_media *m, const struct sdp_codec *c)
{
    for (size_t i = 0; i < m->n_codecs; i++) {
        if (m->codecs[i].pt == c->pt)
            return;
    }
    if (m->n_codecs < CODECS_MAX)
        m->codecs[m->n_codecs++] = *c;
}

static void codec_offer(struct phone_media *m, const struct codec_info *info)
{
    struct sdp_codec c = {.name = str_z(info->name),
                          .rate = info->clock,
                          .channels = (uint8_t)info->channels,
                          .pt = info->pt < 0 ? PT_DYNAMIC : (uint8_t)info->pt,
                          .fmtp = str_z(info->fmtp)};
    codec_add(m, &c);
}

/* The codecs asked for, in their order, and digits for each clock that they use (RFC 4733 7.1). */
static int codecs_make(struct phone_media *m, struct reason *why)
{
    struct str rest = m->cfg->codecs, name;
    const struct codec_info *info;
    bool has_8k = false, has_48k = false;
    for (size_t i = 0; rest.n == 0 && (info = codec_at(i)) != NULL; i++)
        codec_offer(m, info);
    while (rest.n) {
        rest = str_cut(rest, ',', &name);
        info = codec_find(str_trim(name));
        if (info == NULL) {
            reason_set(why, "codec", NULL, 0, "there is no codec \"%.*s\"", STR_FMT(name));
            return ERR_UNSUPPORTED;
        }
        codec_offer(m, info);
    }
    for (size_t i = 0; i < m->n_codecs; i++) {
        has_8k |= m->codecs[i].rate == 8000;
        has_48k |= m->codecs[i].rate == 48000;
    }
    struct sdp_codec event = {.name = STR("telephone-event"), .channels = 1, .fmtp = STR("0-15")};
    event.rate = 8000;
    event.pt = PT_EVENT_8K;
    if (has_8k)
        codec_add(m, &event);
    event.rate = 48000;
    event.pt = PT_EVENT_48K;
    if (has_48k)
        codec_add(m, &event);
    return 0;
}

static bool is_event(const struct sdp_codec *c)
{
    return str_eq(c->name, STR("telephone-event"));
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
    fd_close(m->rtp_fd);
    fd_close(m->rtcp_fd);
    fd_close(m->wake_fd);
    fd_close(m->timer_fd);
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
    int err = codecs_make(m, why);
    if (!err && sockets_open(m) != 0) {
        reason_set(why, "media-socket", NULL, 500, "%s", strerror(errno));
        err = ERR_IO;
    }
    if (err)
        op_close(m);
    else
        *ret = m;
    return err;
}

static int op_offer(struct phone_media *m, struct arena *a, struct sdp_new_media *ret)
{
    (void)a;
    *ret = (struct sdp_new_media){.kind = STR("audio"),
                                  .proto = STR("RTP/AVP"),
                                  .port = addr_port(&m->local),
                                  .codecs = m->codecs,
                                  .n_codecs = m->n_codecs,
                                  .ptime_ms = CODEC_FRAME_MS,
                                  .rtcp_mux = true};
    return 0;
}

/* The codec that both speak, first in the other side's order, and digits with its clock; -1 where
 * there is none. */
static void choose(const struct sdp_agreed *agreed, size_t n, int *ret_audio, int *ret_event)
{
    *ret_audio = *ret_event = -1;
    for (size_t i = 0; i < n && *ret_audio < 0; i++) {
        if (!is_event(agreed[i].codec))
            *ret_audio = (int)i;
    }
    for (size_t i = 0; i < n && *ret_audio >= 0 && *ret_event < 0; i++) {
        if (is_event(agreed[i].codec) && agreed[i].codec->rate == agreed[*ret_audio].codec->rate)
            *ret_event = (int)i;
    }
}

static int op_answer(struct phone_media *m, struct arena *a, const struct sdp *offer, int media,
                     struct sdp_new_media *ret, struct reason *why)
{
    const struct sdp_media *o = &offer->media[media];
    struct sdp_agreed agreed[CODECS_MAX];
    int audio, event;
    if (o->kind != SDP_AUDIO)
        return ERR_UNSUPPORTED;
    if (o->proto != SDP_RTP_AVP && o->proto != SDP_RTP_AVPF) {
        reason_set(why, "media-profile", "RFC 3264 6", 488,
                   "%.*s is offered; this phone speaks RTP/AVP", STR_FMT(o->proto_text));
        return ERR_UNSUPPORTED;
    }
    choose(agreed, sdp_codecs_match(offer, media, m->codecs, m->n_codecs, agreed, CODECS_MAX),
           &audio, &event);
    if (audio < 0) {
        reason_set(why, "media-codec", "RFC 3264 6.1", 488, "no codec in common");
        return ERR_UNSUPPORTED;
    }
    struct sdp_codec *codecs = arena_alloc(a, 2 * sizeof(*codecs));
    if (codecs == NULL)
        return ERR_NOMEM;
    codecs[0] = *agreed[audio].codec;
    codecs[0].pt = agreed[audio].pt; /* the offer's numbers (6.1) */
    if (event >= 0) {
        codecs[1] = *agreed[event].codec;
        codecs[1].pt = agreed[event].pt;
    }
    ret->port = addr_port(&m->local);
    ret->fmts = STR_NULL;
    ret->codecs = codecs;
    ret->n_codecs = event >= 0 ? 2 : 1;
    ret->ptime_ms = CODEC_FRAME_MS;
    ret->rtcp_mux = sdp_has(offer, media, SDP_A_RTCP_MUX);
    return 0;
}

static int stream_args(struct phone_media *m, const struct sdp *remote, int media, bool we_offered,
                       struct media_stream_args *ret, struct reason *why)
{
    struct sdp_agreed agreed[CODECS_MAX];
    int audio, event;
    size_t n = sdp_codecs_match(remote, media, m->codecs, m->n_codecs, agreed, CODECS_MAX);
    choose(agreed, n, &audio, &event);
    if (audio < 0) {
        reason_set(why, "media-codec", "RFC 3264 6.1", 488, "no codec in common");
        return ERR_UNSUPPORTED;
    }
    *ret = (struct media_stream_args){.codec = codec_find(agreed[audio].codec->name),
                                      .pt = agreed[audio].pt,
                                      .event_pt_send = -1,
                                      .event_pt_recv = -1};
    /* What comes has the numbers of the offer if it was ours, else those of theirs, which our
     * answer has too. */
    for (size_t i = 0; i < n && ret->n_recv < MEDIA_STREAM_CODECS; i++) {
        if (is_event(agreed[i].codec) || (!we_offered && (int)i != audio))
            continue;
        ret->recv[ret->n_recv].codec = codec_find(agreed[i].codec->name);
        ret->recv[ret->n_recv++].pt = we_offered ? agreed[i].codec->pt : agreed[i].pt;
    }
    if (event >= 0) {
        ret->event_pt_send = agreed[event].pt;
        ret->event_pt_recv = we_offered ? agreed[event].codec->pt : agreed[event].pt;
    }
    return 0;
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

static int op_agreed(struct phone_media *m, const struct sdp *remote, int media, bool we_offered,
                     enum sdp_dir dir, struct reason *why)
{
    struct media_stream_args args;
    struct sdp_target target;
    bool mux = sdp_has(remote, media, SDP_A_RTCP_MUX); /* we always have it, or answer it */
    int err = stream_args(m, remote, media, we_offered, &args, why);
    if (!err && (err = sdp_media_target(remote, media, mux, &target)) != 0)
        reason_set(why, "media-address", "RFC 8866 5.7", 488,
                   "the other side's address cannot be used");
    if (!err && addr_is_v6(&target.rtp) != addr_is_v6(&m->local)) {
        reason_set(why, "media-address", "RFC 6157 5", 488,
                   "the other side's address is of another family than ours");
        err = ERR_UNSUPPORTED;
    }
    if (err)
        return err;
    pthread_mutex_lock(&m->lock);
    err = stream_make(m, &args, why);
    if (!err) {
        if (!addr_eq(&m->target.rtp, &target.rtp))
            m->has_from = false;
        m->target = target;
        m->mux = mux;
        m->sends = ((unsigned)dir & SDP_SENDONLY) != 0;
        m->receives = ((unsigned)dir & SDP_RECVONLY) != 0;
        m->codec = args.codec;
    }
    pthread_mutex_unlock(&m->lock);
    return err || m->has_thread ? err : thread_start(m, why);
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
        if (!m->target.is_null)
            ret->remote = m->target.rtp;
        ret->is_heard = sound_is_heard(m->sound, &ret->tonal_ms, &ret->loud_ms);
        ret->foreign = m->foreign;
    }
    pthread_mutex_unlock(&m->lock);
}

static void op_security(struct phone_media *m, struct phone_media_security *ret)
{
    (void)m;
    *ret = (struct phone_media_security){.method = "none", .exposed = "anybody on its way"};
}

const struct phone_media_ops phone_media_rtp_ops = {
    .open = op_open,
    .close = op_close,
    .offer = op_offer,
    .answer = op_answer,
    .agreed = op_agreed,
    .dial = op_dial,
    .is_dialling = op_is_dialling,
    .figures = op_figures,
    .security = op_security,
};
