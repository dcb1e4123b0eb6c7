/* What the tests of key management share: descriptions from lines, and a method's way from one side
 * to the other. */
#ifndef TESTS_UNIT_KEYING_FIXTURE_H
#define TESTS_UNIT_KEYING_FIXTURE_H

#include "base/err.h"
#include "check.h"
#include "keying/keying.h"
#include <stdio.h>

#define SAID_ROOM 16384

/* One section of a description with these attribute lines ("a=...\r\n" each). */
struct heard {
    struct arena *arena;
    struct sdp *sdp;
    struct keying_heard h;
};

static inline struct heard heard_make_at(const char *host, const char *proto, const char *lines)
{
    static char text[SAID_ROOM + 256];
    struct heard ret = {.arena = arena_new(4096, 1u << 20)};
    struct reason why = {0};
    int n = snprintf(text, sizeof(text),
                     "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\n"
                     "m=audio 5000 %s 0\r\n%s",
                     host, proto, lines);
    struct str own;

    assert_true(n > 0 && (size_t)n < sizeof(text));
    own = arena_str(ret.arena, str_make(text, (size_t)n));
    assert_non_null(own.p);
    if (sdp_parse(ret.arena, own, &ret.sdp, &why) != 0)
        fail_msg("the test's description is refused: %s", why.detail);
    ret.h = (struct keying_heard){.sdp = ret.sdp, .section = 0, .is_hop_private = true};
    return ret;
}

static inline struct heard heard_make(const char *proto, const char *lines)
{
    return heard_make_at("192.0.2.1", proto, lines);
}

static inline void heard_free(struct heard *h)
{
    arena_free(h->arena);
}

struct said {
    char text[SAID_ROOM];
    struct keying_said s;
};

static inline void said_init(struct said *said)
{
    keying_said_init(&said->s, said->text, sizeof(said->text));
}

/* What was said, as lines of a description. */
static inline const char *said_lines(const struct said *said)
{
    static char text[SAID_ROOM];
    size_t n = 0;

    text[0] = '\0';
    for (size_t i = 0; i < said->s.n; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "a=%.*s:%.*s\r\n",
                              STR_FMT(said->s.attr[i].name), STR_FMT(said->s.attr[i].value));
    return text;
}

#define check_reason(why, expected)                                                                \
    assert_string_equal((why).code ? (why).code : "(none)", expected)

#endif
