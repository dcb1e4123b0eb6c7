/* Reading PASSporTs: RFC 7515 5.2, RFC 7519 4, RFC 8225 4 to 8, RFC 8588 4, RFC 8946 3 and 6. Each
 * claim we know must have the form its RFC gives it; claims we do not know are left alone (8225
 * 8.3). Pure; any thread; everything in the caller's arena. */
#include "base/limits.h"
#include "identity/passport_priv.h"

struct reader {
    struct arena *arena;
    struct passport *p;
    struct reason *why;
};

static int refuse(struct reader *r, const char *clause, const char *what)
{
    reason_set(r->why, "passport-syntax", clause, 438, "%s", what);
    return ERR_SYNTAX;
}

static int refuse_limit(struct reader *r, const char *what)
{
    reason_set(r->why, "passport-limit", NULL, 438, "too many or too long: %s", what);
    return ERR_LIMIT;
}

static int refuse_memory(struct reader *r)
{
    reason_set(r->why, "no-memory", NULL, 500, NULL);
    return ERR_NOMEM;
}

/* --- claims --- */

/* An identity's text; copied where escapes were resolved, a slice otherwise. */
static int read_id(struct reader *r, const struct sjson_node *node, bool is_tn,
                   struct passport_id *ret)
{
    *ret = (struct passport_id){is_tn, node->text};
    if (node->type != SJSON_STRING || !passport_id_is_valid(*ret))
        return refuse(r, "RFC 8225 5.2.1",
                      is_tn ? "a \"tn\" that is no canonical number" : "a \"uri\" that is no URI");
    return 0;
}

/* {"tn":"..."} or {"uri":"..."}: exactly one identity (8225 5.2.1). Other members are future forms
 * or "hi"; they do not make a second identity. */
static int read_single(struct reader *r, const struct sjson_node *node, struct passport_id *ret)
{
    const struct sjson_node *tn = sjson_find(node, STR("tn")), *uri = sjson_find(node, STR("uri"));

    if (!node || (tn == NULL) == (uri == NULL))
        return refuse(r, "RFC 8225 5.2.1", "an identity that is not one \"tn\" or one \"uri\"");
    return read_id(r, tn ? tn : uri, tn != NULL, ret);
}

static int read_dest_list(struct reader *r, const struct sjson_node *node, bool is_tn,
                          struct passport_id *v, size_t *n)
{
    const struct sjson_node *it;
    int err;

    if (!node)
        return 0;
    if (node->type == SJSON_STRING) { /* as RFC 8946 5 prints it */
        r->p->is_loose = true;
        return *n >= LIMIT_IDENTITY_DESTS ? refuse_limit(r, "dest")
                                          : read_id(r, node, is_tn, &v[(*n)++]);
    }
    if (node->type != SJSON_ARRAY || node->n == 0)
        return refuse(r, "RFC 8225 5.2.1", "\"dest\" without a list of identities");
    it = sjson_first(node);
    for (size_t i = 0; i < node->n; i++, it = sjson_next(it)) {
        if (*n >= LIMIT_IDENTITY_DESTS)
            return refuse_limit(r, "dest");
        if ((err = read_id(r, it, is_tn, &v[(*n)++])) != 0)
            return err;
    }
    return 0;
}

static int read_dest(struct reader *r, const struct sjson_node *claims)
{
    const struct sjson_node *dest = sjson_find_type(claims, STR("dest"), SJSON_OBJECT);
    struct passport_id *v = arena_alloc(r->arena, LIMIT_IDENTITY_DESTS * sizeof(*v));
    size_t n = 0;
    int err;

    if (!v)
        return refuse_memory(r);
    if ((err = read_dest_list(r, sjson_find(dest, STR("tn")), true, v, &n)) != 0 ||
        (err = read_dest_list(r, sjson_find(dest, STR("uri")), false, v, &n)) != 0)
        return err;
    if (n == 0)
        return refuse(r, "RFC 8225 5.2.1", "no \"dest\"");
    r->p->dest = v;
    r->p->n_dest = n;
    return 0;
}

static int read_iat(struct reader *r, const struct sjson_node *claims)
{
    const struct sjson_node *iat = sjson_find(claims, STR("iat"));

    if (iat && iat->type == SJSON_STRING &&
        str_to_u64(iat->text, UINT32_MAX * UINT64_C(4), &r->p->iat) == 0) {
        r->p->is_loose = true; /* as RFC 8224 4.1.1 and RFC 8588 6 print it */
        return 0;
    }
    if (!iat || sjson_u64(iat, UINT32_MAX * UINT64_C(4), &r->p->iat) != 0)
        return refuse(r, "RFC 8225 5.1.1", "no \"iat\" in whole seconds");
    return 0;
}

/* Case does not matter in either, so one is chosen: lower for the name, upper for the value. */
static int read_key_text(struct reader *r, struct str s, bool is_hex, struct str *ret)
{
    char *p = arena_alloc(r->arena, s.n + 1);

    if (!p)
        return refuse_memory(r);
    for (size_t i = 0; i < s.n; i++) {
        char c = str_lower(s.p[i]);
        bool digit = c >= '0' && c <= '9', letter = c >= 'a' && c <= (is_hex ? 'f' : 'z');

        if (!digit && !letter && (is_hex || c != '-'))
            return refuse(r, "RFC 8225 5.2.2", "\"mky\" with a name or value that is none");
        p[i] = is_hex && letter ? (char)(c - 32) : c;
    }
    p[s.n] = '\0';
    *ret = str_make(p, s.n);
    return 0;
}

static int read_mky(struct reader *r, const struct sjson_node *claims)
{
    const struct sjson_node *mky = sjson_find(claims, STR("mky")), *it;
    struct passport_key *v;
    int err;

    if (!mky)
        return 0;
    if (mky->type != SJSON_ARRAY || mky->n == 0)
        return refuse(r, "RFC 8225 5.2.2", "\"mky\" is no list of keys");
    if (mky->n > LIMIT_IDENTITY_KEYS)
        return refuse_limit(r, "mky");
    v = arena_alloc(r->arena, mky->n * sizeof(*v));
    if (!v)
        return refuse_memory(r);
    it = sjson_first(mky);
    for (size_t i = 0; i < mky->n; i++, it = sjson_next(it)) {
        const struct sjson_node *alg = sjson_find_type(it, STR("alg"), SJSON_STRING),
                                *dig = sjson_find_type(it, STR("dig"), SJSON_STRING);

        if (!alg || !dig || it->n != 2 || alg->text.n == 0 || dig->text.n == 0)
            return refuse(r, "RFC 8225 5.2.2", "a key without \"alg\" or \"dig\"");
        if ((err = read_key_text(r, alg->text, false, &v[i].alg)) != 0 ||
            (err = read_key_text(r, dig->text, true, &v[i].dig)) != 0)
            return err;
    }
    r->p->mky = v;
    r->p->n_mky = passport_keys_sort(v, mky->n);
    return 0;
}

static int read_text(struct reader *r, const struct sjson_node *claims, struct str name,
                     struct str *ret)
{
    const struct sjson_node *it = sjson_find(claims, name);

    if (!it)
        return 0;
    if (it->type != SJSON_STRING || it->text.n == 0)
        return refuse(r, "RFC 8225 8", "a claim that has to be text is none");
    *ret = it->text;
    return 0;
}

static int read_attest(struct reader *r, const struct sjson_node *claims)
{
    struct str attest = STR_NULL;
    int err = read_text(r, claims, STR("attest"), &attest);

    if (err != 0 || !attest.p)
        return err;
    if (attest.n != 1 || attest.p[0] < 'A' || attest.p[0] > 'C')
        return refuse(r, "RFC 8588 4", "\"attest\" is not A, B or C");
    r->p->attest = attest.p[0];
    return 0;
}

static int read_div(struct reader *r, const struct sjson_node *claims)
{
    const struct sjson_node *div = sjson_find(claims, STR("div"));
    int err;

    if (!div)
        return 0;
    if ((err = read_single(r, div, &r->p->div)) != 0)
        return err;
    return read_text(r, div, STR("hi"), &r->p->div_hi);
}

static int read_claims(struct reader *r, const struct sjson_node *claims)
{
    struct passport *p = r->p;
    const char *missing;
    int err;

    if (claims->type != SJSON_OBJECT)
        return refuse(r, "RFC 8225 5", "the payload is no JSON object");
    p->claims = claims;
    if ((err = read_single(r, sjson_find(claims, STR("orig")), &p->orig)) != 0 ||
        (err = read_dest(r, claims)) != 0 || (err = read_iat(r, claims)) != 0 ||
        (err = read_mky(r, claims)) != 0 || (err = read_attest(r, claims)) != 0 ||
        (err = read_text(r, claims, STR("origid"), &p->origid)) != 0 ||
        (err = read_div(r, claims)) != 0 ||
        (err = read_text(r, claims, STR("opt"), &p->opt)) != 0 ||
        (err = read_text(r, claims, STR("msgi"), &p->msgi)) != 0)
        return err;
    if ((missing = passport_missing(p)) != NULL)
        return refuse(r, "RFC 8225 8.1", missing);
    if (p->type == PASSPORT_DIV && p->opt.p)
        return refuse(r, "RFC 8946 3", "a \"div\" token with \"opt\"");
    if (p->opt.p && passport_is_compact(p->opt))
        return refuse(r, "RFC 8946 6", "\"opt\" in compact form");
    return 0;
}

/* --- header --- */

static int read_header(struct reader *r, const struct sjson_node *header)
{
    const struct sjson_node *typ = sjson_find_type(header, STR("typ"), SJSON_STRING),
                            *alg = sjson_find_type(header, STR("alg"), SJSON_STRING),
                            *x5u = sjson_find_type(header, STR("x5u"), SJSON_STRING),
                            *ppt = sjson_find(header, STR("ppt"));

    if (header->type != SJSON_OBJECT || !typ || !str_eq(typ->text, STR("passport")))
        return refuse(r, "RFC 8225 4.1", "\"typ\" is not \"passport\"");
    if (!alg)
        return refuse(r, "RFC 8225 4.2", "no \"alg\"");
    /* What these say, nobody here understands, so the token must not count (RFC 7515 4.1.11). The
     * certificate is found by x5u alone (8225 4.3): a key in the token itself is never used. */
    if (sjson_find(header, STR("crit")) || sjson_find(header, STR("b64"))) {
        reason_set(r->why, "passport-crit", "RFC 7515 4.1.11", 438,
                   "critical header parameters are not understood");
        return ERR_REFUSED;
    }
    if (ppt && (ppt->type != SJSON_STRING || ppt->text.n == 0 || ppt->text.n > 64))
        return refuse(r, "RFC 8225 8.1", "\"ppt\" is no short text");
    if (!x5u || x5u->text.n == 0)
        return refuse(r, "RFC 8225 4.3", "no \"x5u\"");
    if (x5u->text.n > LIMIT_IDENTITY_URL_BYTES)
        return refuse_limit(r, "x5u");
    r->p->x5u = x5u->text;
    r->p->ppt = ppt ? ppt->text : STR("");
    r->p->type = ppt ? passport_type_parse(ppt->text) : PASSPORT_BASE;
    return jws_alg_parse(alg->text, &r->p->alg, r->why);
}

/* --- the token --- */

static int decode_json(struct reader *r, struct str part, struct sjson_node **ret)
{
    size_t cap = part.n / 4 * 3 + 3, n = 0;
    char *text;

    if (part.n == 0 || part.n % 4 == 1)
        return refuse(r, "RFC 7515 3.1", "a part that is no base64url");
    if (part.n / 4 * 3 > LIMIT_JSON_BYTES)
        return refuse_limit(r, "token");
    text = arena_alloc(r->arena, cap);
    if (!text)
        return refuse_memory(r);
    if (str_base64_decode(text, cap, part, true, &n) != 0)
        return refuse(r, "RFC 7515 3.1", "a part that is no base64url");
    return sjson_parse(r->arena, str_make(text, n), ret, r->why);
}

int passport_parse_input(struct arena *a, struct str input, struct passport *ret,
                         struct reason *why)
{
    struct reader r = {.arena = a, .p = ret, .why = why};
    struct sjson_node *header, *claims;
    struct str head, payload = str_cut(input, '.', &head);
    int err;

    *ret = (struct passport){.type = PASSPORT_BASE};
    if (!payload.p || str_find_char(payload, '.') < payload.n)
        return refuse(&r, "RFC 7515 3.1", "not of the form HEADER.PAYLOAD");
    if ((err = decode_json(&r, head, &header)) != 0 || (err = read_header(&r, header)) != 0 ||
        (err = decode_json(&r, payload, &claims)) != 0 || (err = read_claims(&r, claims)) != 0)
        return err;
    ret->input = input;
    return 0;
}

int passport_parse(struct arena *a, struct str token, struct passport *ret, struct reason *why)
{
    size_t end = token.n;
    int err;

    *ret = (struct passport){.type = PASSPORT_BASE};
    while (end > 0 && token.p[end - 1] != '.')
        end--;
    if (end < 2 || end == token.n) {
        reason_set(why, "passport-syntax", "RFC 7515 3.1", 438,
                   "not of the form HEADER.PAYLOAD.SIGNATURE");
        return ERR_SYNTAX;
    }
    err = passport_parse_input(a, str_make(token.p, end - 1), ret, why);
    ret->signature = str_make(token.p + end, token.n - end);
    return err;
}
