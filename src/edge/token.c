/* Sealed tokens in the user part of our Record-Route and Path URIs: they carry who the sides of a dialog are and on which flow each is
 * (RFC 5626 5.2, 5.3; TR/100 7.2.3), so that any worker, and a restarted process, can route and check later requests without a
 * table. Not secret, but unforgeable: 96 bits of a MAC (base/mac.h) under a key of the process, over the contents and, for dialog
 * tokens, the Call-ID. Pure. */
#include "base/mac.h"
#include "base/secret.h"
#include "edge/edge_priv.h"
#include "net/worker.h"

#define TOKEN_MAC 12
#define TOKEN_BYTES_MAX 176

enum { TOKEN_DIALOG = 1, TOKEN_FLOW = 2 };
enum { SIDE_NONE, SIDE_FLOW4, SIDE_FLOW6, SIDE_DATAGRAM4, SIDE_DATAGRAM6 };

/* ---- packing, with a sticky failure flag ---- */

struct pack {
    uint8_t *p;
    size_t n, cap;
    bool bad;
};

static void put(struct pack *k, const void *src, size_t n)
{
    if (n > k->cap - k->n) {
        k->bad = true;
        return;
    }
    memcpy(k->p + k->n, src, n);
    k->n += n;
}

static void get(struct pack *k, void *dst, size_t n)
{
    if (n > k->cap - k->n) {
        k->bad = true;
        memset(dst, 0, n);
        return;
    }
    memcpy(dst, k->p + k->n, n);
    k->n += n;
}

static void put8(struct pack *k, unsigned v)
{
    uint8_t b = (uint8_t)v;

    put(k, &b, 1);
}

static unsigned get8(struct pack *k)
{
    uint8_t b;

    get(k, &b, 1);
    return b;
}

static void put_addr(struct pack *k, const struct addr *a)
{
    uint16_t port = addr_port(a);

    if (addr_is_v6(a))
        put(k, &a->v6.sin6_addr, 16);
    else
        put(k, &a->v4.sin_addr, 4);
    put(k, &port, 2);
}

static void get_addr(struct pack *k, bool v6, struct addr *a)
{
    uint16_t port;

    memset(a, 0, sizeof *a);
    a->sa.sa_family = v6 ? AF_INET6 : AF_INET;
    if (v6)
        get(k, &a->v6.sin6_addr, 16);
    else
        get(k, &a->v4.sin_addr, 4);
    get(k, &port, 2);
    addr_set_port(a, port);
}

/* A path as a flow keeps its transport, listener and far end; our own end is the flow's. A datagram must leave from the address that
 * the other side knows (RFC 5626 7). */
static void put_path(struct pack *k, const struct path *p)
{
    unsigned kind = p->flow ? SIDE_FLOW4 : SIDE_DATAGRAM4;

    put8(k, kind + (addr_is_v6(&p->remote) ? 1 : 0));
    put8(k, (unsigned)p->transport);
    put8(k, p->listener < EDGE_LISTENERS_MAX ? p->listener : EDGE_LISTENERS_MAX);
    if (p->flow)
        put(k, &p->flow, sizeof p->flow);
    put_addr(k, &p->remote);
    if (!p->flow) {
        struct addr local = {0};

        local.sa.sa_family = p->remote.sa.sa_family;
        put_addr(k, addr_is_v6(&p->local) == addr_is_v6(&p->remote) ? &p->local : &local);
    }
}

static bool get_path(struct pack *k, struct path *p)
{
    unsigned kind = get8(k);

    memset(p, 0, sizeof *p);
    if (kind == SIDE_NONE)
        return false;
    if (kind > SIDE_DATAGRAM6) {
        k->bad = true;
        return false;
    }
    p->transport = (enum transport)get8(k);
    p->listener = (uint16_t)get8(k);
    if (kind == SIDE_FLOW4 || kind == SIDE_FLOW6)
        get(k, &p->flow, sizeof p->flow);
    get_addr(k, kind == SIDE_FLOW6 || kind == SIDE_DATAGRAM6, &p->remote);
    if (!p->flow)
        get_addr(k, kind == SIDE_DATAGRAM6, &p->local);
    if (!p->flow && addr_port(&p->local) == 0)
        memset(&p->local, 0, sizeof p->local);
    if (p->listener >= EDGE_LISTENERS_MAX)
        p->listener = NET_LISTENER_GONE;
    if ((unsigned)p->transport >= TRANSPORT_N)
        k->bad = true;
    return true;
}

#define SIDE_MD5 0x80u

static void put_side(struct pack *k, const struct token_side *s)
{
    put8(k, (unsigned)s->kind | (s->md5 ? SIDE_MD5 : 0));
    put(k, &s->who, sizeof s->who);
    if (s->kind == PRINCIPAL_USER) {
        put(k, &s->domain, sizeof s->domain);
        put(k, &s->instance, sizeof s->instance);
    }
    if (s->has_path)
        put_path(k, &s->path);
    else
        put8(k, SIDE_NONE);
}

static void get_side(struct pack *k, struct token_side *s)
{
    unsigned kind = get8(k);

    s->md5 = kind & SIDE_MD5;
    s->kind = (enum principal_kind)(kind & ~SIDE_MD5);
    get(k, &s->who, sizeof s->who);
    if (s->kind == PRINCIPAL_USER) {
        get(k, &s->domain, sizeof s->domain);
        get(k, &s->instance, sizeof s->instance);
    }
    if (s->kind > PRINCIPAL_DOMAIN)
        k->bad = true;
    s->has_path = get_path(k, &s->path);
}

/* ---- sealing ---- */

static void token_mac(const struct edge_keys *k, const uint8_t *p, size_t n, struct str call_id, uint8_t ret[TOKEN_MAC])
{
    uint8_t full[16];
    struct mac m;

    mac_start(&m, k->token);
    mac_add(&m, k->token + 16, 16); /* the second half of the key, so that none of it is unused */
    mac_text(&m, str_make((const char *)p, n));
    mac_text(&m, call_id);
    mac_finish(&m, full);
    memcpy(ret, full, TOKEN_MAC);
}

static int token_seal(const struct edge_keys *k, struct pack *p, struct str call_id, char ret[TOKEN_TEXT_MAX])
{
    uint8_t mac[TOKEN_MAC];

    if (p->bad)
        return ERR_LIMIT;
    token_mac(k, p->p, p->n, call_id, mac);
    put(p, mac, sizeof mac);
    return p->bad ? ERR_LIMIT : str_base64_encode(ret, TOKEN_TEXT_MAX, p->p, p->n, true);
}

static int token_open(const struct edge_keys *k, struct str text, unsigned kind, struct str call_id,
                      uint8_t bytes[TOKEN_BYTES_MAX], struct pack *ret)
{
    uint8_t mac[TOKEN_MAC];
    size_t n;
    int err;

    if ((err = str_base64_decode(bytes, TOKEN_BYTES_MAX, text, true, &n)) != 0)
        return err;
    if (n < TOKEN_MAC + 1 || bytes[0] != kind)
        return ERR_SYNTAX;
    n -= TOKEN_MAC;
    token_mac(k, bytes, n, call_id, mac);
    if (!secret_bytes_eq(mac, bytes + n, TOKEN_MAC))
        return ERR_REFUSED;
    *ret = (struct pack){.p = bytes, .n = 1, .cap = n};
    return 0;
}

uint32_t edge_from_hash(struct arena *a, struct str uri)
{
    struct sip_uri u;
    struct str aor;

    if (sip_uri_parse(uri, &u) != 0)
        return 0;
    if (u.scheme != SIP_SCHEME_SIP && u.scheme != SIP_SCHEME_SIPS)
        return (uint32_t)str_hash_nocase(uri);
    return sip_uri_aor(a, &u, &aor) == 0 ? (uint32_t)str_hash_nocase(aor) : 0;
}

int token_dialog_seal(const struct edge_keys *k, const struct dialog_token *t, struct str call_id,
                      char ret[TOKEN_TEXT_MAX])
{
    uint8_t bytes[TOKEN_BYTES_MAX];
    struct pack p = {.p = bytes, .cap = sizeof bytes};

    put8(&p, TOKEN_DIALOG);
    put8(&p, (t->emergency ? 1u : 0) | (t->anchor_gen ? 2u : 0) | (t->is_spaced ? 4u : 0) | (t->is_no_call ? 8u : 0));
    put8(&p, t->worker);
    put(&p, &t->call_slot, 4);
    put(&p, &t->call_gen, 4);
    if (t->anchor_gen) {
        put(&p, &t->anchor_slot, 4);
        put(&p, &t->anchor_gen, 4);
    }
    put(&p, &t->caller_tag, 4);
    put(&p, &t->caller_from, 4);
    put(&p, &t->callee_from, 4);
    if (t->is_spaced)
        put(&p, &t->first_cseq, 4);
    put_side(&p, &t->caller);
    put_side(&p, &t->callee);
    return token_seal(k, &p, call_id, ret);
}

int token_dialog_open(const struct edge_keys *k, struct str text, struct str call_id, struct dialog_token *ret)
{
    uint8_t bytes[TOKEN_BYTES_MAX];
    struct pack p;
    unsigned flags;
    int err = token_open(k, text, TOKEN_DIALOG, call_id, bytes, &p);

    if (err != 0)
        return err;
    memset(ret, 0, sizeof *ret);
    flags = get8(&p);
    ret->emergency = flags & 1;
    ret->worker = get8(&p);
    get(&p, &ret->call_slot, 4);
    get(&p, &ret->call_gen, 4);
    if (flags & 2) {
        get(&p, &ret->anchor_slot, 4);
        get(&p, &ret->anchor_gen, 4);
    }
    get(&p, &ret->caller_tag, 4);
    get(&p, &ret->caller_from, 4);
    get(&p, &ret->callee_from, 4);
    ret->is_spaced = (flags & 4) != 0;
    ret->is_no_call = (flags & 8) != 0;
    if (ret->is_spaced)
        get(&p, &ret->first_cseq, 4);
    get_side(&p, &ret->caller);
    get_side(&p, &ret->callee);
    return p.bad || p.n != p.cap ? ERR_SYNTAX : 0;
}

int token_cseq(const struct dialog_token *t, uint32_t in, unsigned n_again, uint32_t *ret)
{
    uint64_t out = in;

    if (t->is_spaced && in >= t->first_cseq)
        out = t->first_cseq + (uint64_t)(in - t->first_cseq) * TOKEN_CSEQ_ROOM + n_again;
    if (out > INT32_MAX)
        return ERR_LIMIT;
    *ret = (uint32_t)out;
    return 0;
}

int token_flow_seal(const struct edge_keys *k, const struct token_side *side, char ret[TOKEN_TEXT_MAX])
{
    uint8_t bytes[TOKEN_BYTES_MAX];
    struct pack p = {.p = bytes, .cap = sizeof bytes};

    put8(&p, TOKEN_FLOW);
    put_side(&p, side);
    return token_seal(k, &p, STR_NULL, ret);
}

int token_flow_open(const struct edge_keys *k, struct str text, struct token_side *ret)
{
    uint8_t bytes[TOKEN_BYTES_MAX];
    struct pack p;
    int err = token_open(k, text, TOKEN_FLOW, STR_NULL, bytes, &p);

    if (err != 0)
        return err;
    memset(ret, 0, sizeof *ret);
    get_side(&p, ret);
    return !ret->has_path || p.bad || p.n != p.cap ? ERR_SYNTAX : 0;
}
