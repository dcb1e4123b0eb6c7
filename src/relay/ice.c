/* The checks of a full ICE agent, judged and answered, and what they show. RFC 8445 7.3, 8.2, 12.1;
 * RFC 8489 6.3, 9.1.3, 14.5 to 14.7; RFC 7675. Pure. */
#include "relay/ice.h"
#include "base/secret.h"
#include "net/stun.h"
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define MESSAGE_MAX STUN_REQUEST_MAX /* RFC 8489 6.1: the path's MTU is not known */
#define UNKNOWN_MAX 8u
#define MAC_MAX 32u

struct request {
    struct stun_attr username, integrity; /* p NULL: absent */
    bool is_sha256;
    bool has_use_candidate, says_controlled;
    unsigned n_unknown;
    uint16_t unknown[UNKNOWN_MAX];
};

/* Needed, known, and of no use in a request of ICE's: ignored. */
static bool is_known(unsigned type)
{
    return type >= 0x8000 || (type >= 0x0001 && type <= 0x000b) || type == 0x0014 ||
           type == 0x0015 || (type >= 0x001c && type <= 0x001e) || type == STUN_XOR_MAPPED_ADDRESS;
}

static void take_attr(const struct stun_attr *a, struct request *ret)
{
    switch (a->type) {
    case STUN_USERNAME:
        if (ret->username.p == NULL) /* of several the first counts, RFC 8489 14 */
            ret->username = *a;
        break;
    case STUN_USE_CANDIDATE:
        ret->has_use_candidate = true;
        break;
    case STUN_ICE_CONTROLLED:
        ret->says_controlled = true;
        break;
    case STUN_PRIORITY:
        break; /* a lite agent forms no pairs */
    default:
        if (!is_known(a->type) && ret->n_unknown < UNKNOWN_MAX)
            ret->unknown[ret->n_unknown++] = (uint16_t)a->type;
        break;
    }
}

/* What stands behind MESSAGE-INTEGRITY is vouched for by nobody: but for the longer hash and the
 * checksum it is as if it were not there (RFC 8489 14.5, 14.6). False: broken, or without
 * FINGERPRINT, which ICE always has (RFC 8445 7.3). */
static bool parse(const uint8_t *p, size_t n, struct request *ret)
{
    size_t at = STUN_HEADER_BYTES;
    struct stun_attr a;
    bool broken, has_fingerprint = false;

    *ret = (struct request){.is_sha256 = false};
    while (stun_attr_next(p, n, &at, &a, &broken)) {
        if (has_fingerprint)
            return false;
        if (a.type == STUN_FINGERPRINT) {
            if (!stun_fingerprint_fits(p, &a))
                return false;
            has_fingerprint = true;
        } else if (a.type == STUN_MESSAGE_INTEGRITY_SHA256 && !ret->is_sha256) {
            ret->integrity = a;
            ret->is_sha256 = true;
        } else if (a.type == STUN_MESSAGE_INTEGRITY && ret->integrity.p == NULL) {
            ret->integrity = a;
        } else if (ret->integrity.p == NULL) {
            take_attr(&a, ret);
        }
    }
    return !broken && has_fingerprint;
}

/* Over the message up to the attribute, with the length that it has when the attribute ends it. */
static bool mac_of(const uint8_t *p, size_t at, bool is_sha256, struct str pwd,
                   uint8_t ret[MAC_MAX])
{
    uint8_t text[MESSAGE_MAX + STUN_HEADER_BYTES];
    size_t len = is_sha256 ? 32 : 20;
    unsigned n = 0;

    memcpy(text, p, at);
    stun_put16(text + 2, (unsigned)(at + 4 + len - STUN_HEADER_BYTES));
    return HMAC(is_sha256 ? EVP_sha256() : EVP_sha1(), pwd.p, (int)pwd.n, text, at, ret, &n) !=
               NULL &&
           n == len;
}

static bool is_authentic(const uint8_t *p, const struct request *r, struct str pwd)
{
    uint8_t mac[MAC_MAX] = {0};
    size_t len = r->is_sha256 ? 32 : 20; /* ICE does not shorten it, RFC 8489 14.6 */

    return r->integrity.n == len && mac_of(p, r->integrity.at, r->is_sha256, pwd, mac) &&
           secret_bytes_eq(mac, r->integrity.p, len);
}

static void add_integrity(struct stun_out *o, bool is_sha256, struct str pwd)
{
    size_t at = o->n, len = is_sha256 ? 32 : 20;
    uint8_t mac[MAC_MAX];
    uint8_t *p =
        stun_out_attr(o, is_sha256 ? STUN_MESSAGE_INTEGRITY_SHA256 : STUN_MESSAGE_INTEGRITY, len);

    if (p == NULL)
        return;
    if (mac_of(o->p, at, is_sha256, pwd, mac))
        memcpy(p, mac, len);
    else
        o->overflow = true;
}

/* "ours:theirs" */
static bool split_username(const struct stun_attr *username, struct str *ret_ours,
                           struct str *ret_theirs)
{
    struct str whole = str_make((const char *)username->p, username->n);

    *ret_theirs = str_cut(whole, ':', ret_ours);
    return ret_theirs->p != NULL;
}

struct answer {
    const uint8_t *request;
    size_t n_request;
    struct relay_ice_answer *ret;
};

/* Before we know who asks: without credentials, and never more than what came. */
static enum relay_ice_verdict refuse_stranger(const struct answer *a, unsigned code,
                                              struct str phrase)
{
    struct stun_out o;

    stun_out_start(&o, a->ret->bytes, RELAY_ICE_ANSWER_MAX, STUN_BINDING_ERROR, a->request);
    stun_out_error(&o, code, phrase);
    stun_out_fingerprint(&o);
    a->ret->error = code;
    if (o.overflow || o.n > a->n_request)
        return RELAY_ICE_IGNORED;
    a->ret->n = o.n;
    return RELAY_ICE_REFUSED;
}

static bool finish(const struct answer *a, struct stun_out *o, const struct request *r,
                   struct str pwd)
{
    add_integrity(o, r->is_sha256, pwd);
    stun_out_fingerprint(o);
    if (!o->overflow)
        a->ret->n = o->n;
    return !o->overflow;
}

static enum relay_ice_verdict refuse(const struct answer *a, const struct request *r,
                                     struct str pwd, unsigned code, struct str phrase)
{
    struct stun_out o;

    stun_out_start(&o, a->ret->bytes, RELAY_ICE_ANSWER_MAX, STUN_BINDING_ERROR, a->request);
    stun_out_error(&o, code, phrase);
    if (code == 420)
        stun_out_unknown(&o, r->unknown, r->n_unknown);
    a->ret->error = code;
    return finish(a, &o, r, pwd) ? RELAY_ICE_REFUSED : RELAY_ICE_IGNORED;
}

/* Authentic: RFC 8489 6.3.1, RFC 8445 7.3.1.1. */
static enum relay_ice_verdict admit(const struct answer *a, const struct request *r,
                                    const struct relay_ice_names *names, struct str theirs,
                                    const struct addr *from)
{
    struct stun_out o;

    if (r->n_unknown > 0)
        return refuse(a, r, names->pwd, 420, STR("Unknown Attribute"));
    if (r->says_controlled)
        return refuse(a, r, names->pwd, 487, STR("Role Conflict"));
    stun_out_start(&o, a->ret->bytes, RELAY_ICE_ANSWER_MAX, STUN_BINDING_SUCCESS, a->request);
    stun_out_mapped(&o, from);
    if (!finish(a, &o, r, names->pwd))
        return RELAY_ICE_IGNORED;
    if (!str_is_empty(names->peer_ufrag) && !str_eq(theirs, names->peer_ufrag))
        return RELAY_ICE_ELSEWHERE;
    return r->has_use_candidate ? RELAY_ICE_NOMINATED : RELAY_ICE_VALID;
}

enum relay_ice_verdict relay_ice_check(const struct relay_ice_names *names, const struct addr *from,
                                       const uint8_t *p, size_t n, struct relay_ice_answer *ret)
{
    const struct answer a = {.request = p, .n_request = n, .ret = ret};
    struct request r;
    struct str ours, theirs;
    size_t total;

    ret->n = 0;
    ret->error = 0;
    ret->theirs = STR_NULL;
    if (stun_frame((const char *)p, n, &total) != 0 || total != n || !parse(p, n, &r))
        return RELAY_ICE_NOT;
    if (stun_get16(p) != STUN_BINDING_REQUEST)
        return RELAY_ICE_IGNORED;
    if (r.username.p == NULL || r.integrity.p == NULL)
        return refuse_stranger(&a, 400, STR("Bad Request"));
    if (!split_username(&r.username, &ours, &theirs) || str_is_empty(names->ufrag) ||
        !str_eq(ours, names->ufrag) || !is_authentic(p, &r, names->pwd))
        return refuse_stranger(&a, 401, STR("Unauthenticated"));
    ret->theirs = theirs;
    return admit(&a, &r, names, theirs, from);
}

/* ---- flows ---- */

static struct relay_ice_source *source_find(const struct relay_ice_flow *f, const struct addr *from)
{
    for (size_t i = 0; i < LIMIT_ICE_SOURCES; i++) {
        if (f->source[i].heard_ms != 0 && addr_eq(&f->source[i].addr, from))
            return (struct relay_ice_source *)(uintptr_t)&f->source[i];
    }
    return NULL;
}

/* A new one takes a free place, or that of the one that has been silent longest, the selected one
 * last of all. */
static struct relay_ice_source *source_get(struct relay_ice_flow *f, const struct addr *from)
{
    struct relay_ice_source *found = source_find(f, from), *oldest = NULL;

    if (found != NULL)
        return found;
    for (size_t i = 0; i < LIMIT_ICE_SOURCES; i++) {
        struct relay_ice_source *s = &f->source[i];
        bool is_selected = s->heard_ms != 0 && addr_is_set(&f->to) && addr_eq(&s->addr, &f->to);

        if (!is_selected && (oldest == NULL || s->heard_ms < oldest->heard_ms))
            oldest = s;
    }
    *oldest = (struct relay_ice_source){.addr = *from};
    return oldest;
}

bool relay_ice_flow_check(struct relay_ice_flow *f, enum relay_ice_verdict verdict,
                          struct str theirs, const struct addr *from, uint64_t now_ms)
{
    bool is_other = !addr_is_set(&f->to) || !addr_eq(&f->to, from);
    struct relay_ice_source *s;

    if (verdict != RELAY_ICE_VALID && verdict != RELAY_ICE_NOMINATED)
        return false;
    s = source_get(f, from);
    s->heard_ms = now_ms != 0 ? now_ms : 1;
    s->peer = str_hash(theirs);
    s->is_nominated = s->is_nominated || verdict == RELAY_ICE_NOMINATED;
    if (is_other && verdict == RELAY_ICE_VALID)
        return false;
    f->to = *from;
    f->heard_ms = s->heard_ms;
    return is_other;
}

void relay_ice_flow_settle(struct relay_ice_flow *f, struct str peer_ufrag)
{
    const uint64_t peer = str_hash(peer_ufrag);
    const struct relay_ice_source *best = NULL;

    for (size_t i = 0; i < LIMIT_ICE_SOURCES; i++) {
        struct relay_ice_source *s = &f->source[i];

        if (s->peer != peer)
            *s = (struct relay_ice_source){.heard_ms = 0};
        else if (s->is_nominated && (best == NULL || s->heard_ms > best->heard_ms))
            best = s;
    }
    if (addr_is_set(&f->to) && source_find(f, &f->to) != NULL)
        return;
    f->to = best != NULL ? best->addr : (struct addr){.sa.sa_family = AF_UNSPEC};
    f->heard_ms = best != NULL ? best->heard_ms : 0;
}

void relay_ice_flow_restart(struct relay_ice_flow *f, struct str peer_ufrag)
{
    for (size_t i = 0; i < LIMIT_ICE_SOURCES; i++) {
        struct relay_ice_source *s = &f->source[i];

        if (s->heard_ms != 0 && addr_is_set(&f->to) && addr_eq(&s->addr, &f->to))
            s->peer = str_hash(peer_ufrag);
        else
            *s = (struct relay_ice_source){.heard_ms = 0};
    }
}

void relay_ice_flow_select(struct relay_ice_flow *f, const struct addr *to)
{
    f->to = *to;
    f->heard_ms = UINT64_MAX;
}

bool relay_ice_flow_knows(const struct relay_ice_flow *f, const struct addr *from, uint64_t now_ms)
{
    const struct relay_ice_source *s = source_find(f, from);

    if (f->heard_ms == UINT64_MAX)
        return addr_eq(&f->to, from);
    return s != NULL && now_ms < s->heard_ms + RELAY_ICE_CONSENT_MS;
}

bool relay_ice_flow_may_send(const struct relay_ice_flow *f, uint64_t now_ms)
{
    return addr_is_set(&f->to) && now_ms < relay_ice_flow_ends_ms(f);
}

uint64_t relay_ice_flow_ends_ms(const struct relay_ice_flow *f)
{
    return f->heard_ms > UINT64_MAX - RELAY_ICE_CONSENT_MS ? UINT64_MAX
                                                           : f->heard_ms + RELAY_ICE_CONSENT_MS;
}
