/* Replay windows: which of the last indices have been seen. RFC 3711 3.3.2, by the ring of words of
 * RFC 6479, which moves ahead without shifting anything. Pure. */
#ifndef MEDIA_SRTP_REPLAY_H
#define MEDIA_SRTP_REPLAY_H

#include "base/attr.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum msrtp_replay { SRTP_REPLAY_NEW, SRTP_REPLAY_SEEN, SRTP_REPLAY_OLD };

/* `words` is a power of two. The window reaches back (words - 1) * 64 indices from the word that
 * `top` is in: the ring's last word is the one being entered. */
ALWAYS_INLINE enum msrtp_replay msrtp_replay_check(const uint64_t *ring, size_t words, uint64_t top,
                                                   uint64_t index)
{
    if (index > top)
        return SRTP_REPLAY_NEW;
    if (top / 64 - index / 64 >= words)
        return SRTP_REPLAY_OLD;
    return (ring[(index / 64) & (words - 1)] >> (index & 63)) & 1 ? SRTP_REPLAY_SEEN
                                                                  : SRTP_REPLAY_NEW;
}

/* Marks an index that msrtp_replay_check called new, and returns the new top. */
ALWAYS_INLINE uint64_t msrtp_replay_mark(uint64_t *ring, size_t words, uint64_t top, uint64_t index)
{
    if (index > top) {
        uint64_t gap = index / 64 - top / 64;

        for (uint64_t i = 1; i <= gap && i <= words; i++)
            ring[(top / 64 + i) & (words - 1)] = 0;
        top = index;
    }
    ring[(index / 64) & (words - 1)] |= 1ull << (index & 63);
    return top;
}

#endif
