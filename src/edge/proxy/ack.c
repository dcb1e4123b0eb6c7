/* The ACK to a 2xx, which has no transaction: forwarded without state (RFC 3261 16.11), at once where the way is known, else after the
 * next hop was looked up. What waits for a lookup outlives its message, so it has copies of its own.
 * Owner: the worker, in the list `acks` as long as they wait. Worker thread. */
#include "edge/status/facts.h"
#include "edge/proxy/proxy_priv.h"
#include "edge/peers/trunk.h"

struct ack_wait {
    struct list node;
    struct arena *arena; /* everything, this too */
    struct edge_req *r;
    struct edge_target *t;
    struct hop *hop;
    struct forward_changes changes; /* of an anchored call */
    bool is_done, is_starting;
};

static void ack_send(struct edge_req *r, const struct edge_target *t, const struct path *path, const struct forward_changes *changes)
{
    char branch[40];
    struct forward_changes c = *changes;
    struct forward_args f = {.t = t, .out = path, .changes = &c, .ack_creds = anchor_ack_creds(r)};
    struct reason why = {0};
    struct buf *msg;

    if (trunk_is(t->peer) && !trunk_is_at(r->w, t->peer, t, path))
        f.ack_creds = STR_NULL;

    if (r->token.anchor_gen ? !anchor_ack_may_leave(r, path, changes) : anchor_direct_request(r, t, path, &c, &why) != 0)
        return;
    forward_stateless_branch(r, branch);
    f.branch = str_z(branch);
    if (forward_build(r, &f, &msg) != 0)
        return;
    tap_message(r->w, true, path, buf_str(msg));
    if (net_send(r->w->net, path, msg) == 0)
        edge_count(r->w, EC_FORWARDED);
    buf_unref(msg);
}

static void ack_free(struct ack_wait *a)
{
    hop_cancel(a->hop);
    list_remove(&a->node);
    snapshot_unref(a->r->snap);
    arena_free(a->arena);
}

static void ack_path(void *arg, const struct path *path, const struct reason *why)
{
    struct ack_wait *a = arg;

    (void)why;
    if (path)
        ack_send(a->r, a->t, path, &a->changes);
    a->is_done = true;
    if (!a->is_starting)
        ack_free(a);
}

struct ack_now {
    struct edge_req *r;
    const struct edge_target *t;
    const struct forward_changes *changes;
};

static void ack_path_now(void *arg, const struct path *path, const struct reason *why)
{
    const struct ack_now *a = arg;

    (void)why;
    if (path)
        ack_send(a->r, a->t, path, a->changes);
}

/* A copy of the request and of its target in an arena of its own; what is not copied is not looked at when an ACK is built. */
static struct ack_wait *ack_copy(const struct edge_req *r, const struct edge_target *t, const struct forward_changes *changes)
{
    struct arena *arena = arena_new(8192, LIMIT_MSG_ARENA_BYTES);
    struct ack_wait *a = arena ? arena_zalloc(arena, sizeof *a) : NULL;
    struct reason why;
    struct str bytes;

    if (!a)
        goto fail;
    bytes = arena_str(arena, r->m->bytes);
    a->arena = arena;
    a->r = arena_alloc(arena, sizeof *a->r);
    a->t = arena_alloc(arena, sizeof *a->t);
    if (!bytes.p || !a->r || !a->t)
        goto fail;
    *a->r = *r;
    *a->t = *t;
    a->t->uri = arena_str(arena, t->uri);
    a->t->route = arena_str(arena, t->route);
    a->t->next_hop = arena_str(arena, t->next_hop);
    a->r->next_route = arena_str(arena, r->next_route);
    a->changes = *changes;
    a->changes.content_type = arena_str(arena, changes->content_type);
    a->changes.body = arena_str(arena, changes->body);
    if (!a->t->uri.p || !a->t->next_hop.p || (t->route.n && !a->t->route.p) || (r->next_route.n && !a->r->next_route.p) ||
        (changes->content_type.n && !a->changes.content_type.p) || (changes->body.n && !a->changes.body.p) ||
        sip_msg_parse(arena, bytes, &a->r->m, &why) != 0)
        goto fail;
    snapshot_ref(a->r->snap);
    list_append(&r->w->acks, &a->node);
    return a;
fail:
    arena_free(arena);
    return NULL;
}

/* The answer to an offer in the 2xx (RFC 3261 13.2.1). */
static void note_answer(const struct edge_req *r)
{
    struct facts_media media;

    if (!r->has_token || !r->token.call_gen)
        return;
    facts_later(r->w, r->token.call_slot, r->token.call_gen, r->m, r->from_caller);
    if (r->m->body.n)
        calls_hop(r->w, r->token.call_slot, r->token.call_gen, r->from_caller ? POLICY_CALLER : POLICY_CALLEE, r->rx.hop,
                  r->rx.path.transport);
    if (!r->token.anchor_gen && facts_describe(r->m, &media))
        calls_said(r->w, r->token.call_slot, r->token.call_gen, FACTS_ANSWER, &media);
}

void proxy_ack(struct edge_req *r, const struct edge_target *target)
{
    struct forward_changes changes = {0};
    struct ack_now now = {r, target, &changes};
    bool sips = r->ruri.scheme == SIP_SCHEME_SIPS;
    struct ack_wait *a;

    if (r->token.anchor_gen && anchor_ack(r, &changes) != ANCHOR_PASS)
        return;
    note_answer(r);
    if (target->has_path) {
        ack_send(r, target, &target->path, &changes);
        return;
    }
    a = hop_try(r, r->m->arena, target, sips, ack_path_now, &now) == ERR_AGAIN ? ack_copy(r, target, &changes) : NULL;
    if (!a)
        return; /* it went, or cannot: then the 2xx comes again, and with it the ACK */
    a->is_starting = true;
    if (hop_start(a->r, a->arena, a->t, sips, ack_path, a, &a->hop) != 0)
        a->is_done = true;
    a->is_starting = false;
    if (a->is_done)
        ack_free(a);
}

void ack_worker_stop(struct edge_worker *w)
{
    LIST_EACH(a, &w->acks, struct ack_wait, node)
    {
        ack_free(a);
    }
}
