/* SRTP and SRTCP: protects and opens the packets of one direction of one RTP session, in place.
 * RFC 3711, RFC 6188, RFC 7714, RFC 4568 6. Pure: no sockets, clock, randomness or logging.
 *
 * The order of receiving: the packet's index is estimated without changing anything, the packet is
 * authenticated in constant time, looked up in the replay window, and only then do the rollover
 * counter and the window move. An SSRC has state only after a packet of it was authentic, and there
 * is a limit to how many. What does not authenticate changes nothing but a counter.
 *
 * The order of sending: an index that was used before is never used again with the same key,
 * whatever the packet asks for (two different packets under one index would give both away).
 *
 * Nothing is allocated for a packet, except when an SSRC is new, or the first RTCP packet or the
 * first that is refused comes. An object belongs to one thread at a time. */
#ifndef MEDIA_SRTP_H
#define MEDIA_SRTP_H

#include "keying/keys.h"

/* By how much protecting lengthens a packet at most: the AEAD's tag, the SRTCP index, the MKI. */
#define MEDIA_SRTP_GROWTH (KEYING_TAG_MAX + 4 + KEYING_MKI_MAX)
#define MEDIA_RTP_HEADER 12 /* bytes of the fixed header, RFC 3550 5.1 */
#define MEDIA_RTCP_HEADER 8 /* ... and of what SRTCP leaves readable, RFC 3711 3.4 */

enum media_srtp_dir { MEDIA_SRTP_SEND, MEDIA_SRTP_RECEIVE };

enum media_srtp_verdict {
    MEDIA_SRTP_OK,
    MEDIA_SRTP_MALFORMED,  /* no RTP (RTCP) packet, or too short for what must be in it */
    MEDIA_SRTP_FORGED,     /* the tag does not fit */
    MEDIA_SRTP_REPLAYED,   /* authentic, but this index was there already */
    MEDIA_SRTP_OLD,        /* ... or is too far behind to know */
    MEDIA_SRTP_NO_KEY,     /* no key is installed, or none with this MKI */
    MEDIA_SRTP_EXPIRED,    /* the key has protected as many packets as it may */
    MEDIA_SRTP_SSRC_LIMIT, /* one SSRC more than LIMIT_SRTP_SSRCS */
    MEDIA_SRTP_CLEAR,      /* authentic SRTCP, but unencrypted where encryption was agreed, or the
                              reverse */
    MEDIA_SRTP_NO_ROOM,    /* the buffer has no room for what must be added */
    MEDIA_SRTP_FAILED,     /* no memory, or the cryptographic library failed */
    MEDIA_SRTP_VERDICTS
};
const char *
media_srtp_verdict_text(enum media_srtp_verdict v); /* "ok", "forged", ...: metric labels */

struct media_srtp;

struct media_srtp_stats {
    uint32_t n_ssrcs;      /* those with state, all keys together */
    uint32_t n_keys;       /* installed */
    bool rekey_due;        /* a key nears its limit: new keys, please */
    bool roc_was_reset;    /* KEYING_ROC_PROBE: the peer began anew with the last keys */
    uint8_t rtcp_tag_seen; /* receiving: bytes of the tag of the last SRTCP packet that was
                              authentic; 0: none yet */
};

/* Without keys: every packet is MEDIA_SRTP_NO_KEY until some are installed. ERR_NOMEM. */
MUST_USE int media_srtp_new(struct media_srtp **ret, enum media_srtp_dir dir);
void media_srtp_free(struct media_srtp *s); /* NULL is fine; wipes */

/* Installs keys, the first or the next. Sending goes over to them at once. Receiving takes packets
 * under the new and the old ones (also of another suite) until media_srtp_drop_old: the peer
 * changes over when it likes (RFC 4568 7.1.4); a third installation drops those of the first. Keys
 * that are in use already stay as they are, with their counters, whatever keys->roc says: an offer
 * that repeats its keys is no re-key. ERR_INVALID: keying_keys_check. ERR_REFUSED: sending, and one
 * of the keys was used before these (RFC 3711 9.2). ERR_NOMEM, ERR_CRYPTO. Whenever it fails,
 * nothing has changed. */
MUST_USE int media_srtp_install(struct media_srtp *s, const struct keying_keys *keys);
/* Receiving: ends the time in which the old keys are good as well. */
void media_srtp_drop_old(struct media_srtp *s);
/* Receiving: has a packet under the keys installed last been authentic? Then the peer has them. */
bool media_srtp_is_used(const struct media_srtp *s);
/* Is RTP authenticated under all keys that are there? Else a packet that opens proves nothing. */
bool media_srtp_authenticates(const struct media_srtp *s);
/* Sending: the length of SRTCP's tag from now on, 10 or 4 (as rtcp_tag_seen of the other direction
 * shows), if the suite's RTP tag has 4 bytes; else nothing happens. */
void media_srtp_set_rtcp_tag(struct media_srtp *s, unsigned len);

/* One packet at p, *n bytes; on MEDIA_SRTP_OK *n is the new length. Protecting needs room behind
 * it: `cap` bytes in all. After any other verdict the packet is to be dropped; what p then holds is
 * not said, but never the open form of a packet that was refused. */
enum media_srtp_verdict media_srtp_protect(struct media_srtp *s, uint8_t *p, size_t *n, size_t cap);
enum media_srtp_verdict media_srtp_open(struct media_srtp *s, uint8_t *p, size_t *n);
enum media_srtp_verdict media_srtcp_protect(struct media_srtp *s, uint8_t *p, size_t *n,
                                            size_t cap);
enum media_srtp_verdict media_srtcp_open(struct media_srtp *s, uint8_t *p, size_t *n);

/* Asks the processor for the memory that the next RTP packet will need, without waiting for it.
 * Each step follows pointers that the one before has asked for: call it with 0, 1 and 2, other work
 * in between. Changes nothing. NULL is fine. */
#define MEDIA_SRTP_WARM_STEPS 3
void media_srtp_warm(const struct media_srtp *s, unsigned step);

const struct media_srtp_stats *media_srtp_stats(const struct media_srtp *s);
/* Packets by verdict. Refused ones are not counted when there is no memory to count them in. */
uint64_t media_srtp_count(const struct media_srtp *s, bool is_rtcp, enum media_srtp_verdict v);
/* The highest index so far (rollover counter and sequence number) of an SSRC; false if it has sent
 * nothing yet. */
bool media_srtp_index(const struct media_srtp *s, uint32_t ssrc, uint64_t *ret_index);

#endif
