/* What policy says of a side of a call: the wish about its media, and what key management may do
 * with it. TR/100 8.1, 8.2, 8.4, recommendation 7; RFC 8827 6.5 for browsers; RFC 6881 for
 * emergency calls. The policies of a configuration are made with its snapshot and live as long.
 * Worker thread. */
#include "base/mem.h"
#include "edge/anchor/anchor_priv.h"
#include "edge/peers/trunk.h"

struct anchor_policies {
    struct keying_policy any[ANCHOR_POLICY_KINDS];    /* domains without a stanza */
    struct keying_policy side[][ANCHOR_POLICY_KINDS]; /* domains, then peers */
};

/* ---- from options to policies ---- */

static void read_methods(const struct config_media_side *c, struct keying_policy *p)
{
    size_t i;

    for (i = 0, p->n_methods = 0; i < c->keys.n && p->n_methods < 2; i++)
        if (!str_eq(c->keys.v[i], STR("clear"))) /* what allow-clear-media adds below */
            p->methods[p->n_methods++] =
                str_eq(c->keys.v[i], STR("sdes")) ? KEYING_SDES : KEYING_DTLS;
}

static void read_suites(const struct config_media_side *c, struct keying_policy *p)
{
    size_t i;

    for (i = 0, p->n_suites = 0; i < c->suites.n && p->n_suites < KEYING_SUITES; i++) {
        const struct keying_suite *s = keying_suite_find(c->suites.v[i]);

        if (s)
            p->suites[p->n_suites++] = (uint8_t)s->id;
    }
}

static void policy_read(const struct config_media_side *c, struct keying_policy *p)
{
    if (c->keys.n)
        read_methods(c, p);
    if (c->suites.n)
        read_suites(c, p);
    if (c->allow_clear)
        p->methods[p->n_methods++] = KEYING_CLEAR;
    p->best_effort = c->best_effort;
    p->rtcp_tag = (enum keying_rtcp_tag)c->srtcp_tag;
    p->roc = (enum keying_roc)c->roc;
    p->sdes_lifetime = c->sdes_lifetime ? 1ull << c->sdes_lifetime : 0;
    p->dtls_passive = c->nat; /* a hello to an address behind a NAT does not arrive: it has to begin */
    p->sdes_mki_mirror = c->sdes_mki;
    p->sdes_mki_len = (uint8_t)c->sdes_mki_length;
    p->sdes_n_keys = (uint8_t)c->sdes_keys;
    p->allow_unencrypted = c->allow_unencrypted;
    p->allow_unauthenticated = c->allow_unauthenticated;
    p->allow_sha1 = c->allow_sha1;
}

static void policy_kinds(struct keying_policy v[ANCHOR_POLICY_KINDS],
                         const struct config_media_side *c)
{
    struct keying_policy p, *k;

    keying_policy_init(&p);
    if (c)
        policy_read(c, &p);
    v[ANCHOR_POLICY_NORMAL] = p;
    k = &v[ANCHOR_POLICY_INSIDE]; /* TR/100 8.4 approach 1: offered in clear; a phone that offers
                                     keys gets some */
    *k = p;
    k->best_effort = false;
    k->methods[k->n_methods++] = KEYING_CLEAR;
    k = &v[ANCHOR_POLICY_WEB];
    *k = p;
    k->methods[0] = KEYING_DTLS;
    k->n_methods = 1;
    k->best_effort = false;
    k = &v[ANCHOR_POLICY_EMERGENCY];
    keying_policy_init(k);
    k->best_effort = k->allow_sha1 = true;
    k->methods[k->n_methods++] = KEYING_CLEAR;
    k->suites[k->n_suites++] = KEYING_AES_128_CM_32;
}

int anchor_policies_new(const struct config *cfg, struct anchor_policies **ret)
{
    struct anchor_policies *p =
        mem_zalloc(sizeof *p + (cfg->n_domains + cfg->n_peers) * sizeof p->side[0]);
    size_t i;

    if (!p)
        return ERR_NOMEM;
    policy_kinds(p->any, NULL);
    for (i = 0; i < cfg->n_domains; i++)
        policy_kinds(p->side[i], &cfg->domains[i].media);
    for (i = 0; i < cfg->n_peers; i++)
        policy_kinds(p->side[cfg->n_domains + i], &cfg->peers[i].media);
    *ret = p;
    return 0;
}

void anchor_policies_free(struct anchor_policies *p)
{
    mem_free(p);
}

static const struct keying_policy *policy_of(const struct edge_snapshot *s,
                                             const struct anchor_side *side,
                                             enum anchor_policy_kind kind)
{
    const struct config *c = s->cfg;

    if (side->domain)
        return &s->media->side[side->domain - c->domains][kind];
    return side->peer ? &s->media->side[c->n_domains + (size_t)(side->peer - c->peers)][kind]
                      : &s->media->any[kind];
}

/* ---- sides ---- */

static const struct config_domain *domain_of(const struct config *cfg, struct str aor)
{
    struct str user;

    return config_domain_find(cfg, str_cut(aor, '@', &user));
}

static void side_of(const struct config_domain *d, const struct config_peer *p,
                    const struct path *path, struct anchor_side *ret)
{
    *ret = (struct anchor_side){.domain = d,
                                .peer = d ? NULL : p,
                                .cfg = d   ? &d->media
                                       : p ? &p->media
                                           : NULL};
    if (!path)
        return;
    ret->is_web = path->transport == TRANSPORT_WS || path->transport == TRANSPORT_WSS;
    ret->is_private = transport_is_secure(path->transport);
    ret->is_v6 = addr_is_v6(&path->remote);
}

void anchor_side_caller(const struct edge_req *r, struct anchor_side *ret)
{
    side_of(r->who.kind == PRINCIPAL_USER && !r->who.peer ? domain_of(r->cfg, r->who.name) : NULL,
            r->who.peer, &r->rx.path, ret);
    ret->is_web &=
        r->who.kind == PRINCIPAL_USER || r->who.kind == PRINCIPAL_NONE; /* servers speak WS, too */
}

void anchor_side_target(const struct edge_req *r, const struct edge_target *t,
                        struct anchor_side *ret)
{
    side_of(t->aor.n && !t->peer ? domain_of(r->cfg, t->aor) : NULL, t->peer, t->has_path ? &t->path : NULL,
            ret);
}

void anchor_side_path(struct anchor_side *s, const struct path *out)
{
    s->is_private = transport_is_secure(out->transport);
    s->is_v6 = addr_is_v6(&out->remote);
}

bool anchor_sides_cross(const struct anchor_side *a, const struct anchor_side *b)
{
    return !a->domain || a->domain != b->domain;
}

enum anchor_mode anchor_side_wish(const struct anchor_side *s, bool crosses)
{
    switch (s->cfg ? (enum config_media_mode)s->cfg->mode : CONFIG_MEDIA_DIRECT) {
    case CONFIG_MEDIA_RELAY:
        return ANCHOR_RELAY;
    case CONFIG_MEDIA_PROTECT:
        return ANCHOR_PROTECT;
    case CONFIG_MEDIA_CLEAR_INSIDE: /* 8.4: "for calls to/from other domains" */
        return crosses ? ANCHOR_PROTECT : ANCHOR_DIRECT;
    case CONFIG_MEDIA_DIRECT:
        break;
    }
    return trunk_is(s->peer) ? ANCHOR_RELAY : ANCHOR_DIRECT; /* whoever answers challenges needs numbers of its own (RFC 3261 22.3) */
}

void anchor_side_settle(struct anchor_side *s, const struct edge_snapshot *snap, bool crosses,
                        bool emergency, uint64_t now_s)
{
    enum anchor_policy_kind kind = ANCHOR_POLICY_NORMAL;
    uint64_t until;

    if (s->is_web)
        kind = ANCHOR_POLICY_WEB;
    else if (emergency)
        kind = ANCHOR_POLICY_EMERGENCY;
    else if (crosses && s->domain && s->domain->media.mode == CONFIG_MEDIA_CLEAR_INSIDE)
        kind = ANCHOR_POLICY_INSIDE;
    s->kind = kind;
    s->policy = policy_of(snap, s, kind);
    if (!emergency && s->cfg && s->cfg->sdes_until.n &&
        config_date_parse(s->cfg->sdes_until, &until) && now_s >= until)
        s->without |=
            1u << KEYING_SDES; /* recommendation 7: for the time being, and that is over */
}
