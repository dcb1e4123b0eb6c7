/* Between the location service and the store: what is worth writing, and what comes back at start.
 *
 * A refresh is written only if the store's row would mislead: another address, route, Call-ID of an
 * instance, or an end that is off by more than an eighth of the interval. So a phone that refreshes
 * every second costs a write every few minutes, and after a crash its binding ends a little early.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "location/location_priv.h"
#include "base/sbuf.h"
#include <stdio.h>

/* What names a binding within its address of record: instance and reg-id (RFC 5626 6), or the URI.
 */
static struct str binding_key(const struct loc_binding *b, char *buf, size_t cap)
{
    struct str instance = loc_text(b, LOC_INSTANCE);
    int n;

    if (!b->reg_id)
        return loc_text(b, LOC_URI);
    n = snprintf(buf, cap, "%.*s;%u", STR_FMT(instance), (unsigned)b->reg_id);
    return str_make(buf, n < 0 || (size_t)n >= cap ? 0 : (size_t)n);
}

void loc_store_put(struct location *l, struct loc_stripe *s, struct loc_binding *b)
{
    char key[LIMIT_INSTANCE_BYTES + 16], contact[2 * LIMIT_CONTACT_BYTES + 8];
    char source[ADDR_TEXT_MAX + 8], remote[ADDR_TEXT_MAX], local[ADDR_TEXT_MAX];
    bool is_datagram = b->path.transport == TRANSPORT_UDP;
    struct store_binding row = {
        .aor = b->row->node.key,
        .key = binding_key(b, key, sizeof(key)),
        .path = loc_text(b, LOC_ROUTE),
        .call_id = loc_text(b, LOC_CALL_ID),
        .cseq = b->cseq,
        .q_milli = b->q_milli,
        .reg_id = b->reg_id,
        .instance = loc_text(b, LOC_INSTANCE),
        .expires_s = b->expires_s,
        .registered_s = b->registered_s,
        .gruu_epoch = b->gruu_epoch,
        .transport = (uint8_t)b->path.transport,
        .secure = b->secure,
        .listener = b->path.listener,
        .user_agent = loc_text(b, LOC_AGENT),
    };
    struct sbuf text = sbuf_make(contact, sizeof(contact));

    if (!l->store)
        return;
    sbuf_char(&text, '<');
    sbuf_str(&text, loc_text(b, LOC_URI));
    sbuf_char(&text, '>');
    sbuf_str(&text, loc_text(b, LOC_PARAMS));
    row.contact = sbuf_get(&text);
    if (b->has_path) {
        struct str from = addr_text(&b->path.remote, remote);

        text = sbuf_make(source, sizeof(source));
        sbuf_str(&text, transport_text(b->path.transport));
        sbuf_char(&text, ' ');
        sbuf_str(&text, from);
        row.source = sbuf_get(&text);
        if (is_datagram || b->can_dial) {
            row.remote = from;
            row.local = addr_text(&b->path.local, local);
        }
    }
    if (store_put_binding(l->store, &row) == 0) {
        b->stored_expires_s = b->expires_s;
    } else {
        b->stored_expires_s = 0; /* the next refresh tries again */
        s->stats.store_refused++;
    }
}

void loc_store_del(struct location *l, struct loc_stripe *s, const struct loc_binding *b)
{
    char key[LIMIT_INSTANCE_BYTES + 16];

    if (l->store &&
        store_del_binding(l->store, b->row->node.key, binding_key(b, key, sizeof(key))) != 0)
        s->stats.store_refused++;
}

/* ---- start ---- */

struct restore {
    struct location *l;
    uint64_t n_users, n_bindings, n_dropped;
    uint64_t now_s;
    int err;
};

static int restore_user(void *arg, const struct store_user *u)
{
    struct restore *r = arg;
    int err = account_put(r->l, u);

    if (err == ERR_NOMEM)
        return err;
    if (err) {
        LOG(LOG_WARN, "user-left-out", LS("aor", u->aor), LZ("error", err_text(err)));
        return 0;
    }
    r->n_users++;
    return 0;
}

/* "<uri>params" */
static bool contact_split(struct str contact, struct str *ret_uri, struct str *ret_params)
{
    if (contact.n < 3 || contact.p[0] != '<')
        return false;
    contact.p++;
    contact.n--;
    *ret_params = str_cut(contact, '>', ret_uri);
    return ret_params->p != NULL && ret_uri->n > 0;
}

static bool sizes_fit(const struct str texts[LOC_TEXTS])
{
    return texts[LOC_URI].n <= LIMIT_CONTACT_BYTES && texts[LOC_PARAMS].n <= LIMIT_CONTACT_BYTES &&
           texts[LOC_CALL_ID].n <= LIMIT_CALL_ID_BYTES && texts[LOC_ROUTE].n <= LIMIT_PATH_BYTES &&
           texts[LOC_INSTANCE].n <= LIMIT_INSTANCE_BYTES &&
           texts[LOC_AGENT].n <= LIMIT_USER_AGENT_BYTES;
}

/* Datagram bindings can be used at once, if there is still a listener for them, and so can those whose Contact can be connected to. */
static void restore_path(struct location *l, struct loc_binding *b, const struct store_binding *row)
{
    b->path.transport = (enum transport)row->transport;
    b->path.listener = row->listener;
    if (addr_parse_hostport(&b->path.remote, row->remote) != 0 ||
        addr_parse_hostport(&b->path.local, row->local) != 0)
        return;
    b->can_dial = loc_can_dial(loc_text(b, LOC_URI), row->reg_id, row->path, &b->path);
    if (b->path.transport != TRANSPORT_UDP)
        return;
    b->has_path = !l->path_restore || l->path_restore(l->path_arg, &b->path);
}

static int restore_binding(void *arg, const struct store_binding *row)
{
    struct restore *r = arg;
    struct location *l = r->l;
    struct str texts[LOC_TEXTS] = {[LOC_CALL_ID] = row->call_id,
                                   [LOC_ROUTE] = row->path,
                                   [LOC_INSTANCE] = row->instance,
                                   [LOC_AGENT] = row->user_agent};
    uint64_t hash;
    struct loc_stripe *s = loc_stripe_of(l, row->aor, &hash);
    struct loc_row *at;
    struct loc_binding *b, *before = NULL;
    int err = 0;

    pthread_mutex_lock(&s->lock);
    at = loc_row_find(s, row->aor, hash);
    if (!at || !at->user || !contact_split(row->contact, &texts[LOC_URI], &texts[LOC_PARAMS]) ||
        !sizes_fit(texts) || row->transport >= TRANSPORT_N ||
        at->n_bindings >= LOC_ROW_BINDINGS_MAX || l->n_bindings >= l->max_bindings) {
        r->n_dropped++;
        if (store_del_binding(l->store, row->aor, row->key) != 0)
            s->stats.store_refused++;
        goto out;
    }
    b = loc_binding_new(texts);
    if (!b) {
        err = ERR_NOMEM;
        goto out;
    }
    restore_path(l, b, row);
    b->cseq = row->cseq;
    b->q_milli = (uint16_t)(row->q_milli > 1000 ? 1000 : row->q_milli);
    b->reg_id = row->reg_id;
    b->stored_expires_s = row->expires_s;
    b->expires_s = row->expires_s;
    b->registered_s = row->registered_s;
    if (row->registered_s > r->now_s) { /* the clock went back while we were away, or does not go yet: at most its whole time again */
        b->registered_s = r->now_s;
        b->expires_s = row->expires_s > row->registered_s ? r->now_s + (row->expires_s - row->registered_s) : r->now_s;
        b->stored_expires_s = 0;
    }
    b->gruu_epoch = row->gruu_epoch;
    b->secure = row->secure != 0;
    LIST_EACH(other, &at->bindings, struct loc_binding, link)
    {
        if (!before && other->registered_s <= b->registered_s)
            before = other;
    }
    loc_binding_add(l, s, at, b, before);
    r->n_bindings++;
out:
    pthread_mutex_unlock(&s->lock);
    return err;
}

static void on_user_changed(void *arg, const struct store_user *u, bool deleted)
{
    struct location *l = arg;
    size_t n = 0;
    int err = 0;

    if (deleted)
        n = account_remove(l, u->aor);
    else
        err = account_change(l, u, &n);
    LOG(err ? LOG_ERROR : LOG_NOTICE, "user-changed", LS("aor", u->aor),
        LZ("what", deleted       ? "removed"
                   : u->disabled ? "disabled"
                                 : "set"),
        LU("registrations_removed", n),
        LZ("error", err ? err_text(err) : NULL));
}

int loc_restore(struct location *l, struct reason *why)
{
    struct restore r = {.l = l, .now_s = clock_steady_s()};
    int err;

    if ((err = store_each_user(l->store, restore_user, &r)) == 0 &&
        (err = store_each_binding(l->store, restore_binding, &r)) == 0) {
        l->is_watching = true;
        err = store_watch_users(l->store, on_user_changed, l);
    }
    if (err) {
        reason_set(why, "store-read", NULL, 0, "users and registrations could not be read: %s",
                   err_text(err));
        return err;
    }
    LOG(LOG_NOTICE, "location-restored", LU("users", r.n_users), LU("bindings", r.n_bindings),
        LU("dropped", r.n_dropped));
    return 0;
}
