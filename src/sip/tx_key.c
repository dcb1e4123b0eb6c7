/* How messages find their transactions: the key of a request (RFC 3261 17.2.3, both rules) and the
 * text of our own branches (17.1.3, 8.1.1.7; loop hash: RFC 5393 4.2.2). Pure.
 *
 * A request's key is 128 bits of SipHash under the process key over what 17.2.3 compares, without
 * the method: so a CANCEL finds the transaction it cancels by its own key, and a remnant need not
 * keep text that a stranger chose the length of. */
#include "sip/tx_priv.h"

#define COOKIE "z9hG4bK"
#define OURS SIP_BRANCH_MARK /* tells our branches from those of others */
#define OURS_N (sizeof(OURS) - 1)
#define WORKER_AT OURS_N
#define SLOT_AT (WORKER_AT + 2)
#define SECRET_AT (SLOT_AT + 6)
#define HASH_AT (SECRET_AT + 16)
_Static_assert(HASH_AT + 16 == SIP_BRANCH_MAX, "the branch is of fixed width");

/* Each part with its length in front, so that no two lists of parts look the same. */
static char *key_put(char *p, struct str s, bool lower)
{
    uint32_t n = (uint32_t)s.n;
    size_t i;

    memcpy(p, &n, sizeof n);
    p += sizeof n;
    if (lower)
        for (i = 0; i < s.n; i++)
            p[i] = str_lower(s.p[i]);
    else if (s.n)
        memcpy(p, s.p, s.n);
    return p + s.n;
}

bool tx_key_is_old(struct str branch)
{
    /* The cookie alone identifies nothing: RFC 4475 3.2.1 (badbranch) lets us fall back. */
    return branch.n <= sizeof(COOKIE) - 1 || !str_starts_nocase(branch, STR(COOKIE));
}

uint32_t tx_tag_hash(struct str tag)
{
    return tag.n ? (uint32_t)str_hash(tag) : 0;
}

int tx_key_make(const struct sip_msg *m, struct tx_key *ret)
{
    bool old = tx_key_is_old(m->via.branch);
    int t = m->via.transport_id;
    uint16_t port = m->via.port;
    struct str number = {NULL, old ? sizeof m->cseq : sizeof port};
    char stack[512], number_text[sizeof m->cseq], *text = stack, *p;
    struct str parts[] = {old ? m->via.whole : m->via.branch, old ? m->ruri : m->via.host, number,
                          m->call_id, m->from_tag};
    size_t n_parts = old ? ARRAY_LEN(parts) : 3, n = 1, i;

    ret->old = old;
    ret->to_hash = old ? tx_tag_hash(m->to_tag) : 0;
    ret->method_hash = m->method == SIP_METHOD_OTHER ? (uint32_t)str_hash(m->method_text) : 0;
    if (m->has_key) {
        memcpy(ret->v, m->key, sizeof ret->v);
        return 0;
    }
    if (!port)
        port = t >= 0 ? transport_default_port((enum transport)t) : 5060;
    if (old)
        memcpy(number_text, &m->cseq, sizeof m->cseq);
    else
        memcpy(number_text, &port, sizeof port);
    parts[2].p = number_text;
    for (i = 0; i < n_parts; i++)
        n += sizeof(uint32_t) + parts[i].n;
    if (n > sizeof stack && !(text = arena_alloc(m->arena, n)))
        return ERR_NOMEM;
    for (p = text + 1, i = 0; i < n_parts; i++)
        p = key_put(p, parts[i], !old && i == 1); /* host names know no case (RFC 4343) */
    text[0] = old ? 'o' : 'n';
    str_hash128(str_make(text, n), ret->v);
    return 0;
}

/* ---- branches ---- */

static void hex_put(char *dst, uint64_t v, unsigned digits)
{
    while (digits) {
        dst[--digits] = "0123456789abcdef"[v & 15];
        v >>= 4;
    }
}

/* Only what hex_put writes: false for anything else. */
static bool hex_get(const char *p, unsigned digits, uint64_t *ret)
{
    uint64_t v = 0;
    unsigned i;

    for (i = 0; i < digits; i++) {
        unsigned char c = (unsigned char)p[i];

        if (c >= '0' && c <= '9')
            v = v << 4 | (c - '0');
        else if (c >= 'a' && c <= 'f')
            v = v << 4 | (c - 'a' + 10u);
        else
            return false;
    }
    *ret = v;
    return true;
}

static bool branch_is_ours(struct str b)
{
    return (b.n == HASH_AT || b.n == SIP_BRANCH_MAX) && memcmp(b.p, OURS, OURS_N) == 0;
}

size_t tx_branch_write(char dst[SIP_BRANCH_MAX], unsigned worker, uint32_t slot, uint64_t secret)
{
    memcpy(dst, OURS, OURS_N);
    hex_put(dst + WORKER_AT, worker, 2);
    hex_put(dst + SLOT_AT, slot, 6);
    hex_put(dst + SECRET_AT, secret, 16);
    return HASH_AT;
}

size_t tx_branch_add_hash(char dst[SIP_BRANCH_MAX], uint64_t hash)
{
    hex_put(dst + HASH_AT, hash, 16);
    return SIP_BRANCH_MAX;
}

int64_t tx_branch_slot(struct str branch)
{
    uint64_t v;

    return branch_is_ours(branch) && hex_get(branch.p + SLOT_AT, 6, &v) ? (int64_t)v : -1;
}

int sip_branch_worker(struct str branch)
{
    uint64_t v;

    return branch_is_ours(branch) && hex_get(branch.p + WORKER_AT, 2, &v) ? (int)v : -1;
}

bool sip_branch_may_be_in(struct str via_value)
{
    return memmem(via_value.p, via_value.n, OURS, OURS_N) != NULL;
}

uint64_t sip_branch_loop_hash(struct str branch)
{
    uint64_t v;

    if (branch.n != SIP_BRANCH_MAX || !branch_is_ours(branch))
        return 0;
    return hex_get(branch.p + HASH_AT, 16, &v) ? v : 0;
}
