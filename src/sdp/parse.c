/* From text to the index of lines (RFC 8866 5, 9). One pass over the bytes, no recursion, memory
 * for the lines counted before. Owner: the caller's arena. Pure; any thread. */
#include "sdp/sdp_priv.h"

/* Lines of RFC 8866 that stand in the session section, in m= sections, or in both. */
#define SESSION_TYPES "vosiuepcbtrzka"
#define MEDIA_TYPES "micbka"

struct parser {
    struct sdp *s;
    struct reason *why;
    struct str text;
    size_t at; /* first byte not consumed */
    size_t n_fmts;
    size_t cap_lines, cap_media, cap_fmts; /* what the counting pass found */
    struct str *fmts;
    int section;
};

static int broken(struct parser *p, size_t at, const char *what)
{
    reason_set(p->why, "sdp-syntax", "RFC 8866 9", 400, "%s", what);
    if (p->why)
        p->why->offset = (uint32_t)at;
    return ERR_SYNTAX;
}

static int too_many(struct parser *p, const char *what)
{
    reason_set(p->why, "sdp-limit", NULL, 413, "%s", what);
    return ERR_LIMIT;
}

/* ---- addresses ---- */

static bool number_cut(struct str *rest, unsigned max, unsigned *ret)
{
    struct str head;
    uint32_t v;
    *rest = str_cut(*rest, '/', &head);
    if (str_to_u32(head, max, &v) != 0)
        return false;
    *ret = v;
    return true;
}

int sdp_conn_parse(struct str value, bool with_ttl, struct sdp_conn *ret)
{
    struct str rest = value, tail;
    *ret = (struct sdp_conn){.whole = value};
    if (!sdp_word(&rest, &ret->nettype) || !sdp_word(&rest, &ret->addrtype) ||
        !sdp_word(&rest, &ret->host) || !sdp_at_end(rest) || !sdp_is_token(ret->nettype) ||
        !sdp_is_token(ret->addrtype) || !sdp_is_word(ret->host))
        return ERR_SYNTAX;
    bool v4 = str_eq(ret->addrtype, STR("IP4")), v6 = str_eq(ret->addrtype, STR("IP6"));
    if (!str_eq(ret->nettype, STR("IN")) || (!v4 && !v6))
        return 0; /* another network: kept, not understood */
    tail = str_cut(ret->host, '/', &ret->host);
    if (tail.p != NULL) {
        if (!with_ttl || (v4 && !number_cut(&tail, 255, &ret->ttl)) ||
            (tail.p != NULL && !number_cut(&tail, UINT16_MAX, &ret->count)) || tail.p != NULL)
            return ERR_SYNTAX;
    }
    struct addr a;
    if (ret->host.n == 0 || ret->host.p[0] == '[')
        return ERR_SYNTAX; /* RFC 8866 has no brackets */
    if (addr_parse(&a, ret->host, 0) == 0) {
        if (addr_is_v6(&a) != v6)
            return ERR_SYNTAX;
        ret->addr = a;
    }
    return 0;
}

/* ---- lines with a structure of their own ---- */

static int parse_origin(struct parser *p, const struct sdp_line *l)
{
    struct sdp_origin *o = &p->s->origin;
    struct str rest = l->value;
    if (!sdp_word(&rest, &o->username) || !sdp_word(&rest, &o->sess_id) ||
        !sdp_word(&rest, &o->sess_version) || !sdp_is_word(o->username) ||
        !sdp_is_word(o->sess_id) || !sdp_is_word(o->sess_version) ||
        sdp_conn_parse(str_trim(rest), false, &o->conn) != 0)
        return broken(p, l->start,
                      "o= is not: username, id, version, network, address type, address");
    return 0;
}

static int parse_conn(struct parser *p, struct sdp_section *sec, const struct sdp_line *l,
                      int index)
{
    struct sdp_conn c;
    if (sdp_conn_parse(l->value, true, &c) != 0)
        return broken(p, l->start, "c= is not: network, address type, address");
    if (sec->n_conns == 0) {
        sec->conn = c;
        sec->conn_line = (int16_t)index;
    }
    if (sec->n_conns < UINT8_MAX)
        sec->n_conns++;
    return 0;
}

static enum sdp_kind kind_of(struct str s)
{
    static const struct str kinds[] = {
        [SDP_AUDIO] = SDP_NAME("audio"),     [SDP_VIDEO] = SDP_NAME("video"),
        [SDP_TEXT] = SDP_NAME("text"),       [SDP_APPLICATION] = SDP_NAME("application"),
        [SDP_MESSAGE] = SDP_NAME("message"), [SDP_IMAGE] = SDP_NAME("image")};
    for (unsigned i = 1; i < ARRAY_LEN(kinds); i++) {
        if (str_eq(kinds[i], s))
            return (enum sdp_kind)i;
    }
    return SDP_OTHER;
}

static int parse_media(struct parser *p, const struct sdp_line *l, struct sdp_media *m)
{
    struct str rest = l->value, port, number;
    uint32_t v;
    if (!sdp_word(&rest, &m->kind_text) || !sdp_word(&rest, &port) ||
        !sdp_word(&rest, &m->proto_text) || !sdp_is_token(m->kind_text) ||
        !sdp_is_proto(m->proto_text))
        return broken(p, l->start, "m= is not: media, port, protocol, formats");
    number = str_cut(port, '/', &port);
    if (str_to_u32(port, UINT16_MAX, &v) != 0)
        return broken(p, l->start, "m= has no port");
    m->port = (uint16_t)v;
    m->n_ports = 1;
    if (number.p != NULL) {
        if (str_to_u32(number, UINT16_MAX, &v) != 0 || v == 0)
            return broken(p, l->start, "m= has a wrong number of ports");
        m->n_ports = (uint16_t)v;
    }
    m->kind = kind_of(m->kind_text);
    m->proto = sdp_proto_parse(m->proto_text);
    m->fmts = str_trim(rest);
    m->fmt = p->fmts + p->n_fmts;
    struct str word;
    while (sdp_word(&rest, &word)) {
        if (!sdp_is_token(word) || (sdp_proto_is_rtp(m->proto) && str_to_u32(word, 127, &v) != 0))
            return broken(p, l->start, "a format of m= is no token, or no payload type");
        m->fmt[m->n_fmts++] = word;
        p->n_fmts++;
    }
    if (m->n_fmts == 0)
        return broken(p, l->start, "m= has no format");
    return 0;
}

static int parse_attr(struct parser *p, struct sdp_section *sec, struct sdp_line *l, int index)
{
    l->arg = str_cut(l->value, ':', &l->name);
    if (!sdp_is_token(l->name))
        return broken(p, l->start, "the name of an attribute is no token");
    l->attr = (uint16_t)sdp_attr_parse(l->name);
    if (l->attr == SDP_A_OTHER)
        return 0;
    l->next = sec->first[l->attr]; /* in front, so that many lines of a kind cost no walks;
                                      turn_lists sets it right */
    sec->first[l->attr] = (int16_t)index;
    return 0;
}

/* The lists of attributes are in reverse order until here. */
static void turn_lists(struct sdp *s, struct sdp_section *sec)
{
    for (unsigned id = 1; id < SDP_A_N; id++) {
        int16_t prev = -1, i = sec->first[id];
        while (i >= 0) {
            int16_t next = s->lines[i].next;
            s->lines[i].next = prev;
            prev = i;
            i = next;
        }
        sec->first[id] = prev;
    }
}

static void section_init(struct sdp_section *sec, size_t line)
{
    memset(sec->first, 0xff, sizeof(sec->first));
    sec->line = (uint16_t)line;
    sec->conn_line = -1;
}

/* ---- the walk ---- */

/* The next line into *l; false at the end of the text. */
static bool next_line(struct parser *p, struct sdp_line *l)
{
    size_t left = p->text.n - p->at;
    if (left == 0)
        return false; /* an empty text may be at NULL */
    const char *start = p->text.p + p->at;
    const char *lf = memchr(start, '\n', left);
    size_t n = lf ? (size_t)(lf - start) : left;
    size_t whole = lf ? n + 1 : n;
    if (lf && n > 0 && start[n - 1] == '\r')
        n--;
    *l = (struct sdp_line){.value = str_make(start, n),
                           .start = (uint32_t)p->at,
                           .end = (uint32_t)(p->at + whole),
                           .next = -1};
    p->at += whole;
    return true;
}

/* Only line ends are left? Some write an empty line at the end. */
static bool rest_is_empty(const struct parser *p, size_t from)
{
    for (size_t i = from; i < p->text.n; i++) {
        if (p->text.p[i] != '\r' && p->text.p[i] != '\n')
            return false;
    }
    return true;
}

static int count(struct parser *p)
{
    struct sdp_line l;
    size_t words = 0;
    while (next_line(p, &l)) {
        p->cap_lines++;
        if (l.value.n >= 2 && l.value.p[0] == 'm' && l.value.p[1] == '=') {
            struct str rest = l.value, word;
            size_t n = 0;
            while (sdp_word(&rest, &word))
                n++;
            p->cap_media++;
            if (n > LIMIT_SDP_FORMATS + 3u)
                return too_many(p, "too many formats in a m= line");
            words += n;
        }
        if (p->cap_lines > LIMIT_SDP_LINES)
            return too_many(p, "too many lines");
        if (p->cap_media > LIMIT_SDP_MEDIA)
            return too_many(p, "too many m= lines");
    }
    p->cap_fmts = words;
    p->at = 0;
    return 0;
}

static int take_media(struct parser *p, const struct sdp_line *l, int index)
{
    struct sdp *s = p->s;
    struct sdp_media *m = &s->media[s->n_media];
    section_init(&m->s, (size_t)index);
    int err = parse_media(p, l, m);
    if (err)
        return err;
    p->section = s->n_media++;
    return 0;
}

static int take_line(struct parser *p, struct sdp_line *l, int index)
{
    struct sdp *s = p->s;
    if (l->value.n < 2 || l->value.p[1] != '=' || !sdp_is_text(l->value))
        return broken(p, l->start, "a line is not: letter, '=', value");
    l->type = l->value.p[0];
    l->value = str_make(l->value.p + 2, l->value.n - 2);
    if (index == 0 ? l->type != 'v' : l->type == 'v')
        return broken(p, l->start, "v= is not the first line, or not the only one of its kind");
    if (l->type == 'm') {
        int err = take_media(p, l, index);
        if (err)
            return err;
    } else if (strchr(p->section < 0 ? SESSION_TYPES : MEDIA_TYPES, l->type) == NULL) {
        if (strchr(SESSION_TYPES, l->type) != NULL)
            return broken(p, l->start, "a line of the session stands behind m=");
        s->has_unknown = true;
    }
    struct sdp_section *sec = p->section < 0 ? &s->session : &s->media[p->section].s;
    sec->n_lines++;
    switch (l->type) {
    case 'v':
        return str_eq(l->value, STR("0")) ? 0 : broken(p, l->start, "not version 0");
    case 'o':
        return s->origin.username.p ? broken(p, l->start, "more than one o=") : parse_origin(p, l);
    case 's':
        s->name = l->value;
        return 0;
    case 'c':
        return parse_conn(p, sec, l, index);
    case 'a':
        return parse_attr(p, sec, l, index);
    default:
        return 0;
    }
}

static int parse_lines(struct parser *p)
{
    struct sdp *s = p->s;
    section_init(&s->session, 0);
    p->section = SDP_SESSION;
    while (p->at < p->text.n && !rest_is_empty(p, p->at)) {
        struct sdp_line *l = &s->lines[s->n_lines];
        if (!next_line(p, l))
            break;
        if (s->n_lines == 0)
            s->has_crlf = l->end - l->start >= 2 && p->text.p[l->end - 2] == '\r';
        int err = take_line(p, l, s->n_lines);
        if (err)
            return err;
        s->n_lines++;
    }
    if (s->n_lines == 0)
        return broken(p, 0, "it is empty");
    if (s->origin.username.p == NULL)
        return broken(p, 0, "there is no o=");
    turn_lists(s, &s->session);
    for (unsigned i = 0; i < s->n_media; i++)
        turn_lists(s, &s->media[i].s);
    return 0;
}

int sdp_parse(struct arena *a, struct str text, struct sdp **ret, struct reason *why)
{
    struct parser p = {.text = text, .why = why};
    *ret = NULL;
    if (text.n > LIMIT_SDP_BYTES)
        return too_many(&p, "it is too long");
    int err = count(&p);
    if (err)
        return err;
    p.s = arena_zalloc(a, sizeof(*p.s));
    if (p.s != NULL) {
        p.s->arena = a;
        p.s->text = text;
        p.s->lines = arena_zalloc(a, (p.cap_lines ? p.cap_lines : 1) * sizeof(*p.s->lines));
        p.s->media = arena_zalloc(a, (p.cap_media ? p.cap_media : 1) * sizeof(*p.s->media));
        p.fmts = arena_zalloc(a, (p.cap_fmts ? p.cap_fmts : 1) * sizeof(*p.fmts));
    }
    if (p.s == NULL || p.s->lines == NULL || p.s->media == NULL || p.fmts == NULL) {
        reason_set(why, "no-memory", NULL, 500, NULL);
        return ERR_NOMEM;
    }
    err = parse_lines(&p);
    if (err == 0)
        *ret = p.s;
    return err;
}
