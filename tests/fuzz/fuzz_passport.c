/* PASSporTs from any bytes, as a token and as a payload under a good header: nothing may be read
 * outside, every claim handed out has the form its RFC gives it, what is built from what was read
 * reads the same, and the deterministic form of JSON is a fixed point. A body's digest as "msg" has
 * it likewise. */
#include "base/limits.h"
#include "identity/passport.h"
#include <stdlib.h>

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static char text[2][131072];

static void check_json(struct arena *a, struct str s)
{
    struct sjson_node *node;
    struct reason why = {0};
    struct sbuf b = sbuf_make(text[0], sizeof(text[0])), c = sbuf_make(text[1], sizeof(text[1]));

    if (sjson_parse(a, s, &node, &why) != 0) {
        CHECK(why.code);
        return;
    }
    sjson_build(&b, node);
    CHECK(!b.overflow);
    if (b.n > LIMIT_JSON_BYTES) /* escapes may be longer than what they stand for */
        return;
    CHECK(sjson_parse(a, sbuf_get(&b), &node, &why) == 0);
    sjson_build(&c, node);
    CHECK(str_eq(sbuf_get(&b), sbuf_get(&c)));
}

static bool is_id(struct passport_id id)
{
    for (size_t i = 0; i < id.text.n; i++) {
        if (id.is_tn ? !strchr("0123456789#*", id.text.p[i]) : (unsigned char)id.text.p[i] <= ' ')
            return false;
    }
    return id.text.n > 0 && memchr(id.text.p, 0, id.text.n) == NULL;
}

static void check_passport(struct arena *a, struct passport *p)
{
    struct passport again = *p, third;
    struct reason why = {0};
    int err;

    CHECK(is_id(p->orig) && p->n_dest > 0 && p->n_dest <= LIMIT_IDENTITY_DESTS);
    for (size_t i = 0; i < p->n_dest; i++)
        CHECK(is_id(p->dest[i]));
    CHECK(p->n_mky <= LIMIT_IDENTITY_KEYS && p->x5u.n > 0 && p->alg < JWS_ALG_N);
    CHECK(!p->div.text.p || is_id(p->div));
    CHECK(p->attest == 0 || (p->attest >= 'A' && p->attest <= 'C'));
    err = passport_build(a, &again, &why);
    if (err != 0) {
        CHECK(why.code);
        return;
    }
    CHECK(passport_parse_input(a, again.input, &third, &why) == 0);
    CHECK(passport_id_eq(third.orig, p->orig) && third.iat == p->iat && third.type == p->type);
    CHECK(str_eq(third.x5u, p->x5u) && third.alg == p->alg);
    CHECK(passport_keys_eq(third.mky, third.n_mky, again.mky, again.n_mky) ||
          p->type == PASSPORT_DIV || p->type == PASSPORT_DIV_O);
    CHECK(passport_check_deterministic(a, &third, &why) == 0);
}

static void check_payload(struct arena *a, struct str s, struct str header)
{
    size_t cap = (header.n + s.n) * 2 + 16, n;
    char *token = arena_alloc(a, cap);
    struct passport p;
    struct reason why = {0};

    if (!token || str_base64_encode(token, cap, header.p, header.n, true) != 0)
        return;
    n = strlen(token);
    token[n++] = '.';
    if (str_base64_encode(token + n, cap - n, s.p, s.n, true) != 0)
        return;
    if (passport_parse_input(a, str_z(token), &p, &why) == 0)
        check_passport(a, &p);
    else
        CHECK(why.code);
}

/* "value LF body": what is made for a body holds for it, and no other text does. */
static void check_msgi(struct str s)
{
    char made[PASSPORT_MSGI_MAX];
    struct str value, body = str_cut(s, '\n', &value);
    int err = passport_msgi_check(value, body);

    CHECK(passport_msgi_make(body, made) == 0 && passport_msgi_check(str_z(made), body) == 0);
    CHECK(err != 0 || !str_starts_nocase(value, STR("sha256-")) ||
          value.n >= strlen(made) - 1); /* with or without padding */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const headers[] = {
        "{\"alg\":\"ES256\",\"typ\":\"passport\",\"x5u\":\"https://a\"}",
        "{\"alg\":\"ES256\",\"ppt\":\"shaken\",\"typ\":\"passport\",\"x5u\":\"https://a\"}",
        "{\"alg\":\"ES256\",\"ppt\":\"div\",\"typ\":\"passport\",\"x5u\":\"https://a\"}",
        "{\"alg\":\"ES256\",\"ppt\":\"div-o\",\"typ\":\"passport\",\"x5u\":\"https://a\"}",
        "{\"alg\":\"ES384\",\"ppt\":\"msg\",\"typ\":\"passport\",\"x5u\":\"https://a\"}",
        "{\"alg\":\"ES256\",\"ppt\":\"rsp\",\"typ\":\"passport\",\"x5u\":\"https://a\"}",
        "{\"alg\":\"EdDSA\",\"ppt\":\"msec\",\"typ\":\"passport\",\"x5u\":\"https://a\"}",
        "{\"alg\":\"ES256\",\"ppt\":\"rph\",\"typ\":\"passport\",\"x5u\":\"https://a\"}"};
    struct arena *a = arena_new(4096, 1 << 20);
    struct str s = str_make((const char *)data, n);
    struct passport p;
    struct reason why = {0};

    if (!a)
        return 0;
    check_json(a, s);
    if (passport_parse(a, s, &p, &why) == 0)
        check_passport(a, &p);
    else
        CHECK(why.code && p.input.n == 0);
    for (size_t i = 0; i < ARRAY_LEN(headers) && n < 20000; i++)
        check_payload(a, s, str_z(headers[i]));
    check_msgi(s);
    arena_free(a);
    return 0;
}
