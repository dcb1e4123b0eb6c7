/* No input makes the message parsers work more than a fixed number of steps a byte: counted, not
 * timed, over messages of up to 64 KiB that are nothing but commas, quotes, brackets, comments,
 * folds, parameters, headers, delimiters of parts. */
#include "msg_help.h"

#include "cost_count.h"
#include "sip/edit.h"

#define START                                                                                      \
    "INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\nFrom: "                       \
    "<sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n"                                                         \
    "Call-ID: c\r\nCSeq: 1 INVITE\r\n"

/* Sanitizers add basic blocks of their own. */
#ifdef SALLYPORT_SANITIZED
#define STEPS_BYTE 120u
#define STEPS_URI 1200000u
#else
#define STEPS_BYTE 40u
#define STEPS_URI 400000u
#endif

static char text[LIMIT_MSG_BYTES];

struct shape {
    const char *name;
    const char *head; /* in front, behind START */
    const char *unit; /* repeated */
    const char *tail;
    bool is_body; /* repeated in the body */
};

static const struct shape shapes[] = {
    {"commas", "Route: ", ",", "\r\n", false},
    {"values", "Route: <sip:a>", ",<sip:a>", "\r\n", false},
    {"bare values", "Contact: sip:a", ",sip:a", "\r\n", false},
    {"quotes", "Contact: ", "\"a\"", "\r\n", false},
    {"open quote", "Contact: \"", "a,", "\r\n", false},
    {"odd quotes", "Contact: ", "\",\"\",\"\"", "\r\n", false},
    {"backslashes", "Contact: \"", "\\\\\\\"", ",\r\n", false},
    {"open brackets", "Contact: ", "<", ",\r\n", false},
    {"brackets", "Contact: ", "<>,<", "\r\n", false},
    {"comments", "User-Agent: ", "(", "\r\n", false},
    {"comments in a list", "Contact: ", "((,))", "\r\n", false},
    {"parameters", "Contact: <sip:a>", ";a=b", "\r\n", false},
    {"quoted parameters", "Contact: <sip:a>", ";a=\"\\\"\"", "\r\n", false},
    {"parameters of the top Via", "", ";a", "\r\n", false}, /* head is put in by compose() */
    {"semicolons", "Contact: <sip:a>", ";", "\r\n", false},
    {"spaces", "Contact:", " ", "<sip:a>\r\n", false},
    {"spaces behind", "Contact: <sip:a>", " ", "\r\n", false},
    {"spaces between", "Contact: <sip:a>", "  ,  <sip:b>", "\r\n", false},
    {"folds", "Contact: <sip:a>", "\r\n ", "\r\n", false},
    {"folds of words", "Subject: x", "\r\n a", "\r\n", false},
    {"quoted controls", "Subject: ", "\\\x01", "\r\n", false},
    {"bare controls", "Subject: ", "a\x01", "\r\n", false},
    {"bare line feeds", "Subject: ", "\n", "\r\n", false},
    {"one-letter headers", "", "x:\r\n", "", false},
    {"empty routes", "", "Route:\r\n", "", false},
    {"many routes", "", "Route: <sip:a>,<sip:b>\r\n", "", false},
    {"broken lines", "", "!\r\n", "", false},
    {"long name", "", "x", ": y\r\n", false},
    {"long uri", "To: <sip:", "a", "@h>\r\n", false},
    {"delimiters", "Content-Type: multipart/mixed;boundary=b\r\n", "\r\n--b", "", true},
    {"near delimiters", "Content-Type: multipart/mixed;boundary=\"--\r\n --\"\r\n", "\r\n-", "",
     true},
    {"parts", "Content-Type: multipart/mixed;boundary=b\r\n", "--b\r\n\r\nx\r\n", "--b--", true},
    {"open part", "Content-Type: multipart/mixed;boundary=b\r\n",
     "--b\r\nContent-Type: multipart/mixed;boundary=b\r\n\r\n", "", true},
    {"part headers", "Content-Type: multipart/mixed;boundary=b\r\n", "--b\r\nx:\r\n y\r\n",
     "\r\n\r\nz\r\n--b--", true},
};

static struct str compose(const struct shape *s, size_t size)
{
    size_t n = 0, unit = strlen(s->unit);
    bool via = strcmp(s->name, "parameters of the top Via") == 0;
    const char *start = via ? "INVITE sip:b@h SIP/2.0\r\nFrom: <sip:a@h>\r\nTo: "
                              "<sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nVia: "
                              "SIP/2.0/UDP h"
                            : START;
    n += (size_t)snprintf(text, sizeof(text), "%s%s%s", start, s->head, s->is_body ? "\r\n" : "");
    while (n + unit + strlen(s->tail) + 4 < size) {
        memcpy(text + n, s->unit, unit);
        n += unit;
    }
    n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", s->tail, s->is_body ? "" : "\r\n");
    return (struct str){text, n};
}

/* Everything a proxy or registrar might ask of a message. */
static void ask_all(struct sip_msg *m)
{
    struct str s, tag = STR("x");
    for (unsigned id = 0; id < SIP_H_N; id++) {
        struct sip_values it = sip_values_start(m, (enum sip_hdr_id)id);
        while (sip_values_next(&it)) {
            struct sip_addr a;
            struct sip_via v;
            struct sip_uri u;
            if (sip_addr_parse(it.value, &a) == 0) {
                (void)!sip_uri_parse(a.uri, &u);
                (void)sip_param_find(a.params, tag, &s);
            }
            if (id == SIP_H_VIA)
                (void)!sip_via_parse(it.value, &v);
        }
        (void)sip_msg_has_token(m, (enum sip_hdr_id)id, tag);
        (void)sip_msg_hdr(m, (enum sip_hdr_id)id, 1000);
    }
    const struct sip_hdr *h = sip_msg_hdr(m, SIP_H_SUBJECT, 0);
    if (h)
        (void)!sip_unquote(m->arena, h->value, &s);
    struct sip_part part[LIMIT_BODY_PARTS];
    size_t n = ARRAY_LEN(part);
    (void)!sip_body_parts(m, part, &n, NULL);
}

static void edit_all(struct sip_msg *m)
{
    static const enum sip_hdr_id ids[] = {SIP_H_ROUTE, SIP_H_CONTACT, SIP_H_VIA};
    struct sip_edit *e = sip_edit_new(m->arena, m);
    struct buf *out = NULL;
    struct str v;
    if (e == NULL)
        return;
    for (size_t k = 0; k < ARRAY_LEN(ids); k++) {
        unsigned n = 0;
        for (struct sip_values it = sip_values_start(m, ids[k]); sip_values_next(&it);)
            n++;
        for (unsigned i = 1; i < n; i++)
            sip_edit_remove_value(e, ids[k], i);
        (void)sip_edit_value(e, ids[k], 0, &v);
        sip_edit_add_first(e, ids[k], STR("<sip:x>"));
        sip_edit_remove(e, ids[k]);
    }
    (void)!sip_edit_build(e, &out);
    buf_unref(out);
}

static uint64_t cost_of(struct str bytes)
{
    struct parsed p = {.arena = arena_new(4096, LIMIT_MSG_ARENA_BYTES)};
    cost_blocks = cost_bytes = 0;
    if (sip_msg_parse(p.arena, bytes, &p.msg, NULL) == 0) {
        ask_all(p.msg);
        edit_all(p.msg);
        struct sip_response r = {.status = 400};
        struct buf *out = NULL;
        if (sip_response_build(p.msg, &r, &out) == 0)
            buf_unref(out);
    }
    uint64_t cost = cost_blocks + cost_bytes;
    parsed_done(&p);
    return cost;
}

static void test_linear(void **state)
{
    (void)state;
    uint64_t worst = 0, floor = cost_of(STR(START "\r\n"));
    const char *who = "-";
    assert_true(cost_blocks > 500); /* the counter counts */
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        static const size_t sizes[] = {6000, 12000, 24000, LIMIT_MSG_HEADER_BYTES,
                                       LIMIT_MSG_BYTES - 1};
        for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
            struct str bytes = compose(&shapes[i], sizes[k]);
            uint64_t cost = cost_of(bytes), per_byte = (cost > floor ? cost - floor : 0) / bytes.n;
            if (per_byte > STEPS_BYTE)
                fail_msg("%s: %zu bytes cost %llu steps", shapes[i].name, bytes.n,
                         (unsigned long long)cost);
            if (per_byte > worst) {
                worst = per_byte;
                who = shapes[i].name;
            }
        }
    }
    print_message("at most %llu steps a byte (%s)\n", (unsigned long long)worst, who);
}

/* URIs are compared pair by pair: bounded by LIMIT_URI_PARAMS and LIMIT_URI_BYTES. */
static void test_uri(void **state)
{
    (void)state;
    static char a[LIMIT_URI_BYTES + 1], b[LIMIT_URI_BYTES + 1];
    static const char *const firsts[] = {"sip:h", "sip:h?z=z", "tel:+49"};
    for (size_t f = 0; f < ARRAY_LEN(firsts); f++) {
        size_t n = (size_t)snprintf(a, sizeof(a), "%s", firsts[f]),
               fill = (LIMIT_URI_BYTES - 16) / LIMIT_URI_PARAMS - 8;
        char separator = f == 1 ? '&' : ';';
        for (unsigned i = 1; i < LIMIT_URI_PARAMS; i++) {
            /* long common beginnings, escapes, the difference at the end */
            a[n++] = separator;
            for (size_t k = 0; k < fill; k += 3, n += 3)
                memcpy(a + n, "%61", 3);
            n += (size_t)snprintf(a + n, sizeof(a) - n, "%02u=", i);
            a[n++] = 'x';
        }
        memcpy(b, a, n);
        b[n - 1] = 'y';
        struct sip_uri u, v;
        cost_blocks = cost_bytes = 0;
        check_err(sip_uri_parse(str_make(a, n), &u), 0);
        check_err(sip_uri_parse(str_make(b, n), &v), 0);
        assert_false(sip_uri_eq(&u, &v));
        assert_true(sip_uri_eq(&u, &u));
        uint64_t cost = cost_blocks + cost_bytes;
        if (cost > STEPS_URI)
            fail_msg("%s: %llu steps", firsts[f], (unsigned long long)cost);
        print_message("%s...: %llu steps\n", firsts[f], (unsigned long long)cost);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_linear), cmocka_unit_test(test_uri)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
