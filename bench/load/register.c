/* Registrations: with a challenge each, with a kept nonce, on a connection of their own, and phones
 * that stay. RFC 3261 10, 22; RFC 7616 3.4; RFC 8760. One thread. */
#include "load.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

enum { NONCE_MAX = 192, OPAQUE_MAX = 64, REALM_MAX = 64 };

struct phone {
    uint32_t cseq, nonce_count;
    uint8_t ha1_len, nonce_len, opaque_len;
    bool has_qop;
    char ha1[DIGEST_HEX_MAX];
    char nonce[NONCE_MAX];
    char opaque[OPAQUE_MAX];
};

static struct phone *phones;
static char realm[REALM_MAX + 1];
static char ha2[DIGEST_HEX_MAX];
static size_t ha2_len;
static struct unit parked; /* stands for the finished unit of a connection that stays open */

static struct phone *phone_of(const struct load *l, const struct unit *u)
{
    return &phones[u->user - l->opt.first_user];
}

static int register_prepare(struct load *l)
{
    char text[128];
    int n = snprintf(text, sizeof(text), "REGISTER:sip:%s", l->opt.domain);

    phones = calloc(l->opt.users, sizeof(*phones));
    ha2_len = digest_hex(l->opt.kind, text, (size_t)n, ha2);
    return phones == NULL || ha2_len == 0 ? -1 : 0;
}

void register_done(void)
{
    free(phones);
    phones = NULL;
}

static bool phone_ha1(const struct load *l, const struct unit *u, struct phone *ph)
{
    char text[256];
    int n = snprintf(text, sizeof(text), "u%u:%s:pw%u", u->user, realm, u->user);

    ph->ha1_len = (uint8_t)digest_hex(l->opt.kind, text, (size_t)n, ph->ha1);
    return ph->ha1_len > 0;
}

static bool phone_challenge(const struct load *l, const struct unit *u,
                            const struct digest_challenge *c)
{
    struct phone *ph = phone_of(l, u);

    if (c->nonce.len > NONCE_MAX || c->opaque.len > OPAQUE_MAX || c->realm.len > REALM_MAX)
        return false;
    if (realm[0] == '\0')
        memcpy(realm, c->realm.p, c->realm.len);
    else if (!slice_eq(c->realm, (struct slice){realm, strlen(realm)}))
        return false;
    memcpy(ph->nonce, c->nonce.p, c->nonce.len);
    ph->nonce_len = (uint8_t)c->nonce.len;
    memcpy(ph->opaque, c->opaque.p, c->opaque.len);
    ph->opaque_len = (uint8_t)c->opaque.len;
    ph->has_qop = c->has_qop_auth;
    ph->nonce_count = 0;
    return ph->ha1_len > 0 || phone_ha1(l, u, ph);
}

/* RFC 7616 3.4.1: KD(H(A1), nonce ":" nc ":" cnonce ":" qop ":" H(A2)), or RFC 2069's shorter form.
 */
static void register_authorization(struct out *o, const struct load *l, const struct unit *u,
                                   struct phone *ph)
{
    char bytes[512], response[DIGEST_HEX_MAX], cnonce_bytes[8], count_bytes[8];
    struct out kd = {bytes, 0, sizeof(bytes), false};
    struct out cnonce = {cnonce_bytes, 0, sizeof(cnonce_bytes), false};
    struct out count = {count_bytes, 0, sizeof(count_bytes), false};

    ph->nonce_count++;
    out_hex(&count, ph->nonce_count, 8);
    out_hex(&cnonce, u->serial * 2654435761u ^ l->run_id, 8);
    out_bytes(&kd, ph->ha1, ph->ha1_len);
    out_lit(&kd, ":");
    out_bytes(&kd, ph->nonce, ph->nonce_len);
    if (ph->has_qop) {
        out_lit(&kd, ":");
        out_bytes(&kd, count.p, count.len);
        out_lit(&kd, ":");
        out_bytes(&kd, cnonce.p, cnonce.len);
        out_lit(&kd, ":auth");
    }
    out_lit(&kd, ":");
    out_bytes(&kd, ha2, ha2_len);
    size_t n = digest_hex(l->opt.kind, kd.p, kd.len, response);
    out_lit(o, "Authorization: Digest username=\"u");
    out_number(o, u->user);
    out_lit(o, "\", realm=\"");
    out_text(o, realm);
    out_lit(o, "\", nonce=\"");
    out_bytes(o, ph->nonce, ph->nonce_len);
    out_lit(o, "\", uri=\"sip:");
    out_text(o, l->opt.domain);
    out_lit(o, "\", response=\"");
    out_bytes(o, response, n);
    out_lit(o, "\", algorithm=");
    out_slice(o, digest_name(l->opt.kind));
    if (ph->has_qop) {
        out_lit(o, ", cnonce=\"");
        out_bytes(o, cnonce.p, cnonce.len);
        out_lit(o, "\", qop=auth, nc=");
        out_bytes(o, count.p, count.len);
    }
    if (ph->opaque_len > 0) {
        out_lit(o, ", opaque=\"");
        out_bytes(o, ph->opaque, ph->opaque_len);
        out_lit(o, "\"");
    }
    out_lit(o, "\r\n");
}

static void register_aor(struct out *o, const struct load *l, const struct unit *u)
{
    out_lit(o, "<sip:u");
    out_number(o, u->user);
    out_lit(o, "@");
    out_text(o, l->opt.domain);
    out_lit(o, ">");
}

static void register_contact(struct out *o, const struct unit *u)
{
    out_lit(o, "<sip:u");
    out_number(o, u->user);
    out_lit(o, "@");
    out_text(o, u->link->local_text);
    if (u->link->proto == PROTO_TLS)
        out_lit(o, ";transport=tls");
    else if (u->link->proto == PROTO_TCP)
        out_lit(o, ";transport=tcp");
    out_lit(o, ">");
}

static void register_send(struct load *l, struct unit *u, char kind)
{
    struct phone *ph = phone_of(l, u);
    struct out o = {u->sent, 0, sizeof(u->sent), false};

    out_lit(&o, "REGISTER sip:");
    out_text(&o, l->opt.domain);
    out_lit(&o, " SIP/2.0\r\nVia: SIP/2.0/");
    out_text(&o, u->link->proto == PROTO_UDP   ? "UDP "
                 : u->link->proto == PROTO_TCP ? "TCP "
                                               : "TLS ");
    out_text(&o, u->link->local_text);
    out_lit(&o, ";rport;branch=");
    out_branch(&o, l, u, kind);
    out_lit(&o, "\r\nMax-Forwards: 70\r\nFrom: ");
    register_aor(&o, l, u);
    out_lit(&o, ";tag=r");
    out_hex(&o, u->serial, 8);
    out_lit(&o, "\r\nTo: ");
    register_aor(&o, l, u);
    out_lit(&o, "\r\nCall-ID: reg");
    out_number(&o, u->user);
    out_lit(&o, "-");
    out_hex(&o, l->run_id, 8);
    out_lit(&o, "@phones.bench.test\r\nCSeq: ");
    out_number(&o, ++ph->cseq);
    out_lit(&o, " REGISTER\r\nContact: ");
    register_contact(&o, u);
    if (u->link->proto != PROTO_UDP) { /* RFC 5626 4.1 */
        out_lit(&o, ";+sip.instance=\"<urn:uuid:00000000-0000-4000-8000-0000");
        out_hex(&o, u->user, 8);
        out_lit(&o, ">\";reg-id=1");
    }
    out_lit(&o, "\r\nExpires: 3600\r\nUser-Agent: sipload\r\n");
    if (u->link->proto != PROTO_UDP)
        out_lit(&o, "Supported: path, outbound\r\n");
    if (ph->nonce_len > 0 && (kind != 'r' || l->opt.keep_nonce))
        register_authorization(&o, l, u, ph);
    out_lit(&o, "Content-Length: 0\r\n\r\n");
    u->state = kind == 'r' ? UNIT_FIRST : UNIT_SECOND;
    unit_send(l, u, &o);
}

static void register_begin(struct load *l, struct unit *u)
{
    register_send(l, u, 'r');
}

/* The binding just made must be among those the 200 lists, with its time. RFC 3261 10.3 step 8. */
static bool register_is_listed(const struct unit *u, const struct text *t)
{
    char want[128];
    struct out o = {want, 0, sizeof(want), false};

    register_contact(&o, u);
    size_t len = o.len - 1; /* parameters may follow within <> */
    for (size_t i = 0; i < t->n_contact; i++) {
        const char *p = memmem(t->contact[i].p, t->contact[i].len, want, len);
        if (p == NULL)
            continue;
        size_t left = (size_t)(t->contact[i].p + t->contact[i].len - p);
        if (memmem(p, left, "expires=", 8) != NULL)
            return true;
    }
    return false;
}

static void register_challenged(struct load *l, struct unit *u, const struct text *t)
{
    struct digest_challenge c;

    if (!digest_challenge_find(t, l->opt.kind, &c)) {
        unit_fail_check(l, u, "no challenge of the wanted algorithm in the 401", t);
        return;
    }
    if (u->state == UNIT_SECOND && (!c.stale || u->challenged)) {
        unit_fail_status(l, u, t);
        return;
    }
    if (u->state == UNIT_SECOND) {
        u->challenged = true;
        l->all.challenged_again++;
    } else if (l->opt.keep_nonce && phone_of(l, u)->nonce_len > 0) {
        l->all.challenged_again++;
    }
    if (!phone_challenge(l, u, &c)) {
        unit_fail_check(l, u, "realm, nonce or opaque of the challenge", t);
        return;
    }
    register_send(l, u, u->challenged ? 't' : 's');
}

static void register_response(struct load *l, struct unit *u, char kind, const struct text *t)
{
    if (t->status < 200 || (kind != 'r' && kind != 's' && kind != 't') ||
        (kind == 'r') != (u->state == UNIT_FIRST) || (kind == 's' && u->challenged))
        return;
    if (t->cseq != phone_of(l, u)->cseq || text_count_values(t->via, t->n_via) != 1) {
        unit_fail_check(l, u, "CSeq or Via of the answer", t);
    } else if (t->status == 401 || t->status == 407) {
        register_challenged(l, u, t);
    } else if (t->status != 200) {
        unit_fail_status(l, u, t);
    } else if (kind == 'r' && !l->opt.keep_nonce) {
        unit_fail_check(l, u, "REGISTER was accepted without credentials", t);
    } else if (!register_is_listed(u, t)) {
        unit_fail_check(l, u, "the new binding is not listed in the 200", t);
    } else {
        unit_latency(l, u);
        unit_done(l, u);
    }
}

const struct scenario scenario_register = {.name = "register",
                                           .prepare = register_prepare,
                                           .begin = register_begin,
                                           .response = register_response};

/* ---- a connection of its own for each registration ---- */

static void connect_begin(struct load *l, struct unit *u)
{
    struct sockaddr_in from = {.sin_family = AF_INET};
    uint32_t host = 1 + (l->opt.spread ? u->serial % 200 : 0);

    from.sin_addr.s_addr = htonl((127u << 24) + host);
    u->state = UNIT_CONNECTING;
    u->link = wire_connect(&l->wire, l->opt.proto, from, l->opt.server);
    if (u->link == NULL) {
        unit_fail_timeout(l, u);
        return;
    }
    u->link->unit = u;
}

static void connect_ready(struct load *l, struct unit *u)
{
    if (l->opt.options_first)
        scenario_options.begin(l, u);
    else
        register_send(l, u, 'r');
}

static void connect_response(struct load *l, struct unit *u, char kind, const struct text *t)
{
    struct link *link = u->link;

    if (l->opt.options_first)
        scenario_options.response(l, u, kind, t);
    else
        register_response(l, u, kind, t);
    if (u->state == UNIT_DONE || u->state == UNIT_FAILED)
        link_close(link);
}

static void idle_response(struct load *l, struct unit *u, char kind, const struct text *t)
{
    struct link *link = u->link;

    register_response(l, u, kind, t);
    if (u->state == UNIT_DONE) {
        link->unit = &parked;
        l->open_phones++;
    } else if (u->state == UNIT_FAILED) {
        link_close(link);
    }
}

const struct scenario scenario_connect = {.name = "connect",
                                          .prepare = register_prepare,
                                          .begin = connect_begin,
                                          .ready = connect_ready,
                                          .response = connect_response};
const struct scenario scenario_idle = {.name = "idle",
                                       .prepare = register_prepare,
                                       .begin = connect_begin,
                                       .ready = connect_ready,
                                       .response = idle_response};
