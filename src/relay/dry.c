/* The network's side of a dry media plane. */
#include "relay/dry.h"
#include "relay/relay_priv.h"

_Static_assert(RELAY_DRY_ROOM >= LIMIT_RELAY_PACKET + MEDIA_SRTP_GROWTH, "what a port gives");

struct relay_end *relay_dry_find(struct relay *r, const struct addr *peer)
{
    for (unsigned i = 0; i < r->config.n_workers; i++) {
        LIST_EACH(e, &r->workers[i].ends, struct relay_end, wnode) {
            if (addr_eq(&e->way[KEYING_RTP].signalled, peer))
                return e;
        }
    }
    return NULL;
}

struct relay_end *relay_dry_find_agent(struct relay *r, struct str ufrag)
{
    for (unsigned i = 0; i < r->config.n_workers; i++) {
        LIST_EACH(e, &r->workers[i].ends, struct relay_end, wnode) {
            if (e->agent != NULL && str_eq(e->agent->ufrag, ufrag))
                return e;
        }
    }
    return NULL;
}

void relay_dry_in(struct relay_end *e, enum keying_path path, const struct addr *from, uint8_t *p,
                  size_t n)
{
    relay_packet_in(e, path, from, p, n);
}

void relay_dry_catch(struct relay *r,
                     void (*on_send)(void *arg, struct relay_end *e, unsigned path,
                                     const struct addr *to, const uint8_t *p, size_t n),
                     void *arg)
{
    r->on_send = on_send;
    r->on_send_arg = arg;
}

void relay_dry_later(struct relay *r, uint64_t ms)
{
    for (unsigned i = 0; i < r->config.n_workers; i++) {
        struct relay_worker *w = &r->workers[i];

        w->now_ms += ms;
        w->now_us += ms * 1000;
        LIST_EACH(e, &w->ends, struct relay_end, wnode) {
            relay_end_tick(e);
        }
    }
}
