/* Inside the location service: its rows, and what its files share.
 *
 * Locks: one for each stripe of rows, one for each stripe of the index of flows. A row's lock may
 * be held when a flow's is taken, not the other way round; two of a kind are never held together.
 * The store's queue lock is the only one taken below them. A binding's texts and its row never
 * change while it is in the index of flows. */
#ifndef LOCATION_LOCATION_PRIV_H
#define LOCATION_LOCATION_PRIV_H

#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"
#include "location/location.h"
#include <pthread.h>

#define LOC_STRIPES 256u
#define LOC_SWEEP_PARTS 32u
#define LOC_FLOW_STRIPES 64u
#define LOC_FLOW_SLOTS 4096u /* of each */
#define LOC_ROW_BINDINGS_MAX (LIMIT_CONTACTS_AOR * LIMIT_FLOWS_CONTACT)

struct loc_user { /* in a block of its own, wiped when freed; username and realm behind it */
    uint8_t ha1_len[STORE_HA1_N];
    uint8_t ha1[STORE_HA1_N][32];
    bool allow_md5;
    uint16_t username_n, realm_n;
    char text[];
};

struct loc_row { /* one address of record; the text of the key behind it */
    struct map_node node;
    struct list bindings; /* newest first */
    uint32_t n_bindings;
    bool allows_md5;       /* the user's: here, since it is asked of every request, and what is behind a pointer is in no cache */
    struct loc_user *user; /* NULL: nobody, or disabled */
};

enum loc_text { LOC_URI, LOC_PARAMS, LOC_CALL_ID, LOC_ROUTE, LOC_INSTANCE, LOC_AGENT, LOC_TEXTS };

struct loc_binding {
    struct list link; /* in the row */
    struct loc_row *row;
    struct loc_binding *flow_next, **flow_at; /* in the index of flows; flow_at NULL: not in it */
    struct path path;
    uint64_t expires_s, registered_s;
    uint64_t stored_expires_s; /* as the store knows it; 0: not there */
    uint64_t gruu_epoch;       /* same for all bindings of an instance; 0: no instance */
    uint32_t cseq, reg_id;
    uint16_t q_milli;
    bool has_path, secure;
    bool can_dial; /* TCP: where its Contact says there is somebody who listens, as far as we see */
    uint16_t ends[LOC_TEXTS]; /* where each text ends */
    char text[];
};

struct loc_stripe {
    pthread_mutex_t lock;
    struct map rows;
    struct location_stats stats;
};

struct loc_flow_stripe {
    pthread_mutex_t lock;
    struct loc_binding **slots;
};

struct location {
    struct store *store;
    uint8_t gruu_key[LOCATION_GRUU_KEY_BYTES];
    bool (*path_restore)(void *arg, struct path *p);
    void *path_arg;
    bool is_watching;
    size_t max_bindings;
    size_t n_bindings; /* atomic */
    unsigned sweep_at; /* atomic */
    unsigned n_changed; /* atomic: account_changes */
    struct loc_flow_stripe flows[LOC_FLOW_STRIPES];
    struct loc_stripe stripes[LOC_STRIPES];
};

static inline struct str loc_text(const struct loc_binding *b, enum loc_text which)
{
    size_t from = which ? b->ends[which - 1] : 0u;

    return str_make(b->text + from, b->ends[which] - from);
}

static inline bool loc_is_reachable(const struct loc_binding *b)
{
    return b->has_path || b->can_dial || loc_text(b, LOC_ROUTE).n > 0;
}

/* location.c; the stripe's lock is held except for loc_stripe_of. */
struct loc_stripe *loc_stripe_of(struct location *l, struct str aor, uint64_t *ret_hash); /* str_hash; may be NULL */
struct loc_stripe *loc_stripe_of_hash(struct location *l, uint64_t hash);
void loc_row_warm(const struct loc_row *row); /* its newest binding will be looked at soon */
struct loc_row *loc_row_find(struct loc_stripe *s, struct str aor, uint64_t hash);
MUST_USE int loc_row_get(struct loc_stripe *s, struct str aor, uint64_t hash,
                         struct loc_row **ret); /* finds or makes */
void loc_row_drop_if_empty(struct loc_stripe *s, struct loc_row *row);
void loc_row_unbind_all(struct location *l, struct loc_stripe *s, struct loc_row *row);
MUST_USE struct loc_binding *loc_binding_new(const struct str texts[LOC_TEXTS]);
void loc_binding_add(struct location *l, struct loc_stripe *s, struct loc_row *row,
                     struct loc_binding *b,
                     struct loc_binding *before); /* before NULL: at the end */
void loc_binding_remove(struct location *l, struct loc_stripe *s,
                        struct loc_binding *b); /* frees it */
/* A new way to it; path NULL: none. */
void loc_binding_repath(struct location *l, struct loc_stripe *s, struct loc_binding *b,
                        const struct path *path, bool is_secure);
/* Can the phone of this Contact be connected to, having registered by this path and no other proxy?
 * RFC 3261 10.2.1 and 16.6 step 7: by TCP, where the Contact has the very address that the connection
 * came from, so that no NAT is between, and a port that is not just this connection's own. */
bool loc_can_dial(struct str contact, uint32_t reg_id, struct str route, const struct path *path);
void loc_row_expire(struct location *l, struct loc_stripe *s, struct loc_row *row, uint64_t now_s);

/* location_lookup.c: a copy whose texts go to *at, which moves on; needs ends[LOC_TEXTS - 1] bytes.
 */
void loc_binding_copy(const struct loc_binding *b, struct str aor, uint64_t now_s, char **at,
                      struct location_binding *ret);
void loc_count_gruus(struct location *l, struct str aor, uint64_t n); /* takes the lock itself */

/* accounts.c */
void loc_user_free(struct loc_user *user);

/* location_store.c */
void loc_store_put(struct location *l, struct loc_stripe *s, struct loc_binding *b);
void loc_store_del(struct location *l, struct loc_stripe *s, const struct loc_binding *b);
MUST_USE int loc_restore(struct location *l, struct reason *why);

/* location_gruu.c: any thread, no lock needed. */
MUST_USE int loc_gruu_public(struct arena *a, struct str aor, struct str instance, struct str *ret);
MUST_USE int loc_gruu_temporary(const struct location *l, struct rand_source *rand, struct arena *a,
                                struct str aor, uint64_t epoch, struct str *ret);
/* From the address of record of a request to a temporary GRUU ("sip:<token>@domain") to whose it
 * is. ERR_NOTFOUND. */
MUST_USE int loc_gruu_open(const struct location *l, struct arena *a, struct str token_aor,
                           struct str *ret_aor, uint64_t *ret_epoch);

#endif
