/* Building PASSporTs in their one form, and what building and parsing share: RFC 8225 4 to 9, RFC
 * 8588, RFC 8946, RFC 9475. Pure; any thread; everything in the caller's arena. */
#include "identity/passport.h"
#include "base/fault.h"
#include "base/limits.h"
#include "base/secret.h"
#include "identity/identity_priv.h"
#include "identity/passport_priv.h"
#include <openssl/evp.h>

static const struct {
    struct str name;
    bool compact;
} types[PASSPORT_TYPE_N] = {
    [PASSPORT_BASE] = {{"", 0}, true},     [PASSPORT_SHAKEN] = {{"shaken", 6}, false},
    [PASSPORT_DIV] = {{"div", 3}, false},  [PASSPORT_DIV_O] = {{"div-o", 5}, false},
    [PASSPORT_RPH] = {{"rph", 3}, false},  [PASSPORT_MSEC] = {{"msec", 4}, true},
    [PASSPORT_MSG] = {{"msg", 3}, false},  [PASSPORT_RSP] = {{"rsp", 3}, false},
    [PASSPORT_UNKNOWN] = {{"", 0}, false},
};

struct str passport_type_text(enum passport_type t)
{
    return types[t].name;
}

enum passport_type passport_type_parse(struct str ppt)
{
    for (size_t i = 0; i < PASSPORT_UNKNOWN; i++) {
        if (str_eq(ppt, types[i].name))
            return (enum passport_type)i;
    }
    return PASSPORT_UNKNOWN;
}

bool passport_type_may_be_compact(enum passport_type t)
{
    return types[t].compact;
}

bool passport_id_eq(struct passport_id a, struct passport_id b)
{
    return a.text.p && b.text.p && a.is_tn == b.is_tn && str_eq(a.text, b.text);
}

bool passport_id_in(struct passport_id id, const struct passport_id *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (passport_id_eq(id, list[i]))
            return true;
    }
    return false;
}

bool passport_keys_eq(const struct passport_key *a, size_t na, const struct passport_key *b,
                      size_t nb)
{
    if (na != nb)
        return false;
    for (size_t i = 0; i < na; i++) {
        if (!str_eq(a[i].alg, b[i].alg) || !str_eq(a[i].dig, b[i].dig))
            return false;
    }
    return true;
}

bool passport_is_compact(struct str token)
{
    return token.n > 2 && token.p[0] == '.' && token.p[1] == '.';
}

/* --- order: lists are short, and mostly have one element --- */

/* RFC 8225 5.2.1: numbers before URIs, each in lexicographical order. */
static int id_cmp(const struct passport_id *a, const struct passport_id *b)
{
    if (a->is_tn != b->is_tn)
        return a->is_tn ? -1 : 1;
    return str_cmp(a->text, b->text);
}

size_t passport_ids_sort(struct passport_id *v, size_t n)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++) {
        struct passport_id id = v[i];
        size_t at = kept;
        int order = -1;

        while (at > 0 && (order = id_cmp(&id, &v[at - 1])) < 0)
            at--;
        if (at > 0 && order == 0)
            continue;
        memmove(&v[at + 1], &v[at], (kept - at) * sizeof(*v));
        v[at] = id;
        kept++;
    }
    return kept;
}

/* RFC 8225 5.2.2 step 2: by the concatenation of alg and dig. */
static int key_cmp(const struct passport_key *a, const struct passport_key *b)
{
    for (size_t i = 0;; i++) {
        size_t na = a->alg.n + a->dig.n, nb = b->alg.n + b->dig.n;
        unsigned char x, y;

        if (i >= na || i >= nb)
            return na == nb ? str_cmp(a->alg, b->alg) : na < nb ? -1 : 1;
        x = (unsigned char)(i < a->alg.n ? a->alg.p[i] : a->dig.p[i - a->alg.n]);
        y = (unsigned char)(i < b->alg.n ? b->alg.p[i] : b->dig.p[i - b->alg.n]);
        if (x != y)
            return x < y ? -1 : 1;
    }
}

size_t passport_keys_sort(struct passport_key *v, size_t n)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++) {
        struct passport_key key = v[i];
        size_t at = kept;
        int order = -1;

        while (at > 0 && (order = key_cmp(&key, &v[at - 1])) < 0)
            at--;
        if (at > 0 && order == 0)
            continue;
        memmove(&v[at + 1], &v[at], (kept - at) * sizeof(*v));
        v[at] = key;
        kept++;
    }
    return kept;
}

/* --- what a type requires --- */

bool passport_tn_is_valid(struct str s) /* RFC 8224 8.3 tn-spec */
{
    if (s.n == 0 || s.n > LIMIT_IDENTITY_NUMBER)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if ((s.p[i] < '0' || s.p[i] > '9') && s.p[i] != '#' && s.p[i] != '*')
            return false;
    }
    return true;
}

bool passport_id_is_valid(struct passport_id id)
{
    if (id.is_tn)
        return passport_tn_is_valid(id.text);
    if (id.text.n == 0 || id.text.n > LIMIT_URI_BYTES)
        return false;
    for (size_t i = 0; i < id.text.n; i++) {
        unsigned char c = (unsigned char)id.text.p[i];

        if (c <= ' ' || c == 0x7f || c == '"' || c == '<' || c == '>' || c == '\\')
            return false; /* none of them is part of a URI (RFC 3986 2) */
    }
    return str_is_utf8(id.text);
}

/* Are the claims there without which the type means nothing? */
const char *passport_missing(const struct passport *p)
{
    bool diverts = p->type == PASSPORT_DIV || p->type == PASSPORT_DIV_O;

    if (!p->orig.text.p)
        return "orig";
    if (p->n_dest == 0)
        return "dest";
    if (p->x5u.n == 0)
        return "x5u";
    if (p->type == PASSPORT_SHAKEN && p->attest == 0)
        return "attest";
    if (p->type == PASSPORT_SHAKEN && p->origid.n == 0)
        return "origid";
    if (diverts && !p->div.text.p)
        return "div";
    if (p->type == PASSPORT_DIV_O && p->opt.n == 0)
        return "opt";
    if (p->type == PASSPORT_MSG && p->msgi.n == 0)
        return "msgi";
    return NULL;
}

/* --- building --- */

static void build_id_member(struct sbuf *b, struct passport_id id)
{
    sbuf_str(b, id.is_tn ? STR("\"tn\":") : STR("\"uri\":"));
    sbuf_json(b, id.text);
}

static void build_dest(struct sbuf *b, const struct passport *p)
{
    sbuf_lit(b, "\"dest\":{");
    for (size_t i = 0; i < p->n_dest; i++) {
        bool first = i == 0 || p->dest[i - 1].is_tn != p->dest[i].is_tn;

        if (first && i)
            sbuf_lit(b, "],");
        if (first)
            sbuf_str(b, p->dest[i].is_tn ? STR("\"tn\":[") : STR("\"uri\":["));
        else
            sbuf_char(b, ',');
        sbuf_json(b, p->dest[i].text);
    }
    sbuf_lit(b, "]}");
}

static void build_mky(struct sbuf *b, const struct passport *p)
{
    sbuf_lit(b, ",\"mky\":[");
    for (size_t i = 0; i < p->n_mky; i++) {
        sbuf_str(b, i ? STR(",{\"alg\":") : STR("{\"alg\":"));
        sbuf_json(b, p->mky[i].alg);
        sbuf_lit(b, ",\"dig\":");
        sbuf_json(b, p->mky[i].dig);
        sbuf_char(b, '}');
    }
    sbuf_char(b, ']');
}

static void build_text(struct sbuf *b, struct str name_with_comma, struct str value)
{
    if (value.n == 0)
        return;
    sbuf_str(b, name_with_comma);
    sbuf_json(b, value);
}

/* Members in the order of their names (8225 9 item 2). */
static void build_payload(struct sbuf *b, const struct passport *p)
{
    bool diverts = p->type == PASSPORT_DIV || p->type == PASSPORT_DIV_O;
    bool shaken = p->type == PASSPORT_SHAKEN;

    sbuf_char(b, '{');
    if (shaken)
        sbuf_fmt(b, "\"attest\":\"%c\",", p->attest);
    build_dest(b, p);
    if (diverts) {
        sbuf_lit(b, ",\"div\":{");
        if (p->div_hi.n) {
            sbuf_lit(b, "\"hi\":");
            sbuf_json(b, p->div_hi);
            sbuf_char(b, ',');
        }
        build_id_member(b, p->div);
        sbuf_char(b, '}');
    }
    sbuf_lit(b, ",\"iat\":");
    sbuf_u64(b, p->iat);
    if (p->n_mky && !diverts) /* 8946 3: nothing else is copied into a div */
        build_mky(b, p);
    if (p->type == PASSPORT_MSG)
        build_text(b, STR(",\"msgi\":"), p->msgi);
    if (p->type == PASSPORT_DIV_O)
        build_text(b, STR(",\"opt\":"), p->opt);
    sbuf_lit(b, ",\"orig\":{");
    build_id_member(b, p->orig);
    sbuf_char(b, '}');
    if (shaken)
        build_text(b, STR(",\"origid\":"), p->origid);
    sbuf_char(b, '}');
}

static void build_header(struct sbuf *b, const struct passport *p)
{
    sbuf_lit(b, "{\"alg\":");
    sbuf_json(b, jws_alg_text(p->alg));
    build_text(b, STR(",\"ppt\":"), p->ppt);
    sbuf_lit(b, ",\"typ\":\"passport\",\"x5u\":");
    sbuf_json(b, p->x5u);
    sbuf_char(b, '}');
}

static int refuse_build(struct reason *why, const char *what)
{
    reason_set(why, "passport-unbuildable", "RFC 8225 5", 500, "%s", what);
    return ERR_INVALID;
}

static int check_buildable(const struct passport *p, struct reason *why)
{
    const char *missing = passport_missing(p);

    if (missing)
        return refuse_build(why, missing);
    if (p->type == PASSPORT_RPH || p->type >= PASSPORT_UNKNOWN)
        return refuse_build(why, "tokens of this type are not made here");
    if (p->n_dest > LIMIT_IDENTITY_DESTS || p->n_mky > LIMIT_IDENTITY_KEYS)
        return refuse_build(why, "too many destinations or keys");
    if (!passport_id_is_valid(p->orig) || (p->div.text.p && !passport_id_is_valid(p->div)))
        return refuse_build(why, "orig or div is not canonical");
    for (size_t i = 0; i < p->n_dest; i++) {
        if (!passport_id_is_valid(p->dest[i]))
            return refuse_build(why, "dest is not canonical");
    }
    if (p->attest && (p->attest < 'A' || p->attest > 'C'))
        return refuse_build(why, "attest is A, B or C"); /* RFC 8588 4 */
    if (p->x5u.n > LIMIT_IDENTITY_URL_BYTES ||
        !passport_id_is_valid((struct passport_id){false, p->x5u}))
        return refuse_build(why, "the address of the certificate is none, or too long");
    return 0;
}

static int sort_lists(struct arena *a, struct passport *p)
{
    struct passport_id *dest = arena_alloc(a, p->n_dest * sizeof(*dest));
    struct passport_key *mky = arena_alloc(a, (p->n_mky + 1) * sizeof(*mky));

    if (!dest || !mky)
        return ERR_NOMEM;
    memcpy(dest, p->dest, p->n_dest * sizeof(*dest));
    p->dest = dest;
    p->n_dest = passport_ids_sort(dest, p->n_dest);
    if (p->n_mky)
        memcpy(mky, p->mky, p->n_mky * sizeof(*mky));
    p->mky = mky;
    p->n_mky = passport_keys_sort(mky, p->n_mky);
    return 0;
}

/* An upper bound for the JSON texts: a character may become \uXXXX. */
static size_t json_room(const struct passport *p)
{
    size_t n = p->orig.text.n + p->div.text.n + p->div_hi.n + p->origid.n + p->msgi.n + p->x5u.n +
               p->ppt.n;

    for (size_t i = 0; i < p->n_dest; i++)
        n += p->dest[i].text.n + 4;
    for (size_t i = 0; i < p->n_mky; i++)
        n += p->mky[i].alg.n + p->mky[i].dig.n + 8;
    return 6 * n + p->opt.n + 512;
}

int passport_build(struct arena *a, struct passport *p, struct reason *why)
{
    struct sbuf header, payload;
    size_t room, n_text;
    char *text;
    int err;

    p->input = STR_NULL;
    p->ppt = types[p->type].name;
    if ((err = check_buildable(p, why)) != 0)
        return err;
    if (sort_lists(a, p) != 0)
        goto no_memory;
    room = json_room(p);
    text = arena_alloc(a, 2 * room);
    if (!text)
        goto no_memory;
    header = sbuf_make(text, room);
    payload = sbuf_make(text + room, room);
    build_header(&header, p);
    build_payload(&payload, p);
    if (header.overflow || payload.overflow || payload.n > LIMIT_JSON_BYTES)
        return refuse_build(why, "the token is too long");
    n_text = (header.n + 2) / 3 * 4 + (payload.n + 2) / 3 * 4 + 2;
    text = arena_alloc(a, n_text);
    if (!text)
        goto no_memory;
    if ((err = str_base64_encode(text, n_text, header.p, header.n, true)) != 0)
        return err;
    room = strlen(text);
    text[room++] = '.';
    if ((err = str_base64_encode(text + room, n_text - room, payload.p, payload.n, true)) != 0)
        return err;
    p->input = str_make(text, room + strlen(text + room));
    return 0;
no_memory:
    reason_set(why, "no-memory", NULL, 500, NULL);
    return ERR_NOMEM;
}

int passport_check_deterministic(struct arena *a, const struct passport *p, struct reason *why)
{
    struct passport again = *p;
    int err = passport_build(a, &again, why);

    if (err == ERR_NOMEM)
        return err;
    if (err == 0 && str_eq(again.input, p->input))
        return 0;
    reason_set(why, "passport-not-deterministic", "RFC 8225 9", 500,
               "the token holds more, or is written otherwise, than its claims say");
    return ERR_REFUSED;
}

/* --- msgi (RFC 9475) --- */

static int body_digest(const char *name, struct str body, uint8_t ret[EVP_MAX_MD_SIZE])
{
    if (fault_hit())
        return ERR_NOMEM;
    return EVP_Q_digest(NULL, name, NULL, body.p ? body.p : "", body.n, ret, NULL) == 1
               ? 0
               : ERR_CRYPTO;
}

int passport_msgi_make(struct str body, char ret[PASSPORT_MSGI_MAX])
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    int err = body_digest("SHA2-256", body, digest);

    if (err != 0)
        return err;
    memcpy(ret, "sha256-", 7);
    return str_base64_encode(ret + 7, PASSPORT_MSGI_MAX - 7, digest, 32, false);
}

int passport_msgi_check(struct str msgi, struct str body)
{
    static const struct {
        struct str prefix;
        const char *name;
        size_t n;
    } hashes[] = {{{"sha256-", 7}, "SHA2-256", 32},
                  {{"sha384-", 7}, "SHA2-384", 48},
                  {{"sha512-", 7}, "SHA2-512", 64}};
    uint8_t digest[EVP_MAX_MD_SIZE], given[EVP_MAX_MD_SIZE];

    for (size_t i = 0; i < ARRAY_LEN(hashes); i++) {
        struct str value = str_make(msgi.p + 7, msgi.n - 7);
        size_t n = 0;
        int err;

        if (msgi.n <= 7 || !str_starts_nocase(msgi, hashes[i].prefix))
            continue;
        if (str_base64_decode(given, sizeof(given), value, false, &n) != 0 || n != hashes[i].n)
            return ERR_UNSUPPORTED;
        if ((err = body_digest(hashes[i].name, body, digest)) != 0)
            return err;
        return secret_bytes_eq(digest, given, n) ? 0 : ERR_REFUSED;
    }
    return ERR_UNSUPPORTED;
}
