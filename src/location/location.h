/* The location service and the user table: who may log in, and where they are now (RFC 3261 10.3,
 * RFC 5626 6 and 7, RFC 5627).
 *
 * One table for the process, shared by all workers: rows keyed by address of record in the
 * canonical form of sip_uri_aor
 * ("sip:alice@example.com"), in many stripes with a lock each, held only while rows are copied in
 * or out. Nothing here waits for the store: changes are queued to it (store/store.h), and at start
 * users and bindings come back from it.
 *
 * A REGISTER is one call of location_register, which does all of it or nothing. A request to a user
 * is one call of location_lookup. Expired bindings are invisible at once and removed by the next
 * call that meets them or by location_sweep.
 *
 * Bindings hold the path they came by: the flow of a connection, or the address of a datagram. When
 * a flow closes, the bindings that were reached by it alone are removed (RFC 5626 7). Kept until they
 * expire (RFC 3261 10.3) are those that can be reached without it: through their Path, or by a new
 * connection, where a phone registered by TCP without outbound and its Contact is the very address
 * that it came from, with transport=tcp and another port than the connection's own: no NAT is
 * between, and it listens there. Contacts of TLS connections are never dialled, since phones have no
 * certificate to check.
 *
 * After a restart, connections are gone: their bindings come back without a path, to be listed and,
 * if they are of those that can be reached without it, to be used until the phone registers again;
 * bindings made by datagrams can be used at once.
 *
 * Time is given by the caller (net_steady_s: the wall's clock may be set), so that the scenario
 * player can move it. In the store it is the wall's. */
#ifndef LOCATION_LOCATION_H
#define LOCATION_LOCATION_H

#include "base/arena.h"
#include "base/err.h"
#include "base/path.h"
#include "base/rand.h"
#include "base/reason.h"
#include "identity/digest.h"
#include "store/store.h"

struct location;
struct sip_uri;

#define LOCATION_AOR_MAX 255 /* bytes of an address of record that can be in the tables */
#define LOCATION_GRUU_KEY_BYTES 32

struct location_args {
    struct store *store;     /* NULL: nothing outlives the process; borrowed until location_free */
    const uint8_t *gruu_key; /* LOCATION_GRUU_KEY_BYTES; copied. Seals temporary GRUUs */
    size_t max_aors;         /* 0: 1,000,000 */
    size_t max_bindings;     /* 0: 1,000,000 */
    /* May a datagram binding from before a restart be used along this path now? May correct its
     * listener, whose number can have changed with the configuration. NULL: all may, as they are.
     */
    bool (*path_restore)(void *arg, struct path *p);
    void *path_arg;
};
/* Reads all users and bindings from the store (blocking) and follows the users' changes from then
 * on. */
MUST_USE int location_new(const struct location_args *args, struct location **ret,
                          struct reason *why);
void location_free(
    struct location *l); /* no other thread may be inside; before store_close. NULL is fine */

/* ---- users (any thread) ---- */

struct account {
    char aor[LOCATION_AOR_MAX + 1];
    char username[LOCATION_AOR_MAX + 1],
        realm[LOCATION_AOR_MAX + 1];      /* what the HA1s were made of */
    struct digest_ha1 ha1[DIGEST_ALGO_N]; /* n == 0: this user has none of that algorithm */
    bool allow_md5;                       /* challenge with MD5 and nothing else */
};
/* ERR_NOTFOUND: no such user, or a disabled one. The copy holds secrets: account_done it. */
MUST_USE int account_find(struct location *l, struct str aor, struct account *ret);
void account_done(struct account *a);
/* With many users what is known of one is in no cache. Called twice, with other work after each call, it is by the time that it is
 * asked for. */
struct account_warm {
    unsigned step; /* 0 at first */
    uint64_t hash;
};
void account_warm(struct location *l, struct str aor, struct account_warm *at);
/* Changes with the user's password; 0: there is none, or it is disabled. */
uint64_t account_version(struct location *l, struct str aor);
static inline bool account_exists(struct location *l, struct str aor)
{
    return account_version(l, aor) != 0;
}
bool account_allows_md5(struct location *l, struct str aor); /* is there one, and is it to be asked for MD5? */
/* What the store's watch calls; also for tests and scenarios that have no store. A user that is
 * removed or disabled, or has another password, loses their bindings: who made them need not know
 * the new one. How many goes to *ret_unbound, or is returned. */
MUST_USE int account_change(struct location *l, const struct store_user *u, size_t *ret_unbound);
MUST_USE int account_put(struct location *l, const struct store_user *u); /* the same */
size_t account_remove(struct location *l, struct str aor);
/* Goes up when that happens to somebody: their flows are to be closed as well (account_version). */
unsigned account_changes(struct location *l);

/* ---- registering (any thread; REGISTERs of one flow come from its worker) ---- */

struct location_contact { /* one value of Contact */
    struct str uri;       /* addr-spec as written */
    const struct sip_uri *parsed; /* the same; NULL: it will be parsed */
    struct str params;   /* header parameters as written, ";a=b;c", without those that have a member
                            here; may be empty */
    uint32_t expires_s;  /* granted by the registrar; 0: remove */
    unsigned q_milli;    /* 1000 if there was no q */
    struct str instance; /* +sip.instance without quotes and without <>; may be empty */
    uint32_t reg_id;     /* 0: none, or to be ignored (RFC 5626 6) */
};

struct location_register {
    struct str aor;
    struct str call_id;
    uint32_t cseq;
    const struct location_contact *contacts; /* none: only asks (RFC 3261 10.3 step 6) */
    size_t n_contacts;
    bool remove_all;  /* Contact: * */
    struct str route; /* Path values, comma separated; not empty: the phone is behind another proxy
                         (RFC 3327) */
    const struct path *path; /* how the request came: from the phone, or from that proxy */
    bool secure;             /* by TLS or WSS as far as we see */
    bool is_direct; /* its Via names the address that it came from: there is no NAT between, and over UDP
                       a Contact there is believed as to the port (RFC 3261 16.6 step 7) */
    struct str user_agent;   /* kept up to 64 bytes */
    bool wants_gruu;         /* Supported: gruu, RFC 5627 5.2 */
    unsigned max_contacts; /* of this AOR; 0: LIMIT_CONTACTS_AOR. Flows of one instance count once,
                              up to LIMIT_FLOWS_CONTACT */
    uint64_t now_s;
    struct rand_source *rand; /* for GRUUs; the worker's */
};

struct location_binding {
    struct str aor;
    struct str uri, params, call_id, route, instance, user_agent;
    uint32_t cseq, reg_id;
    unsigned q_milli;
    uint32_t expires_s;    /* from now */
    uint64_t registered_s; /* when it was made or last refreshed */
    bool has_path;         /* false: its connection has closed, or did not come back after a restart */
    bool can_dial;         /* its Contact can be connected to */
    bool secure;
    struct path path;
    struct str pub_gruu,
        temp_gruu; /* of location_register with wants_gruu: whole URIs; else empty */
};
struct location_bindings {
    struct location_binding *v;
    size_t n;
};

/* Applies all or nothing and returns all current bindings, newest first, in the arena (RFC
 * 3261 10.3 steps 6 to 8). ERR_CONFLICT: a request that came out of order (same Call-ID, CSeq not
 * higher): 500 and nothing changed. ERR_LIMIT: too many contacts or flows, or one that is too long:
 * `why` says which and with what to answer. ERR_NOTFOUND: no such user (any more). ERR_SYNTAX: a
 * contact that is no URI. ERR_NOMEM. */
MUST_USE int location_register(struct location *l, const struct location_register *r,
                               struct arena *a, struct location_bindings *ret, struct reason *why);

/* The connection is gone: bindings reached by it alone are removed; those with a `route`, or a Contact
 * that can be connected to, only lose their path. Any thread. */
void location_flow_closed(struct location *l, flow_id flow);

/* ---- looking up (any thread) ---- */

struct location_query {
    struct str aor; /* canonical: the domain's own name, not an alias. For a temporary GRUU: with
                       its user part */
    bool has_gr;    /* the URI had a gr parameter (RFC 5627 3.1) */
    struct str gr;  /* its value, %-escapes resolved; empty for a temporary GRUU */
    uint64_t now_s;
};

struct location_target {
    struct str uri;   /* the contact: the new Request-URI */
    struct str route; /* its Path values, to push as Route; may be empty */
    bool has_path;    /* always, unless there is a route, or `uri` is to be connected to */
    struct path path; /* where to send without asking DNS: to the phone, or to the proxy that is
                         first in `route` */
    bool secure;
    unsigned q_milli;
    struct str instance; /* at most one target of an instance at a time, the next one only after 408
                            or 430 (RFC 5626 7) */
    uint32_t reg_id;
    struct str user_agent, params;
    uint64_t registered_s, expires_s;
};
struct location_targets {
    struct location_target *v; /* by q, highest first, then newest first */
    size_t n;                  /* 0: known, but not to be reached now (480) */
    size_t n_lost;  /* bindings left out because their connection did not survive a restart */
    struct str aor; /* whose they are; differs from the query's for a temporary GRUU */
};
/* ERR_NOTFOUND: no such user, or a GRUU that is not valid (404, RFC 5627 6.1). ERR_NOMEM. */
MUST_USE int location_lookup(struct location *l, const struct location_query *q, struct arena *a,
                             struct location_targets *ret);

/* ---- housekeeping and views ---- */

/* Removes what expired. Call about once a second from one worker: each call looks at a 32nd of the
 * table. */
void location_sweep(struct location *l, uint64_t now_s);

struct location_stats {
    uint64_t users, aors_bound, bindings;       /* now */
    uint64_t by_transport[TRANSPORT_N], secure; /* bindings now */
    uint64_t added, refreshed, removed, expired, flows_lost, conflicts, limits, gruus,
        store_refused; /* since start */
};
void location_stats_get(struct location *l, struct location_stats *ret);

/* Calls `fn` for each unexpired binding, with no lock held: rows are copied a stripe at a time.
 * Stops when it returns false. ERR_NOMEM. */
MUST_USE int location_each(struct location *l, uint64_t now_s,
                           bool (*fn)(void *arg, const struct location_binding *b), void *arg);

#endif
