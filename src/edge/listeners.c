/* Our listeners as those that paths and others name: which one a path is of, its text in Via and the like (RFC 3261 18.1.1), and
 * which one can be named where we connect. Numbers of listeners change with a reload, and connections outlive theirs: a path that
 * was kept (in a token, with a binding, in a request under way) may have a number of before. Worker thread. */
#include "edge/edge_priv.h"
#include "net/worker.h"

int listener_for(const struct edge_worker *w, enum transport t, const struct addr *remote)
{
    int found = -1;
    size_t i;

    for (i = 0; i < w->cfg->n_listens; i++) {
        const struct config_listen *l = &w->cfg->listens[i];

        if (l->transport != t || addr_is_v6(&l->addr) != addr_is_v6(remote))
            continue;
        if (addr_is_loopback(&l->addr) && !addr_is_loopback(remote))
            continue; /* loopback reaches nothing else */
        if (found < 0 || (addr_is_loopback(remote) && addr_is_loopback(&l->addr)))
            found = (int)i;
    }
    return found;
}

int listener_for_stream(const struct edge_worker *w, enum transport t, const struct addr *remote)
{
    int i = listener_for(w, t, remote);

    if (i < 0)
        i = listener_for(w, t == TRANSPORT_TLS ? TRANSPORT_TCP : TRANSPORT_TLS, remote);
    return i;
}

/* Only of datagrams: the local end of a connection that we made is no listener's. */
static bool is_at(const struct config_listen *l, const struct path *p)
{
    if (l->transport != p->transport || addr_is_v6(&l->addr) != addr_is_v6(&p->remote))
        return false;
    if (!addr_is_set(&p->local))
        return true;
    return addr_port(&l->addr) == addr_port(&p->local) && (addr_is_any(&l->addr) || addr_eq_host(&l->addr, &p->local));
}

static unsigned find_anew(const struct edge_worker *w, const struct path *p)
{
    struct path now;
    size_t i;
    int found;

    if (p->flow && flow_worker(p->flow) == w->id && net_flow_path(w->net, p->flow, &now) == 0 && now.listener < w->cfg->n_listens)
        return now.listener;
    for (i = 0; !p->flow && i < w->cfg->n_listens; i++)
        if (is_at(&w->cfg->listens[i], p))
            return (unsigned)i;
    found = listener_for_stream(w, p->transport, &p->remote);
    for (i = 0; found < 0 && i < w->cfg->n_listens; i++) /* one that reaches the other side at all */
        if (addr_is_v6(&w->cfg->listens[i].addr) == addr_is_v6(&p->remote))
            found = (int)i;
    return found < 0 ? 0 : (unsigned)found;
}

unsigned listener_of(const struct edge_worker *w, const struct path *p)
{
    if (LIKELY(p->listener < w->cfg->n_listens && (w->listeners_are_first || (!p->flow && is_at(&w->cfg->listens[p->listener], p)))))
        return p->listener;
    return find_anew(w, p);
}

struct str listener_sent_by(const struct edge_worker *w, const struct path *p)
{
    return w->sent_by[listener_of(w, p)];
}

static bool is_same(const struct config *a, const struct config *b)
{
    size_t i;

    if (a->n_listens > b->n_listens)
        return false;
    for (i = 0; i < a->n_listens; i++)
        if (a->listens[i].transport != b->listens[i].transport || !addr_eq(&a->listens[i].addr, &b->listens[i].addr))
            return false;
    return true;
}

/* The text by which others reach a listener: its advertised name, else its address. */
void listeners_set(struct edge_worker *w, const struct config *before)
{
    size_t i;

    w->listeners_are_first = !before || (w->listeners_are_first && is_same(before, w->cfg));
    for (i = 0; i < w->cfg->n_listens && i < ARRAY_LEN(w->sent_by); i++) {
        const struct config_listen *l = &w->cfg->listens[i];

        w->sent_by[i] = l->advertise.n ? l->advertise : addr_text(&l->addr, w->sent_by_text[i]);
    }
}
