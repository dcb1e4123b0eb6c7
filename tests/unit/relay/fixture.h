/* A media plane without sockets (dry): packets are put in where a port would read them, and what
 * would be sent is caught. Two ends, a and b, of one call; the peers are 192.0.2.1 and 192.0.2.2.
 */
#ifndef TESTS_UNIT_RELAY_FIXTURE_H
#define TESTS_UNIT_RELAY_FIXTURE_H

#include "check.h"

#include "relay/relay_priv.h"

#define CAUGHT_MAX 256

struct caught {
    struct relay_end *end;
    unsigned path;
    struct addr to;
    size_t n;
    uint8_t p[LIMIT_RELAY_PACKET + MEDIA_SRTP_GROWTH];
};
struct told {
    uint64_t cookie;
    enum relay_event_kind kind;
    enum keying_path path;
    struct addr from;
    size_t n;
    int err;
};
struct dry {
    struct relay *relay;
    struct relay_call *call;
    struct relay_end *a, *b;
    struct addr peer_a, peer_b, peer_a_rtcp, peer_b_rtcp, stranger;
    struct caught out[CAUGHT_MAX];
    size_t n_out;
    struct told told[CAUGHT_MAX];
    size_t n_told;
};

struct addr fixture_addr(const char *host, uint16_t port);
/* Joined, both clear, RTCP on ports of its own. */
void dry_start(struct dry *d);
void dry_stop(struct dry *d);
/* As the ends are set at the start; change and give to relay_end_set. */
struct relay_end_setting dry_setting(const struct dry *d, bool is_a);
void dry_in(struct dry *d, struct relay_end *e, unsigned path, const struct addr *from,
            const uint8_t *p, size_t n);
void dry_later(struct dry *d, uint64_t ms); /* after the last call of relay.h */
size_t dry_count(const struct dry *d, enum relay_event_kind kind, uint64_t cookie);

/* 172 bytes of G.711 with this sequence number. */
#define RTP_BYTES 172u
void fixture_rtp(uint8_t p[RTP_BYTES], uint32_t ssrc, uint16_t seq);
/* A sender's report and CNAME; the length. */
size_t fixture_rtcp(uint8_t p[256], uint32_t ssrc);

/* Keys made of one byte. */
struct keying_keys fixture_keys(enum keying_suite_id suite, uint8_t seed);
void fixture_install(struct relay_end *e, uint8_t paths, bool is_send, bool drop_old,
                     enum keying_suite_id suite, uint8_t seed);
/* The peer's side of it: something to protect or open with. */
struct media_srtp *fixture_srtp(enum media_srtp_dir dir, enum keying_suite_id suite, uint8_t seed);

#endif
