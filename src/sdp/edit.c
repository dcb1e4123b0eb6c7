/* Edits over a description (story in edit.h). A list of nodes, one for each line in its order and
 * those added; an untouched node is written from the description's own bytes. Owner: the arena
 * given to sdp_edit_new. Pure; any thread. */
#include "sdp/edit.h"
#include "base/sbuf.h"
#include "sdp/build.h"
#include "sdp/sdp_priv.h"

#define NODES_MORE 16u /* room for added lines before the table grows */

struct node {
    struct str text; /* of a new line, without line end; p == NULL: the line as it came */
    struct str name; /* of a new a= line */
    int16_t next;
    bool is_removed;
};

/* A m= line whose parts are edited one by one. */
struct edit_media {
    struct str proto, fmts;
    uint16_t port;
    bool is_edited, has_port;
};

struct sdp_edit {
    struct arena *arena;
    const struct sdp *s;
    struct node *nodes; /* 0 .. n_lines-1: the lines of the description */
    int16_t *tails;     /* last node of each section, the session first */
    struct edit_media *media;
    uint16_t n, cap;
    int err;
};

static void fail(struct sdp_edit *e, int err)
{
    if (!e->err)
        e->err = err;
}

struct sdp_edit *sdp_edit_new(struct arena *a, const struct sdp *s)
{
    struct sdp_edit *e = arena_zalloc(a, sizeof(*e));
    if (e == NULL)
        return NULL;
    e->arena = a;
    e->s = s;
    e->n = s->n_lines;
    e->cap = (uint16_t)(s->n_lines + NODES_MORE);
    e->nodes = arena_zalloc(a, e->cap * sizeof(*e->nodes));
    e->tails = arena_zalloc(a, (s->n_media + 1u) * sizeof(*e->tails));
    e->media = arena_zalloc(a, (s->n_media + 1u) * sizeof(*e->media));
    if (e->nodes == NULL || e->tails == NULL || e->media == NULL)
        return NULL;
    for (int i = 0; i < s->n_lines; i++)
        e->nodes[i].next = (int16_t)(i + 1 < s->n_lines ? i + 1 : -1);
    for (int k = SDP_SESSION; k < s->n_media; k++) {
        const struct sdp_section *sec = sdp_section(s, k);
        e->tails[k + 1] = (int16_t)(sec->line + sec->n_lines - 1);
    }
    return e;
}

static bool section_ok(struct sdp_edit *e, int section, bool is_media)
{
    if (section < (is_media ? 0 : SDP_SESSION) || section >= e->s->n_media)
        fail(e, ERR_INVALID);
    return !e->err;
}

static int node_new(struct sdp_edit *e)
{
    if (e->n == e->cap) {
        unsigned cap = e->cap * 2u;
        struct node *more = NULL;
        if (cap <= 4 * LIMIT_SDP_LINES)
            more = arena_alloc(e->arena, cap * sizeof(*more));
        if (more == NULL) {
            fail(e, cap <= 4 * LIMIT_SDP_LINES ? ERR_NOMEM : ERR_LIMIT);
            return -1;
        }
        memcpy(more, e->nodes, e->n * sizeof(*more));
        e->nodes = more;
        e->cap = (uint16_t)cap;
    }
    e->nodes[e->n] = (struct node){.next = -1};
    return e->n++;
}

/* A new line behind node `prev`, in a section. */
static int node_insert(struct sdp_edit *e, int section, int prev, struct str text, struct str name)
{
    int i = text.p ? node_new(e) : -1;
    if (i < 0) {
        fail(e, ERR_NOMEM);
        return -1;
    }
    e->nodes[i] = (struct node){.text = text, .name = name, .next = e->nodes[prev].next};
    e->nodes[prev].next = (int16_t)i;
    if (e->tails[section + 1] == prev)
        e->tails[section + 1] = (int16_t)i;
    return i;
}

/* First node behind a section's last. */
static int section_end(const struct sdp_edit *e, int section)
{
    return e->nodes[e->tails[section + 1]].next;
}

static int section_begin(const struct sdp_edit *e, int section)
{
    return sdp_section(e->s, section)->line;
}

/* The name of the attribute in a node, empty if it is another line. */
static struct str node_attr(const struct sdp_edit *e, int i)
{
    if (e->nodes[i].text.p != NULL)
        return e->nodes[i].name;
    return i < e->s->n_lines && e->s->lines[i].type == 'a' ? e->s->lines[i].name : STR_NULL;
}

/* ---- o=, c= ---- */

static struct str conn_text(struct sdp_edit *e, const struct addr *host, const char *before)
{
    char text[ADDR_TEXT_MAX + 8];
    struct sbuf b = sbuf_make(text, sizeof(text));
    sdp_put_host(&b, host);
    struct str s = arena_fmt(e->arena, "%s%.*s", before, STR_FMT(sbuf_get(&b)));
    if (s.p == NULL)
        fail(e, ERR_NOMEM);
    return s;
}

void sdp_edit_origin(struct sdp_edit *e, const struct addr *host, struct str version)
{
    const struct sdp_origin *o = &e->s->origin;
    struct str where = o->conn.whole;
    int i = 0;
    if (version.n && !sdp_is_word(version))
        fail(e, ERR_INVALID);
    if (host != NULL)
        where = conn_text(e, host, "");
    while (!e->err && e->s->lines[i].type != 'o')
        i++;
    if (e->err)
        return;
    e->nodes[i].text =
        arena_fmt(e->arena, "o=%.*s %.*s %.*s %.*s", STR_FMT(o->username), STR_FMT(o->sess_id),
                  STR_FMT(version.n ? version : o->sess_version), STR_FMT(where));
    if (e->nodes[i].text.p == NULL)
        fail(e, ERR_NOMEM);
}

void sdp_edit_session(struct sdp_edit *e, uint64_t sess_id, uint64_t version, const struct addr *host)
{
    struct str where = conn_text(e, host, "");
    for (int i = 0; !e->err && i < e->s->session.n_lines; i++) {
        if (e->s->lines[i].type == 'o')
            e->nodes[i].text = arena_fmt(e->arena, "o=- %llu %llu %.*s", (unsigned long long)sess_id,
                                         (unsigned long long)version, STR_FMT(where));
        else
            continue;
        if (e->nodes[i].text.p == NULL)
            fail(e, ERR_NOMEM);
    }
}

/* Where a c= line goes if there is none: behind the last line of the types that stand before it
 * (RFC 8866 5). */
static int conn_place(const struct sdp_edit *e, int section)
{
    const struct sdp_section *sec = sdp_section(e->s, section);
    int at = sec->line;
    for (int i = sec->line; i < sec->line + sec->n_lines; i++) {
        if (strchr("vosiuepm", e->s->lines[i].type) != NULL)
            at = i;
    }
    return at;
}

void sdp_edit_conn(struct sdp_edit *e, int section, const struct addr *host)
{
    if (!section_ok(e, section, false))
        return;
    const struct sdp_section *sec = sdp_section(e->s, section);
    struct str text = conn_text(e, host, "c=");
    if (e->err)
        return;
    if (sec->conn_line < 0) {
        int at = conn_place(e, section);
        /* a second edit replaces what the first one added */
        int next = e->nodes[at].next;
        if (next >= e->s->n_lines && e->nodes[next].text.n >= 2 && e->nodes[next].text.p[0] == 'c')
            e->nodes[next].text = text;
        else
            (void)node_insert(e, section, at, text, STR_NULL);
        return;
    }
    for (int i = sec->line; i < sec->line + sec->n_lines; i++) {
        if (e->s->lines[i].type == 'c') {
            e->nodes[i].is_removed = i != sec->conn_line;
            e->nodes[i].text = i == sec->conn_line ? text : STR_NULL;
        }
    }
}

/* ---- m= ---- */

static struct edit_media *media_edit(struct sdp_edit *e, int media)
{
    struct edit_media *m = &e->media[media];
    if (!m->is_edited) {
        const struct sdp_media *was = &e->s->media[media];
        *m = (struct edit_media){
            .proto = was->proto_text, .fmts = was->fmts, .port = was->port, .is_edited = true};
    }
    return m;
}

static void media_write(struct sdp_edit *e, int media)
{
    const struct edit_media *m = &e->media[media];
    const struct sdp_media *was = &e->s->media[media];
    struct str number = STR_NULL;
    char many[16];
    if (!m->has_port && was->n_ports > 1) {
        struct sbuf b = sbuf_make(many, sizeof(many));
        sbuf_char(&b, '/');
        sbuf_u64(&b, was->n_ports);
        number = sbuf_get(&b);
    }
    struct str text = arena_fmt(e->arena, "m=%.*s %u%.*s %.*s %.*s", STR_FMT(was->kind_text),
                                m->port, STR_FMT(number), STR_FMT(m->proto), STR_FMT(m->fmts));
    if (text.p == NULL)
        fail(e, ERR_NOMEM);
    e->nodes[was->s.line].text = text;
}

void sdp_edit_port(struct sdp_edit *e, int media, uint16_t port)
{
    if (!section_ok(e, media, true))
        return;
    struct edit_media *m = media_edit(e, media);
    m->port = port;
    m->has_port = true;
    media_write(e, media);
}

void sdp_edit_proto(struct sdp_edit *e, int media, struct str proto)
{
    if (!sdp_is_proto(proto))
        fail(e, ERR_INVALID);
    if (!section_ok(e, media, true))
        return;
    media_edit(e, media)->proto = proto;
    media_write(e, media);
}

void sdp_edit_fmts(struct sdp_edit *e, int media, struct str fmts)
{
    struct str rest = fmts, word;
    unsigned n = 0;
    while (sdp_word(&rest, &word)) {
        if (!sdp_is_token(word))
            fail(e, ERR_INVALID);
        n++;
    }
    if (n == 0 || !sdp_is_text(fmts))
        fail(e, ERR_INVALID);
    if (!section_ok(e, media, true))
        return;
    media_edit(e, media)->fmts = str_trim(fmts);
    media_write(e, media);
}

/* ---- a= ---- */

static struct str attr_text(struct sdp_edit *e, struct str name, struct str value)
{
    struct str s;
    if (!sdp_is_token(name) || !sdp_is_text(value)) {
        fail(e, ERR_INVALID);
        return STR_NULL;
    }
    if (value.p != NULL)
        s = arena_fmt(e->arena, "a=%.*s:%.*s", STR_FMT(name), STR_FMT(value));
    else
        s = arena_fmt(e->arena, "a=%.*s", STR_FMT(name));
    if (s.p == NULL)
        fail(e, ERR_NOMEM);
    return s;
}

void sdp_edit_attr_add(struct sdp_edit *e, int section, struct str name, struct str value)
{
    if (!section_ok(e, section, false))
        return;
    struct str text = attr_text(e, name, value);
    if (!e->err)
        (void)node_insert(e, section, e->tails[section + 1], text, name);
}

void sdp_edit_attr_set(struct sdp_edit *e, int section, struct str name, struct str value)
{
    if (!section_ok(e, section, false))
        return;
    struct str text = attr_text(e, name, value);
    bool is_set = false;
    int end = section_end(e, section);
    for (int i = section_begin(e, section); !e->err && i != end; i = e->nodes[i].next) {
        struct node *n = &e->nodes[i];
        if (n->is_removed || !str_eq(node_attr(e, i), name))
            continue;
        n->is_removed = is_set;
        if (!is_set) {
            n->text = text;
            n->name = name;
        }
        is_set = true;
    }
    if (!e->err && !is_set)
        (void)node_insert(e, section, e->tails[section + 1], text, name);
}

void sdp_edit_attr_remove(struct sdp_edit *e, int section, struct str name)
{
    if (!sdp_is_token(name))
        fail(e, ERR_INVALID);
    if (!section_ok(e, section, false))
        return;
    int end = section_end(e, section);
    for (int i = section_begin(e, section); i != end; i = e->nodes[i].next) {
        if (str_eq(node_attr(e, i), name))
            e->nodes[i].is_removed = true;
    }
}

/* The node of a line of the description; -1 with the error set if it is none of its attributes. */
static int node_of(struct sdp_edit *e, const struct sdp_line *l)
{
    if (l < e->s->lines || l >= e->s->lines + e->s->n_lines || l->type != 'a') {
        fail(e, ERR_INVALID);
        return -1;
    }
    return (int)(l - e->s->lines);
}

void sdp_edit_line_remove(struct sdp_edit *e, const struct sdp_line *l)
{
    int i = node_of(e, l);
    if (i >= 0)
        e->nodes[i].is_removed = true;
}

void sdp_edit_line_replace(struct sdp_edit *e, const struct sdp_line *l, struct str value)
{
    int i = node_of(e, l);
    struct str text = i >= 0 ? attr_text(e, l->name, value) : STR_NULL;
    if (e->err)
        return;
    if (e->nodes[i].is_removed) {
        fail(e, ERR_NOTFOUND);
        return;
    }
    e->nodes[i].text = text;
    e->nodes[i].name = l->name;
}

void sdp_edit_direction(struct sdp_edit *e, int section, enum sdp_dir d)
{
    struct str first = STR_NULL;
    if (!section_ok(e, section, false))
        return;
    int end = section_end(e, section), at = -1;
    for (int i = section_begin(e, section); i != end; i = e->nodes[i].next) {
        struct str name = node_attr(e, i);
        enum sdp_attr_id id = sdp_attr_parse(name);
        if (e->nodes[i].is_removed || id < SDP_A_SENDRECV || id > SDP_A_INACTIVE)
            continue;
        if (at < 0) {
            at = i;
            first = name;
        } else {
            e->nodes[i].is_removed = true;
        }
    }
    if (at >= 0 && str_eq(first, sdp_dir_text(d)))
        return;
    struct str text = attr_text(e, sdp_dir_text(d), STR_NULL);
    if (e->err)
        return;
    if (at >= 0) {
        e->nodes[at].text = text;
        e->nodes[at].name = sdp_dir_text(d);
    } else {
        (void)node_insert(e, section, e->tails[section + 1], text, sdp_dir_text(d));
    }
}

/* ---- the result ---- */

int sdp_edit_build(struct sdp_edit *e, struct str *ret)
{
    const struct sdp *s = e->s;
    struct str eol = s->has_crlf ? STR("\r\n") : STR("\n");
    size_t n = 0;
    *ret = STR_NULL;
    if (e->err)
        return e->err;
    for (int i = 0; i >= 0; i = e->nodes[i].next) {
        const struct node *node = &e->nodes[i];
        if (!node->is_removed)
            n += (node->text.p ? node->text.n : s->lines[i].end - s->lines[i].start) + eol.n;
    }
    /* Some end with empty lines, which are no lines of the description. */
    struct str tail = str_make(s->text.p + s->lines[s->n_lines - 1].end,
                               s->text.n - s->lines[s->n_lines - 1].end);
    n += tail.n;
    if (n > LIMIT_SDP_BYTES)
        return ERR_LIMIT;
    char *p = arena_alloc(e->arena, n + 1);
    if (p == NULL)
        return ERR_NOMEM;
    struct sbuf b = sbuf_make(p, n);
    for (int i = 0; i >= 0; i = e->nodes[i].next) {
        const struct node *node = &e->nodes[i];
        if (node->is_removed)
            continue;
        if (b.n && p[b.n - 1] != '\n') /* the last line had no end, and now something follows */
            sbuf_str(&b, eol);
        if (node->text.p == NULL) {
            sbuf_add(&b, s->text.p + s->lines[i].start, s->lines[i].end - s->lines[i].start);
        } else {
            sbuf_str(&b, node->text);
            sbuf_str(&b, eol);
        }
    }
    sbuf_str(&b, tail);
    *ret = sbuf_get(&b);
    return b.overflow ? ERR_LIMIT : 0;
}
