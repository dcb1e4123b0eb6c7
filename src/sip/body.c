/* Bodies of several parts: RFC 5621, RFC 2046 5.1, RFC 3261 7.4. Parts are found in document order
 * with a stack of open multiparts, no recursion; their number and depth are limited. Pure; any
 * thread. */
#include "base/err.h"
#include "base/limits.h"
#include "sip/fields.h"

#define BOUNDARY_MAX 70u /* RFC 2046 5.1.1 */

struct level {
    struct str rest; /* what is still to be read, from behind a delimiter line on */
    char delimiter[2 + 2 + BOUNDARY_MAX]; /* CRLF "--" boundary */
    size_t n;
    /* Of the parts in it. The stack may be lower: a closed level leaves it before its last part is
     * opened. */
    unsigned depth;
};

struct walk {
    struct level level[LIMIT_MULTIPART_DEPTH];
    unsigned depth; /* levels open */
    struct reason *why;
};

static int malformed(struct walk *w, const char *text)
{
    reason_set(w->why, "body-multipart", "RFC 2046 5.1", 400, "%s", text);
    return ERR_SYNTAX;
}

static int too_much(struct walk *w, const char *text)
{
    reason_set(w->why, "body-limit", "RFC 5621 3", 413, "%s", text);
    return ERR_LIMIT;
}

static bool is_multipart(struct str content_type)
{
    return str_starts_nocase(content_type, STR("multipart/"));
}

/* "type/subtype;a=b": the parameters. */
static struct str params_of(struct str value)
{
    size_t i = str_find_char(value, ';');
    return i < value.n ? (struct str){value.p + i, value.n - i} : STR_NULL;
}

/* Is what stands at p, behind a delimiter, the end of its line? "--" in front of it closes the
 * multipart. */
static const char *delimiter_line_end(const char *p, const char *end, bool *ret_closes)
{
    *ret_closes = end - p >= 2 && p[0] == '-' && p[1] == '-';
    if (*ret_closes)
        p += 2;
    while (p < end && (*p == ' ' || *p == '\t'))
        p++; /* transport padding */
    if (end - p >= 2 && p[0] == '\r' && p[1] == '\n')
        return p + 2;
    return *ret_closes && p == end ? p : NULL;
}

/* Cuts what stands before the next delimiter line off the level. ERR_NOTFOUND: there is none. */
static int level_cut(struct level *l, struct str *ret_before, bool *ret_closes)
{
    const char *from = l->rest.p, *end = l->rest.p + l->rest.n, *at = from;
    while ((at = memmem(at, (size_t)(end - at), l->delimiter, l->n)) != NULL) {
        const char *behind = delimiter_line_end(at + l->n, end, ret_closes);
        if (behind != NULL) {
            *ret_before = (struct str){from, (size_t)(at - from)};
            l->rest = (struct str){behind, (size_t)(end - behind)};
            return 0;
        }
        at += l->n; /* a longer boundary that begins like ours (RFC 2046 5.1.2) */
    }
    return ERR_NOTFOUND;
}

/* Opens a multipart: the boundary from its type, then behind its first delimiter line, which may
 * begin the body. */
static int level_open(struct walk *w, struct str content_type, struct str body, unsigned depth)
{
    struct str boundary, preamble;
    bool closes;
    if (depth > LIMIT_MULTIPART_DEPTH)
        return too_much(w, "multipart bodies are nested too deep");
    if (!sip_param_find(params_of(content_type), STR("boundary"), &boundary) || boundary.n == 0 ||
        boundary.n > BOUNDARY_MAX ||
        lex_find_control(boundary.p, boundary.p + boundary.n) != boundary.p + boundary.n)
        return malformed(w, "multipart without a usable boundary");
    struct level *l = &w->level[w->depth];
    memcpy(l->delimiter, "\r\n--", 4);
    memcpy(l->delimiter + 4, boundary.p, boundary.n);
    l->n = 4 + boundary.n;
    l->rest = body;
    l->depth = depth;
    if (body.n >= l->n - 2 && memcmp(body.p, l->delimiter + 2, l->n - 2) == 0) {
        const char *end = body.p + body.n;
        const char *behind = delimiter_line_end(body.p + l->n - 2, end, &closes);
        if (behind != NULL && !closes) {
            l->rest = (struct str){behind, (size_t)(end - behind)};
            w->depth++;
            return 0;
        }
    }
    if (level_cut(l, &preamble, &closes) != 0 || closes)
        return malformed(w, "multipart without parts");
    w->depth++;
    return 0;
}

/* One header of a part, folds and all; *rest stands behind it. False at the end. */
static bool part_header(struct str *rest, struct str *ret_name, struct str *ret_value)
{
    const char *p = rest->p, *end = rest->p + rest->n, *stop;
    if (p == end)
        return false;
    for (;;) {
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        stop = lf ? lf + 1 : end;
        if (stop == end || (*stop != ' ' && *stop != '\t'))
            break; /* no fold */
        p = stop;
    }
    struct str line = {rest->p, (size_t)(stop - rest->p)};
    *rest = (struct str){stop, (size_t)(end - stop)};
    struct str value = str_cut(line, ':', ret_name);
    *ret_name = str_trim(*ret_name);
    *ret_value = str_trim(value);
    return true;
}

/* Header and body of one part: the empty line between them may be the first (no header). */
static int part_parse(struct walk *w, struct str text, unsigned depth, struct sip_part *ret)
{
    *ret = (struct sip_part){.content_type = STR("text/plain"), .depth = depth};
    const char *end = text.p + text.n, *gap;
    if (text.n >= 2 && memcmp(text.p, "\r\n", 2) == 0) {
        ret->headers = (struct str){text.p, 0};
        ret->body = (struct str){text.p + 2, text.n - 2};
    } else if ((gap = memmem(text.p, text.n, "\r\n\r\n", 4)) != NULL) {
        ret->headers = (struct str){text.p, (size_t)(gap + 2 - text.p)};
        ret->body = (struct str){gap + 4, (size_t)(end - gap - 4)};
    } else if (text.n == 0 || (text.n >= 2 && memcmp(end - 2, "\r\n", 2) == 0)) {
        ret->headers = text; /* the empty line is the delimiter's: no body */
        ret->body = (struct str){end, 0};
    } else {
        return malformed(w, "part without an empty line behind its header");
    }
    struct str rest = ret->headers, name, value;
    while (part_header(&rest, &name, &value)) {
        enum sip_hdr_id id = sip_hdr_parse(name);
        if (id == SIP_H_CONTENT_TYPE)
            ret->content_type = value;
        else if (id == SIP_H_CONTENT_DISPOSITION)
            ret->content_disposition = value;
        else if (str_eq_nocase(name, STR("Content-ID")))
            ret->content_id = value;
    }
    return 0;
}

/* RFC 5621 8.2: handling is required unless the disposition says that it is optional. */
static bool is_required(struct str disposition)
{
    struct str handling;
    return !sip_param_find(params_of(disposition), STR("handling"), &handling) ||
           !str_eq_nocase(handling, STR("optional"));
}

static int parts_walk(struct walk *w, struct sip_part *ret, size_t cap, size_t *n)
{
    while (w->depth > 0) {
        struct level *l = &w->level[w->depth - 1];
        struct str text;
        bool closes;
        if (*n == LIMIT_BODY_PARTS || *n == cap)
            return too_much(w, "too many parts in the body");
        if (level_cut(l, &text, &closes) != 0)
            return malformed(w, "multipart is not closed");
        struct sip_part *part = &ret[*n];
        unsigned depth = l->depth;
        int err = part_parse(w, text, depth, part);
        if (err)
            return err;
        part->required = is_required(part->content_disposition);
        (*n)++;
        if (closes)
            w->depth--; /* what follows is an epilogue */
        if (is_multipart(part->content_type)) {
            /* its parts come next; the level it stands in goes on behind it, unless that is at its
             * end */
            err = level_open(w, part->content_type, part->body, depth + 1);
            if (err)
                return err;
        }
    }
    return 0;
}

struct str sip_part_whole(const struct sip_part *part)
{
    return (struct str){part->headers.p,
                        (size_t)(part->body.p + part->body.n - part->headers.p)};
}

struct str sip_part_header(const struct sip_part *part, struct str wanted)
{
    struct str rest = part->headers, name, value;

    while (part_header(&rest, &name, &value))
        if (str_eq_nocase(name, wanted))
            return value;
    return STR_NULL;
}

bool sip_type_is(struct str content_type, struct str wanted)
{
    struct str media;

    (void)str_cut(content_type, ';', &media);
    return str_eq_nocase(str_trim(media), wanted);
}

struct str sip_type_param(struct str content_type, struct str name)
{
    struct str value;

    return sip_param_find(params_of(content_type), name, &value) ? value : STR_NULL;
}

int sip_entity_parts(struct str entity, struct sip_part *ret, size_t *ret_n, struct reason *why)
{
    size_t cap = *ret_n;
    struct walk w = {.why = why};
    int err;

    *ret_n = 0;
    if (cap == 0)
        return too_much(&w, "no room for the body");
    if ((err = part_parse(&w, entity, 0, ret)) != 0)
        return err;
    ret->required = is_required(ret->content_disposition);
    *ret_n = 1;
    if (!is_multipart(ret->content_type))
        return 0;
    err = level_open(&w, ret->content_type, ret->body, 1);
    return err ? err : parts_walk(&w, ret, cap, ret_n);
}

int sip_body_parts(const struct sip_msg *m, struct sip_part *ret, size_t *ret_n, struct reason *why)
{
    size_t cap = *ret_n;
    struct walk w = {.why = why};
    *ret_n = 0;
    if (m->body.n == 0)
        return 0;
    const struct sip_hdr *type = sip_msg_hdr(m, SIP_H_CONTENT_TYPE, 0);
    const struct sip_hdr *disposition = sip_msg_hdr(m, SIP_H_CONTENT_DISPOSITION, 0);
    if (type != NULL && is_multipart(type->value)) {
        int err = level_open(&w, type->value, m->body, 1);
        return err ? err : parts_walk(&w, ret, cap, ret_n);
    }
    if (cap == 0)
        return too_much(&w, "no room for the body");
    ret[0] = (struct sip_part){.content_type = type ? type->value : STR_NULL,
                               .content_disposition = disposition ? disposition->value : STR_NULL,
                               .headers = {m->body.p, 0},
                               .body = m->body};
    const struct sip_hdr *id = sip_msg_hdr_named(m, STR("Content-ID"), 0);
    ret[0].content_id = id ? id->value : STR_NULL;
    ret[0].required = is_required(ret[0].content_disposition);
    *ret_n = 1;
    return 0;
}
