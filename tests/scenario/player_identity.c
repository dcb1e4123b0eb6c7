/* Signed identity in scenarios: certificates that are found under addresses, and PASSporTs made
 * with their keys, right or wrong in whatever way the scenario wants.
 *
 *   credential NAME URL [domain D] [tn DIGITS] [user SIP-URI] [late MS] [missing] [refused] [rsa]
 *   passport VAR by NAME orig ID dest ID [ppt T] [attest A] [iat SECONDS] [mky HASH=HEX]... [div
 * ID] passport ... [url URL] [msgi TEXT]
 *
 *   rfc4474 VAR by NAME from URI to URI call ID cseq N method M [contact URI] [date SECONDS][:]
 *
 *   own NAME DOMAIN      the edge signs for callers of this domain with that one; an RSA key is for RFC
 *                        4474, beside another one
 *   signer off | on      whoever has its keys does not answer
 *   signer held          ... takes its time: what it was asked is signed with the next `signer on`
 *
 * ID is a URI, or tn:DIGITS. iat and date count from now. An Identity value of RFC 4474 is over a
 * request that shows just this; its body follows in a block, and VAR.date is what its Date must be. */
#include "edge/identity/service.h"
#include "identity/sign.h"
#include "player.h"
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#define CREDS_MAX 8

struct cred {
    char name[32], url[128];
    struct identity_credential c;
    struct jws_key *signer;
    struct rfc4474_key *rsa_signer;
    char domain_text[128], user_text[128];
    struct str domain, user;
    struct pki_tn_range range;
    struct pki_tnauth list;
    const struct pki_tnauth *lists[1];
    uint64_t late_ms;
};

struct waiting {
    struct wheel_timer timer;
    struct cred *cred;
    void (*fn)(void *arg, const struct identity_credential *cred);
    void *arg;
    uint64_t id;
};

static struct {
    struct edge_credentials base;
    struct cred v[CREDS_MAX];
    size_t n;
    struct waiting waiting[16];
    uint64_t next_id;
    int held;
    /* what the edge signs by */
    struct identity_own own[CREDS_MAX];
    size_t n_own;
    struct identity_signer signer;
    struct identity_local_signer local;
    bool is_signer_dead, is_signer_held;
} C;

static void on_late(struct wheel_timer *t)
{
    struct waiting *w = CONTAINER_OF(t, struct waiting, timer);
    w->id = 0;
    C.held++;
    w->fn(w->arg, &w->cred->c);
}

static int get(struct edge_credentials *self, struct edge_worker *worker, struct str url,
               void (*fn)(void *arg, const struct identity_credential *cred), void *arg,
               const struct identity_credential **ret, uint64_t *ret_id)
{
    (void)self;
    for (size_t i = 0; i < C.n; i++) {
        struct cred *c = &C.v[i];
        if (!str_eq(url, str_z(c->url)))
            continue;
        if (!c->late_ms) {
            C.held++;
            *ret = &c->c;
            return 0;
        }
        for (size_t k = 0; k < ARRAY_LEN(C.waiting); k++) {
            struct waiting *w = &C.waiting[k];
            if (w->id)
                continue;
            *w = (struct waiting){.cred = c, .fn = fn, .arg = arg, .id = ++C.next_id};
            wheel_timer_init(&w->timer, on_late);
            wheel_start(worker->net->wheel, &w->timer, c->late_ms);
            *ret_id = w->id;
            return ERR_AGAIN;
        }
        return ERR_LIMIT;
    }
    return ERR_NOTFOUND;
}

static void put(struct edge_credentials *self, const struct identity_credential *cred)
{
    (void)self;
    (void)cred;
    C.held--;
}

static void cancel(struct edge_credentials *self, struct edge_worker *worker, uint64_t id)
{
    (void)self;
    for (size_t k = 0; k < ARRAY_LEN(C.waiting); k++)
        if (C.waiting[k].id == id) {
            wheel_cancel(worker->net->wheel, &C.waiting[k].timer);
            C.waiting[k].id = 0;
        }
}

static void run_posted(void *worker, void *arg)
{
    (void)worker;
    (void)arg;
    if (!C.is_signer_held)
        identity_local_signer_run(&C.local);
}

static int signer_start(struct identity_signer *self, struct identity_sign_job *job)
{
    int err = C.is_signer_dead ? ERR_CLOSED : C.local.base.start(&C.local.base, job);
    (void)self;
    return err != 0 ? err : net_post(P.w->net, 0, run_posted, NULL);
}

static void signer_cancel(struct identity_signer *self, struct identity_sign_job *job)
{
    (void)self;
    C.local.base.cancel(&C.local.base, job);
}

void identity_none_left(void)
{
    if (C.local.n_waiting)
        fail("%zu signatures are still asked for", C.local.n_waiting);
    if (C.held)
        fail("%d credentials are still held", C.held);
    for (size_t k = 0; k < ARRAY_LEN(C.waiting); k++)
        if (C.waiting[k].id)
            fail("somebody still waits for a credential");
}

void identity_stop(void)
{
    for (size_t i = 0; i < C.n; i++) {
        jws_key_free(C.v[i].c.key);
        jws_key_free(C.v[i].signer);
        rfc4474_key_free(C.v[i].c.rsa);
        rfc4474_key_free(C.v[i].rsa_signer);
    }
    C.n = 0;
}

static void key_make(struct cred *c, bool is_rsa)
{
    EVP_PKEY *pkey = is_rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
    struct reason why = {0};
    if (is_rsa) {
        if (!pkey || rfc4474_key_new(pkey, true, &c->rsa_signer, &why) != 0 ||
            rfc4474_key_new(pkey, false, &c->c.rsa, &why) != 0)
            fail("no key: %s", why.detail);
    } else if (!pkey || jws_key_new(pkey, true, &c->signer, &why) != 0 ||
        jws_key_new(pkey, false, &c->c.key, &why) != 0)
        fail("no key: %s", why.detail);
    EVP_PKEY_free(pkey);
}

void step_credential(char **word, unsigned n)
{
    struct cred *c = &C.v[C.n++];
    if (C.n > CREDS_MAX || n < 3)
        fail("credential NAME URL ...");
    *c = (struct cred){0};
    snprintf(c->name, sizeof(c->name), "%s", word[1]);
    snprintf(c->url, sizeof(c->url), "%s", word[2]);
    c->c.not_before_s = 1;
    c->c.not_after_s = UINT64_MAX / 2;
    key_make(c, strcmp(word[n - 1], "rsa") == 0);
    for (unsigned i = 3; i < n; i++) {
        bool has_more = i + 1 < n;
        if (strcmp(word[i], "domain") == 0 && has_more) {
            snprintf(c->domain_text, sizeof(c->domain_text), "%s", word[++i]);
            c->domain = str_z(c->domain_text);
            c->c.domains = &c->domain;
            c->c.n_domains = 1;
        } else if (strcmp(word[i], "user") == 0 && has_more) {
            snprintf(c->user_text, sizeof(c->user_text), "%s", word[++i]);
            c->user = str_z(c->user_text);
            c->c.uris = &c->user;
            c->c.n_uris = 1;
        } else if (strcmp(word[i], "tn") == 0 && has_more) {
            uint64_t number = strtoull(word[++i], NULL, 10);
            c->range = (struct pki_tn_range){number, number, (uint8_t)strlen(word[i])};
            c->list = (struct pki_tnauth){.ranges = &c->range, .n_ranges = 1};
            c->lists[0] = &c->list;
            c->c.tn = c->lists;
            c->c.n_tn = 1;
        } else if (strcmp(word[i], "late") == 0 && has_more) {
            c->late_ms = strtoul(word[++i], NULL, 10);
        } else if (strcmp(word[i], "rsa") == 0 && !has_more) {
            continue;
        } else if (strcmp(word[i], "missing") == 0) {
            c->c.state = IDENTITY_CRED_MISSING;
            reason_set(&c->c.why, "fetch-failed", "RFC 8224 7.2", 436, "404");
        } else if (strcmp(word[i], "refused") == 0) {
            c->c.state = IDENTITY_CRED_REFUSED;
            reason_set(&c->c.why, "chain-untrusted", "RFC 8224 6.2", 437, "no anchor");
        } else {
            fail("credential: what is %s?", word[i]);
        }
    }
    identity_credentials_on();
}

void identity_credentials_on(void)
{
    C.base = (struct edge_credentials){
        .get = get, .put = put, .cancel = cancel, .anchors = smime_anchors};
    P.edge.credentials = &C.base;
}

static struct passport_id id_of(const char *text)
{
    bool is_tn = strncmp(text, "tn:", 3) == 0;
    return (struct passport_id){is_tn, str_z(text + (is_tn ? 3 : 0))};
}

static struct cred *cred_of(const char *name)
{
    for (size_t i = 0; i < C.n; i++)
        if (strcmp(C.v[i].name, name) == 0)
            return &C.v[i];
    fail("there is no credential %s", name);
}

void step_own(char **word, unsigned n)
{
    if (n != 3)
        fail("own NAME DOMAIN");
    struct cred *c = cred_of(word[1]);
    struct identity_own *o = &C.own[c->rsa_signer && C.n_own ? C.n_own - 1 : C.n_own++];
    if (!c->domain.n)
        fail("it signs for no domain");
    if (c->rsa_signer) {
        o->rfc4474 = &c->c;
        o->rfc4474_url = str_z(c->url);
        C.local.rsa = c->rsa_signer;
        return;
    }
    *o = (struct identity_own){
        .domain = c->domain, .key = str_z(c->name), .url = str_z(c->url), .credential = &c->c};
    if (!str_eq_nocase(c->domain, str_z(word[2])))
        fail("it signs for another domain");
    identity_local_signer_init(&C.local, c->signer, 64);
    C.signer = (struct identity_signer){.start = signer_start, .cancel = signer_cancel};
    P.w->signer = &C.signer;
    P.w->snap->own = C.own;
    P.w->snap->n_own = C.n_own;
}

/* Whoever has the keys is there, and has done what it was asked. */
void identity_signer_on(void)
{
    C.is_signer_dead = C.is_signer_held = false;
    if (!C.local.n_waiting)
        return;
    if (net_post(P.w->net, 0, run_posted, NULL) != 0)
        fail("the signer cannot be told");
    sim_advance(&P.sim, 1);
}

void step_signer(char **word, unsigned n)
{
    const char *how = n == 2 ? word[1] : "";
    if (strcmp(how, "on") == 0)
        identity_signer_on();
    else if (strcmp(how, "off") == 0)
        C.is_signer_dead = true;
    else if (strcmp(how, "held") == 0)
        C.is_signer_held = true;
    else
        fail("signer on | off | held");
}

void step_passport(char **word, unsigned n)
{
    struct arena *a = scratch_new();
    struct passport p = {.iat = net_wall_s(&P.sim.net), .alg = JWS_ES256};
    struct passport_id dest;
    struct passport_key mky[8];
    struct cred *by = NULL;
    struct reason why = {0};
    char signature[JWS_SIGNATURE_TEXT_MAX];
    for (unsigned i = 2; i + 1 < n; i += 2) {
        char *k = word[i], *v = word[i + 1];
        if (strcmp(k, "by") == 0) {
            by = cred_of(v);
        } else if (strcmp(k, "orig") == 0) {
            p.orig = id_of(v);
        } else if (strcmp(k, "dest") == 0) {
            dest = id_of(v);
            p.dest = &dest;
            p.n_dest = 1;
        } else if (strcmp(k, "div") == 0) {
            p.div = id_of(v);
        } else if (strcmp(k, "ppt") == 0) {
            p.type = passport_type_parse(str_z(v));
        } else if (strcmp(k, "attest") == 0) {
            p.attest = v[0];
            p.origid = STR("6ba7b810-9dad-11d1-80b4-00c04fd430c8");
        } else if (strcmp(k, "iat") == 0) {
            p.iat = (uint64_t)((int64_t)p.iat + strtoll(v, NULL, 10));
        } else if (strcmp(k, "url") == 0) {
            p.x5u = str_z(v);
        } else if (strcmp(k, "mky") == 0 && strchr(v, '=') && p.n_mky < ARRAY_LEN(mky)) {
            char *hex = strchr(v, '=');
            *hex++ = 0;
            mky[p.n_mky++] = (struct passport_key){str_z(v), str_z(hex)};
            p.mky = mky;
        } else {
            fail("passport: what is %s?", k);
        }
    }
    if (!by)
        fail("passport VAR by NAME ...");
    if (!p.x5u.p)
        p.x5u = str_z(by->url);
    if (passport_build(a, &p, &why) != 0 || jws_sign(by->signer, p.input, signature) != 0)
        fail("passport: %s", why.detail);
    var_set(word[1], identity_hdr_of(a, &p, str_z(signature), false));
    scratch_free(a);
}

void step_rfc4474(char **word, unsigned n, char *line_end)
{
    struct arena *a = scratch_new();
    struct rfc4474_parts p = {.cseq = 1};
    int64_t date_s = (int64_t)net_wall_s(&P.sim.net);
    char date[CANON_DATE_MAX], name[64], signature[RFC4474_SIGNATURE_TEXT_MAX], body[8192];
    struct cred *by = NULL;
    struct reason why = {0};
    struct str text;
    extra_lines(line_end, body, sizeof(body));
    p.body = str_z(body);
    for (unsigned i = 2; i + 1 < n; i += 2) {
        char *k = word[i], *v = word[i + 1];
        if (strcmp(k, "by") == 0)
            by = cred_of(v);
        else if (strcmp(k, "from") == 0)
            p.from = str_z(v);
        else if (strcmp(k, "to") == 0)
            p.to = str_z(v);
        else if (strcmp(k, "call") == 0)
            p.call_id = str_z(v);
        else if (strcmp(k, "cseq") == 0)
            p.cseq = (uint32_t)strtoul(v, NULL, 10);
        else if (strcmp(k, "method") == 0)
            p.method = str_z(v);
        else if (strcmp(k, "contact") == 0)
            p.contact = str_z(v);
        else if (strcmp(k, "date") == 0)
            date_s += strtoll(v, NULL, 10);
        else
            fail("rfc4474: what is %s?", k);
    }
    canon_date_build((uint64_t)date_s, date);
    p.date = str_z(date);
    if (!by || !by->rsa_signer || rfc4474_build(a, &p, &text, &why) != 0 ||
        rfc4474_sign(by->rsa_signer, text, signature) != 0)
        fail("rfc4474: %s", why.detail);
    var_set(word[1], rfc4474_identity_value(a, str_z(signature)));
    snprintf(name, sizeof(name), "%s.date", word[1]);
    var_set(name, p.date);
    scratch_free(a);
}

/* The request that was received has one signature of RFC 4474, and it is over all that it shows. */
void check_signed_by(const struct sip_msg *m, const char *name)
{
    struct arena *a = scratch_new();
    struct rfc4474_message shown;
    struct identity_hdr h = {.is_rfc4474 = false}, info = {.alg = STR_NULL};
    struct reason why = {0};
    struct cred *by = cred_of(name);
    struct str text;
    unsigned n = 0;
    const struct sip_hdr *hdr;

    for (unsigned i = 0; (hdr = sip_msg_hdr(m, SIP_H_IDENTITY, i)) != NULL; i++)
        if (hdr->value.n && hdr->value.p[0] == '"' &&
            (n++ || identity_hdr_parse(a, hdr->value, &h, &why) != 0))
            fail("several signatures, or one that cannot be read: %s", why.detail);
    identity_show_rfc4474(m, &shown);
    if (n != 1 || identity_info_parse(shown.info, &info, &why) != 0 || !str_eq(info.info, str_z(by->url)))
        fail("it is not signed by %s: %s", name, why.detail);
    if (rfc4474_build(a, &shown.parts, &text, &why) != 0 ||
        rfc4474_verify(by->c.rsa, text, h.token, &why) != 0)
        fail("the signature of %s: %s", name, why.detail);
    scratch_free(a);
}
