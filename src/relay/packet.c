/* The way of a packet: from a port of one end, judged, opened, across to the other end, protected,
 * and out. RFC 3550, 3711, 5761, 7983. Everything here runs on the worker's thread and nothing
 * waits or allocates (but for SRTP's new SSRCs).
 *
 *     relay_packet_in: size, which protocol, rate
 *       STUN         -> the end's ICE agent
 *       DTLS, ZRTP   -> key management
 *       RTP, RTCP    -> take: source, hold, authentic?, then the address may be latched
 *                    -> pass: to the partner, protected with its keys, out
 *
 * What is not accepted changes a counter and nothing else. */
#include "relay/relay_priv.h"
#include <errno.h>

/* After a connection: by then the kernel hands over no packet that it took for the port before. */
#define ALONE_MS 100u

static void drop_in(struct relay_end *e, enum relay_drop why)
{
    relay_tally(&e->dropped[why], 1);
    relay_tally(&e->in.dropped, 1);
    relay_tally(&e->worker->dropped[why], 1);
}

static void drop_out(struct relay_end *e, enum relay_drop why)
{
    relay_tally(&e->dropped[why], 1);
    relay_tally(&e->out.dropped, 1);
    relay_tally(&e->worker->dropped[why], 1);
}

static enum relay_drop drop_of(enum media_srtp_verdict v)
{
    switch (v) {
    case MEDIA_SRTP_MALFORMED:
    case MEDIA_SRTP_NO_ROOM:
        return RELAY_DROP_MALFORMED;
    case MEDIA_SRTP_REPLAYED:
    case MEDIA_SRTP_OLD:
        return RELAY_DROP_REPLAYED;
    case MEDIA_SRTP_NO_KEY:
    case MEDIA_SRTP_EXPIRED:
    case MEDIA_SRTP_FAILED:
        return RELAY_DROP_NO_KEYS;
    case MEDIA_SRTP_SSRC_LIMIT:
        return RELAY_DROP_SSRCS;
    default:
        return RELAY_DROP_FORGED;
    }
}

/* ---- the rate ---- */

static void bucket_fill(uint64_t *have_ms, uint64_t rate, uint64_t dt_ms)
{
    uint64_t most = rate * 1000; /* what comes in one second at once is fine */

    *have_ms = dt_ms >= 1000 || *have_ms + rate * dt_ms > most ? most : *have_ms + rate * dt_ms;
}

/* 0: no limit. */
static bool bucket_take(struct relay_bucket *b, uint64_t now_ms, uint32_t bytes_s,
                        uint32_t packets_s, size_t n)
{
    uint64_t dt_ms = b->at_ms == 0 ? 1000 : now_ms - b->at_ms;

    b->at_ms = now_ms;
    bucket_fill(&b->bytes_ms, bytes_s, dt_ms);
    bucket_fill(&b->packets_ms, packets_s, dt_ms);
    if ((bytes_s != 0 && b->bytes_ms < n * 1000) || (packets_s != 0 && b->packets_ms < 1000))
        return false;
    b->bytes_ms -= bytes_s != 0 ? n * 1000 : 0;
    b->packets_ms -= packets_s != 0 ? 1000 : 0;
    return true;
}

static bool is_over_rate(struct relay_end *e, size_t n)
{
    return (e->max_bytes_s != 0 || e->max_packets_s != 0) &&
           !bucket_take(&e->bucket, e->worker->now_ms, e->max_bytes_s, e->max_packets_s, n);
}

/* ---- out ---- */

/* to NULL: where a connection goes. An ICMP error for an earlier packet takes the place of a send:
 * it says nothing about this one. */
static bool port_send(const struct relay_port *port, const struct addr *to, const uint8_t *p,
                      size_t n)
{
    const int flags = MSG_DONTWAIT | MSG_NOSIGNAL;

    for (unsigned i = 0; i < 2; i++) {
        ssize_t sent;

        if (to == NULL && port->is_connected) {
            sent = send(port->fd, p, n, flags);
        } else {
            const struct addr *a = to != NULL ? to : &port->end->way[port->path].to;

            sent = sendto(port->fd, p, n, flags, &a->sa, addr_len(a));
        }
        if (sent >= 0)
            return true;
        if (errno != ECONNREFUSED)
            return false;
    }
    return false;
}

void relay_packet_out(struct relay_end *e, unsigned path, const struct addr *to, const uint8_t *p,
                      size_t n)
{
    if (e->worker->is_dry) {
        struct relay *r = e->call->relay;

        if (r->on_send != NULL)
            r->on_send(r->on_send_arg, e, path, to, p, n);
    } else if (!port_send(&e->port[path], to == &e->way[path].to ? NULL : to, p, n)) {
        drop_out(e, RELAY_DROP_SEND);
        return;
    }
    relay_tally(&e->out.packets, 1);
    relay_tally(&e->out.bytes, n);
    relay_tally(&e->worker->out_packets, 1);
    relay_tally(&e->worker->out_bytes, n);
}

static void rekey_if_due(struct relay_end *e, const struct media_srtp *s, unsigned path)
{
    if (UNLIKELY(media_srtp_stats(s)->rekey_due) && !e->rekey_told) {
        e->rekey_told = true;
        relay_end_tell(
            e, &(struct relay_event){.kind = RELAY_EVENT_REKEY, .path = (enum keying_path)path});
    }
}

/* See relay_end_withhold. */
static bool is_withheld(struct relay_end *e)
{
    if (LIKELY(relay_read(&e->withheld_ms) == 0))
        return false;
    if (e->worker->now_ms < relay_read(&e->withheld_ms))
        return true;
    relay_write(&e->withheld_ms, 0);
    return false;
}

/* Out by this end, in clear so far (or opaque). */
static void send_by(struct relay_end *e, bool is_rtcp, uint8_t *p, size_t n)
{
    unsigned path = is_rtcp && !e->mux ? KEYING_RTCP : KEYING_RTP;
    const struct addr *to = &e->way[path].to;

    if ((!e->receives && !is_rtcp) || !addr_is_set(to) || is_withheld(e) ||
        (path == KEYING_RTCP && !e->has_rtcp_port) ||
        (e->has_agent && !relay_agent_may_send(e, path))) {
        drop_out(e, RELAY_DROP_HELD);
        return;
    }
    if (is_rtcp && e->protection != RELAY_OPAQUE)
        relay_quality_rtcp_out(&e->quality, p, n, e->worker->now_us);
    if (e->protection == RELAY_PROTECT) {
        struct media_srtp *s = e->srtp[MEDIA_SRTP_SEND][path];
        size_t cap = LIMIT_RELAY_PACKET + MEDIA_SRTP_GROWTH;
        enum media_srtp_verdict v = s == NULL || e->is_send_refused ? MEDIA_SRTP_NO_KEY
                                    : is_rtcp ? media_srtcp_protect(s, p, &n, cap)
                                              : media_srtp_protect(s, p, &n, cap);
        if (v != MEDIA_SRTP_OK) {
            drop_out(e, drop_of(v));
            return;
        }
        rekey_if_due(e, s, path);
    }
    if (is_rtcp)
        relay_tally(&e->out_rtcp, 1);
    relay_packet_out(e, path, to, p, n);
}

static void pass(struct relay_end *e, bool is_rtcp, uint8_t *p, size_t n)
{
    struct relay_end *to = e->partner;

    /* Never is what one side has decrypted let out by an end that protects nothing of its own
     * accord. */
    if (to == NULL || (to->protection == RELAY_OPAQUE) != (e->protection == RELAY_OPAQUE))
        drop_in(e, RELAY_DROP_NOT_JOINED);
    else
        send_by(to, is_rtcp, p, n);
}

/* ---- in ---- */

/* RTP from the address in use, and no other can take its place any more but by a description or
 * when it falls silent: then only that address is heard, by the kernel's doing, and sending costs
 * less. */
static void connect_if_settled(struct relay_end *e)
{
    struct relay_port *port = &e->port[KEYING_RTP];
    const struct relay_way *w = &e->way[KEYING_RTP];

    if (port->is_connected || port->fd < 0 || e->has_agent || !w->is_heard || w->is_asymmetric ||
        (e->worker->now_ms < w->until_ms && !addr_eq(&w->to, &w->signalled)))
        return;
    port->is_connected = connect(port->fd, &w->to.sa, addr_len(&w->to)) == 0;
    e->alone_ms = e->worker->now_ms + ALONE_MS;
}

void relay_end_disconnect(struct relay_end *e)
{
    struct relay_port *port = &e->port[KEYING_RTP];
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};

    if (port->is_connected && connect(port->fd, &nobody, sizeof(nobody)) == 0)
        port->is_connected = port->is_alone = false;
}

static void accepted(struct relay_end *e, unsigned path, const struct addr *from,
                     enum relay_origin origin, bool is_rtcp, size_t n)
{
    uint64_t now_ms = e->worker->now_ms;

    relay_tally(&e->in.packets, 1);
    relay_tally(&e->in.bytes, n);
    relay_tally(&e->worker->in_packets, 1);
    relay_tally(&e->worker->in_bytes, n);
    if (is_rtcp)
        relay_tally(&e->in_rtcp, 1);
    atomic_store_explicit(&e->last_in_ms, now_ms, memory_order_relaxed);
    if (relay_way_accept(&e->way[path], from, origin, now_ms)) {
        if (path == KEYING_RTP) {
            relay_end_disconnect(e);
            relay_tally(&e->worker->followed, !addr_eq(from, &e->way[path].signalled));
            (void)!pthread_mutex_lock(&e->call->lock);
            e->told_remote = e->way[path].to;
            e->told_source = e->way[path].source;
            e->told_latched = !addr_eq(from, &e->way[path].signalled);
            (void)!pthread_mutex_unlock(&e->call->lock);
        }
        relay_end_tell(e, &(struct relay_event){.kind = RELAY_EVENT_REMOTE,
                                                .path = (enum keying_path)path,
                                                .from = *from,
                                                .described = e->way[path].signalled});
    }
    if (path == KEYING_RTP && origin == RELAY_ORIGIN_KNOWN)
        connect_if_settled(e);
    if (UNLIKELY((e->media_told & 1u << path) == 0) &&
        (e->protection != RELAY_PROTECT || media_srtp_is_used(e->srtp[MEDIA_SRTP_RECEIVE][path]))) {
        e->media_told |= (uint8_t)(1u << path);
        relay_end_tell(e, &(struct relay_event){.kind = RELAY_EVENT_MEDIA,
                                                .path = (enum keying_path)path,
                                                .from = *from});
    }
}

/* What follows from the first packets under new keys. */
static void opened(struct relay_end *e, unsigned path, bool is_rtcp)
{
    struct media_srtp *s = e->srtp[MEDIA_SRTP_RECEIVE][path];

    if (UNLIKELY((e->drop_old & 1u << path) != 0) && media_srtp_is_used(s)) {
        e->drop_old &= (uint8_t) ~(1u << path);
        media_srtp_drop_old(s);
    }
    /* A peer that cuts RTCP's tag as it does RTP's gets it that way, where policy has let us find
     * out (KEYING_RTCP_TAG_DETECT). */
    if (is_rtcp && e->srtp[MEDIA_SRTP_SEND][path] != NULL)
        media_srtp_set_rtcp_tag(e->srtp[MEDIA_SRTP_SEND][path], media_srtp_stats(s)->rtcp_tag_seen);
    rekey_if_due(e, s, path);
}

static enum media_srtp_verdict open_packet(struct relay_end *e, unsigned path, bool is_rtcp,
                                           uint8_t *p, size_t *n)
{
    struct media_srtp *s = e->srtp[MEDIA_SRTP_RECEIVE][path];

    if (s == NULL)
        return MEDIA_SRTP_NO_KEY;
    return is_rtcp ? media_srtcp_open(s, p, n) : media_srtp_open(s, p, n);
}

/* With ICE, from where a check has come, and from nowhere else. */
static enum relay_origin origin_of(const struct relay_end *e, unsigned path,
                                   const struct addr *from, bool is_rtcp)
{
    const struct media_srtp *s = e->srtp[MEDIA_SRTP_RECEIVE][path];
    enum relay_origin origin;

    if (e->has_agent)
        return relay_agent_knows(e, path, from) ? RELAY_ORIGIN_KNOWN : RELAY_ORIGIN_FOREIGN;
    origin = relay_way_judge(&e->way[path], from, (enum relay_protection)e->protection,
                             (enum relay_latch)e->latch, e->worker->now_ms);
    /* UNAUTHENTICATED_SRTP: nothing can prove itself, so it is as with clear media. */
    if (UNLIKELY(origin == RELAY_ORIGIN_PROVE) && !is_rtcp && s != NULL &&
        !media_srtp_authenticates(s))
        origin = relay_way_judge(&e->way[path], from, RELAY_CLEAR, (enum relay_latch)e->latch,
                                 e->worker->now_ms);
    return origin;
}

/* Not from where it may come. Whether it is a stranger or the peer, who does not do symmetric RTP,
 * nobody can tell without keys; it is refused, and, where the peer is silent, said. */
static void refuse_source(struct relay_end *e, unsigned path, const struct addr *from, bool is_rtcp)
{
    drop_in(e, RELAY_DROP_FOREIGN);
    if (path != KEYING_RTP || is_rtcp || e->has_agent || !e->sends ||
        LIKELY(!relay_way_is_astray(&e->way[path], e->worker->now_ms)))
        return;
    relay_tally(&e->worker->astray, 1);
    (void)!pthread_mutex_lock(&e->call->lock);
    e->told_astray = *from;
    (void)!pthread_mutex_unlock(&e->call->lock);
    relay_end_tell(e, &(struct relay_event){.kind = RELAY_EVENT_ASTRAY,
                                            .path = KEYING_RTP,
                                            .from = *from,
                                            .described = e->way[path].signalled});
}

/* RTP or RTCP; what it is not is not known to be true before it is opened. */
static void take(struct relay_end *e, unsigned path, const struct addr *from, bool is_rtcp,
                 uint8_t *p, size_t n)
{
    size_t n_came = n;
    enum relay_origin origin = origin_of(e, path, from, is_rtcp);
    struct rtp_packet rtp;
    struct rtcp_reader rtcp;

    if (origin == RELAY_ORIGIN_FOREIGN) {
        refuse_source(e, path, from, is_rtcp);
        return;
    }
    if (e->protection == RELAY_PROTECT) {
        enum media_srtp_verdict v = open_packet(e, path, is_rtcp, p, &n);

        if (v != MEDIA_SRTP_OK) {
            drop_in(e, drop_of(v));
            return;
        }
        opened(e, path, is_rtcp);
    }
    if (is_over_rate(e, n_came)) {
        drop_in(e, RELAY_DROP_POLICED);
        return;
    }
    if (e->protection != RELAY_OPAQUE &&
        (is_rtcp ? rtcp_start(&rtcp, p, n, true) : rtp_parse(p, n, &rtp)) != 0) {
        drop_in(e, RELAY_DROP_MALFORMED);
        return;
    }
    accepted(e, path, from, origin, is_rtcp, n_came);
    if (e->protection != RELAY_OPAQUE) {
        if (is_rtcp)
            relay_quality_rtcp_in(&e->quality, p, n, e->worker->now_us);
        else
            relay_quality_rtp(&e->quality, p, e->worker->now_us);
    }
    if (!e->sends && !is_rtcp) { /* held: RTCP goes on (RFC 3264 8.4) */
        drop_in(e, RELAY_DROP_HELD);
        return;
    }
    pass(e, is_rtcp, p, n);
}

/* End to end: everything passes that comes from where it may, as fast as it may. */
static void take_opaque(struct relay_end *e, unsigned path, const struct addr *from, bool is_media,
                        bool is_rtcp, uint8_t *p, size_t n)
{
    uint64_t now_ms = e->worker->now_ms;
    enum relay_origin origin =
        relay_way_judge(&e->way[path], from, RELAY_OPAQUE, (enum relay_latch)e->latch, now_ms);

    if (origin == RELAY_ORIGIN_FOREIGN) {
        refuse_source(e, path, from, is_rtcp || !is_media);
    } else if (is_over_rate(e, n)) {
        drop_in(e, RELAY_DROP_POLICED);
    } else {
        accepted(e, path, from, origin, is_rtcp, n);
        if (!e->sends && is_media && !is_rtcp)
            drop_in(e, RELAY_DROP_HELD);
        else
            pass(e, is_rtcp || path == KEYING_RTCP, p, n);
    }
}

/* A cookie exchange and the fingerprint decide who may speak here, so any source is heard; but not
 * as often as it likes, and strangers take nothing of what the address that the description names
 * may send. */
static void take_keys(struct relay_end *e, unsigned path, const struct addr *from, const uint8_t *p,
                      size_t n)
{
    const struct relay_way *way = &e->way[path];
    const bool is_named = e->has_agent || addr_eq(from, &way->signalled) || addr_eq(from, &way->to);

    if (e->protection != RELAY_PROTECT) {
        drop_in(e, RELAY_DROP_MALFORMED);
    } else if (e->has_agent && !relay_agent_knows(e, path, from)) {
        drop_in(e, RELAY_DROP_FOREIGN);
    } else if (!bucket_take(&e->keys_bucket[is_named], e->worker->now_ms, 0, LIMIT_RELAY_KEYS_RATE,
                            n)) {
        drop_in(e, RELAY_DROP_POLICED);
    } else {
        relay_end_tell(e, &(struct relay_event){.kind = RELAY_EVENT_KEYS,
                                                .path = (enum keying_path)path,
                                                .from = *from,
                                                .is_named = is_named,
                                                .bytes = p,
                                                .n = n});
    }
}

/* Checks, as often as anybody's packets before they are known to be good; those of sources that
 * have been good before do not share with strangers, so that no flood ends the consent. */
static void take_check(struct relay_end *e, unsigned path, const struct addr *from,
                       const uint8_t *p, size_t n)
{
    const bool is_known = relay_agent_knows(e, path, from);

    if (bucket_take(&e->keys_bucket[is_known], e->worker->now_ms, 0, LIMIT_RELAY_KEYS_RATE, n))
        relay_agent_take(e, path, from, p, n);
    else
        drop_in(e, RELAY_DROP_POLICED);
}

void relay_packet_in(struct relay_end *e, unsigned path, const struct addr *from, uint8_t *p,
                     size_t n)
{
    enum rtp_demux kind;
    bool is_media, is_rtcp;

    if (n == 0 || n > LIMIT_RELAY_PACKET) {
        drop_in(e, RELAY_DROP_MALFORMED);
        return;
    }
    if (e->is_foreign && e->protection == RELAY_OPAQUE) {
        take_opaque(e, path, from, false, path == KEYING_RTCP, p, n);
        return;
    }
    kind = rtp_demux(p, n);
    is_media = kind == RTP_DEMUX_RTP || kind == RTP_DEMUX_RTCP;
    is_rtcp = kind == RTP_DEMUX_RTCP;
    /* RTCP by RTP's port only if that was agreed (RFC 5761 5.1.1), RTP by RTCP's never. */
    if (is_media && (path == KEYING_RTCP ? !is_rtcp : is_rtcp && !e->mux)) {
        drop_in(e, RELAY_DROP_MALFORMED);
        return;
    }
    if (e->protection == RELAY_OPAQUE && kind != RTP_DEMUX_OTHER && kind != RTP_DEMUX_TURN)
        take_opaque(e, path, from, is_media, is_rtcp, p, n);
    else if (is_media)
        take(e, path, from, is_rtcp, p, n);
    else if (kind == RTP_DEMUX_DTLS || kind == RTP_DEMUX_ZRTP)
        take_keys(e, path, from, p, n);
    else if (kind == RTP_DEMUX_STUN && e->has_agent)
        take_check(e, path, from, p, n);
    else
        drop_in(e, RELAY_DROP_MALFORMED);
}
