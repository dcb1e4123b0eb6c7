/* A status and its facts as JSON with stable keys (status_text.h). RFC 8259. Pure. */
#include "policy/policy_priv.h"

/* A member's name; the first of an object has no comma before it. */
static void key(struct sbuf *b, const char *name)
{
    if (b->n > 0 && b->p[b->n - 1] != '{')
        sbuf_lit(b, ",");
    sbuf_lit(b, "\"");
    sbuf_str(b, str_z(name)); /* ours: plain */
    sbuf_lit(b, "\":");
}

static void item(struct sbuf *b) /* before an element of an array */
{
    if (b->n > 0 && b->p[b->n - 1] != '[')
        sbuf_lit(b, ",");
}

static void text(struct sbuf *b, const char *name, struct str value)
{
    key(b, name);
    if (value.n > LIMIT_POLICY_TEXT)
        value.n = str_utf8_prefix(str_make(value.p, LIMIT_POLICY_TEXT));
    sbuf_json(b, value);
}

static void text_z(struct sbuf *b, const char *name, const char *value) /* NULL: left out */
{
    if (value != NULL)
        text(b, name, str_z(value));
}

static void text_if(struct sbuf *b, const char *name, struct str value) /* empty: left out */
{
    if (!str_is_empty(value))
        text(b, name, value);
}

static void yes(struct sbuf *b, const char *name, bool value)
{
    key(b, name);
    sbuf_str(b, value ? STR("true") : STR("false"));
}

static void number(struct sbuf *b, const char *name, uint64_t value)
{
    key(b, name);
    sbuf_u64(b, value);
}

static void party_text(struct sbuf *b, const char *name, unsigned party)
{
    char t[32];
    struct sbuf p = sbuf_make(t, sizeof(t));

    policy_text_party(&p, party);
    text(b, name, sbuf_get(&p));
}

/* --- The status --- */

static void add_reason(struct sbuf *b, const struct policy_facts *f, const struct policy_reason *r)
{
    const struct policy_why_info *w = policy_why_info((enum policy_why)r->why);

    item(b);
    sbuf_lit(b, "{");
    text_z(b, "code", w->code);
    text_z(b, "keeps_from",
           w->keeps_from < POLICY_LEVELS ? policy_level_code(w->keeps_from) : "nothing");
    text_z(b, "clause", w->clause);
    text_z(b, "text", w->text);
    text_z(b, "remedy", w->remedy);
    if (r->party < f->n_parties)
        party_text(b, "party", r->party);
    if (r->hop != POLICY_NO_INDEX)
        number(b, "hop", r->hop);
    if (r->medium != POLICY_NO_INDEX)
        number(b, "medium", r->medium);
    number(b, "n", r->n);
    sbuf_lit(b, "}");
}

static void add_answer(struct sbuf *b, const struct policy_status *s, enum policy_question q)
{
    enum policy_answer a = (enum policy_answer)s->answers[q];

    key(b, policy_question_code(q));
    sbuf_lit(b, "{");
    text_z(b, "answer", policy_answer_code(a));
    text_z(b, "question", policy_question_text(q));
    text_z(b, "text", policy_answer_text(q, a));
    if (s->because[q] < POLICY_WHYS)
        text_z(b, "because", policy_why_info((enum policy_why)s->because[q])->code);
    sbuf_lit(b, "}");
}

void policy_text_json(struct sbuf *b, const struct policy_facts *f, const struct policy_status *s)
{
    char t[POLICY_LINE_MAX];
    struct sbuf line = sbuf_make(t, sizeof(t));

    policy_text_line(&line, f, s);
    sbuf_lit(b, "{");
    party_text(b, "towards", s->towards);
    text_z(b, "level", policy_level_code(s->level));
    text_z(b, "expected", policy_level_code(s->expected));
    yes(b, "proven", s->is_proven);
    key(b, "line");
    sbuf_json(b, sbuf_get(&line));
    key(b, "reasons");
    sbuf_lit(b, "[");
    for (unsigned i = 0; i < s->n_reasons; i++)
        add_reason(b, f, &s->reasons[i]);
    sbuf_lit(b, "]");
    key(b, "answers");
    sbuf_lit(b, "{");
    for (unsigned q = 0; q < POLICY_QUESTIONS; q++)
        add_answer(b, s, (enum policy_question)q);
    sbuf_lit(b, "}}");
}

/* --- The facts --- */

static void add_below(struct sbuf *b, const struct policy_below *below)
{
    if (below->kind == POLICY_BELOW_NONE)
        return;
    key(b, "protected_by");
    sbuf_lit(b, "{");
    text_z(b, "kind", policy_below_kind_text(below->kind));
    text_z(b, "check", policy_below_check_text(below->check));
    text_if(b, "by", below->by);
    if (below->until_s != 0)
        number(b, "until_s", below->until_s);
    sbuf_lit(b, "}");
}

static void add_identity(struct sbuf *b, const struct policy_identity *id)
{
    key(b, "identity");
    sbuf_lit(b, "{");
    text_z(b, "known", policy_known_text(id->known));
    text_z(b, "how", policy_how_text(id->how));
    text(b, "signature", identity_verdict_text(id->verdict));
    text_z(b, "why", id->why);
    if (id->smime != POLICY_SMIME_NONE)
        text_z(b, "smime", policy_smime_text(id->smime));
    text_z(b, "smime_why", id->smime_why);
    text(b, "other_signatures", identity_verdict_text(id->worst));
    if (id->known == POLICY_ID_VERIFIED)
        text(b, "authority", identity_authority_text(id->authority));
    text(b, "reached", identity_reached_text(id->reached));
    if (id->attest != 0)
        text(b, "attest", str_make(&id->attest, 1));
    yes(b, "by_user", id->by_user);
    yes(b, "body_bound", id->body_bound);
    yes(b, "by_sha1", id->by_sha1);
    text_if(b, "address", id->address);
    text_if(b, "by", id->by);
    text_if(b, "diverted_by", id->diverted_by);
    text_if(b, "called", id->called);
    text_if(b, "via", id->via);
    text_if(b, "asserted", id->asserted);
    sbuf_lit(b, "}");
}

static void add_hop(struct sbuf *b, const struct policy_hop *h)
{
    item(b);
    sbuf_lit(b, "{");
    text(b, "transport", transport_text(h->transport));
    text_if(b, "peer", h->peer);
    yes(b, "secure", h->secure);
    yes(b, "authenticated", h->authenticated);
    yes(b, "forward_secret", h->forward_secret);
    text_z(b, "version", h->version);
    text_z(b, "cipher", h->cipher);
    add_below(b, &h->below);
    sbuf_lit(b, "}");
}

static void add_attacks(struct sbuf *b, unsigned attacks)
{
    static const struct {
        unsigned bit;
        const char *text;
    } names[] = {{KEYING_ATTACK_NOT_OFFERED, "not-offered"},
                 {KEYING_ATTACK_STRIPPED, "stripped"},
                 {KEYING_ATTACK_FINGERPRINT, "fingerprint"},
                 {KEYING_ATTACK_SAS, "sas"}};

    key(b, "attacks");
    sbuf_lit(b, "[");
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if ((attacks & names[i].bit) == 0)
            continue;
        item(b);
        sbuf_json(b, str_z(names[i].text));
    }
    sbuf_lit(b, "]");
}

static void add_keys(struct sbuf *b, const struct keying_facts *k)
{
    text_z(b, "method", keying_method_text(k->method));
    text_z(b, "mode", k->mode);
    if (k->suite != NULL)
        text_z(b, "suite", k->suite->name);
    yes(b, "unencrypted_rtp", k->unencrypted_rtp);
    yes(b, "unencrypted_rtcp", k->unencrypted_rtcp);
    yes(b, "unauthenticated_rtp", k->unauthenticated_rtp);
    yes(b, "rtcp_tag_32", k->rtcp_tag_32);
    text_z(b, "known_to", keying_known_to_text(k->known_to));
    yes(b, "seen_by_branches", k->seen_by_branches);
    yes(b, "forward_secret", k->forward_secret);
    yes(b, "excludes_passive", k->excludes_passive);
    text_z(b, "middle", keying_middle_text(k->middle));
    yes(b, "peer_had_certificate", k->peer_had_certificate);
    text_z(b, "fingerprint_hash", k->fingerprint_hash);
    yes(b, "resumed", k->is_resumed);
    yes(b, "interim", k->is_interim);
    yes(b, "sas_compared", k->sas_compared);
    text_if(b, "sas", str_make(k->sas, strnlen(k->sas, sizeof(k->sas))));
    text_z(b, "proof", keying_proof_text(k->proof));
    add_attacks(b, k->attacks);
    number(b, "handshake_failures", k->handshake_failures);
    number(b, "auth_failures", k->auth_failures);
}

static void add_medium(struct sbuf *b, const struct policy_medium *m)
{
    item(b);
    sbuf_lit(b, "{");
    text_z(b, "kind", policy_media_kind_text(m->kind));
    number(b, "section", m->section);
    text_z(b, "bound", policy_bound_text(m->bound));
    text_if(b, "bound_by", m->bound_by);
    text_z(b, "relay", policy_relay_text(m->relay));
    add_below(b, &m->below);
    add_keys(b, &m->keys);
    sbuf_lit(b, "}");
}

static void add_hints(struct sbuf *b, unsigned hints)
{
    static const char *const names[] = {"attest-c", "no-keys", "carrier"};

    key(b, "hints");
    sbuf_lit(b, "[");
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        if ((hints >> i & 1) == 0)
            continue;
        item(b);
        sbuf_json(b, str_z(names[i]));
    }
    sbuf_lit(b, "]");
}

static void add_party(struct sbuf *b, const struct policy_party *p, unsigned party)
{
    item(b);
    sbuf_lit(b, "{");
    party_text(b, "party", party);
    text_z(b, "ends_at", policy_ends_at_text(p->ends_at));
    add_hints(b, p->hints);
    add_identity(b, &p->identity);
    text_z(b, "beyond", policy_beyond_text(p->beyond));
    key(b, "hops");
    sbuf_lit(b, "[");
    for (unsigned i = 0; i < p->n_hops; i++)
        add_hop(b, &p->hops[i]);
    sbuf_lit(b, "]");
    key(b, "media");
    sbuf_lit(b, "[");
    for (unsigned i = 0; i < p->n_media; i++)
        add_medium(b, &p->media[i]);
    sbuf_lit(b, "]}");
}

void policy_text_facts_json(struct sbuf *b, const struct policy_facts *f)
{
    sbuf_lit(b, "{");
    text_z(b, "subject", f->subject == POLICY_MESSAGE ? "message" : "call");
    yes(b, "emergency", f->is_emergency);
    key(b, "parties");
    sbuf_lit(b, "[");
    for (unsigned i = 0; i < f->n_parties; i++)
        add_party(b, &f->parties[i], i);
    sbuf_lit(b, "]}");
}
