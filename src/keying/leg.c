/* The negotiator of one leg. RFC 3264, RFC 4568 5, 7.5, RFC 5763 5, RFC 8643, TR/100 8.2. Of one
 * thread at a time. */
#include "keying/leg.h"
#include "base/err.h"
#include "base/mem.h"

struct section {
    struct keying_medium
        *medium[KEYING_METHODS]; /* those that have offered, or the one that was taken */
    bool is_offered[KEYING_METHODS];
    bool is_offer_out;
    bool clear_offered; /* a clear answer is one to this offer */
    bool is_kept;       /* answered, but others may answer yet: what they may take is still here */
    bool is_settled;
    enum keying_method_id method; /* if settled */
    struct keying_facts clear;    /* the facts where no method has any */
};

struct keying_leg {
    const struct keying_policy *policy;
    size_t n;
    struct section *sections;
    void *shared[KEYING_METHODS];
};

void **keying_leg_shared(struct keying_leg *leg, enum keying_method_id id)
{
    return leg != NULL ? &leg->shared[id] : NULL;
}

int keying_leg_new(struct keying_leg **ret, const struct keying_policy *policy)
{
    struct keying_leg *leg = mem_zalloc(sizeof(*leg));

    if (leg == NULL)
        return ERR_NOMEM;
    leg->policy = policy;
    *ret = leg;
    return 0;
}

static void medium_drop(struct section *s, enum keying_method_id id)
{
    if (s->medium[id] != NULL)
        s->medium[id]->method->free(s->medium[id]);
    s->medium[id] = NULL;
    s->is_offered[id] = false;
}

void keying_leg_free(struct keying_leg *leg)
{
    if (leg == NULL)
        return;
    for (size_t i = 0; i < leg->n; i++) {
        for (enum keying_method_id id = 0; id < KEYING_METHODS; id++)
            medium_drop(&leg->sections[i], id);
    }
    for (enum keying_method_id id = 0; id < KEYING_METHODS; id++) {
        const struct keying_method *method = keying_method_get(id);

        if (leg->shared[id] != NULL && method != NULL && method->free_shared != NULL)
            method->free_shared(leg->shared[id]);
    }
    mem_free(leg->sections);
    mem_free(leg);
}

static struct section *section_find(const struct keying_leg *leg, int section)
{
    return section >= 0 && (size_t)section < leg->n ? &leg->sections[section] : NULL;
}

static int section_get(struct keying_leg *leg, int section, struct section **ret)
{
    struct section *grown;
    size_t n = (size_t)section + 1;

    if (section < 0 || n > LIMIT_KEYING_SECTIONS)
        return ERR_LIMIT;
    if (n > leg->n) {
        grown = mem_realloc(leg->sections, n * sizeof(*grown));
        if (grown == NULL)
            return ERR_NOMEM;
        leg->sections = grown;
        while (leg->n < n)
            leg->sections[leg->n++] = (struct section){.clear = keying_facts_clear()};
    }
    *ret = &leg->sections[section];
    return 0;
}

static int medium_get(struct keying_leg *leg, struct section *s, int section,
                      const struct keying_method *method)
{
    return s->medium[method->id] != NULL ? 0 : method->new (&s->medium[method->id], leg, section);
}

int keying_leg_fork(struct keying_leg *leg, struct keying_leg **ret)
{
    struct section *twin;
    int err;

    *ret = NULL;
    err = keying_leg_new(ret, leg->policy);

    for (size_t i = 0; i < leg->n && err == 0; i++) {
        const struct section *s = &leg->sections[i];

        err = section_get(*ret, (int)i, &twin);
        for (enum keying_method_id id = 0; id < KEYING_METHODS && err == 0; id++) {
            if (s->medium[id] == NULL)
                continue;
            err = s->medium[id]->method->fork(s->medium[id], *ret, &twin->medium[id]);
            twin->is_offered[id] = true;
        }
        if (err == 0) {
            twin->is_offer_out = true;
            twin->clear_offered = s->clear_offered;
        }
    }
    if (err != 0 && *ret != NULL) {
        keying_leg_free(*ret);
        *ret = NULL;
    }
    return err;
}

/* ---- settling ---- */

static void settle(struct section *s, enum keying_method_id method)
{
    for (enum keying_method_id id = 0; id < KEYING_METHODS; id++) {
        s->is_offered[id] = false;
        if (id != method)
            medium_drop(s, id);
    }
    s->is_settled = true;
    s->method = method;
    s->is_offer_out = false;
    s->clear_offered = false;
    s->is_kept = false;
}

/* An answer came. Where several ways were offered, another one who answers may take another (RFC
 * 8643 with a fork): the others are kept for keying_leg_fork. */
static void settle_first(struct section *s, enum keying_method_id method)
{
    s->is_settled = true;
    s->method = method;
    s->is_offer_out = false;
    s->is_kept = true;
}

/* No other answers will come. */
static void let_go(struct section *s)
{
    if (s->is_kept)
        settle(s, s->method);
}

static bool allows_clear(const struct keying_policy *policy)
{
    for (size_t i = 0; i < policy->n_methods; i++) {
        if (policy->methods[i] == KEYING_CLEAR)
            return true;
    }
    return policy->best_effort;
}

/* The i-th method of the policy that is built in; NULL for others. */
static const struct keying_method *method_at(const struct keying_policy *policy, size_t i)
{
    return keying_method_get(policy->methods[i]);
}

/* ---- offering ---- */

enum profile { PROFILE_CLEAR, PROFILE_SAVP, PROFILE_DTLS };

static enum profile profile_of(const struct keying_method *method)
{
    return method->id == KEYING_DTLS ? PROFILE_DTLS : PROFILE_SAVP;
}

static enum sdp_proto proto_of(enum profile profile, bool has_feedback)
{
    static const enum sdp_proto protos[3][2] = {
        [PROFILE_CLEAR] = {SDP_RTP_AVP, SDP_RTP_AVPF},
        [PROFILE_SAVP] = {SDP_RTP_SAVP, SDP_RTP_SAVPF},
        [PROFILE_DTLS] = {SDP_UDP_TLS_RTP_SAVP, SDP_UDP_TLS_RTP_SAVPF},
    };

    return protos[profile][has_feedback];
}

static bool may_offer(const struct section *s, const struct keying_wish *wish,
                      const struct keying_method *method, struct reason *why)
{
    if (method == NULL || (wish->without & (1u << method->id)) ||
        (s->is_settled && s->method != method->id))
        return false;
    if (!method->keys_in_sdp || wish->is_hop_private)
        return true;
    reason_set(why, "keying-clear-hop", "RFC 4568 8.3", 0,
               "keys in SDP need a hop that is encrypted and authenticated");
    return false;
}

/* Asks each method that may take part, in the order of preference. The first one that can settles
 * the profile, and only those that go with it follow; best effort takes all, in the clear profile.
 */
static int offer_methods(struct keying_leg *leg, struct section *s, int section,
                         const struct keying_at *at, const struct keying_wish *wish,
                         struct keying_said *said, enum profile *ret, unsigned *ret_n,
                         struct reason *why)
{
    const struct keying_policy *policy = wish->policy;
    bool best_effort = policy->best_effort && !s->is_settled;

    *ret_n = 0;
    for (size_t i = 0; i < policy->n_methods; i++) {
        const struct keying_method *method = method_at(policy, i);
        int err;

        if (!may_offer(s, wish, method, why) ||
            (*ret_n > 0 && !best_effort && profile_of(method) != *ret))
            continue;
        err = medium_get(leg, s, section, method);
        if (err == 0)
            err = method->offer(s->medium[method->id], at, wish, said, why);
        if (err == ERR_REFUSED)
            continue;
        if (err != 0)
            return err;
        s->is_offered[method->id] = true;
        if ((*ret_n)++ == 0)
            *ret = best_effort ? PROFILE_CLEAR : profile_of(method);
    }
    return 0;
}

static void rollback_section(struct section *s)
{
    for (enum keying_method_id id = 0; id < KEYING_METHODS; id++) {
        if (s->medium[id] == NULL)
            continue;
        s->medium[id]->method->rollback(s->medium[id]);
        s->is_offered[id] = false;
        if (!s->is_settled || s->method != id)
            medium_drop(s, id);
    }
    s->is_offer_out = false;
    s->clear_offered = false;
}

int keying_leg_offer(struct keying_leg *leg, int section, const struct keying_at *at,
                     const struct keying_wish *wish, bool has_feedback, struct keying_said *said,
                     enum sdp_proto *ret_proto, struct reason *why)
{
    struct keying_wish own = *wish;
    struct section *s;
    enum profile profile = PROFILE_CLEAR;
    unsigned n = 0;
    int err = section_get(leg, section, &s);

    if (err != 0)
        return err;
    if (own.policy == NULL)
        own.policy = leg->policy;
    let_go(s);
    reason_set(why, "keying-none", "TR/100 8.2", 0,
               "no method of key management may be offered here");
    err = offer_methods(leg, s, section, at, &own, said, &profile, &n, why);
    if (err == 0 && n == 0 &&
        (!allows_clear(own.policy) || (s->is_settled && s->method != KEYING_CLEAR)))
        err = ERR_REFUSED;
    if (err != 0) {
        rollback_section(s);
        return err;
    }
    s->is_offer_out = true;
    s->clear_offered = n == 0 || profile == PROFILE_CLEAR;
    *ret_proto = proto_of(profile, has_feedback);
    return 0;
}

/* ---- answering ---- */

/* Does the method go with the profile of the offer? Some put fingerprints into RTP/SAVP, and OSRTP
 * puts everything into RTP/AVP: to answer that with keys weakens nothing, so it needs no policy of
 * best effort (RFC 8643 3.2). */
static bool fits(const struct keying_method *method, enum sdp_proto proto)
{
    return !sdp_proto_is_dtls(proto) || method->id == KEYING_DTLS;
}

static int answer_clear(struct section *s, const struct keying_policy *policy, enum sdp_proto proto,
                        struct reason *why)
{
    if (!sdp_proto_is_secure(proto) && allows_clear(policy) &&
        (!s->is_settled || s->method == KEYING_CLEAR)) {
        settle(s, KEYING_CLEAR);
        return 0;
    }
    if (why != NULL && why->code == NULL)
        reason_set(why, "keying-clear", "TR/100 8.1", 488, "media without keys is not allowed");
    return ERR_REFUSED;
}

int keying_leg_answer(struct keying_leg *leg, int section, const struct keying_at *at,
                      const struct keying_wish *wish, const struct keying_heard *offer,
                      struct keying_said *said, struct reason *why)
{
    struct keying_wish own = *wish;
    enum sdp_proto proto = offer->sdp->media[offer->section].proto;
    struct section *s;
    struct reason first = {.code = NULL};
    int err = section_get(leg, section, &s);

    if (err != 0)
        return err;
    if (own.policy == NULL)
        own.policy = leg->policy;
    for (size_t i = 0; i < own.policy->n_methods; i++) {
        const struct keying_method *method = method_at(own.policy, i);
        struct reason one = {.code = NULL};

        if (method == NULL || (own.without & (1u << method->id)) || !fits(method, proto) ||
            !method->is_heard(offer))
            continue;
        err = medium_get(leg, s, section, method);
        if (err == 0)
            err = method->answer(s->medium[method->id], at, &own, offer, said, &one);
        if (err == 0) {
            settle(s, method->id);
            return 0;
        }
        if (err != ERR_REFUSED)
            return err;
        if (first.code == NULL)
            first = one;
    }
    if (why != NULL)
        *why = first;
    return answer_clear(s, own.policy, proto, why);
}

/* ---- accepting ---- */

static int refuse(struct section *s, unsigned attack, struct reason *why, const char *code,
                  const char *what)
{
    reason_set(why, code, "RFC 4568 5.1.3", 488, "%s", what);
    s->clear.attacks |= attack;
    return ERR_REFUSED;
}

/* Which of the methods that have offered does the answer speak of? One that has not, is none of
 * ours. */
static const struct keying_method *heard_method(const struct section *s,
                                                const struct keying_policy *policy,
                                                const struct keying_heard *answer,
                                                bool *ret_foreign)
{
    const struct keying_method *found = NULL;

    *ret_foreign = false;
    for (size_t i = 0; i < policy->n_methods && found == NULL; i++) {
        const struct keying_method *method = method_at(policy, i);

        if (method != NULL && s->is_offered[method->id] && method->is_heard(answer))
            found = method;
    }
    for (enum keying_method_id id = 0; id < KEYING_METHODS && found == NULL; id++) {
        const struct keying_method *method = keying_method_get(id);

        *ret_foreign = *ret_foreign || (method != NULL && method->is_heard(answer));
    }
    return found;
}

int keying_leg_accept(struct keying_leg *leg, int section, const struct keying_at *at,
                      const struct keying_wish *wish, const struct keying_heard *answer,
                      struct reason *why)
{
    struct keying_wish own = *wish;
    enum sdp_proto proto = answer->sdp->media[answer->section].proto;
    struct section *s = section_find(leg, section);
    const struct keying_method *method;
    bool is_foreign;
    int err;

    if (s == NULL || !s->is_offer_out)
        return ERR_INVALID;
    if (own.policy == NULL)
        own.policy = leg->policy;
    method = heard_method(s, own.policy, answer, &is_foreign);
    if (method != NULL) {
        err = method->accept(s->medium[method->id], at, &own, answer, why);
        if (err == 0)
            settle_first(s, method->id);
        return err;
    }
    if (is_foreign)
        return refuse(s, KEYING_ATTACK_NOT_OFFERED, why, "keying-not-offered",
                      "the answer has keys of a method not offered");
    if (s->clear_offered && !sdp_proto_is_secure(proto)) {
        settle_first(s, KEYING_CLEAR);
        return 0;
    }
    return refuse(s, KEYING_ATTACK_STRIPPED, why, "keying-stripped", "the answer has no keys");
}

void keying_leg_rollback(struct keying_leg *leg)
{
    for (size_t i = 0; i < leg->n; i++)
        rollback_section(&leg->sections[i]);
}

void keying_leg_close(struct keying_leg *leg, int section)
{
    struct section *s = section_find(leg, section);

    for (enum keying_method_id id = 0; s != NULL && id < KEYING_METHODS; id++)
        medium_drop(s, id);
    if (s != NULL)
        *s = (struct section){.clear = keying_facts_clear()};
}

/* ---- packets, time, events ---- */

void keying_leg_packet(struct keying_leg *leg, int section, const struct keying_at *at,
                       enum keying_path path, const struct addr *from, bool is_named,
                       const uint8_t *p, size_t n)
{
    struct section *s = section_find(leg, section);

    for (enum keying_method_id id = 0; s != NULL && n > 0 && id < KEYING_METHODS; id++) {
        struct keying_medium *m = s->medium[id];

        if (m != NULL && m->method->first_byte_max != 0 && p[0] >= m->method->first_byte_min &&
            p[0] <= m->method->first_byte_max)
            m->method->packet(m, at, path, from, is_named, p, n);
    }
}

void keying_leg_tick(struct keying_leg *leg, const struct keying_at *at)
{
    for (size_t i = 0; i < leg->n; i++) {
        for (enum keying_method_id id = 0; id < KEYING_METHODS; id++) {
            struct keying_medium *m = leg->sections[i].medium[id];

            if (m != NULL)
                m->method->tick(m, at);
        }
    }
}

uint64_t keying_leg_timer(const struct keying_leg *leg)
{
    uint64_t first = UINT64_MAX;

    for (size_t i = 0; i < leg->n; i++) {
        for (enum keying_method_id id = 0; id < KEYING_METHODS; id++) {
            const struct keying_medium *m = leg->sections[i].medium[id];
            uint64_t one = m != NULL ? m->method->timer(m) : UINT64_MAX;

            first = one < first ? one : first;
        }
    }
    return first;
}

void keying_leg_tell(struct keying_leg *leg, int section, const struct keying_at *at,
                     const struct keying_tell *tell)
{
    for (size_t i = 0; i < leg->n; i++) {
        for (enum keying_method_id id = 0;
             id < KEYING_METHODS && (section < 0 || (size_t)section == i); id++) {
            struct keying_medium *m = leg->sections[i].medium[id];

            if (m != NULL)
                m->method->tell(m, at, tell);
        }
        if (tell->kind == KEYING_TELL_NO_BRANCHES && (section < 0 || (size_t)section == i))
            let_go(&leg->sections[i]);
    }
}

bool keying_leg_next(struct keying_leg *leg, struct keying_event *ret)
{
    for (size_t i = 0; i < leg->n; i++) {
        for (enum keying_method_id id = 0; id < KEYING_METHODS; id++) {
            struct keying_medium *m = leg->sections[i].medium[id];

            if (m != NULL && m->method->next(m, ret))
                return true;
        }
    }
    *ret = (struct keying_event){.kind = KEYING_EVENT_NONE};
    return false;
}

const struct keying_facts *keying_leg_facts(const struct keying_leg *leg, int section)
{
    static const struct keying_facts none = {.method = KEYING_CLEAR,
                                             .known_to = KEYING_KNOWN_ANYBODY};
    const struct section *s = section_find(leg, section);

    if (s == NULL)
        return &none;
    if (s->is_settled && s->medium[s->method] != NULL)
        return s->medium[s->method]->method->facts(s->medium[s->method]);
    /* Not settled: if an answer was refused, what the method makes of it is what there is to say.
     */
    for (enum keying_method_id id = 0; id < KEYING_METHODS; id++) {
        if (s->medium[id] != NULL && s->medium[id]->method->facts(s->medium[id])->attacks != 0)
            return s->medium[id]->method->facts(s->medium[id]);
    }
    return &s->clear;
}

bool keying_leg_facts_all(const struct keying_leg *leg, struct keying_facts *ret)
{
    bool any = false;

    for (size_t i = 0; i < leg->n; i++) {
        const struct keying_facts *one = keying_leg_facts(leg, (int)i);

        if (!leg->sections[i].is_settled)
            continue;
        if (any)
            keying_facts_least(ret, one);
        else
            *ret = *one;
        any = true;
    }
    return any;
}
