/* The numbers of all workers together. Counters are read as they are (each is written by its worker alone, as a whole); what the
 * transaction layer and the call table know is asked for. Main thread. */
#include "edge/ask.h"
#include "edge/status/calls.h"
#include "edge/edge_worker.h"
#include "edge/status/status_priv.h"

const char *const edge_counter_names[EC_N] = {
    [EC_REQUESTS] = "requests",
    [EC_RESPONSES] = "responses",
    [EC_PARSE_DROPPED] = "messages_not_parsed",
    [EC_BAD_REQUESTS] = "requests_malformed",
    [EC_CHALLENGES] = "challenges",
    [EC_AUTH_OK] = "authenticated",
    [EC_AUTH_FAILED] = "authentication_failed",
    [EC_AUTH_STALE] = "authentication_stale",
    [EC_AUTH_REPLAY] = "authentication_replayed",
    [EC_GUESSES_SLOWED] = "guesses_slowed",
    [EC_REGISTERS_OK] = "registrations_accepted",
    [EC_REGISTERS_REFUSED] = "registrations_refused",
    [EC_CALLS_STARTED] = "calls_started",
    [EC_CALLS_ANSWERED] = "calls_answered",
    [EC_CALLS_ENDED] = "calls_ended",
    [EC_CALLS_FAILED] = "calls_failed",
    [EC_FORWARDED] = "requests_forwarded",
    [EC_LOOPS] = "loops",
    [EC_TOKENS_FORGED] = "tokens_forged",
    [EC_OVERLOAD_503] = "overload_refusals",
    [EC_EMERGENCY] = "emergency_requests",
    [EC_STRAYS] = "responses_stray",
    [EC_HANDOVERS] = "messages_handed_over",
    [EC_HANDOVERS_LOST] = "handovers_lost",
    [EC_GARBAGE] = "streams_garbled",
    [EC_TOO_LARGE] = "messages_too_large",
    [EC_IDENTITY_VALID] = "identity_valid",
    [EC_IDENTITY_ABSENT] = "identity_absent",
    [EC_IDENTITY_UNVERIFIABLE] = "identity_unverifiable",
    [EC_IDENTITY_STALE] = "identity_stale",
    [EC_IDENTITY_BROKEN] = "identity_broken",
    [EC_IDENTITY_CONTRADICTED] = "identity_contradicted",
    [EC_IDENTITY_SIGNED] = "identity_signed",
    [EC_IDENTITY_UNSIGNED] = "identity_not_signed",
    [EC_SMIME_NAMES] = "smime_names",
    [EC_SMIME_SIGNED] = "smime_signed",
    [EC_SMIME_ENCRYPTED] = "smime_encrypted",
    [EC_SMIME_UNVERIFIABLE] = "smime_unverifiable",
    [EC_SMIME_STALE] = "smime_stale",
    [EC_SMIME_BROKEN] = "smime_broken",
    [EC_SMIME_CONTRADICTED] = "smime_contradicted",
    [EC_LEVEL_ATTACKED] = "calls_attacked",
    [EC_LEVEL_OPEN] = "calls_open",
    [EC_LEVEL_PROTECTED] = "calls_protected",
    [EC_LEVEL_SECURE] = "calls_secure",
    [EC_LEVEL_END_TO_END] = "calls_end_to_end",
    [EC_STATUS_REFUSED] = "calls_refused_by_status",
    [EC_ATTACKS] = "attacks_seen",
    [EC_TAP_SENT] = "mirrored",
    [EC_TAP_DROPPED] = "mirror_dropped",
};

const char *edge_how_text(unsigned how)
{
    static const char *const texts[] = {
        [AUTH_NONE] = "not",         [AUTH_DIGEST] = "digest", [AUTH_FLOW] = "flow",
        [AUTH_CERTIFICATE] = "certificate", [AUTH_SOURCE] = "source",
    };

    return how < ARRAY_LEN(texts) ? texts[how] : "?";
}

/* The fields of such a struct are all uint64_t. */
static void add_all(void *sum, const void *more, size_t bytes)
{
    uint64_t *s = sum;
    const uint64_t *m = more;
    size_t i;

    for (i = 0; i < bytes / sizeof *s; i++)
        s[i] += m[i];
}

struct worker_numbers {
    struct sip_txl_stats tx;
    uint64_t calls;
};

static void worker_numbers(struct edge_worker *w, void *answer, struct str text)
{
    struct worker_numbers *n = answer;

    (void)text;
    sip_txl_stats(w->txl, &n->tx);
    n->calls = calls_count(w);
}

static void add_worker(struct edge *e, unsigned i, struct edge_numbers *ret)
{
    const struct edge_worker *w = e->workers[i];
    struct net_stats net;
    unsigned k;

    if (!w)
        return;
    for (k = 0; k < EC_N; k++)
        ret->counters[k] += __atomic_load_n(&w->counters[k], __ATOMIC_RELAXED);
    for (k = 0; k < ARRAY_LEN(ret->responses); k++)
        ret->responses[k] += __atomic_load_n(&w->responses_by_class[k], __ATOMIC_RELAXED);
    if (!e->group)
        return;
    net_group_stats(e->group, i, &net);
    add_all(&ret->net, &net, sizeof net);
}

int edge_numbers_get(struct edge *e, struct edge_numbers *ret)
{
    struct ask_args args = {.fn = worker_numbers, .answer_size = sizeof(struct worker_numbers)};
    const struct worker_numbers *n;
    struct ask *a;
    unsigned i;
    int err;

    memset(ret, 0, sizeof *ret);
    if ((err = ask_workers(e, &args, &a)) != 0)
        return err;
    ret->silent = ask_silent(a);
    ret->clock_sets = __atomic_load_n(&e->clock_sets, __ATOMIC_RELAXED);
    for (i = 0; i < e->n_workers; i++) {
        add_worker(e, i, ret);
        if ((n = ask_answer(a, i)) == NULL)
            continue;
        add_all(&ret->tx, &n->tx, sizeof n->tx);
        ret->calls += n->calls;
    }
    ask_free(a);
    location_stats_get(e->loc, &ret->location);
    store_health_get(e->store, &ret->store);
    return 0;
}

/* Transactions that are under way: those that only absorb repetitions do not hold up a stop. */
bool edge_busy(struct edge *e)
{
    struct edge_numbers n;

    return edge_numbers_get(e, &n) != 0 || n.silent > 0 || n.tx.stx_open + n.tx.ctx_open > 0;
}
