/* A dry media plane (relay_config.dry) from the side of the network: datagrams are put in and those
 * sent are caught, and time goes by when it is told to. For tests and fuzzing. One thread. */
#ifndef RELAY_DRY_H
#define RELAY_DRY_H

#include "relay/relay.h"

#define RELAY_DRY_ROOM (LIMIT_RELAY_PACKET + 256u) /* what must be at p; its contents are changed */

/* The end, of whatever call, whose peer's description names this address for RTP; NULL. */
struct relay_end *relay_dry_find(struct relay *r, const struct addr *peer);
/* The end that is an agent of ICE by this fragment of ours; NULL. */
struct relay_end *relay_dry_find_agent(struct relay *r, struct str ufrag);
/* A datagram of n bytes has come by that port of the end. n may be more than LIMIT_RELAY_PACKET. */
void relay_dry_in(struct relay_end *e, enum keying_path path, const struct addr *from, uint8_t *p,
                  size_t n);
void relay_dry_catch(struct relay *r,
                     void (*on_send)(void *arg, struct relay_end *e, unsigned path,
                                     const struct addr *to, const uint8_t *p, size_t n),
                     void *arg);
/* Until the next call of relay.h, which brings the real time back. What is due is told. */
void relay_dry_later(struct relay *r, uint64_t ms);

#endif
