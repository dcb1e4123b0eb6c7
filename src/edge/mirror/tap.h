/* The mirror of every message to a HEP v3 collector (Homer), so that encrypted signalling can be seen by those who may: off unless
 * `allow-mirror` is set; keys, credentials and bodies are redacted unless `allow-secrets` is. Sending is one datagram that may be
 * lost, never waited for; drops are counted. Any worker's thread. */
#ifndef EDGE_MIRROR_TAP_H
#define EDGE_MIRROR_TAP_H

#include "base/path.h"
#include "base/reason.h"
#include "config/config.h"

struct edge_tap;
MUST_USE int edge_tap_new(const struct config_hep *cfg, struct edge_tap **ret, struct reason *why);
void edge_tap_free(struct edge_tap *t); /* NULL is fine */
/* Encodes and sends; ERR_AGAIN: dropped. `wall_us` since 1970. */
MUST_USE int edge_tap_send(struct edge_tap *t, bool out, const struct path *p, struct str bytes, uint64_t wall_us);

#endif
