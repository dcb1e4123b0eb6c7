/* One REGISTER on the location service: checked against what is there, planned, and only when
 * nothing can fail any more carried out (RFC 3261 10.3 steps 6 to 8, RFC 5626 6, RFC 5627 5.1).
 *
 * Everything of a plan is on the stack, except new bindings, which are made before the first change
 * and freed if it does not come to that. */
#include "base/mem.h"
#include "location/location_priv.h"
#include "sip/uri.h"

#define CONTACTS_MAX 32u /* of one request */

/* What happens to one contact of the request. */
struct step {
    struct loc_binding *old;   /* the binding it is about; NULL: a new one */
    struct loc_binding *fresh; /* takes its place; NULL: removed, or refreshed where it is */
};

struct plan {
    struct location *l;
    struct loc_stripe *s;
    const struct location_register *r;
    struct loc_row *row;
    struct reason *why;
    struct step steps[CONTACTS_MAX];
    bool drop_lost; /* bindings without a way to them make room */
    char *texts;    /* memory of the result, taken before the first change */
};

/* Of its many steps only those there are contacts for are set. */
static void plan_init(struct plan *p, struct location *l, struct loc_stripe *s, const struct location_register *r, struct reason *why)
{
    p->l = l;
    p->s = s;
    p->r = r;
    p->why = why;
    p->row = NULL;
    p->drop_lost = false;
    p->texts = NULL;
    for (size_t i = 0; i < r->n_contacts; i++)
        p->steps[i] = (struct step){.old = NULL};
}

/* ---- checks that need no lock ---- */

static int too_long(struct reason *why, const char *what, unsigned limit)
{
    reason_set(why, "registration-too-large", NULL, 403, "%s: more than %u bytes", what, limit);
    return ERR_LIMIT;
}

static int check_sizes(const struct location_register *r, struct reason *why)
{
    if (r->n_contacts > CONTACTS_MAX) {
        reason_set(why, "too-many-contacts", "RFC 3261 10.3", 403, "more than %u in one REGISTER",
                   CONTACTS_MAX);
        return ERR_LIMIT;
    }
    if (r->call_id.n > LIMIT_CALL_ID_BYTES)
        return too_long(why, "Call-ID", LIMIT_CALL_ID_BYTES);
    if (r->route.n > LIMIT_PATH_BYTES)
        return too_long(why, "Path", LIMIT_PATH_BYTES);
    for (size_t i = 0; i < r->n_contacts; i++) {
        const struct location_contact *c = &r->contacts[i];

        if (c->uri.n > LIMIT_CONTACT_BYTES || c->params.n > LIMIT_CONTACT_BYTES)
            return too_long(why, "Contact", LIMIT_CONTACT_BYTES);
        if (c->instance.n > LIMIT_INSTANCE_BYTES)
            return too_long(why, "+sip.instance", LIMIT_INSTANCE_BYTES);
    }
    return 0;
}

static bool uri_same(struct str a, struct str b)
{
    struct sip_uri u, v;

    if (str_eq(a, b))
        return true;
    return sip_uri_parse(a, &u) == 0 && sip_uri_parse(b, &v) == 0 && sip_uri_eq(&u, &v);
}

static bool has_flow_name(const struct location_contact *c)
{
    return c->reg_id && c->instance.n;
}

/* The same binding named twice leaves open which one counts. */
static int check_contacts(const struct location_register *r, struct reason *why)
{
    for (size_t i = 0; i < r->n_contacts; i++) {
        const struct location_contact *a = &r->contacts[i];
        struct sip_uri u;

        if (!a->parsed && sip_uri_parse(a->uri, &u) != 0) {
            reason_set(why, "bad-contact", "RFC 3261 10.3", 400, "not a URI");
            return ERR_SYNTAX;
        }
        for (size_t k = 0; k < i; k++) {
            const struct location_contact *b = &r->contacts[k];
            bool same = has_flow_name(a) != has_flow_name(b) ? false
                        : has_flow_name(a)
                            ? a->reg_id == b->reg_id && str_eq_nocase(a->instance, b->instance)
                            : uri_same(a->uri, b->uri);

            if (same) {
                reason_set(why, "contact-twice", "RFC 3261 10.3", 400, "one Contact twice");
                return ERR_SYNTAX;
            }
        }
    }
    return 0;
}

/* ---- planning; the stripe's lock is held from here on ---- */

/* RFC 5626 6: a flow is known by instance and reg-id; RFC 3261 10.3: any other contact by its URI.
 */
static struct loc_binding *binding_of(struct loc_row *row, const struct location_contact *c)
{
    LIST_EACH(b, &row->bindings, struct loc_binding, link)
    {
        if (has_flow_name(c)) {
            if (b->reg_id == c->reg_id && str_eq_nocase(loc_text(b, LOC_INSTANCE), c->instance))
                return b;
        } else if (!b->reg_id && uri_same(loc_text(b, LOC_URI), c->uri)) {
            return b;
        }
    }
    return NULL;
}

/* RFC 3261 10.3 step 7: requests of one UA count up; what is not higher came out of order. */
static int check_order(struct plan *p, const struct loc_binding *b)
{
    if (p->r->cseq > b->cseq || !str_eq(loc_text(b, LOC_CALL_ID), p->r->call_id))
        return 0;
    p->s->stats.conflicts++;
    reason_set(p->why, "register-out-of-order", "RFC 3261 10.3", 500,
               "CSeq %u is not above %u of the same Call-ID", (unsigned)p->r->cseq,
               (unsigned)b->cseq);
    return ERR_CONFLICT;
}

static void contact_texts(const struct plan *p, const struct location_contact *c,
                          struct str ret[LOC_TEXTS])
{
    ret[LOC_URI] = c->uri;
    ret[LOC_PARAMS] = c->params;
    ret[LOC_CALL_ID] = p->r->call_id;
    ret[LOC_ROUTE] = p->r->route;
    ret[LOC_INSTANCE] = c->instance;
    ret[LOC_AGENT] = p->r->user_agent;
    if (ret[LOC_AGENT].n > LIMIT_USER_AGENT_BYTES)
        ret[LOC_AGENT].n = str_utf8_prefix(str_make(ret[LOC_AGENT].p, LIMIT_USER_AGENT_BYTES));
}

static bool texts_same(const struct loc_binding *b, const struct str texts[LOC_TEXTS])
{
    for (unsigned i = 0; i < LOC_TEXTS; i++) {
        if (!str_eq(loc_text(b, (enum loc_text)i), texts[i]))
            return false;
    }
    return true;
}

static int plan_contact(struct plan *p, const struct location_contact *c, struct step *step)
{
    struct str texts[LOC_TEXTS];
    int err;

    step->old = binding_of(p->row, c);
    if (step->old && (err = check_order(p, step->old)) != 0)
        return err;
    if (c->expires_s == 0)
        return 0;
    contact_texts(p, c, texts);
    if (step->old && texts_same(step->old, texts))
        return 0; /* refreshed where it is */
    step->fresh = loc_binding_new(texts);
    if (!step->fresh) {
        reason_set(p->why, "no-memory", NULL, 500, NULL);
        return ERR_NOMEM;
    }
    step->fresh->reg_id = has_flow_name(c) ? c->reg_id : 0;
    return 0;
}

static bool is_lost(const struct loc_binding *b)
{
    return !loc_is_reachable(b);
}

static bool is_in_plan(const struct plan *p, const struct loc_binding *b)
{
    for (size_t i = 0; i < p->r->n_contacts; i++) {
        if (p->steps[i].old == b)
            return true;
    }
    return false;
}

/* One that counts against the limits after the plan. */
struct counted {
    struct str instance;
    uint32_t reg_id;
};

static size_t list_counted(const struct plan *p, bool with_lost,
                           struct counted ret[LOC_ROW_BINDINGS_MAX + CONTACTS_MAX])
{
    size_t n = 0;

    LIST_EACH(b, &p->row->bindings, struct loc_binding, link)
    {
        if (!is_in_plan(p, b) && (with_lost || !is_lost(b)))
            ret[n++] = (struct counted){loc_text(b, LOC_INSTANCE), b->reg_id};
    }
    for (size_t i = 0; i < p->r->n_contacts; i++) {
        const struct location_contact *c = &p->r->contacts[i];

        if (c->expires_s)
            ret[n++] = (struct counted){c->instance, has_flow_name(c) ? c->reg_id : 0};
    }
    return n;
}

/* Contacts, with the flows of one instance as one, and the most flows that an instance has. */
static void count(const struct counted *v, size_t n, unsigned *ret_contacts, unsigned *ret_flows)
{
    *ret_contacts = *ret_flows = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned flows = 1;
        bool is_first = true;

        for (size_t k = 0; v[i].reg_id && k < i; k++) {
            if (v[k].reg_id && str_eq_nocase(v[k].instance, v[i].instance)) {
                is_first = false;
                flows++;
            }
        }
        *ret_contacts += is_first;
        if (flows > *ret_flows)
            *ret_flows = flows;
    }
}

static int refuse_limit(struct plan *p, const char *code, const char *clause, unsigned status,
                        const char *what, unsigned max)
{
    p->s->stats.limits++;
    reason_set(p->why, code, clause, status, "%s, at most %u", what, max);
    return ERR_LIMIT;
}

static int check_limits(struct plan *p)
{
    NO_AUTO_INIT struct counted v[LOC_ROW_BINDINGS_MAX + CONTACTS_MAX];
    unsigned max = p->r->max_contacts, contacts, flows;
    size_t n_new = 0;

    for (size_t i = 0; i < p->r->n_contacts; i++)
        n_new += p->steps[i].fresh && !p->steps[i].old;
    if (n_new == 0)
        return 0;
    if (max == 0 || max > LIMIT_CONTACTS_AOR)
        max = LIMIT_CONTACTS_AOR;
    if (__atomic_load_n(&p->l->n_bindings, __ATOMIC_RELAXED) + n_new > p->l->max_bindings)
        return refuse_limit(p, "too-many-bindings", NULL, 503, "the registrar is full",
                            (unsigned)p->l->max_bindings);
    count(v, list_counted(p, true, v), &contacts, &flows);
    if (contacts > max || flows > LIMIT_FLOWS_CONTACT) {
        p->drop_lost = true; /* what cannot be reached makes room */
        count(v, list_counted(p, false, v), &contacts, &flows);
    }
    if (contacts > max)
        return refuse_limit(p, "too-many-contacts", "RFC 3261 10.3", 403,
                            "contacts of this address of record", max);
    if (flows > LIMIT_FLOWS_CONTACT)
        return refuse_limit(p, "too-many-flows", "RFC 5626 4.2", 403, "flows of one instance",
                            LIMIT_FLOWS_CONTACT);
    return 0;
}

static int plan_make(struct plan *p)
{
    int err = 0;

    if (p->r->remove_all) {
        LIST_EACH(b, &p->row->bindings, struct loc_binding, link)
        {
            if (!err)
                err = check_order(p, b);
        }
        return err;
    }
    for (size_t i = 0; i < p->r->n_contacts && !err; i++)
        err = plan_contact(p, &p->r->contacts[i], &p->steps[i]);
    return err ? err : check_limits(p);
}

/* ---- carrying out; nothing fails ---- */

static struct loc_binding *newest_of_instance(struct loc_row *row, struct str instance,
                                              uint32_t reg_id)
{
    LIST_EACH(b, &row->bindings, struct loc_binding, link)
    {
        if (b->gruu_epoch && (!reg_id || b->reg_id == reg_id) &&
            str_eq_nocase(loc_text(b, LOC_INSTANCE), instance))
            return b;
    }
    return NULL;
}

/* RFC 5627 5.1: another Call-ID than that of the newest registration of this instance (and flow)
 * makes all its temporary GRUUs invalid. */
static uint64_t epoch_for(struct plan *p, const struct location_contact *c)
{
    struct loc_binding *newest;
    uint64_t epoch = 0;

    if (!c->instance.n)
        return 0;
    newest = newest_of_instance(p->row, c->instance, has_flow_name(c) ? c->reg_id : 0);
    if (!newest)
        newest = newest_of_instance(p->row, c->instance, 0);
    else if (!str_eq(loc_text(newest, LOC_CALL_ID), p->r->call_id))
        goto changed;
    if (newest)
        return newest->gruu_epoch;
changed:
    while (epoch == 0)
        epoch = rand_u64(p->r->rand);
    LIST_EACH(b, &p->row->bindings, struct loc_binding, link)
    {
        if (!b->gruu_epoch || !str_eq_nocase(loc_text(b, LOC_INSTANCE), c->instance))
            continue;
        b->gruu_epoch = epoch;
        loc_store_put(p->l, p->s, b);
    }
    return epoch;
}

/* Would the store's row of `old` do for `b` after a restart, but for its end? */
static bool is_stored_alike(const struct loc_binding *old, const struct loc_binding *b)
{
    for (unsigned i = 0; i < LOC_TEXTS; i++) {
        if ((i == LOC_CALL_ID && !b->gruu_epoch) || i == LOC_AGENT)
            continue;
        if (!str_eq(loc_text(old, (enum loc_text)i), loc_text(b, (enum loc_text)i)))
            return false;
    }
    return old->q_milli == b->q_milli && old->secure == b->secure &&
           old->gruu_epoch == b->gruu_epoch && old->can_dial == b->can_dial &&
           old->path.transport == b->path.transport &&
           old->path.listener == b->path.listener &&
           (b->path.transport != TRANSPORT_UDP ||
            (old->has_path && addr_eq(&old->path.remote, &b->path.remote)));
}

static void store_if_needed(struct plan *p, struct loc_binding *b)
{
    uint64_t slack = (b->expires_s - p->r->now_s) / 8;

    if (b->stored_expires_s == 0 || b->expires_s < b->stored_expires_s ||
        b->expires_s - b->stored_expires_s > slack)
        loc_store_put(p->l, p->s, b);
}

/* A phone is reached where its REGISTER came from, whatever its Contact says: what stands there may be behind a NAT. But where
 * none is seen, a Contact with that very address and another port says where the phone listens (RFC 3261 10.2.1, 16.6 step
 * 7). Only UDP: a connection is used as it is. */
static struct path path_for(const struct location_register *r, const struct location_contact *c)
{
    struct path path = *r->path;
    const struct sip_uri *u = c->parsed;
    NO_AUTO_INIT struct sip_uri own;
    struct addr a;

    if (!r->is_direct || path.transport != TRANSPORT_UDP || r->route.n || c->reg_id || (!u && sip_uri_parse(c->uri, &own) != 0))
        return path;
    u = u ? u : &own;
    if (u->maddr.n || (u->transport.n && !str_eq_nocase(u->transport, STR("udp"))))
        return path;
    if (addr_parse(&a, u->host, u->port ? u->port : 5060) == 0 && addr_eq_host(&a, &path.remote))
        addr_set_port(&path.remote, addr_port(&a)); /* the family stays the socket's */
    return path;
}

static void set_values(struct plan *p, struct loc_binding *b, const struct location_contact *c)
{
    b->cseq = p->r->cseq;
    b->q_milli = (uint16_t)(c->q_milli > 1000 ? 1000 : c->q_milli);
    b->expires_s = p->r->now_s + c->expires_s;
    b->registered_s = p->r->now_s;
}

static void refresh(struct plan *p, struct loc_binding *b, const struct location_contact *c)
{
    struct {
        struct path path;
        uint64_t epoch;
        uint16_t q_milli;
        bool has_path, secure, can_dial;
    } before = {b->path, b->gruu_epoch, b->q_milli, b->has_path, b->secure, b->can_dial};
    struct path path = path_for(p->r, c);

    set_values(p, b, c);
    b->gruu_epoch = epoch_for(p, c);
    loc_binding_repath(p->l, p->s, b, &path, p->r->secure);
    b->can_dial = loc_can_dial(c->uri, b->reg_id, p->r->route, &path);
    if (before.q_milli != b->q_milli || before.secure != b->secure || before.can_dial != b->can_dial ||
        before.epoch != b->gruu_epoch || before.path.transport != b->path.transport ||
        before.path.listener != b->path.listener ||
        (b->path.transport == TRANSPORT_UDP &&
         (!before.has_path || !addr_eq(&before.path.remote, &b->path.remote))))
        b->stored_expires_s = 0;
    list_remove(&b->link);
    list_prepend(&p->row->bindings, &b->link);
    store_if_needed(p, b);
    p->s->stats.refreshed++;
}

static void replace(struct plan *p, struct step *step, const struct location_contact *c)
{
    struct loc_binding *b = step->fresh, *old = step->old;

    set_values(p, b, c);
    b->gruu_epoch = epoch_for(p, c); /* while the old one is still there */
    b->has_path = true;
    b->path = path_for(p->r, c);
    b->can_dial = loc_can_dial(c->uri, b->reg_id, p->r->route, &b->path);
    b->secure = p->r->secure;
    loc_binding_add(p->l, p->s, p->row, b, LIST_FIRST(&p->row->bindings, struct loc_binding, link));
    if (old) {
        if (is_stored_alike(old, b))
            b->stored_expires_s = old->stored_expires_s;
        else if (!b->reg_id && !str_eq(loc_text(old, LOC_URI), loc_text(b, LOC_URI)))
            loc_store_del(p->l, p->s, old); /* the same URI by 19.1.4, another key in the store */
        loc_binding_remove(p->l, p->s, old);
        p->s->stats.refreshed++;
    } else {
        p->s->stats.added++;
    }
    store_if_needed(p, b);
}

static void remove_binding(struct plan *p, struct loc_binding *b)
{
    loc_store_del(p->l, p->s, b);
    loc_binding_remove(p->l, p->s, b);
    p->s->stats.removed++;
}

static void plan_commit(struct plan *p)
{
    if (p->r->remove_all) {
        loc_row_unbind_all(p->l, p->s, p->row);
        return;
    }
    if (p->drop_lost) {
        LIST_EACH(b, &p->row->bindings, struct loc_binding, link)
        {
            if (is_lost(b) && !is_in_plan(p, b))
                remove_binding(p, b);
        }
    }
    for (size_t i = p->r->n_contacts; i-- > 0;) { /* so that the first ends up in front */
        const struct location_contact *c = &p->r->contacts[i];
        struct step *step = &p->steps[i];

        if (step->fresh)
            replace(p, step, c);
        else if (step->old && c->expires_s)
            refresh(p, step->old, c);
        else if (step->old)
            remove_binding(p, step->old);
    }
}

/* ---- the result ---- */

/* Room for all that can be in the answer, before the first change. */
static int result_reserve(struct plan *p, struct arena *a, struct location_bindings *ret)
{
    size_t n = p->row->n_bindings, bytes = p->row->node.key.n;

    LIST_EACH(b, &p->row->bindings, struct loc_binding, link)
    bytes += b->ends[LOC_TEXTS - 1];
    for (size_t i = 0; i < p->r->n_contacts; i++) {
        if (p->steps[i].fresh) {
            bytes += p->steps[i].fresh->ends[LOC_TEXTS - 1];
            n++;
        }
    }
    ret->v = arena_alloc(a, n * sizeof(*ret->v) + 1);
    p->texts = arena_alloc(a, bytes);
    if (ret->v && p->texts)
        return 0;
    reason_set(p->why, "no-memory", NULL, 500, NULL);
    return ERR_NOMEM;
}

static void result_fill(struct plan *p, struct location_bindings *ret, uint64_t *ret_epochs)
{
    char *at = p->texts;
    struct str aor = p->row->node.key;

    memcpy(at, aor.p, aor.n);
    aor.p = at;
    at += aor.n;
    LIST_EACH(b, &p->row->bindings, struct loc_binding, link)
    {
        ret_epochs[ret->n] = b->gruu_epoch;
        loc_binding_copy(b, aor, p->r->now_s, &at, &ret->v[ret->n++]);
    }
}

static void result_gruus(struct location *l, const struct location_register *r, struct arena *a,
                         struct location_bindings *ret, const uint64_t *epochs)
{
    uint64_t made = 0;

    for (size_t i = 0; i < ret->n; i++) {
        struct location_binding *b = &ret->v[i];

        size_t same = 0;

        if (!epochs[i])
            continue;
        while (epochs[same] != epochs[i])
            same++;
        if (same < i) { /* another flow of the instance: the same ones (RFC 5627 5.2) */
            b->pub_gruu = ret->v[same].pub_gruu;
            b->temp_gruu = ret->v[same].temp_gruu;
            continue;
        }
        /* RFC 5627 5.1: SHOULD; without memory the phone does without */
        if (loc_gruu_public(a, b->aor, b->instance, &b->pub_gruu) != 0)
            b->pub_gruu = STR_NULL;
        if (loc_gruu_temporary(l, r->rand, a, b->aor, epochs[i], &b->temp_gruu) == 0)
            made++;
    }
    if (made)
        loc_count_gruus(l, r->aor, made);
}

int location_register(struct location *l, const struct location_register *r, struct arena *a,
                      struct location_bindings *ret, struct reason *why)
{
    NO_AUTO_INIT uint64_t epochs[LOC_ROW_BINDINGS_MAX + CONTACTS_MAX];
    NO_AUTO_INIT struct plan p;
    uint64_t hash;
    int err;

    *ret = (struct location_bindings){.v = NULL};
    if ((err = check_sizes(r, why)) != 0 || (err = check_contacts(r, why)) != 0)
        return err;
    plan_init(&p, l, loc_stripe_of(l, r->aor, &hash), r, why);
    pthread_mutex_lock(&p.s->lock);
    p.row = loc_row_find(p.s, r->aor, hash);
    if (!p.row || !p.row->user) {
        reason_set(why, "no-such-user", "RFC 3261 10.3", 404, NULL);
        err = ERR_NOTFOUND;
        goto out;
    }
    loc_row_expire(l, p.s, p.row, r->now_s);
    if ((err = plan_make(&p)) == 0 && (err = result_reserve(&p, a, ret)) == 0) {
        plan_commit(&p);
        result_fill(&p, ret, epochs);
    } else {
        for (size_t i = 0; i < r->n_contacts; i++)
            mem_free(p.steps[i].fresh);
    }
out:
    pthread_mutex_unlock(&p.s->lock);
    if (!err && r->wants_gruu)
        result_gruus(l, r, a, ret, epochs);
    return err;
}
