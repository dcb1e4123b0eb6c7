/* HEP version 3 (EEP, "Extensible Encapsulation Protocol", revision 12): how a captured SIP message is carried to a collector
 * such as Homer. One datagram: the head, a row of chunks, the last of which is the message itself. Pure. */
#ifndef EVIDENCE_HEP_H
#define EVIDENCE_HEP_H

#include "base/addr.h"
#include "base/sbuf.h"

#define HEP_HEAD_MAX 256      /* bytes in front of the message, with an auth key of HEP_KEY_MAX */
#define HEP_KEY_MAX 100
#define HEP_PACKET_MAX 65507u /* what one UDP datagram carries */

struct hep_packet {
    uint8_t ip_protocol;  /* IPPROTO_UDP or IPPROTO_TCP */
    struct addr from, to; /* of one family, or both are written as IPv6; one that is not set counts as 0.0.0.0 or :: */
    uint64_t wall_us;     /* since 1970 */
    uint32_t capture_id;
    struct str auth_key; /* empty: none */
    size_t payload_n;
};

/* Writes everything in front of the payload, whose bytes then follow unchanged. ERR_LIMIT: the packet, the key or `b` is too
 * small for it. */
MUST_USE int hep_head_build(struct sbuf *b, const struct hep_packet *p);

/* What a collector reads. Slices over `bytes`. ERR_SYNTAX: not HEP 3, lengths that do not add up, or a chunk that must be there
 * is missing. Chunks of other vendors and unknown types are passed over. */
struct hep_parsed {
    uint8_t ip_protocol, protocol_type;
    struct addr from, to;
    uint64_t wall_us;
    uint32_t capture_id;
    struct str auth_key, payload;
};
MUST_USE int hep_parse(struct str bytes, struct hep_parsed *ret);

#endif
