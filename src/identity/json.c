/* The bounded JSON reader: RFC 8259 2 to 7, RFC 8225 9. Pure; any thread; everything in the
 * caller's arena. */
#include "identity/json.h"
#include "base/limits.h"

#define NUMBER_MAX 40u /* characters of a number: no claim needs more */

struct reader {
    struct arena *arena;
    struct str text;
    size_t at;
    struct sjson_node *nodes;
    size_t n, max;
    uint16_t open[LIMIT_JSON_DEPTH]; /* the containers around the place we are at */
    size_t depth;
    struct reason *why;
};

static int refuse(struct reader *r, const char *what)
{
    reason_set(r->why, "json-syntax", "RFC 8259 2", 438, "%s at byte %zu", what, r->at);
    if (r->why)
        r->why->offset = (uint32_t)r->at;
    return ERR_SYNTAX;
}

static int refuse_limit(struct reader *r, const char *what)
{
    reason_set(r->why, "json-limit", "RFC 8259 9", 438, "more than the allowed %s", what);
    return ERR_LIMIT;
}

static int refuse_memory(struct reader *r)
{
    reason_set(r->why, "no-memory", NULL, 500, NULL);
    return ERR_NOMEM;
}

static void skip_space(struct reader *r)
{
    while (r->at < r->text.n && (r->text.p[r->at] == ' ' || r->text.p[r->at] == '\t' ||
                                 r->text.p[r->at] == '\n' || r->text.p[r->at] == '\r'))
        r->at++;
}

static bool take(struct reader *r, char c)
{
    if (r->at >= r->text.n || r->text.p[r->at] != c)
        return false;
    r->at++;
    return true;
}

/* --- strings (RFC 8259 7) --- */

static bool hex4(struct str s, size_t at, uint32_t *ret)
{
    uint8_t b[2];

    if (s.n - at < 4 || str_unhex(b, 2, str_make(s.p + at, 4)) != 0)
        return false;
    *ret = (uint32_t)b[0] << 8 | b[1];
    return true;
}

static size_t utf8_put(char *p, uint32_t c)
{
    if (c < 0x80) {
        p[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        p[0] = (char)(0xc0 | c >> 6);
        p[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        p[0] = (char)(0xe0 | c >> 12);
        p[1] = (char)(0x80 | (c >> 6 & 0x3f));
        p[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    p[0] = (char)(0xf0 | c >> 18);
    p[1] = (char)(0x80 | (c >> 12 & 0x3f));
    p[2] = (char)(0x80 | (c >> 6 & 0x3f));
    p[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* \uXXXX at raw.p[*at] ('u'); NUL and lone surrogates have no place in a name or an identity. */
static bool unicode_escape(struct str raw, size_t *at, char *p, size_t *n)
{
    uint32_t c, low;

    if (!hex4(raw, *at + 1, &c) || c == 0)
        return false;
    *at += 5;
    if (c >= 0xd800 && c <= 0xdfff) {
        if (c > 0xdbff || raw.n - *at < 6 || raw.p[*at] != '\\' || raw.p[*at + 1] != 'u' ||
            !hex4(raw, *at + 2, &low) || low < 0xdc00 || low > 0xdfff)
            return false;
        *at += 6;
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    *n += utf8_put(p + *n, c);
    return true;
}

static int unescape(struct reader *r, struct str raw, struct str *ret)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    char *p = arena_alloc(r->arena, raw.n + 1); /* no escape is shorter than what it stands for */
    size_t n = 0;

    if (!p)
        return refuse_memory(r);
    for (size_t i = 0; i < raw.n;) {
        const char *name;

        if (raw.p[i] != '\\') {
            p[n++] = raw.p[i++];
            continue;
        }
        i++; /* there is one more: the string's end was found behind it */
        if (raw.p[i] == 'u') {
            if (!unicode_escape(raw, &i, p, &n))
                return refuse(r, "a broken \\u escape");
        } else if ((name = memchr(names, raw.p[i], sizeof(names) - 1)) != NULL) {
            p[n++] = values[name - names];
            i++;
        } else {
            return refuse(r, "an unknown escape");
        }
    }
    p[n] = '\0';
    *ret = str_make(p, n);
    return 0;
}

static int read_string(struct reader *r, struct str *ret)
{
    size_t start;
    bool escaped = false;
    struct str raw;

    if (!take(r, '"'))
        return refuse(r, "no string");
    start = r->at;
    for (;; r->at++) {
        if (r->at >= r->text.n || (unsigned char)r->text.p[r->at] < 0x20)
            return refuse(r, "a string that does not end");
        if (r->text.p[r->at] == '"')
            break;
        if (r->text.p[r->at] == '\\') {
            escaped = true;
            r->at++;
            if (r->at >= r->text.n || (unsigned char)r->text.p[r->at] < 0x20)
                return refuse(r, "a string that does not end");
        }
    }
    raw = str_make(r->text.p + start, r->at - start);
    r->at++;
    if (!str_is_utf8(raw))
        return refuse(r, "a string that is not UTF-8");
    if (escaped)
        return unescape(r, raw, ret);
    *ret = raw;
    return 0;
}

/* --- other scalars --- */

static bool skip_digits(struct reader *r)
{
    size_t start = r->at;

    while (r->at < r->text.n && r->text.p[r->at] >= '0' && r->text.p[r->at] <= '9')
        r->at++;
    return r->at > start;
}

static int read_number(struct reader *r, struct str *ret) /* RFC 8259 6 */
{
    size_t start = r->at;
    bool good;

    (void)take(r, '-');
    good = take(r, '0') || skip_digits(r);
    if (good && take(r, '.'))
        good = skip_digits(r);
    if (good && (take(r, 'e') || take(r, 'E'))) {
        if (!take(r, '+'))
            (void)take(r, '-');
        good = skip_digits(r);
    }
    if (!good || r->at - start > NUMBER_MAX)
        return refuse(r, "a number that is none");
    *ret = str_make(r->text.p + start, r->at - start);
    return 0;
}

static bool take_word(struct reader *r, struct str word)
{
    if (r->text.n - r->at < word.n || memcmp(r->text.p + r->at, word.p, word.n) != 0)
        return false;
    r->at += word.n;
    return true;
}

static int read_scalar(struct reader *r, struct sjson_node *node)
{
    static const struct {
        struct str word;
        enum sjson_type type;
    } words[] = {{{"null", 4}, SJSON_NULL}, {{"false", 5}, SJSON_FALSE}, {{"true", 4}, SJSON_TRUE}};

    if (r->at < r->text.n && r->text.p[r->at] == '"') {
        node->type = SJSON_STRING;
        return read_string(r, &node->text);
    }
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (take_word(r, words[i].word)) {
            node->type = (uint16_t)words[i].type;
            node->text = words[i].word;
            return 0;
        }
    }
    node->type = SJSON_NUMBER;
    return read_number(r, &node->text);
}

/* --- structure --- */

static struct sjson_node *container(struct reader *r)
{
    return r->depth ? &r->nodes[r->open[r->depth - 1]] : NULL;
}

static int check_name(struct reader *r, const struct sjson_node *object, struct str key)
{
    const struct sjson_node *it = sjson_first(object);

    if (object->n >= LIMIT_JSON_MEMBERS)
        return refuse_limit(r, "members of an object");
    for (size_t i = 0; i < object->n; i++, it = sjson_next(it)) {
        if (str_eq(it->key, key))
            return refuse(r, "a name that is there twice"); /* RFC 8225 9, RFC 7515 4 */
    }
    return 0;
}

/* A node for the value that comes next, with its name. */
static int value_begin(struct reader *r, struct sjson_node **ret)
{
    struct sjson_node *in = container(r), *node;
    struct str key = STR_NULL;
    int err;

    skip_space(r);
    if (in && in->type == SJSON_OBJECT) {
        if ((err = read_string(r, &key)) != 0 || (err = check_name(r, in, key)) != 0)
            return err;
        if (!key.p)
            key.p = "";
        skip_space(r);
        if (!take(r, ':'))
            return refuse(r, "no colon");
        skip_space(r);
    }
    if (r->n >= r->max)
        return refuse_limit(r, "values");
    if (in)
        in->n++;
    node = &r->nodes[r->n++];
    *node = (struct sjson_node){.key = key, .size = 1};
    *ret = node;
    return 0;
}

static int open_container(struct reader *r, struct sjson_node *node, char c)
{
    if (r->depth >= LIMIT_JSON_DEPTH)
        return refuse_limit(r, "nesting");
    node->type = c == '{' ? SJSON_OBJECT : SJSON_ARRAY;
    node->text = str_make(r->text.p + r->at, 1);
    r->open[r->depth++] = (uint16_t)(node - r->nodes);
    r->at++;
    return 0;
}

/* Closes what ends here. ERR_AGAIN: another value follows. */
static int values_end(struct reader *r)
{
    for (;;) {
        struct sjson_node *in = container(r);

        skip_space(r);
        if (!in)
            return r->at == r->text.n ? 0 : refuse(r, "something behind the value");
        if (take(r, in->type == SJSON_OBJECT ? '}' : ']')) {
            in->size = (uint16_t)(&r->nodes[r->n] - in);
            in->text.n = (size_t)(r->text.p + r->at - in->text.p);
            r->depth--;
            continue;
        }
        /* A comma stands between values only: not first, not last. */
        if (in->n == 0)
            return ERR_AGAIN;
        return take(r, ',') ? ERR_AGAIN : refuse(r, "neither comma nor end");
    }
}

static int read_all(struct reader *r)
{
    int err;

    do {
        struct sjson_node *node;
        char c;

        if ((err = value_begin(r, &node)) != 0)
            return err;
        c = r->at < r->text.n ? r->text.p[r->at] : '\0';
        err = c == '{' || c == '[' ? open_container(r, node, c) : read_scalar(r, node);
        if (err != 0)
            return err;
        err = values_end(r);
    } while (err == ERR_AGAIN);
    return err;
}

int sjson_parse(struct arena *a, struct str text, struct sjson_node **ret, struct reason *why)
{
    struct reader r = {.arena = a, .text = text, .max = 1, .why = why};
    int err;

    *ret = NULL;
    if (text.n > LIMIT_JSON_BYTES)
        return refuse_limit(&r, "bytes of JSON");
    /* Each value but the first stands behind one of these. */
    for (size_t i = 0; i < text.n && r.max < LIMIT_JSON_NODES; i++)
        r.max += text.p[i] == ',' || text.p[i] == '[' || text.p[i] == '{';
    r.nodes = arena_alloc(a, r.max * sizeof(*r.nodes));
    if (!r.nodes)
        return refuse_memory(&r);
    if ((err = read_all(&r)) != 0)
        return err;
    *ret = r.nodes;
    return 0;
}

const struct sjson_node *sjson_find(const struct sjson_node *node, struct str key)
{
    const struct sjson_node *it;

    if (!node || node->type != SJSON_OBJECT)
        return NULL;
    it = sjson_first(node);
    for (size_t i = 0; i < node->n; i++, it = sjson_next(it)) {
        if (str_eq(it->key, key))
            return it;
    }
    return NULL;
}

const struct sjson_node *sjson_find_type(const struct sjson_node *node, struct str key,
                                         enum sjson_type type)
{
    const struct sjson_node *it = sjson_find(node, key);

    return it && it->type == type ? it : NULL;
}

int sjson_u64(const struct sjson_node *node, uint64_t max, uint64_t *ret)
{
    return node->type == SJSON_NUMBER ? str_to_u64(node->text, max, ret) : ERR_SYNTAX;
}

/* --- the deterministic form --- */

/* The member whose name comes next after `last` (NULL: the first). Names are unique. UTF-8 sorts by
 * bytes as Unicode does by code points (RFC 8225 9 item 2). */
static const struct sjson_node *member_after(const struct sjson_node *object,
                                             const struct sjson_node *last)
{
    const struct sjson_node *it = sjson_first(object), *best = NULL;

    for (size_t i = 0; i < object->n; i++, it = sjson_next(it)) {
        if (last && str_cmp(it->key, last->key) <= 0)
            continue;
        if (!best || str_cmp(it->key, best->key) < 0)
            best = it;
    }
    return best;
}

struct frame {
    const struct sjson_node *in, *last;
    size_t done;
};

static const struct sjson_node *frame_next(struct frame *f)
{
    if (f->done == f->in->n)
        return NULL;
    f->done++;
    if (f->in->type == SJSON_OBJECT)
        f->last = member_after(f->in, f->last);
    else
        f->last = f->last ? sjson_next(f->last) : sjson_first(f->in);
    return f->last;
}

void sjson_build(struct sbuf *b, const struct sjson_node *node)
{
    struct frame stack[LIMIT_JSON_DEPTH];
    size_t depth = 0;

    for (;;) {
        if (node->type == SJSON_OBJECT || node->type == SJSON_ARRAY) {
            sbuf_char(b, node->type == SJSON_OBJECT ? '{' : '[');
            stack[depth++] = (struct frame){.in = node}; /* depth is that of what was parsed */
        } else if (node->type == SJSON_STRING) {
            sbuf_json(b, node->text);
        } else {
            sbuf_str(b, node->text);
        }
        for (;;) {
            struct frame *f;

            if (depth == 0)
                return;
            f = &stack[depth - 1];
            node = frame_next(f);
            if (node) {
                if (f->done > 1)
                    sbuf_char(b, ',');
                if (f->in->type == SJSON_OBJECT) {
                    sbuf_json(b, node->key);
                    sbuf_char(b, ':');
                }
                break;
            }
            sbuf_char(b, f->in->type == SJSON_OBJECT ? '}' : ']');
            depth--;
        }
    }
}
