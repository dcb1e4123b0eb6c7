/* The story of a call in plain words, and what its status says (status_text.h). TR/100 10. Pure. */
#include "policy/policy_priv.h"

/* --- Who --- */

static void add_capital(struct sbuf *b, unsigned party) /* "The caller" */
{
    sbuf_lit(b, "The ");
    policy_text_party(b, party);
}

static void add_name(struct sbuf *b, struct str name, const char *nobody)
{
    if (str_is_empty(name))
        sbuf_str(b, str_z(nobody));
    else
        policy_text_person(b, name);
}

/* At the beginning of a sentence: "The holder of the number"; a domain stays as it is. */
static void add_signer(struct sbuf *b, struct str by)
{
    if (str_starts_nocase(by, STR("the "))) {
        sbuf_lit(b, "The ");
        by = str_make(by.p + 4, by.n - 4);
    }
    add_name(b, by, "Its domain");
}

static void add_known(struct sbuf *b, const struct policy_identity *id)
{
    switch (id->known) {
    case POLICY_ID_VERIFIED:
        add_signer(b, id->by);
        sbuf_str(b, id->by_user ? STR(" has signed that, with a certificate of the user")
                    : id->by_sha1
                        ? STR(" has signed that, and the whole message, with SHA-1 (RFC 4474)")
                        : STR(" has signed that"));
        break;
    case POLICY_ID_AUTHENTICATED:
        sbuf_fmt(b, "It is known to us by %s", policy_how_text(id->how));
        break;
    case POLICY_ID_SITE:
        sbuf_lit(b, "The site ");
        add_name(b, id->by, "that called");
        sbuf_fmt(b, " is known to us by %s, its user by its word alone", policy_how_text(id->how));
        break;
    case POLICY_ID_ASSERTED:
        add_name(b, id->by, "A system that we trust");
        sbuf_lit(b, " asserts that");
        if (!str_is_empty(id->asserted) && !str_eq(id->asserted, id->address)) {
            sbuf_lit(b, " it is ");
            policy_text_person(b, id->asserted);
        }
        sbuf_lit(b, ", without a signature");
        break;
    case POLICY_ID_CLAIMED:
        sbuf_lit(b, "It says so itself, and nobody else does");
        break;
    case POLICY_ID_NONE:
        sbuf_lit(b, "Nobody says who that is");
        if (id->how != POLICY_BY_NOTHING) /* it hides; who let it in has looked */
            sbuf_fmt(b, "; that it may call is known to us by %s", policy_how_text(id->how));
        break;
    }
    if (id->attest != 0)
        sbuf_fmt(b, " (attestation %c)", id->attest >= 'A' && id->attest <= 'C' ? id->attest : '?');
    sbuf_lit(b, ".");
}

/* ... and what is asserted beside that (RFC 3325). */
static void add_asserted(struct sbuf *b, const struct policy_party *p)
{
    const struct policy_identity *id = &p->identity;

    if (str_is_empty(id->asserted) || id->known == POLICY_ID_ASSERTED)
        return;
    sbuf_lit(b, " ");
    add_name(b, p->n_hops ? p->hops[0].peer : STR_NULL, "A system that we trust");
    sbuf_lit(b, " asserts that it is ");
    policy_text_person(b, id->asserted);
    sbuf_lit(b, ".");
}

static void add_signature(struct sbuf *b, const struct policy_identity *id)
{
    static const char *const words[] = {
        [IDENTITY_VALID] = "",
        [IDENTITY_ABSENT] = "",
        [IDENTITY_UNVERIFIABLE] = " Its signature cannot be verified",
        [IDENTITY_STALE] = " Its signature is not of now",
        [IDENTITY_BROKEN] = " Its signature does not hold",
        [IDENTITY_CONTRADICTED] = " The message contradicts its signature",
    };

    if ((unsigned)id->verdict >= ARRAY_LEN(words) || id->verdict <= IDENTITY_ABSENT)
        return;
    sbuf_str(b, str_z(words[id->verdict]));
    if (id->why != NULL)
        sbuf_fmt(b, " (%s)", id->why);
    sbuf_lit(b, ".");
}

static void add_smime(struct sbuf *b, const struct policy_identity *id)
{
    static const char *const words[] = {
        [POLICY_SMIME_NONE] = "",
        [POLICY_SMIME_CONTRADICTED] = " What is signed in its body (S/MIME) contradicts the message",
        [POLICY_SMIME_BROKEN] = " A signature of its body (S/MIME) does not hold",
        [POLICY_SMIME_STALE] = " A signature of its body (S/MIME) is not of now",
        [POLICY_SMIME_UNVERIFIABLE] = " A signature of its body (S/MIME) cannot be verified",
        [POLICY_SMIME_ENCRYPTED] = " Its body is encrypted for its recipient (S/MIME)",
        [POLICY_SMIME_SIGNED] = " Its body is signed (S/MIME), and does not say for which call",
        [POLICY_SMIME_NAMES] = " Its body says who it is, and is signed (S/MIME)",
    };

    if ((unsigned)id->smime >= ARRAY_LEN(words) || id->smime == POLICY_SMIME_NONE)
        return;
    sbuf_str(b, str_z(words[id->smime]));
    if (id->smime_why != NULL)
        sbuf_fmt(b, " (%s)", id->smime_why);
    sbuf_lit(b, ".");
}

static void add_reached(struct sbuf *b, const struct policy_identity *id)
{
    static const char *const words[] = {
        [IDENTITY_REACHED_SAME] = "",
        [IDENTITY_REACHED_PROVEN] = " The call was diverted, and who diverted it has signed that.",
        [IDENTITY_REACHED_UNPROVEN] = " The call was diverted, and nobody proves why.",
        [IDENTITY_REACHED_CONTRADICTORY] =
            " The call was diverted, elsewhere than what is signed of that says.",
    };

    if (id->reached == IDENTITY_REACHED_PROVEN && !str_is_empty(id->diverted_by)) {
        sbuf_lit(b, " The call was diverted by ");
        policy_text_person(b, id->diverted_by);
        sbuf_lit(b, ", whose domain has signed that.");
    } else if ((unsigned)id->reached < ARRAY_LEN(words)) {
        sbuf_str(b, str_z(words[id->reached]));
    }
}

static void add_end(struct sbuf *b, const struct policy_party *p)
{
    static const char *const words[] = {
        [POLICY_ENDS_UNKNOWN] = " Whether the call ends there is not known.",
        [POLICY_ENDS_GATEWAY] = " It is a gateway to the telephone network.",
        [POLICY_ENDS_MAYBE_GATEWAY] = " It may be a gateway to the telephone network.",
        [POLICY_ENDS_CONFERENCE] = " It is a conference.",
        [POLICY_ENDS_RECORDER] = " It is our recorder.",
        [POLICY_ENDS_USER] = "",
    };

    if ((unsigned)p->ends_at < ARRAY_LEN(words))
        sbuf_str(b, str_z(words[p->ends_at]));
    if (p->hints & POLICY_HINT_ATTEST_C)
        sbuf_lit(b, " Its signer says that the call came in by a gateway.");
    if (p->hints & POLICY_HINT_NO_KEYS)
        sbuf_lit(b, " Its number is signed, its media keys are not.");
    if (p->hints & POLICY_HINT_CARRIER)
        sbuf_lit(b, " It has a number in a carrier's domain.");
}

static void add_party(struct sbuf *b, const struct policy_facts *f, unsigned party)
{
    const struct policy_party *p = &f->parties[party];

    add_capital(b, party);
    if (str_is_empty(p->identity.address)) {
        sbuf_lit(b, " has no address. ");
    } else {
        sbuf_lit(b, " is ");
        policy_text_who(b, f, party);
        if (!str_is_empty(p->identity.called)) {
            sbuf_lit(b, ", reached instead of ");
            policy_text_person(b, p->identity.called);
        }
        sbuf_lit(b, ". ");
    }
    add_known(b, &p->identity);
    add_asserted(b, p);
    add_signature(b, &p->identity);
    add_smime(b, &p->identity);
    add_reached(b, &p->identity);
    add_end(b, p);
    sbuf_lit(b, "\n");
}

/* --- Signalling --- */

static void add_below(struct sbuf *b, const struct policy_below *below)
{
    static const char *const kinds[] = {
        [POLICY_BELOW_NONE] = "nothing", [POLICY_BELOW_LOCK] = "a locked room",
        [POLICY_BELOW_8021X] = "802.1X", [POLICY_BELOW_VPN] = "a VPN",
        [POLICY_BELOW_IPSEC] = "IPsec",
    };
    static const char *const checks[] = {
        [POLICY_BELOW_GONE] = "which is no longer so",
        [POLICY_BELOW_DECLARED] = "which cannot be checked",
        [POLICY_BELOW_CHECKED] = "which was checked",
    };

    if (below->kind == POLICY_BELOW_NONE || (unsigned)below->kind >= ARRAY_LEN(kinds) ||
        (unsigned)below->check >= ARRAY_LEN(checks))
        return;
    sbuf_fmt(b, ", protected by %s", kinds[below->kind]);
    if (!str_is_empty(below->by)) {
        sbuf_lit(b, " as ");
        policy_text_person(b, below->by);
        sbuf_lit(b, " has declared");
    }
    sbuf_fmt(b, ", %s", checks[below->check]);
}

static void add_hop(struct sbuf *b, const struct policy_hop *h)
{
    sbuf_lit(b, " ");
    sbuf_str(b, transport_text(h->transport));
    if (!str_is_empty(h->peer)) {
        sbuf_lit(b, " with ");
        policy_text_person(b, h->peer);
    }
    if (h->secure)
        sbuf_fmt(b, " (%s, %s; %s; %s)", h->version != NULL ? h->version : "version not known",
                 h->cipher != NULL ? h->cipher : "suite not known",
                 h->authenticated ? "each knows the other" : "who it is was not checked",
                 h->forward_secret ? "forward secret" : "not forward secret");
    else
        sbuf_lit(b, ", not encrypted");
    add_below(b, &h->below);
}

static void add_signalling(struct sbuf *b, const struct policy_party *p, unsigned party)
{
    static const char *const beyond[] = {
        [POLICY_BEYOND_CLEAR] = "Behind that there is a hop without encryption.",
        [POLICY_BEYOND_UNKNOWN] = "What lies behind that is not known.",
        [POLICY_BEYOND_CLAIMED] = "Others say that what lies behind that is secured.",
        [POLICY_BEYOND_PROVISIONED] = "What lies behind that is secured by agreement.",
        [POLICY_BEYOND_NONE] = "Nothing lies behind that.",
    };

    sbuf_lit(b, "Signalling with the ");
    policy_text_party(b, party);
    sbuf_lit(b, ":");
    for (unsigned i = 0; i < p->n_hops; i++) {
        if (i > 0)
            sbuf_lit(b, ", then");
        add_hop(b, &p->hops[i]);
    }
    sbuf_str(b, p->n_hops == 0 ? STR(" nothing was seen. ") : STR(". "));
    if ((unsigned)p->beyond < ARRAY_LEN(beyond))
        sbuf_str(b, str_z(beyond[p->beyond]));
    sbuf_lit(b, "\n");
}

/* --- Media --- */

static void add_method(struct sbuf *b, const struct keying_facts *k)
{
    if (k->method == KEYING_CLEAR) {
        sbuf_lit(b, " not encrypted");
        return;
    }
    sbuf_fmt(b, " %s", k->mode != NULL ? k->mode : keying_method_text(k->method));
    if (k->suite != NULL)
        sbuf_fmt(b, ", %s", k->suite->name);
    if (k->proof == KEYING_PROOF_NONE)
        sbuf_lit(b, ", offered and not agreed");
    else
        sbuf_fmt(b, ", keys known to %s, proof: %s", keying_known_to_text(k->known_to),
                 keying_proof_text(k->proof));
}

static void add_bound(struct sbuf *b, const struct policy_medium *m)
{
    if (m->keys.sas_compared) {
        sbuf_lit(b, " The users have compared their strings.");
    } else if (m->bound == POLICY_BOUND_NONE) {
        sbuf_lit(b, " Nobody vouches for the keys.");
    } else if (m->bound == POLICY_BOUND_US) {
        sbuf_lit(b, " They came straight along our own hop.");
    } else {
        sbuf_str(b, m->bound == POLICY_BOUND_USER
                        ? STR(" The user's own signature vouches for them")
                        : STR(" The signature of "));
        if (m->bound == POLICY_BOUND_DOMAIN) {
            add_name(b, m->bound_by, "its domain");
            sbuf_lit(b, " vouches for them");
        }
        sbuf_lit(b, ".");
    }
}

static void add_medium(struct sbuf *b, const struct policy_medium *m, unsigned party)
{
    static const char *const relays[] = {
        [POLICY_RELAY_CLEAR] = " We let it pass in the clear on this side.",
        [POLICY_RELAY_REENCRYPTED] = " We decrypt it and encrypt it again.",
        [POLICY_RELAY_PASSED] = " We do not touch it.",
    };

    sbuf_fmt(b, "Media %u (%s) with the ", m->section, policy_media_kind_text(m->kind));
    policy_text_party(b, party);
    sbuf_lit(b, ":");
    add_method(b, &m->keys);
    add_below(b, &m->below);
    sbuf_lit(b, ".");
    if (m->keys.method != KEYING_CLEAR)
        add_bound(b, m);
    if ((unsigned)m->relay < ARRAY_LEN(relays))
        sbuf_str(b, str_z(relays[m->relay]));
    if (m->keys.handshake_failures > 0)
        sbuf_fmt(b, " Handshakes that failed: %u.", m->keys.handshake_failures);
    if (m->keys.auth_failures > 0)
        sbuf_fmt(b, " Packets that were not authentic: %u.", m->keys.auth_failures);
    sbuf_lit(b, "\n");
}

void policy_text_story(struct sbuf *b, const struct policy_facts *f)
{
    if (f->n_parties >= 2) {
        policy_text_who(b, f, POLICY_CALLER);
        sbuf_str(b, f->subject == POLICY_MESSAGE ? STR(" sent a message to ") : STR(" called "));
        policy_text_who(b, f, POLICY_CALLEE);
        sbuf_str(b, f->is_emergency ? STR(": an emergency.\n") : STR(".\n"));
    }
    for (unsigned i = 0; i < f->n_parties; i++)
        add_party(b, f, i);
    for (unsigned i = 0; i < f->n_parties; i++)
        add_signalling(b, &f->parties[i], i);
    for (unsigned i = 0; i < f->n_parties; i++) {
        for (unsigned k = 0; k < f->parties[i].n_media; k++)
            add_medium(b, &f->parties[i].media[k], i);
    }
}

/* --- The verdict --- */

static void add_place(struct sbuf *b, const struct policy_facts *f, const struct policy_reason *r)
{
    if (r->party >= f->n_parties)
        return;
    sbuf_lit(b, " [");
    policy_text_party(b, r->party);
    if (r->medium < f->parties[r->party].n_media)
        sbuf_fmt(b, ", %s", policy_media_kind_text(f->parties[r->party].media[r->medium].kind));
    if (r->hop < f->parties[r->party].n_hops &&
        !str_is_empty(f->parties[r->party].hops[r->hop].peer)) {
        sbuf_lit(b, ", hop to ");
        policy_text_person(b, f->parties[r->party].hops[r->hop].peer);
    }
    if (r->n > 1)
        sbuf_fmt(b, ", %u times", r->n);
    sbuf_lit(b, "]");
}

static void add_reasons(struct sbuf *b, const struct policy_facts *f, const struct policy_status *s,
                        enum policy_level keeps_from, const char *head)
{
    bool is_first = true;

    for (unsigned i = 0; i < s->n_reasons; i++) {
        const struct policy_why_info *w = policy_why_info((enum policy_why)s->reasons[i].why);

        if (w->keeps_from != keeps_from)
            continue;
        if (is_first)
            sbuf_str(b, str_z(head));
        is_first = false;
        sbuf_fmt(b, "  - %s (%s, %s)", w->text, w->code, w->clause);
        add_place(b, f, &s->reasons[i]);
        sbuf_lit(b, "\n");
    }
}

static void add_answers(struct sbuf *b, const struct policy_status *s)
{
    sbuf_lit(b, "What can be expected of it:\n");
    for (unsigned q = 0; q < POLICY_QUESTIONS; q++)
        sbuf_fmt(b, "  - %s %s\n", policy_question_text((enum policy_question)q),
                 policy_answer_text((enum policy_question)q, (enum policy_answer)s->answers[q]));
}

/* The remedies of all that keeps it from the next level; the same one once. */
static void add_remedies(struct sbuf *b, const struct policy_status *s)
{
    const char *told[POLICY_WHYS];
    unsigned n = 0;

    for (unsigned i = 0; i < s->n_reasons; i++) {
        const struct policy_why_info *w = policy_why_info((enum policy_why)s->reasons[i].why);
        unsigned k = 0;

        if (w->remedy == NULL || w->keeps_from != s->level + 1)
            continue;
        while (k < n && strcmp(told[k], w->remedy) != 0)
            k++;
        if (k < n)
            continue;
        if (n == 0)
            sbuf_lit(b, "What would make it better:\n");
        told[n++] = w->remedy;
        sbuf_fmt(b, "  - %s\n", w->remedy);
    }
}

void policy_text_verdict(struct sbuf *b, const struct policy_facts *f,
                         const struct policy_status *s)
{
    sbuf_lit(b, "For the ");
    policy_text_party(b, s->towards);
    sbuf_lit(b, ": ");
    policy_text_line(b, f, s);
    sbuf_lit(b, "\n");
    add_reasons(b, f, s, POLICY_OPEN, "It is attacked:\n");
    add_reasons(b, f, s, POLICY_PROTECTED, "It is not protected, because:\n");
    add_reasons(b, f, s, POLICY_SECURE, "It is not secure, because:\n");
    add_reasons(b, f, s, POLICY_END_TO_END, "It is not end to end, because:\n");
    add_reasons(b, f, s, POLICY_LEVELS, "Besides:\n");
    add_answers(b, s);
    add_remedies(b, s);
}

void policy_text_explain(struct sbuf *b, const struct policy_facts *f)
{
    struct policy_status s;

    policy_text_story(b, f);
    for (unsigned i = POLICY_CALLER; i <= POLICY_CALLEE; i++) {
        sbuf_lit(b, "\n");
        policy_status(f, i, &s);
        policy_text_verdict(b, f, &s);
    }
}
