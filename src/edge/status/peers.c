/* What `sallyport status peers` shows: each peer of the configuration in force, and what is known
 * of it (edge/peers/peers.h). Main thread. */
#include "base/clock.h"
#include "edge/peers/limits.h"
#include "edge/peers/peers.h"
#include "edge/status/status_priv.h"
#include "edge/peers/subscriber.h"
#include "edge/peers/trunk.h"
#include <time.h>

static const char *kind_text(enum config_peer_kind k)
{
    static const char *const texts[] = {
        [CONFIG_PEERING] = "peering", [CONFIG_SUBSCRIPTION] = "subscription",
        [CONFIG_GATEWAY] = "gateway", [CONFIG_SITE] = "site",
        [CONFIG_SERVER] = "server",       [CONFIG_IMS] = "ims",
    };

    return (size_t)k < ARRAY_LEN(texts) ? texts[k] : "?";
}

static const char *protection_text(int by)
{
    static const char *const texts[] = {
        [CONFIG_PROTECTED_NO] = "no",        [CONFIG_PROTECTED_IPSEC] = "ipsec",
        [CONFIG_PROTECTED_VPN] = "vpn",      [CONFIG_PROTECTED_LOCK] = "lock",
        [CONFIG_PROTECTED_8021X] = "802.1x",
    };

    return (size_t)by < ARRAY_LEN(texts) ? texts[by] : "?";
}

/* An enterprise that registers with us: where it is, and until when. */
static int add_account(struct edge *e, const struct config_peer *p, json_t *row)
{
    struct arena *a = arena_new(1024, 65536);
    struct location_query q = {.now_s = 0}; /* who looks on ends nothing: the sweep does */
    struct location_targets lt = {0};
    uint64_t until_s = 0;
    size_t i;
    int err = ERR_NOMEM;

    if (a && (q.aor = subscriber_aor(a, p)).p)
        err = location_lookup(e->loc, &q, a, &lt);
    for (i = 0; err == 0 && i < lt.n; i++)
        until_s = lt.v[i].expires_s > until_s ? lt.v[i].expires_s : until_s;
    if (err == 0 || err == ERR_NOTFOUND) {
        json_object_set_new(row, "account", status_json_text(p->account));
        json_object_set_new(row, "registration", json_string(err != 0 ? "no such user" : lt.n ? "registered" : "not registered"));
        json_object_set_new(row, "contacts", json_integer((json_int_t)lt.n));
        if (lt.n)
            json_object_set_new(row, "registered_until", json_integer((json_int_t)clock_wall_of(until_s)));
        err = 0;
    }
    arena_free(a);
    return err;
}

static const char *below_text(unsigned below)
{
    static const char *const texts[] = {
        [PEER_BELOW_NOT_CHECKED] = "declared, not checked",
        [PEER_BELOW_NO_PERMISSION] = "declared, not checked: no permission",
        [PEER_BELOW_NO_ADDRESS] = "declared, not checked: no address of its own and of ours",
        [PEER_BELOW_CHECKED] = "declared and checked",
        [PEER_BELOW_MISSING] = "declared, but the kernel has no such policy",
    };

    return below < ARRAY_LEN(texts) ? texts[below] : "?";
}

static json_t *peer_json(struct edge *e, const struct config_peer *p, uint64_t now_s)
{
    const struct peer_state *at = peer_state_get(e, p);
    struct peer_state s = {0};
    json_t *row;

    if (at)
        peer_state_read(at, &s);
    if (!p->check_interval_s)
        s.health = PEER_UNKNOWN; /* it was asked by an earlier configuration */
    row = json_pack("{s:o, s:s, s:o, s:s, s:I, s:I, s:I}", "peer", status_json_text(p->name), "kind",
                    kind_text(p->kind), "next_hop", status_json_text(p->next_hop), "health",
                    peer_health_text(s.health), "checks", (json_int_t)s.checks, "checks_failed",
                    (json_int_t)s.failures, "calls", (json_int_t)peer_calls(e, p));
    if (row && p->max_calls)
        json_object_set_new(row, "max_calls", json_integer(p->max_calls));
    if (row && p->max_requests) {
        json_object_set_new(row, "max_requests", json_integer(p->max_requests));
        json_object_set_new(row, "requests_refused", json_integer((json_int_t)s.refused));
        json_object_set_new(row, "bursts", json_integer((json_int_t)s.bursts));
    }
    if (row && s.health != PEER_UNKNOWN)
        json_object_set_new(row, "since", json_integer((json_int_t)s.since_s));
    if (row && s.health == PEER_DOWN && s.reason)
        json_object_set_new(row, "reason", json_string(s.reason));
    if (row &&
        p->protected_by !=
            CONFIG_PROTECTED_NO) { /* declared and checked are two things */
        json_object_set_new(row, "protected_by", json_string(protection_text(p->protected_by)));
        json_object_set_new(row, "protected_until", status_json_text(p->protected_until));
        json_object_set_new(row, "protected_says", status_json_text(p->protected_says));
        json_object_set_new(
            row, "protection",
            json_string(config_peer_is_protected(p, now_s) ? below_text(s.below) : "ended"));
        if (s.below == PEER_BELOW_CHECKED || s.below == PEER_BELOW_MISSING)
            json_object_set_new(row, "protection_checked", json_integer((json_int_t)s.below_s));
    }
    if (row && p->private_network.n)
        json_object_set_new(row, "private_network", status_json_text(p->private_network));
    if (row && p->account.n && add_account(e, p, row) != 0) {
        json_decref(row);
        return NULL;
    }
    if (row && trunk_is(p)) {
        json_object_set_new(row, "user", status_json_text(p->trunk_user));
        json_object_set_new(row, "registration", json_string(trunk_state_text(s.trunk)));
        if (s.trunk == TRUNK_REGISTERED)
            json_object_set_new(row, "registered_until", json_integer((json_int_t)clock_wall_of(s.trunk_until_s)));
        else if (s.trunk_reason)
            json_object_set_new(row, "registration_reason", json_string(s.trunk_reason));
    }
    return row;
}

json_t *status_peers_json(struct edge *e)
{
    json_t *list = json_array();
    size_t i;

    for (i = 0; list && i < e->cfg->n_peers; i++)
        if (json_array_append_new(list, peer_json(e, &e->cfg->peers[i], (uint64_t)time(NULL))) !=
            0) {
            json_decref(list);
            return NULL;
        }
    return list;
}
