/* What the tests of the location service share: a service with two users, and short forms. */
#ifndef TESTS_UNIT_EDGE_LOCATION_HELP_H
#define TESTS_UNIT_EDGE_LOCATION_HELP_H

#include "base/buf.h"
#include "check.h"
#include "location/location_priv.h"
#include "oom.h"
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define NOW 1700000000u
static const uint8_t gruu_key[LOCATION_GRUU_KEY_BYTES] = {1, 2, 3};

static struct location *loc;
static struct arena *arena;
static struct rand_source rnd;

static inline void add_user(const char *aor)
{
    struct store_user u = {.aor = str_z(aor),
                           .username = STR("alice"),
                           .realm = STR("example.com"),
                           .ha1_len = {16, 32, 32},
                           .ha1 = {{1}, {2}, {3}}};

    check_err(account_put(loc, &u), 0);
}

static inline int setup(void **state)
{
    struct location_args args = {.gruu_key = gruu_key};
    struct reason why;

    (void)state;
    rand_fixed_init(&rnd, 7);
    arena = arena_new(4096, 1 << 20);
    if (!arena || location_new(&args, &loc, &why) != 0)
        return -1;
    add_user("sip:alice@example.com");
    add_user("sip:bob@example.com");
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    location_free(loc);
    arena_free(arena);
    loc = NULL;
    return 0;
}

/* ---- short forms ---- */

static inline struct path path_of(enum transport t, flow_id flow, unsigned port)
{
    struct path p = {.transport = t, .listener = 2, .flow = flow};

    check_err(addr_parse(&p.remote, STR("192.0.2.1"), (uint16_t)port), 0);
    check_err(addr_parse(&p.local, STR("192.0.2.9"), 5060), 0);
    return p;
}

struct reg {
    const char *aor, *call_id, *route, *agent;
    uint32_t cseq;
    struct location_contact c[6];
    size_t n;
    bool all, gruu, secure, direct;
    struct path path;
    uint64_t now;
    unsigned max;
};

#define C(u, e)                                                                                    \
    {                                                                                              \
        .uri = STR(u), .expires_s = (e), .q_milli = 1000                                           \
    }
#define FLOW(u, i, r, e)                                                                           \
    {                                                                                              \
        .uri = STR(u), .expires_s = (e), .q_milli = 1000, .instance = STR(i), .reg_id = (r)        \
    }

static struct location_bindings result;
static struct reason why;

static inline int reg(const struct reg *r)
{
    struct path p = r->path.transport || r->path.flow || addr_is_set(&r->path.remote)
                        ? r->path
                        : path_of(TRANSPORT_UDP, 0, 5060);
    struct location_register lr = {
        .aor = str_z(r->aor ? r->aor : "sip:alice@example.com"),
        .call_id = str_z(r->call_id ? r->call_id : "c1"),
        .cseq = r->cseq,
        .contacts = r->c,
        .n_contacts = r->n,
        .remove_all = r->all,
        .route = str_z(r->route ? r->route : ""),
        .path = &p,
        .secure = r->secure,
        .is_direct = r->direct,
        .user_agent = str_z(r->agent ? r->agent : "phone"),
        .wants_gruu = r->gruu,
        .max_contacts = r->max,
        .now_s = r->now ? r->now : NOW,
        .rand = &rnd,
    };

    why = (struct reason){0};
    return location_register(loc, &lr, arena, &result, &why);
}
#define REG(...) reg(&(struct reg){__VA_ARGS__})

static struct location_targets targets;

static inline int look(const char *aor, uint64_t now)
{
    return location_lookup(loc, &(struct location_query){.aor = str_z(aor), .now_s = now}, arena,
                           &targets);
}

static inline int look_gr(struct str aor, struct str gr)
{
    return location_lookup(
        loc, &(struct location_query){.aor = aor, .has_gr = true, .gr = gr, .now_s = NOW}, arena,
        &targets);
}

static inline struct location_stats stats(void)
{
    struct location_stats st;

    location_stats_get(loc, &st);
    return st;
}

static inline struct str temp_aor(struct str gruu) /* without ";gr": what sip_uri_aor gives for it */
{
    assert_true(gruu.n > 3 && memcmp(gruu.p + gruu.n - 3, ";gr", 3) == 0);
    return str_make(gruu.p, gruu.n - 3);
}

#endif
