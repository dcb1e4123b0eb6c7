/* From where packets may come and where to they go: the address that the description names, until
 * something better has proven itself. RFC 7362, RFC 4961; the attack is "RTP bleed", whose last
 * form (CVE-2025-53399) came of learning addresses from packets that were never authenticated. So:
 *
 *   keys are installed: any address, if the packet authenticates and is no replay. It becomes the
 *     address in use if nothing was heard of that one, or nothing for a while (the peer has moved).
 *     Whoever sees packets can have a copy of the first one arrive before it does; so in the first
 *     seconds the signalled address has it back at once.
 *   clear, opaque: within a short time after a description, what `latch` allows, once. The
 * signalled address itself ends the search whenever it speaks within that time.
 *
 * Whoever does not send from where it says is taken for one that does symmetric RTP all the same
 * (behind a NAT, or moved), and gets its media where they come from; a peer that is declared to send
 * and to receive by different ports (is_asymmetric) gets them where it says.
 *
 * Pure; on the worker's thread. */
#include "relay/relay_priv.h"

void relay_way_set(struct relay_way *w, const struct addr *signalled, uint64_t now_ms)
{
    if (!addr_eq(&w->signalled, signalled) ||
        addr_is_set(signalled) != addr_is_set(&w->signalled)) {
        *w = (struct relay_way){
            .signalled = *signalled, .to = *signalled, .is_asymmetric = w->is_asymmetric};
    } else if (w->is_heard) {
        return;
    }
    w->astray_told = false;
    w->until_ms = now_ms + LIMIT_RELAY_LATCH_MS;
}

static enum relay_origin judge_unproven(const struct relay_way *w, const struct addr *from,
                                        enum relay_latch latch, uint64_t now_ms)
{
    if (!addr_is_set(&w->signalled) || latch == RELAY_LATCH_AUTHENTIC || now_ms >= w->until_ms)
        return RELAY_ORIGIN_FOREIGN;
    if (addr_eq(from, &w->signalled)) /* another was first: the one named is the better one */
        return RELAY_ORIGIN_LATCH;
    if (w->is_decided || (latch == RELAY_LATCH_HOST && !addr_eq_host(from, &w->signalled)))
        return RELAY_ORIGIN_FOREIGN;
    return RELAY_ORIGIN_LATCH;
}

/* Nearly every packet is IPv4's and from the address in use. */
static bool is_same(const struct addr *a, const struct addr *b)
{
    if (LIKELY(a->sa.sa_family == AF_INET && b->sa.sa_family == AF_INET))
        return a->v4.sin_port == b->v4.sin_port && a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
    return addr_eq(a, b);
}

enum relay_origin relay_way_judge(const struct relay_way *w, const struct addr *from,
                                  enum relay_protection protection, enum relay_latch latch,
                                  uint64_t now_ms)
{
    if (is_same(from, &w->to) || UNLIKELY(w->is_asymmetric && addr_eq(from, &w->source)))
        return RELAY_ORIGIN_KNOWN;
    if (protection == RELAY_PROTECT)
        return RELAY_ORIGIN_PROVE;
    return judge_unproven(w, from, latch, now_ms);
}

bool relay_way_accept(struct relay_way *w, const struct addr *from, enum relay_origin origin,
                      uint64_t now_ms)
{
    bool moves = origin == RELAY_ORIGIN_LATCH ||
                 (origin == RELAY_ORIGIN_PROVE &&
                  (!w->is_heard || now_ms >= w->heard_ms + LIMIT_RELAY_MOVE_MS ||
                   (now_ms < w->until_ms && addr_eq(from, &w->signalled))));

    if (origin == RELAY_ORIGIN_KNOWN || moves) {
        w->is_heard = w->is_decided = true;
        w->heard_ms = now_ms;
    }
    if (moves && w->is_asymmetric)
        w->source = *from;
    else if (moves)
        w->to = *from;
    return moves;
}

bool relay_way_is_astray(struct relay_way *w, uint64_t now_ms)
{
    if (w->astray_told || !addr_is_set(&w->signalled) || now_ms < w->until_ms ||
        now_ms < w->heard_ms + LIMIT_RELAY_MOVE_MS)
        return false;
    w->astray_told = true;
    return true;
}
