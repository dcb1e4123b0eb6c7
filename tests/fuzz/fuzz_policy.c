/* Facts of a call from any bytes, and everything that is written about them: nothing may be read or
 * written outside, what a person reads has no control characters and is UTF-8, headers hold nothing
 * but what RFC 3261 25.1 allows there, JSON is JSON, a copy of the facts says the same, and a
 * display name that has been stripped has no prefix left.
 *
 * Input: one byte for each fact, as far as they go; the texts are what is left, cut at NUL. */
#include "base/arena.h"
#include "identity/json.h"
#include "policy/rules.h"
#include "policy/status_text.h"
#include <stdlib.h>

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct {
    const uint8_t *p;
    size_t n;
} in;

static unsigned any(unsigned n)
{
    if (in.n == 0)
        return 0;
    in.n--;
    return *in.p++ % n;
}

static struct str any_text(void)
{
    size_t n = 0;
    struct str s;

    while (n < in.n && in.p[n] != 0)
        n++;
    s = str_make((const char *)in.p, n);
    in.p += n;
    in.n -= n;
    (void)any(1);
    return s;
}

static struct policy_below any_below(void)
{
    return (struct policy_below){.kind = (enum policy_below_kind)any(5),
                                 .check = (enum policy_below_check)any(3),
                                 .until_s = any(255)};
}

static void make_medium(struct policy_medium *m)
{
    *m = (struct policy_medium){
        .kind = (enum policy_media_kind)any(5),
        .bound = (enum policy_bound)any(4),
        .relay = (enum policy_relay)any(3),
        .below = any_below(),
        .keys = {.method = (enum keying_method_id)any(KEYING_METHODS),
                 .suite =
                     any(2) ? keying_suite_get((enum keying_suite_id)any(KEYING_SUITES)) : NULL,
                 .known_to = (enum keying_known_to)any(4),
                 .middle = (enum keying_middle)any(4),
                 .proof = (enum keying_proof)any(4),
                 .attacks = any(16),
                 .excludes_passive = any(2),
                 .sas_compared = any(2),
                 .auth_failures = any(3)},
    };
    for (size_t i = 0; i < sizeof(m->keys.sas); i++)
        m->keys.sas[i] = (char)any(256);
}

static void make_party(struct policy_party *p)
{
    p->ends_at = (enum policy_ends_at)any(6);
    p->hints = any(8);
    p->beyond = (enum policy_beyond)any(5);
    p->identity = (struct policy_identity){.known = (enum policy_known)any(6),
                                           .how = (enum policy_how)any(7),
                                           .verdict = (enum identity_verdict)any(6),
                                           .worst = (enum identity_verdict)any(6),
                                           .reached = (enum identity_reached)any(4),
                                           .attest = (char)any(256),
                                           .smime = (enum policy_smime)any(8),
                                           .by_user = any(2),
                                           .by_sha1 = any(2)};
    p->n_hops = (uint8_t)any(3);
    for (unsigned i = 0; i < p->n_hops; i++)
        p->hops[i] = (struct policy_hop){.transport = (enum transport)any(TRANSPORT_N),
                                         .secure = any(2),
                                         .authenticated = any(2),
                                         .version = any(2) ? "TLSv1.3" : NULL,
                                         .below = any_below()};
    p->n_media = (uint8_t)any(3);
    for (unsigned i = 0; i < p->n_media; i++)
        make_medium(&p->media[i]);
}

/* Texts come last, so that a change of one does not move the facts. */
static void make_texts(struct policy_party *p)
{
    p->identity.address = any_text();
    p->identity.by = any_text();
    p->identity.via = any_text();
    for (unsigned i = 0; i < p->n_hops; i++) {
        p->hops[i].peer = any_text();
        p->hops[i].below.by = any_text();
    }
    for (unsigned i = 0; i < p->n_media; i++)
        p->media[i].bound_by = any_text();
}

static char texts[4][262144];

static void check_person(const struct sbuf *b, bool has_lines)
{
    CHECK(!b->overflow && str_is_utf8(sbuf_get(b)));
    for (size_t i = 0; i < b->n; i++) {
        unsigned char c = (unsigned char)b->p[i];
        CHECK((c >= 0x20 && c != 0x7f) || (has_lines && c == '\n'));
    }
}

/* A line of a network's own making would begin a story's line: there are as many as we wrote. */
static size_t count_lines(const struct sbuf *b)
{
    size_t n = 0;

    for (size_t i = 0; i < b->n; i++)
        n += b->p[i] == '\n';
    return n;
}

static void check_json(struct sbuf *b)
{
    struct arena *a = arena_new(4096, 1u << 20);
    struct sjson_node *node;
    struct reason why = {0};
    int err;

    CHECK(a != NULL && !b->overflow);
    err = sjson_parse(a, sbuf_get(b), &node, &why);
    CHECK(err == 0 || err == ERR_LIMIT);
    arena_free(a);
}

/* Token characters, and the punctuation of parameters. */
static void check_header(const struct sbuf *b)
{
    unsigned quotes = 0;

    CHECK(!b->overflow);
    for (size_t i = 0; i < b->n; i++) {
        char c = b->p[i];
        CHECK((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || strchr("-;=\",<>: ", c));
        quotes += c == '"';
    }
    CHECK(quotes % 2 == 0);
}

static void check_quoted(const struct sbuf *b)
{
    check_person(b, false);
    CHECK(b->n >= 2 && b->p[0] == '"' && b->p[b->n - 1] == '"');
    for (size_t i = 1; i < b->n - 1; i++) {
        CHECK(b->p[i] != '"');
        if (b->p[i] == '\\')
            CHECK(++i < b->n - 1);
    }
}

static void check_display(struct str name)
{
    struct sbuf b = sbuf_make(texts[0], sizeof(texts[0])),
                again = sbuf_make(texts[1], sizeof(texts[1]));
    bool has_level;

    (void)policy_text_display_plain(&b, name, &has_level);
    check_quoted(&b);
    CHECK(!memchr(b.p, '[', b.n) && !memchr(b.p, ']', b.n));
    CHECK(!policy_text_display_plain(&again, str_make(b.p + 1, b.n - 2), &has_level) && !has_level);
    CHECK(str_eq(sbuf_get(&again), sbuf_get(&b)));
    b = sbuf_make(texts[0], sizeof(texts[0]));
    policy_text_display(&b, POLICY_SECURE, name);
    check_quoted(&b);
}

static void check_status(const struct policy_facts *f, unsigned towards)
{
    struct policy_rule rule = {.require = (enum policy_level)any(POLICY_LEVELS)};
    struct policy_status s, again;
    struct policy_facts *copy;
    struct reason why = {0};
    struct sbuf b = sbuf_make(texts[0], POLICY_LINE_MAX);
    bool is_alarm;

    policy_status(f, towards, &s);
    CHECK(s.level <= s.expected && s.expected <= POLICY_END_TO_END);
    policy_text_line(&b, f, &s);
    check_person(&b, false);
    b = sbuf_make(texts[0], POLICY_HEADER_MAX);
    policy_text_header(&b, &s);
    check_header(&b);
    b = sbuf_make(texts[0], POLICY_HEADER_MAX);
    policy_text_call_info(&b, &s);
    check_header(&b);
    b = sbuf_make(texts[0], sizeof(texts[0]));
    policy_text_json(&b, f, &s);
    check_json(&b);
    if (policy_rule_check(&rule, f, &s, &is_alarm, &why) != 0)
        CHECK(why.code != NULL && why.clause != NULL && why.sip_status >= 400);
    else
        CHECK(s.level > POLICY_ATTACKED || f->is_emergency);
    CHECK(policy_facts_copy(f, &copy) == 0);
    policy_status(copy, towards, &again);
    CHECK(memcmp(&s, &again, sizeof(s)) == 0);
    b = sbuf_make(texts[1], sizeof(texts[1]));
    policy_text_story(&b, f);
    check_person(&b, true);
    struct sbuf c = sbuf_make(texts[2], sizeof(texts[2]));
    policy_text_story(&c, copy);
    CHECK(count_lines(&b) == count_lines(&c));
    policy_facts_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct policy_party parties[3];
    static struct policy_hop hops[3][2];
    static struct policy_medium media[3][2];
    struct policy_facts f = {.parties = parties};
    struct sbuf b = sbuf_make(texts[3], sizeof(texts[3]));
    size_t lines = 0;

    in.p = data;
    in.n = n;
    f.subject = (enum policy_subject)any(2);
    f.is_emergency = any(2);
    f.n_parties = (uint8_t)any(4);
    memset(parties, 0, sizeof(parties));
    for (unsigned i = 0; i < f.n_parties; i++) {
        parties[i].hops = hops[i];
        parties[i].media = media[i];
        make_party(&parties[i]);
        lines += 2u + parties[i].n_media;
    }
    for (unsigned i = 0; i < f.n_parties; i++)
        make_texts(&parties[i]);
    for (unsigned i = 0; i < 3; i++)
        check_status(&f, i);
    policy_text_story(&b, &f);
    CHECK(count_lines(&b) == lines + (f.n_parties >= 2));
    b = sbuf_make(texts[3], sizeof(texts[3]));
    policy_text_explain(&b, &f);
    check_person(&b, true);
    b = sbuf_make(texts[3], sizeof(texts[3]));
    policy_text_facts_json(&b, &f);
    check_json(&b);
    check_display(any_text());
    check_display(str_make((const char *)data, n));
    return 0;
}
