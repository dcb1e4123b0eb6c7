/* sip/edit: each edit, that nothing else changes, that nothing is smuggled in; and a random editor
 * against re-parsing (RFC 3261 16.6, 18.2.1, 18.3; RFC 3581 4). */
#include "msg_help.h"

#include "base/addr.h"
#include "sip/edit.h"

#define LINE "INVITE sip:b@h SIP/2.0\r\n"
#define REST                                                                                       \
    "From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nMax-Forwards: "     \
    "70\r\n"
#define VIA "Via: SIP/2.0/UDP h;branch=z9hG4bKx\r\n"
#define LENGTH "Content-Length: 0\r\n\r\n"

static struct sip_edit *edit(struct parsed *p)
{
    check_err(p->err, 0);
    assert_int_equal(p->msg->defect.sip_status, 0);
    struct sip_edit *e = sip_edit_new(p->arena, p->msg);
    assert_non_null(e);
    return e;
}

/* Builds, compares, lets go. */
static void check_built(struct parsed *p, struct sip_edit *e, const char *expected)
{
    struct buf *out = NULL;
    check_err(sip_edit_build(e, &out), 0);
    check_str(buf_str(out), expected);
    buf_unref(out);
    parsed_done(p);
}

static void check_refused(struct parsed *p, struct sip_edit *e, int err)
{
    struct buf *out = NULL;
    check_err(sip_edit_build(e, &out), err);
    assert_null(out);
    sip_edit_set(e, SIP_H_SUBJECT, STR("x")); /* sticky */
    check_err(sip_edit_build(e, &out), err);
    parsed_done(p);
}

static void test_untouched(void **state)
{
    (void)state;
    struct parsed p =
        parse(STR("INVITE sip:b@h;X=%41 sip/2.0\r\nv :  SIP / 2.0/UDP\r\n h;branch=x\r\n" REST
                  "sUbJect:\t x  \r\n" LENGTH));
    check_built(&p, edit(&p),
                "INVITE sip:b@h;X=%41 sip/2.0\r\nv :  SIP / 2.0/UDP\r\n h;branch=x\r\n" REST
                "sUbJect:\t x  \r\n" LENGTH);
    p = parse(STR(LINE VIA REST "\r\nabc")); /* 18.3: a stream needs the length */
    check_built(&p, edit(&p), LINE VIA REST "Content-Length: 3\r\n\r\nabc");
    p = parse(STR(LINE VIA REST "l: 2\r\n\r\nabc"));
    check_built(&p, edit(&p), LINE VIA REST "l: 2\r\n\r\nab");
    p = parse(STR("SIP/2.0 200 Fine \xc3\xbc\r\n" VIA REST LENGTH));
    check_built(&p, edit(&p), "SIP/2.0 200 Fine \xc3\xbc\r\n" VIA REST LENGTH);
}

static void test_each(void **state)
{
    (void)state;
    struct parsed p = parse(STR(LINE VIA REST LENGTH));
    struct sip_edit *e = edit(&p);
    sip_edit_ruri(e, STR("sip:new@x;lr"));
    check_built(&p, e, "INVITE sip:new@x;lr SIP/2.0\r\n" VIA REST LENGTH);

    p = parse(STR(LINE "X: 1\r\n" VIA REST LENGTH));
    e = edit(&p);
    sip_edit_add_first(e, SIP_H_VIA, STR("SIP/2.0/TCP me"));
    sip_edit_add_first(e, SIP_H_VIA, STR(" SIP/2.0/TLS me "));
    sip_edit_add_first(e, SIP_H_ROUTE, STR("<sip:r>"));
    check_built(
        &p, e,
        LINE
        "Route: <sip:r>\r\nX: 1\r\nVia: SIP/2.0/TLS me\r\nVia: SIP/2.0/TCP me\r\n" VIA REST LENGTH);

    p = parse(STR(LINE VIA REST LENGTH));
    e = edit(&p);
    sip_edit_add_last(e, SIP_H_SUPPORTED, STR("path"));
    sip_edit_add_named(e, STR("X-Y"), STR("z"));
    sip_edit_add_named(e, STR("k"), STR("gruu"));
    sip_edit_add_last(e, SIP_H_SUBJECT, STR(""));
    check_built(&p, e,
                LINE VIA REST
                "Content-Length: 0\r\nSupported: path\r\nX-Y: z\r\nk: gruu\r\nSubject: \r\n\r\n");

    p = parse(STR(LINE VIA "m: <sip:a>\r\n" REST "Contact: <sip:b>\r\n" LENGTH));
    e = edit(&p);
    sip_edit_set(e, SIP_H_CONTACT, STR("<sip:c>"));
    sip_edit_set(e, SIP_H_MAX_FORWARDS, STR("69"));
    sip_edit_set(e, SIP_H_EXPIRES, STR("60"));
    check_built(&p, e,
                LINE VIA "Contact: <sip:c>\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: "
                         "c\r\nCSeq: 1 INVITE\r\n"
                         "Max-Forwards: 69\r\nContent-Length: 0\r\nExpires: 60\r\n\r\n");

    p = parse(STR(LINE VIA "m: <sip:a>\r\nX-A: 1\r\n" REST
                           "Contact : <sip:b>,\r\n <sip:c>\r\nx-a\t: 2\r\n" LENGTH));
    e = edit(&p);
    sip_edit_remove(e, SIP_H_CONTACT);
    sip_edit_remove_named(e, STR("X-a"));
    sip_edit_remove_named(e, STR("absent"));
    sip_edit_remove_named(e, STR("max-forwards"));
    sip_edit_remove(e, SIP_H_ROUTE);
    check_built(
        &p, e,
        LINE VIA
        "From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n" LENGTH);
}

static void test_values(void **state)
{
    (void)state;
    static const char text[] =
        LINE VIA REST "Route: <sip:1>, <sip:2,x>,\"3,\"<sip:3>\r\nRoute: <sip:4>\r\n" LENGTH;
    struct parsed p = parse(STR(text));
    struct sip_edit *e = edit(&p);
    struct str v;
    sip_edit_remove_value(e, SIP_H_ROUTE, 0);
    assert_true(sip_edit_value(e, SIP_H_ROUTE, 0, &v)); /* at once */
    check_str(v, "<sip:2,x>");
    sip_edit_remove_value(e, SIP_H_ROUTE, 0); /* gone is gone */
    sip_edit_replace_value(e, SIP_H_ROUTE, 2, STR("<sip:new>"));
    sip_edit_remove_value(e, SIP_H_ROUTE, 3); /* counted before edits */
    assert_true(sip_edit_value(e, SIP_H_ROUTE, 1, &v));
    check_str(v, "<sip:new>");
    assert_false(sip_edit_value(e, SIP_H_ROUTE, 2, &v));
    check_built(&p, e, LINE VIA REST "Route: <sip:2,x>, <sip:new>\r\n" LENGTH);

    p = parse(STR(text));
    e = edit(&p);
    sip_edit_remove_value(e, SIP_H_ROUTE, 0);
    sip_edit_remove_value(e, SIP_H_ROUTE, 1);
    sip_edit_remove_value(e, SIP_H_ROUTE, 2);
    sip_edit_add_first(e, SIP_H_ROUTE, STR("<sip:0>"));
    check_built(&p, e, LINE VIA REST "Route: <sip:0>\r\nRoute: <sip:4>\r\n" LENGTH);

    p = parse(STR(text));
    e = edit(&p);
    sip_edit_replace_value(e, SIP_H_FROM, 0, STR("<sip:x@h>;tag=1")); /* not a list: its line */
    sip_edit_replace_value(e, SIP_H_VIA, 0, STR("SIP/2.0/UDP h2"));
    check_built(
        &p, e,
        LINE
        "Via: SIP/2.0/UDP h2\r\nFrom: <sip:x@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 "
        "INVITE\r\n"
        "Max-Forwards: 70\r\nRoute: <sip:1>, <sip:2,x>,\"3,\"<sip:3>\r\nRoute: <sip:4>\r\n" LENGTH);

    p = parse(STR(text));
    e = edit(&p);
    sip_edit_remove_value(e, SIP_H_ROUTE, 4);
    check_refused(&p, e, ERR_NOTFOUND);
    p = parse(STR(text));
    e = edit(&p);
    sip_edit_replace_value(e, SIP_H_CONTACT, 0, STR("x"));
    check_refused(&p, e, ERR_NOTFOUND);
    p = parse(STR(text));
    e = edit(&p);
    sip_edit_set(e, SIP_H_ROUTE, STR("<sip:x>"));
    sip_edit_remove_value(e, SIP_H_ROUTE, 0);
    sip_edit_replace_value(e, SIP_H_ROUTE, 0, STR("<sip:y>"));
    check_refused(&p, e, ERR_NOTFOUND);
    /* values behind a broken one are not lost in silence */
    p = parse(STR(LINE VIA REST "Route: <sip:1>, \"x, <sip:2>\r\n" LENGTH));
    e = edit(&p);
    sip_edit_remove_value(e, SIP_H_ROUTE, 0);
    check_refused(&p, e, ERR_SYNTAX);
    p = parse(STR(LINE VIA REST "Route: <sip:1>, , <sip:2>\r\n" LENGTH));
    e = edit(&p);
    sip_edit_replace_value(e, SIP_H_ROUTE, 1, STR("<sip:3>"));
    check_refused(&p, e, ERR_SYNTAX);
}

static void test_body(void **state)
{
    (void)state;
    struct parsed p = parse(STR(LINE VIA "c: a/b\r\nl: 3\r\n" REST "\r\nabc"));
    struct sip_edit *e = edit(&p);
    sip_edit_body(e, STR("application/sdp"), STR("v=0\r\n"));
    check_built(&p, e,
                LINE VIA "Content-Type: application/sdp\r\nContent-Length: 5\r\n" REST
                         "\r\nv=0\r\n");
    p = parse(STR(LINE VIA "c: a/b\r\nl: 3\r\n" REST "\r\nabc"));
    e = edit(&p);
    sip_edit_body(e, STR_NULL, STR_NULL);
    check_built(&p, e, LINE VIA "Content-Length: 0\r\n" REST "\r\n");
    p = parse(STR(LINE VIA REST "\r\n"));
    e = edit(&p);
    sip_edit_body(e, STR("a/b"), STR("x"));
    sip_edit_body(e, STR("a/c"), STR("yy"));
    check_built(&p, e, LINE VIA REST "Content-Length: 2\r\nContent-Type: a/c\r\n\r\nyy");
}

/* No value brings a line of its own, whatever the way in. */
static void test_injection(void **state)
{
    (void)state;
    static const struct str bad[] = {
        {"x\r\nEvil: 1", 10}, {"x\nEvil: 1", 9}, {"x\rEvil: 1", 9},         {"x\r\n\r\nbody", 9},
        {"x\0y", 3},          {"x\x01", 2},      {"x\r\n \r\nEvil: 1", 13},
    };
    static const struct str bad_names[] = {{"", 0},    {"a b", 3},      {"a:b", 3}, {"a\r\nb", 4},
                                           {"a\n", 2}, {"\xc3\xbc", 2}, {"a\0", 2}};
    static const struct str bad_uris[] = {
        {"", 0}, {"sip:a b", 7}, {"sip:a\r\n", 7}, {"sip:a\tb", 7}, {"sip:a\0", 6}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        for (int way = 0; way < 6; way++) {
            struct parsed p = parse(STR(LINE VIA REST "Route: <sip:1>\r\n" LENGTH));
            struct sip_edit *e = edit(&p);
            if (way == 0)
                sip_edit_add_first(e, SIP_H_ROUTE, bad[i]);
            else if (way == 1)
                sip_edit_add_last(e, SIP_H_ROUTE, bad[i]);
            else if (way == 2)
                sip_edit_add_named(e, STR("X"), bad[i]);
            else if (way == 3)
                sip_edit_set(e, SIP_H_ROUTE, bad[i]);
            else if (way == 4)
                sip_edit_replace_value(e, SIP_H_ROUTE, 0, bad[i]);
            else
                sip_edit_body(e, bad[i], STR("x"));
            check_refused(&p, e, ERR_INVALID);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(bad_names); i++) {
        struct parsed p = parse(STR(LINE VIA REST LENGTH));
        struct sip_edit *e = edit(&p);
        sip_edit_add_named(e, bad_names[i], STR("x"));
        check_refused(&p, e, ERR_INVALID);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad_uris); i++) {
        struct parsed p = parse(STR(LINE VIA REST LENGTH));
        struct sip_edit *e = edit(&p);
        sip_edit_ruri(e, bad_uris[i]);
        check_refused(&p, e, ERR_INVALID);
    }
    /* the framing is not the callers' */
    for (int way = 0; way < 6; way++) {
        struct parsed p = parse(STR(LINE VIA REST LENGTH));
        struct sip_edit *e = edit(&p);
        if (way == 0)
            sip_edit_set(e, SIP_H_CONTENT_LENGTH, STR("5"));
        else if (way == 1)
            sip_edit_add_last(e, SIP_H_CONTENT_LENGTH, STR("0"));
        else if (way == 2)
            sip_edit_add_named(e, STR("L"), STR("0"));
        else if (way == 3)
            sip_edit_remove(e, SIP_H_CONTENT_LENGTH);
        else if (way == 4)
            sip_edit_remove_named(e, STR("content-length"));
        else
            sip_edit_replace_value(e, SIP_H_CONTENT_LENGTH, 0, STR("9"));
        check_refused(&p, e, ERR_INVALID);
    }
    struct parsed p = parse(STR(LINE VIA REST LENGTH));
    struct sip_edit *e = edit(&p);
    sip_edit_add_last(e, SIP_H_SUBJECT, STR("a\r\n b")); /* a fold is lawful */
    check_built(&p, e, LINE VIA REST "Content-Length: 0\r\nSubject: a\r\n b\r\n\r\n");
    p = parse(STR("SIP/2.0 200 OK\r\n" VIA REST LENGTH));
    e = edit(&p);
    sip_edit_ruri(e, STR("sip:a"));
    check_refused(&p, e, ERR_INVALID);
    /* a message with a defect is not passed on */
    p = parse(STR(LINE VIA REST "X: a\nY: b\r\n" LENGTH));
    assert_int_equal(p.msg->defect.sip_status, 400);
    e = sip_edit_new(p.arena, p.msg);
    check_refused(&p, e, ERR_INVALID);
    /* smuggling by odd spelling (white space before the colon, folds, compact forms) does not
     * escape a removal */
    p = parse(
        STR(LINE VIA REST
            "P-Asserted-Identity : <sip:x>\r\np-asserted-IDENTITY\t:\r\n\t<sip:y>\r\n" LENGTH));
    e = edit(&p);
    sip_edit_remove(e, SIP_H_P_ASSERTED_IDENTITY);
    check_built(&p, e, LINE VIA REST LENGTH);
}

static void test_received(void **state)
{
    (void)state;
    static const struct {
        const char *via, *source, *expected;
    } cases[] = {
        {"SIP/2.0/UDP 192.0.2.1;branch=x", "192.0.2.1", "SIP/2.0/UDP 192.0.2.1;branch=x"},
        {"SIP/2.0/UDP 192.0.2.1;branch=x", "192.0.2.2",
         "SIP/2.0/UDP 192.0.2.1;branch=x;received=192.0.2.2"},
        {"SIP/2.0/UDP h.example;branch=x", "192.0.2.2",
         "SIP/2.0/UDP h.example;branch=x;received=192.0.2.2"},
        {"SIP/2.0/UDP 192.0.2.1;rport;branch=x", "192.0.2.1",
         "SIP/2.0/UDP 192.0.2.1;rport=1042;branch=x;received=192.0.2.1"},
        {"SIP/2.0/UDP 192.0.2.1;branch=x;rport", "192.0.2.7",
         "SIP/2.0/UDP 192.0.2.1;branch=x;rport=1042;received=192.0.2.7"},
        /* what the sender claims of itself is replaced */
        {"SIP/2.0/UDP 192.0.2.1;received=6.6.6.6;branch=x ; rport = 9 ;y", "192.0.2.1",
         "SIP/2.0/UDP 192.0.2.1;branch=x ;rport=1042 ;y;received=192.0.2.1"},
        {"SIP/2.0/UDP 192.0.2.1;received=6.6.6.6;branch=x", "192.0.2.1",
         "SIP/2.0/UDP 192.0.2.1;branch=x;received=192.0.2.1"},
        {"SIP/2.0/UDP [2001:db8::1];branch=x", "2001:db8:0::1",
         "SIP/2.0/UDP [2001:db8::1];branch=x"},
        {"SIP/2.0/UDP [2001:db8::1];branch=x", "2001:db8::2",
         "SIP/2.0/UDP [2001:db8::1];branch=x;received=2001:db8::2"},
        {"SIP/2.0/UDP h", "::ffff:192.0.2.2", "SIP/2.0/UDP h;received=192.0.2.2"},
        {"SIP/2.0/UDP h , SIP/2.0/TCP k", "192.0.2.2",
         "SIP/2.0/UDP h;received=192.0.2.2, SIP/2.0/TCP k"},
        {"SIP/2.0/UDP h;rport=1;RPORT=2", NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[1024], expected[1024];
        struct addr source;
        snprintf(text, sizeof(text), LINE "Via: %s\r\n" REST LENGTH, cases[i].via);
        struct parsed p = parse(str_z(text));
        check_err(p.err, 0);
        if (cases[i].source == NULL) {
            assert_int_equal(p.msg->defect.sip_status, 400);
            parsed_done(&p);
            continue;
        }
        check_err(addr_parse(&source, str_z(cases[i].source), 1042), 0);
        struct sip_edit *e = edit(&p);
        sip_edit_via_received(e, p.msg, &source);
        snprintf(expected, sizeof(expected), LINE "Via: %s\r\n" REST LENGTH, cases[i].expected);
        check_built(&p, e, expected);
    }
}

/* ---- a random editor ---- */

static uint64_t seed;

static unsigned pick(unsigned n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((seed >> 33) % n);
}

static const enum sip_hdr_id kinds[] = {
    SIP_H_VIA,     SIP_H_ROUTE,   SIP_H_RECORD_ROUTE, SIP_H_CONTACT, SIP_H_SUPPORTED,
    SIP_H_SUBJECT, SIP_H_REQUIRE, SIP_H_DATE,         SIP_H_PATH,    SIP_H_ALLOW};
#define N_KINDS ARRAY_LEN(kinds)

static const char *random_value(enum sip_hdr_id id)
{
    static const char *const via[] = {"SIP/2.0/UDP h;branch=z9hG4bK1",
                                      "SIP/2.0/TCP [2001:db8::1]:5070;x=\"a,b\""};
    static const char *const addr[] = {"<sip:a@h;lr>", "\"a, \\\"b\" <sip:c,d@h>;x=y",
                                       "<sip:e@h>,\r\n <sip:f@h>"};
    static const char *const token[] = {"path", "gruu , outbound", "a,b,c", "timer"};
    static const char *const text[] = {"a, b", "Sat, 13 Nov 2010 23:29:00 GMT", "x\r\n y"};
    switch (id) {
    case SIP_H_VIA:
        return via[pick(ARRAY_LEN(via))];
    case SIP_H_SUPPORTED:
    case SIP_H_REQUIRE:
    case SIP_H_ALLOW:
        return token[pick(ARRAY_LEN(token))];
    case SIP_H_SUBJECT:
    case SIP_H_DATE:
        return text[pick(ARRAY_LEN(text))];
    default:
        return addr[pick(ARRAY_LEN(addr))];
    }
}

static size_t random_message(char *text, size_t cap)
{
    size_t n = (size_t)snprintf(text, cap, LINE VIA REST);
    unsigned lines = pick(12);
    for (unsigned i = 0; i < lines; i++) {
        enum sip_hdr_id id = kinds[pick(N_KINDS)];
        static const char *const colons[] = {":", ": ", " : ", "\t:\r\n "};
        if (pick(4) == 0)
            n += (size_t)snprintf(text + n, cap - n, "X-%u: keep %u\r\n", i, pick(1000));
        n += (size_t)snprintf(text + n, cap - n, "%.*s%s%s\r\n", STR_FMT(sip_hdr_text(id)),
                              colons[pick(4)], random_value(id));
    }
    n += (size_t)snprintf(text + n, cap - n, "%s\r\nbody", pick(2) ? "Content-Length: 4\r\n" : "");
    return n;
}

/* One edit; *touched gets the bit of its kind. Values are indexed only where they exist and are
 * untouched as yet. */
static void random_edit(struct sip_edit *e, const struct sip_msg *m, unsigned *touched)
{
    unsigned k = pick(N_KINDS);
    enum sip_hdr_id id = kinds[k];
    struct str value = str_z(random_value(id));
    unsigned values = 0;
    for (struct sip_values it = sip_values_start(m, id); sip_values_next(&it);)
        values++;
    switch (pick(6)) {
    case 0:
        sip_edit_add_first(e, id, value);
        break;
    case 1:
        sip_edit_add_last(e, id, value);
        break;
    case 2:
        sip_edit_set(e, id, value);
        break;
    case 3:
        if (id != SIP_H_VIA)
            sip_edit_remove(e, id);
        break;
    case 4:
        if (values > (id == SIP_H_VIA))
            sip_edit_remove_value(e, id, pick(values - (id == SIP_H_VIA)) + (id == SIP_H_VIA));
        break;
    default:
        if (values && !(*touched >> k & 1))
            sip_edit_replace_value(e, id, pick(values), value);
        break;
    }
    *touched |= 1u << k;
}

/* What sip_edit_value says is what the built message holds. */
static void check_agrees(const struct sip_edit *e, const struct sip_msg *built)
{
    for (unsigned id = SIP_H_OTHER + 1; id < SIP_H_N; id++) {
        struct sip_values it = sip_values_start(built, (enum sip_hdr_id)id);
        struct str v;
        unsigned i = 0;
        for (; sip_values_next(&it); i++) {
            assert_true(sip_edit_value(e, (enum sip_hdr_id)id, i, &v));
            assert_true(str_eq(v, it.value));
        }
        assert_false(it.bad);
        assert_false(sip_edit_value(e, (enum sip_hdr_id)id, i, &v));
    }
}

/* Lines of kinds that no edit touched are there, byte for byte and in their order. */
static void check_kept(const struct sip_msg *m, const struct sip_msg *built, unsigned touched)
{
    const char *from = built->bytes.p, *end = built->head.p + built->head.n;
    for (unsigned i = 0; i < m->n_hdrs; i++) {
        const struct sip_hdr *h = &m->hdrs[i];
        bool is_touched = false;
        for (unsigned k = 0; k < N_KINDS; k++)
            is_touched |= kinds[k] == h->id && (touched >> k & 1);
        if (is_touched)
            continue;
        size_t n = h->line_end - h->line_start;
        const char *at = memmem(from, (size_t)(end - from), m->bytes.p + h->line_start, n);
        if (at == NULL)
            fail_msg("lost: %.*s", (int)n, m->bytes.p + h->line_start);
        from = at + n;
    }
    assert_true(str_eq(m->body, built->body));
}

static void test_random(void **state)
{
    (void)state;
    static char text[8192];
    for (unsigned round = 0; round < 4000; round++) {
        seed = round;
        struct parsed p = parse(str_make(text, random_message(text, sizeof(text))));
        struct sip_edit *e = edit(&p);
        unsigned touched = 0;
        for (unsigned n = pick(8); n > 0; n--)
            random_edit(e, p.msg, &touched);
        struct buf *out = NULL;
        int err = sip_edit_build(e, &out);
        if (err)
            fail_msg("round %u: %d", round, err);
        struct parsed q = parse(buf_str(out));
        if (q.err || q.msg->defect.sip_status)
            fail_msg("round %u: %s\n%.*s", round, q.err ? q.why.detail : q.msg->defect.detail,
                     STR_FMT(buf_str(out)));
        check_agrees(e, q.msg);
        check_kept(p.msg, q.msg, touched);
        buf_unref(out);
        parsed_done(&q);
        parsed_done(&p);
    }
}

static void test_limits(void **state)
{
    (void)state;
    struct parsed p = parse(STR(LINE VIA REST LENGTH));
    struct sip_edit *e = edit(&p);
    for (unsigned i = p.msg->n_hdrs; i < LIMIT_MSG_HEADERS; i++)
        sip_edit_add_last(e, SIP_H_SUPPORTED, STR("x"));
    struct buf *out = NULL;
    check_err(sip_edit_build(e, &out), 0);
    buf_unref(out);
    sip_edit_add_last(e, SIP_H_SUPPORTED, STR("x"));
    check_err(sip_edit_build(e, &out), ERR_LIMIT);
    parsed_done(&p);
    static char big[LIMIT_MSG_BYTES];
    memset(big, 'x', sizeof(big));
    p = parse(STR(LINE VIA REST LENGTH));
    e = edit(&p);
    sip_edit_body(e, STR("a/b"), str_make(big, sizeof(big)));
    check_err(sip_edit_build(e, &out), ERR_LIMIT);
    parsed_done(&p);
    p = parse(STR(LINE VIA REST LENGTH));
    e = edit(&p);
    sip_edit_set(e, SIP_H_SUBJECT, str_make(big, LIMIT_MSG_HEADER_BYTES));
    check_err(sip_edit_build(e, &out), ERR_LIMIT);
    parsed_done(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_untouched), cmocka_unit_test(test_each),
        cmocka_unit_test(test_values),    cmocka_unit_test(test_body),
        cmocka_unit_test(test_injection), cmocka_unit_test(test_received),
        cmocka_unit_test(test_random),    cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
