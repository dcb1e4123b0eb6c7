/* Edits over a received message (RFC 3261 16.6: what is not edited leaves as it came).
 * A list of nodes, one for each header line of the message in its order, plus those added. An
 * untouched node is written from the message's own bytes, neighbours in one copy. The list is
 * changed at once by each edit: sip_edit_value reads what sip_edit_build writes. Owner: the arena
 * given to sip_edit_new. Pure; any thread. */
#include "sip/edit.h"
#include "base/err.h"
#include "base/limits.h"
#include "sip/fields.h"
#include "sip/hdr.h"
#include "sip/out.h"

#define NODES_MORE 12u /* room for added lines before the table grows */

/* One value of a line whose values are edited one by one. */
struct edit_value {
    struct str text;
    bool is_removed;
};

struct node {
    struct str name, value; /* of an added or replaced line */
    /* Of the line in the message, once a value of its kind was asked for by number. */
    struct edit_value *values;
    uint16_t id, n_values;
    int16_t next;
    bool is_removed;
    bool is_new;    /* name and value are written, not the line of the message */
    bool is_edited; /* the values are written one by one, not the line of the message */
};

struct sip_edit {
    struct arena *arena;
    const struct sip_msg *msg;
    struct node *nodes; /* 0 .. n_hdrs-1: the lines of the message */
    uint16_t n, cap;
    int16_t head, tail;
    struct str ruri; /* empty: unchanged */
    struct str body;
    size_t more; /* bytes that edits may add to the head */
    int err;
};

static void fail(struct sip_edit *e, int err)
{
    if (!e->err)
        e->err = err;
}

static int node_new(struct sip_edit *e)
{
    if (e->n == e->cap) {
        unsigned cap = e->cap * 2u;
        struct node *more =
            cap <= 4 * LIMIT_MSG_HEADERS ? arena_alloc(e->arena, cap * sizeof(*more)) : NULL;
        if (more == NULL) {
            fail(e, cap <= 4 * LIMIT_MSG_HEADERS ? ERR_NOMEM : ERR_LIMIT);
            return -1;
        }
        memcpy(more, e->nodes, e->n * sizeof(*more));
        e->nodes = more;
        e->cap = (uint16_t)cap;
    }
    e->nodes[e->n] = (struct node){.next = -1, .is_new = true};
    return e->n++;
}

/* A new line behind node `prev`, -1: in front of all. */
static void node_insert(struct sip_edit *e, int prev, struct str name, enum sip_hdr_id id,
                        struct str value)
{
    int i = node_new(e);
    if (i < 0)
        return;
    struct node *n = &e->nodes[i];
    n->name = name;
    n->value = value;
    n->id = (uint16_t)id;
    int16_t *link = prev < 0 ? &e->head : &e->nodes[prev].next;
    n->next = *link;
    *link = (int16_t)i;
    if (n->next < 0)
        e->tail = (int16_t)i;
    e->more += name.n + value.n + 4;
}

struct sip_edit *sip_edit_new(struct arena *a, const struct sip_msg *m)
{
    struct sip_edit *e = arena_alloc(a, sizeof(*e));
    unsigned cap = m->n_hdrs + NODES_MORE;
    struct node *nodes = e ? arena_alloc(a, cap * sizeof(*nodes)) : NULL;
    if (nodes == NULL)
        return NULL;
    *e = (struct sip_edit){.arena = a,
                           .msg = m,
                           .nodes = nodes,
                           .n = m->n_hdrs,
                           .cap = (uint16_t)cap,
                           .body = m->body};
    for (int i = 0; i < m->n_hdrs; i++)
        nodes[i] = (struct node){.id = m->hdrs[i].id, .next = (int16_t)(i + 1)};
    /* a message with a defect may hold lines that the index skipped */
    e->err = m->defect.sip_status ? ERR_INVALID : 0;
    e->tail = (int16_t)(m->n_hdrs - 1); /* a parsed message has a Via at least */
    nodes[e->tail].next = -1;
    if (!sip_msg_has(m, SIP_H_CONTENT_LENGTH)) {
        struct str digits = arena_fmt(a, "%zu", m->body.n);
        if (digits.p == NULL)
            return NULL;
        node_insert(e, e->tail, sip_hdr_text(SIP_H_CONTENT_LENGTH), SIP_H_CONTENT_LENGTH, digits);
    }
    return e;
}

/* A value about to be written: clean, and not the length of the body, which is ours to say. */
static bool value_accept(struct sip_edit *e, enum sip_hdr_id id, struct str *value)
{
    *value = str_trim(*value);
    if (id == SIP_H_CONTENT_LENGTH || !out_value_ok(*value))
        fail(e, ERR_INVALID);
    return !e->err;
}

static bool id_accept(struct sip_edit *e, enum sip_hdr_id id)
{
    if (id <= SIP_H_OTHER || id >= SIP_H_N || id == SIP_H_CONTENT_LENGTH)
        fail(e, ERR_INVALID);
    return !e->err;
}

void sip_edit_ruri(struct sip_edit *e, struct str uri)
{
    if (!e->msg->is_request || !out_uri_ok(uri))
        fail(e, ERR_INVALID);
    if (e->err)
        return;
    e->ruri = uri;
    e->more += uri.n + 16;
}

void sip_edit_add_first(struct sip_edit *e, enum sip_hdr_id id, struct str value)
{
    if (!id_accept(e, id) || !value_accept(e, id, &value))
        return;
    int prev = -1;
    for (int i = e->head; i >= 0; prev = i, i = e->nodes[i].next) {
        if (e->nodes[i].id == id && !e->nodes[i].is_removed) {
            node_insert(e, prev, sip_hdr_text(id), id, value);
            return;
        }
    }
    node_insert(e, -1, sip_hdr_text(id), id, value);
}

void sip_edit_add_last(struct sip_edit *e, enum sip_hdr_id id, struct str value)
{
    if (id_accept(e, id) && value_accept(e, id, &value))
        node_insert(e, e->tail, sip_hdr_text(id), id, value);
}

void sip_edit_add_named(struct sip_edit *e, struct str name, struct str value)
{
    enum sip_hdr_id id = sip_hdr_parse(name);
    if (!out_name_ok(name))
        fail(e, ERR_INVALID);
    if (value_accept(e, id, &value))
        node_insert(e, e->tail, name, id, value);
}

/* All lines of an id become one, at the place of the first. */
static void set_line(struct sip_edit *e, enum sip_hdr_id id, struct str value)
{
    bool is_set = false;
    for (int i = e->head; i >= 0; i = e->nodes[i].next) {
        struct node *n = &e->nodes[i];
        if (n->id != id || n->is_removed)
            continue;
        if (is_set) {
            n->is_removed = true;
            continue;
        }
        n->name = sip_hdr_text(id);
        n->value = value;
        n->is_new = true;
        e->more += n->name.n + value.n + 4;
        is_set = true;
    }
    if (!is_set)
        node_insert(e, e->tail, sip_hdr_text(id), id, value);
}

static void remove_lines(struct sip_edit *e, enum sip_hdr_id id)
{
    for (int i = e->head; i >= 0; i = e->nodes[i].next)
        e->nodes[i].is_removed |= e->nodes[i].id == id;
}

void sip_edit_set(struct sip_edit *e, enum sip_hdr_id id, struct str value)
{
    if (id_accept(e, id) && value_accept(e, id, &value))
        set_line(e, id, value);
}

void sip_edit_remove(struct sip_edit *e, enum sip_hdr_id id)
{
    if (id_accept(e, id))
        remove_lines(e, id);
}

void sip_edit_remove_named(struct sip_edit *e, struct str name)
{
    enum sip_hdr_id id = sip_hdr_parse(name);
    if (id != SIP_H_OTHER) {
        sip_edit_remove(e, id);
        return;
    }
    for (int i = e->head; i >= 0; i = e->nodes[i].next) {
        struct node *n = &e->nodes[i];
        if (n->id == SIP_H_OTHER && str_eq_nocase(n->is_new ? n->name : e->msg->hdrs[i].name, name))
            n->is_removed = true;
    }
}

/* The line split into its values, so that each can be found by number and edited. */
static void node_split(struct sip_edit *e, struct node *n, struct str line)
{
    bool is_list = sip_hdr_is_list((enum sip_hdr_id)n->id);
    struct str rest = line, v;
    unsigned count = 0;
    is_list = is_list && memchr(line.p, ',', line.n) != NULL;
    while (is_list && count < LIMIT_MSG_VALUES && rest.p != NULL && sip_list_cut(&rest, &v) && v.n)
        count++;
    if (is_list && rest.p != NULL) {
        fail(e, ERR_SYNTAX); /* malformed somewhere: no part of it must get lost */
        return;
    }
    count = is_list ? count : 1;
    struct edit_value *values = arena_alloc(e->arena, count * sizeof(*values));
    if (values == NULL) {
        fail(e, ERR_NOMEM);
        return;
    }
    values[0] = (struct edit_value){str_trim(line), false};
    rest = line;
    for (unsigned i = 0; is_list && i < count; i++) {
        (void)sip_list_cut(&rest, &v);
        values[i] = (struct edit_value){v, false};
    }
    n->values = values;
    n->n_values = (uint16_t)count;
    e->more += 2u * count; /* the separators may be longer than they were */
}

/* The i-th value of the message; NULL if there is none or its line has been replaced or removed as
 * a whole. */
static struct edit_value *find_value(struct sip_edit *e, enum sip_hdr_id id, unsigned i,
                                     bool *ret_exists)
{
    *ret_exists = false;
    for (int line = e->msg->first[id]; line >= 0 && !e->err; line = e->msg->hdrs[line].next) {
        struct node *n = &e->nodes[line];
        struct str text = e->msg->hdrs[line].value;
        if (text.n == 0)
            continue; /* a list of nothing */
        if (n->values == NULL)
            node_split(e, n, text);
        if (i >= n->n_values) {
            i -= n->n_values;
            continue;
        }
        *ret_exists = true;
        if (n->is_removed || n->is_new)
            return NULL;
        n->is_edited = true;
        return &n->values[i];
    }
    return NULL;
}

void sip_edit_remove_value(struct sip_edit *e, enum sip_hdr_id id, unsigned i)
{
    bool exists;
    if (!id_accept(e, id))
        return;
    struct edit_value *v = find_value(e, id, i, &exists);
    if (v)
        v->is_removed = true;
    else if (!exists)
        fail(e, ERR_NOTFOUND); /* removed already is fine, never there is a mistake */
}

void sip_edit_replace_value(struct sip_edit *e, enum sip_hdr_id id, unsigned i, struct str value)
{
    bool exists;
    if (!id_accept(e, id) || !value_accept(e, id, &value))
        return;
    if (value.n == 0) {
        fail(e, ERR_INVALID); /* "a, , b" is no list */
        return;
    }
    struct edit_value *v = find_value(e, id, i, &exists);
    if (v == NULL || v->is_removed) {
        fail(e, ERR_NOTFOUND);
        return;
    }
    v->text = value;
    e->more += value.n;
}

void sip_edit_body(struct sip_edit *e, struct str content_type, struct str body)
{
    if (!value_accept(e, SIP_H_CONTENT_TYPE, &content_type))
        return;
    struct str digits = arena_fmt(e->arena, "%zu", body.n);
    if (digits.p == NULL) {
        fail(e, ERR_NOMEM);
        return;
    }
    if (content_type.n)
        set_line(e, SIP_H_CONTENT_TYPE, content_type);
    else
        remove_lines(e, SIP_H_CONTENT_TYPE);
    set_line(e, SIP_H_CONTENT_LENGTH, digits);
    e->body = body;
}

/* Counts *i down over the values in one line of text. */
static bool value_in(struct str text, bool is_list, unsigned *i, struct str *ret)
{
    struct str rest = text, v;
    if (text.n == 0)
        return false;
    if (!is_list) {
        *ret = text;
        return (*i)-- == 0;
    }
    while (rest.p != NULL && sip_list_cut(&rest, &v) && v.n) {
        if ((*i)-- == 0) {
            *ret = v;
            return true;
        }
    }
    return false;
}

bool sip_edit_value(const struct sip_edit *e, enum sip_hdr_id id, unsigned i, struct str *ret)
{
    bool is_list = sip_hdr_is_list(id);
    for (int k = e->head; k >= 0; k = e->nodes[k].next) {
        const struct node *n = &e->nodes[k];
        if (n->id != id || n->is_removed)
            continue;
        if (n->is_new || !n->is_edited) {
            if (value_in(n->is_new ? n->value : e->msg->hdrs[k].value, is_list, &i, ret))
                return true;
            continue;
        }
        for (unsigned v = 0; v < n->n_values; v++) {
            if (!n->values[v].is_removed && value_in(n->values[v].text, is_list, &i, ret))
                return true;
        }
    }
    return false;
}

/* A line of the message with some of its values edited; nothing if none is left. */
static void write_values(struct sbuf *b, struct str name, const struct node *n)
{
    bool any = false;
    for (unsigned v = 0; v < n->n_values; v++) {
        if (n->values[v].is_removed)
            continue;
        if (any)
            sbuf_lit(b, ", ");
        else
            sbuf_str(b, name), sbuf_lit(b, ": ");
        sbuf_str(b, n->values[v].text);
        any = true;
    }
    if (any)
        sbuf_lit(b, "\r\n");
}

static void write_start(struct sbuf *b, const struct sip_edit *e)
{
    if (e->ruri.n == 0) {
        sbuf_add(b, e->msg->bytes.p, e->msg->hdrs[0].line_start);
        return;
    }
    sbuf_str(b, e->msg->method_text);
    sbuf_char(b, ' ');
    sbuf_str(b, e->ruri);
    sbuf_lit(b, " SIP/2.0\r\n");
}

/* Header lines; how many there are. */
static unsigned write_lines(struct sbuf *b, const struct sip_edit *e)
{
    const char *base = e->msg->bytes.p;
    size_t from = 0, to = 0; /* untouched lines not yet written */
    unsigned n_lines = 0;
    for (int i = e->head; i >= 0; i = e->nodes[i].next) {
        const struct node *n = &e->nodes[i];
        if (n->is_removed)
            continue;
        n_lines++;
        if (!n->is_new && !n->is_edited) {
            const struct sip_hdr *h = &e->msg->hdrs[i];
            if (h->line_start != to) {
                sbuf_add(b, base + from, to - from);
                from = h->line_start;
            }
            to = h->line_end;
            continue;
        }
        sbuf_add(b, base + from, to - from);
        from = to = 0;
        if (n->is_new)
            out_line(b, n->name, n->value);
        else
            write_values(b, e->msg->hdrs[i].name, n);
    }
    sbuf_add(b, base + from, to - from);
    return n_lines;
}

int sip_edit_build(struct sip_edit *e, struct buf **ret)
{
    const struct sip_msg *m = e->msg;
    struct sbuf b;
    int err;
    *ret = NULL;
    if (e->err)
        return e->err;
    struct buf *buf = out_begin(m->head.n + e->more + e->body.n + 4, &b, &err);
    if (buf == NULL)
        return err;
    write_start(&b, e);
    unsigned n_lines = write_lines(&b, e);
    sbuf_lit(&b, "\r\n");
    if (n_lines > LIMIT_MSG_HEADERS || b.n > LIMIT_MSG_HEADER_BYTES)
        b.overflow = true;
    sbuf_str(&b, e->body);
    return out_end(buf, &b, ret);
}

void sip_edit_via_received(struct sip_edit *e, const struct sip_msg *m, const struct addr *source)
{
    if (e->err || !out_via_wants_received(&m->via, source))
        return;
    size_t cap = m->via.whole.n + OUT_VIA_MORE;
    char *text = arena_alloc(e->arena, cap);
    if (text == NULL) {
        fail(e, ERR_NOMEM);
        return;
    }
    struct sbuf b = sbuf_make(text, cap);
    out_via_received(&b, &m->via, source);
    if (b.overflow)
        fail(e, ERR_LIMIT);
    else
        sip_edit_replace_value(e, SIP_H_VIA, 0, sbuf_get(&b));
}
