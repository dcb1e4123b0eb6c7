/* From the file to the snapshot: libconfuse reads the syntax, each value is checked by its row as it is met (so that its line is
 * known), then check.c looks at the whole. A problem is one line `file:line: what is wrong; what would be right`; all of them are
 * reported, not only the first. Main thread. */
#include "config/load.h"
#include "base/mem.h"
#include <confuse.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CONFIG_ARENA (64u << 20)

/* libconfuse's callbacks carry no argument of ours: the load under way (one at a time, main thread). */
static struct load *current;

/* ---- problems ---- */

void load_problem(struct load *l, unsigned line, const char *fmt, ...)
{
    char text[1024];
    struct sbuf b = sbuf_make(text, sizeof text - 1);
    char what[800];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    l->n_problems++;
    if (l->n_problems > 100)
        return;
    if (line)
        sbuf_fmt(&b, "%s:%u: %s", l->file, line, what);
    else
        sbuf_fmt(&b, "%s: %s", l->file, what);
    if (l->problem)
        l->problem(l->problem_arg, sbuf_get(&b));
}

/* How many letters must be added, dropped or changed; for names of at most 40 letters. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[41], i, k;
    size_t na = strlen(a), nb = strlen(b);

    if (na > 40 || nb > 40)
        return 99;
    for (k = 0; k <= nb; k++)
        row[k] = k;
    for (i = 1; i <= na; i++) {
        unsigned diag = row[0];

        row[0] = i;
        for (k = 1; k <= nb; k++) {
            unsigned up = row[k], best = diag + (a[i - 1] != b[k - 1]);

            if (up + 1 < best)
                best = up + 1;
            if (row[k - 1] + 1 < best)
                best = row[k - 1] + 1;
            diag = up;
            row[k] = best;
        }
    }
    return row[nb];
}

static const char *nearest(const char *section, const char *name)
{
    const char *best = NULL;
    unsigned least = 4, s;
    size_t n, i;

    for (s = 0; s < SECTION_N; s++) {
        const struct row *v = rows_of((enum row_section)s, &n);

        if (strcmp(section, row_sections[s]) != 0)
            continue;
        for (i = 0; i < n; i++)
            if (distance(name, v[i].doc.name) < least) {
                least = distance(name, v[i].doc.name);
                best = v[i].doc.name;
            }
    }
    for (s = 1; s < SECTION_N && !*section; s++)
        if (distance(name, row_sections[s]) < least) {
            least = distance(name, row_sections[s]);
            best = row_sections[s];
        }
    return best;
}

static void PRINTF_LIKE(2, 0) on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
    char text[512];
    const char *section = cfg && cfg->name && strcmp(cfg->name, "root") != 0 ? cfg->name : "", *near;
    unsigned line = cfg && cfg->line > 0 ? (unsigned)cfg->line : 0;
    size_t n;

    if (strstr(fmt, "no such option")) {
        const char *name = va_arg(ap, const char *);

        near = nearest(section, name);
        if (near)
            load_problem(current, line, "there is no option '%s' %s%s; did you mean '%s'?", name,
                         *section ? "in section " : "here", section, near);
        else
            load_problem(current, line, "there is no option '%s' %s%s; `sallyport check --sample` lists them all", name,
                         *section ? "in section " : "here", section);
        return;
    }
    if (strstr(fmt, "duplicate title")) {
        load_problem(current, line, "the section \"%s\" is there twice; remove one", va_arg(ap, const char *));
        return;
    }
    vsnprintf(text, sizeof text, fmt, ap);
    for (n = strlen(text); n && text[n - 1] == '\n';)
        text[--n] = 0;
    if (current->value_problem)
        current->value_problem = false; /* already said better by the row's check */
    else
        load_problem(current, line, "%s; check quotes, braces and '='", text);
}

/* ---- values ---- */

static bool value_ok(struct load *l, unsigned line, const struct row *row, const char *v);

static void mark(struct load *l, const cfg_t *cfg, const char *name, unsigned line)
{
    if (l->n_marks < ARRAY_LEN(l->marks))
        l->marks[l->n_marks++] = (struct load_mark){cfg, name, line};
}

unsigned load_line(const struct load *l, const void *section, const char *name)
{
    size_t i;

    for (i = l->n_marks; i-- > 0;)
        if (l->marks[i].section == section && (!name || strcmp(l->marks[i].name, name) == 0))
            return l->marks[i].line;
    return 0;
}

static const struct row *row_find(const char *section, const char *name)
{
    unsigned s;
    size_t n, i;

    for (s = 0; s < SECTION_N; s++) {
        const struct row *v = rows_of((enum row_section)s, &n);

        if (strcmp(section, row_sections[s]) != 0)
            continue;
        for (i = 0; i < n; i++)
            if (strcmp(v[i].doc.name, name) == 0)
                return &v[i];
    }
    return NULL;
}

/* Called for each value as it is read: the only moment at which libconfuse knows the line. */
static int on_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
    const char *section = strcmp(cfg->name, "root") != 0 ? cfg->name : "";
    const struct row *row = row_find(section, opt->name);
    unsigned line = (unsigned)cfg->line, before = load_line(current, cfg, opt->name);

    if (before && row && row->kind != ROW_LIST && row->kind != ROW_NETS) /* those come here once a value */
        load_problem(current, line, "%s is set twice here, in line %u first; remove one", opt->name, before);
    mark(current, cfg, opt->name, line);
    if (row && !value_ok(current, line, row, value))
        current->value_problem = false; /* reported; go on reading so that all problems are seen */
    *(const char **)result = value;
    return 0;
}

static bool read_bool(const char *v, bool *ret)
{
    *ret = strcmp(v, "yes") == 0 || strcmp(v, "true") == 0 || strcmp(v, "on") == 0;
    return *ret || strcmp(v, "no") == 0 || strcmp(v, "false") == 0 || strcmp(v, "off") == 0;
}

static int read_enum(const char *choices, const char *v)
{
    struct str rest = str_z(choices), one;
    int i = 0;

    while (rest.p) {
        rest = str_cut(rest, '|', &one);
        if (str_eq(one, str_z(v)))
            return i;
        i++;
    }
    return -1;
}

static bool value_ok(struct load *l, unsigned line, const struct row *row, const char *v)
{
    const char *name = row->doc.name;
    struct addr_net net;
    struct addr a;
    uint64_t u;
    bool b;

    switch (row->kind) {
    case ROW_BOOL:
        if (read_bool(v, &b))
            return true;
        load_problem(l, line, "%s = %s: neither yes nor no", name, v);
        return false;
    case ROW_U32:
    case ROW_U64:
        if (str_to_u64(str_z(v), (uint64_t)row->doc.max, &u) == 0 && u >= (uint64_t)row->doc.min)
            return true;
        load_problem(l, line, "%s = %s: not a number from %ld to %ld%s%s", name, v, row->doc.min, row->doc.max,
                     row->doc.unit ? " " : "", row->doc.unit ? row->doc.unit : "");
        return false;
    case ROW_ENUM:
        if (read_enum(row->choices, v) >= 0)
            return true;
        load_problem(l, line, "%s = %s: must be one of %s", name, v, row->choices);
        return false;
    case ROW_ADDR:
        if (addr_parse_hostport(&a, str_z(v)) == 0)
            return true;
        load_problem(l, line, "%s = %s: must be address:port, as 127.0.0.1:9090 or [::1]:9090", name, v);
        return false;
    case ROW_NETS:
        if (addr_net_parse(&net, str_z(v)) == 0)
            return true;
        load_problem(l, line, "%s = %s: must be an address or a network, as 192.0.2.1 or 192.0.2.0/24", name, v);
        return false;
    case ROW_URI:
        if (str_starts_nocase(str_z(v), STR("sip:")) || str_starts_nocase(str_z(v), STR("sips:")))
            return true;
        load_problem(l, line, "%s = %s: must be a sip or sips URI, as sip:192.0.2.1:5060;transport=tcp", name, v);
        return false;
    case ROW_FILE:
    case ROW_PATH:
    case ROW_TEXT:
    case ROW_LIST:
        if (!*v) {
            load_problem(l, line, "%s has an empty value; give it one, or leave it out", name);
            return false;
        }
        if (strlen(v) > 1024) {
            load_problem(l, line, "%s: longer than 1024 bytes", name);
            return false;
        }
        for (; *v; v++)
            if ((unsigned char)*v < ' ' || *v == 0x7f) { /* it would end a header line somewhere */
                load_problem(l, line, "%s has a control character; take it out", name);
                return false;
            }
        return true;
    }
    return true;
}

/* ---- filling ---- */

static struct str keep(struct load *l, const char *v)
{
    struct str s = arena_str(l->c->arena, str_z(v));

    if (!s.p)
        l->no_memory = true;
    return s;
}

static struct str keep_path(struct load *l, const char *v)
{
    struct str s;

    if (!*v || *v == '/' || str_starts_nocase(str_z(v), STR("pkcs11:")))
        return keep(l, v);
    s = arena_fmt(l->c->arena, "%s/%s", l->folder, v);
    if (!s.p)
        l->no_memory = true;
    return s;
}

static void fill_list(struct load *l, cfg_t *sec, const struct row *row, char *base)
{
    struct config_strs *list = (void *)(base + row->offset);
    unsigned n = cfg_size(sec, row->doc.name), i;
    struct str *v = arena_alloc(l->c->arena, (n ? n : 1) * sizeof *v);

    if (!v) {
        l->no_memory = true;
        return;
    }
    for (i = 0; i < n; i++)
        v[i] = keep(l, cfg_getnstr(sec, row->doc.name, i));
    list->v = v;
    list->n = n;
}

static void fill_nets(struct load *l, cfg_t *sec, const struct row *row, char *base)
{
    struct addr_net **list = (void *)(base + row->offset);
    size_t *count = (void *)(base + row->offset + sizeof *list);
    unsigned n = cfg_size(sec, row->doc.name), i;

    *list = arena_alloc(l->c->arena, (n ? n : 1) * sizeof **list);
    if (!*list) {
        l->no_memory = true;
        return;
    }
    *count = 0;
    for (i = 0; i < n; i++)
        if (addr_net_parse(&(*list)[*count], str_z(cfg_getnstr(sec, row->doc.name, i))) == 0)
            (*count)++;
}

static void fill(struct load *l, cfg_t *sec, const struct row *row, char *base)
{
    void *at = base + row->offset;
    const char *v;
    uint64_t u = 0;
    int e;

    if (row->kind == ROW_LIST) {
        fill_list(l, sec, row, base);
        return;
    }
    if (row->kind == ROW_NETS) {
        fill_nets(l, sec, row, base);
        return;
    }
    v = cfg_getstr(sec, row->doc.name);
    if (!v)
        v = "";
    switch (row->kind) {
    case ROW_TEXT:
    case ROW_URI:
        *(struct str *)at = keep(l, v);
        break;
    case ROW_FILE:
    case ROW_PATH:
        *(struct str *)at = keep_path(l, v);
        break;
    case ROW_BOOL:
        (void)read_bool(v, at);
        break;
    case ROW_U32:
        if (str_to_u64(str_z(v), UINT32_MAX, &u) == 0)
            *(uint32_t *)at = (uint32_t)u;
        break;
    case ROW_U64:
        if (str_to_u64(str_z(v), UINT64_MAX, &u) == 0)
            *(uint64_t *)at = u;
        break;
    case ROW_ADDR:
        if (*v)
            (void)!addr_parse_hostport(at, str_z(v));
        break;
    case ROW_ENUM:
        e = read_enum(row->choices, v);
        *(int *)at = (e < 0 ? 0 : e) + (int)row->doc.min;
        break;
    case ROW_LIST:
    case ROW_NETS:
        break;
    }
}

/* Every weakening that is in force is kept by name, for the log, `sallyport status` and the console. */
static void note_allow(struct load *l, cfg_t *sec, const struct row *row, const char *base, const char *where)
{
    struct config_allow *a;
    bool on;

    if (row->kind == ROW_ENUM)
        on = row_is_weak(row, *(const int *)(const void *)(base + row->offset));
    else if (strncmp(row->doc.name, "allow-", 6) != 0)
        return;
    else if (row->kind == ROW_BOOL)
        on = *(const bool *)(base + row->offset);
    else
        on = cfg_size(sec, row->doc.name) > 0;
    if (!on || l->c->n_allow >= l->cap_allow)
        return;
    a = &l->c->allow[l->c->n_allow++];
    a->where = keep(l, where);
    a->option = row->kind == ROW_ENUM ? arena_fmt(l->c->arena, "%s = %s", row->doc.name, cfg_getstr(sec, row->doc.name))
                                      : keep(l, row->doc.name);
    a->line = load_line(l, sec, row->doc.name);
}

static void fill_section(struct load *l, cfg_t *sec, enum row_section s, void *base, const char *where)
{
    size_t n, i;
    const struct row *v = rows_of(s, &n);

    for (i = 0; i < n; i++) {
        fill(l, sec, &v[i], base);
        note_allow(l, sec, &v[i], base, where);
    }
}

static const char *where_text(struct load *l, const char *section, const char *title)
{
    struct str s = arena_fmt(l->c->arena, "%s %s", section, title);

    return s.p ? s.p : section;
}

/* `listen "tls:192.0.2.1:5061"`. */
static void fill_listen(struct load *l, cfg_t *sec, struct config_listen *c)
{
    const char *title = cfg_title(sec);
    struct str rest, head;

    c->title = keep(l, title);
    rest = str_cut(str_z(title), ':', &head);
    if (transport_parse(&c->transport, head) != 0) {
        load_problem(l, load_line(l, sec, NULL) ? load_line(l, sec, NULL) : (unsigned)sec->line,
                     "listen \"%s\": no transport of ours; must be udp, tcp, tls, ws or wss, as \"tls:0.0.0.0:5061\"%s", title,
                     str_eq_nocase(head, STR("dtls")) ? " (SIP over DTLS is out of scope)" : "");
        return;
    }
    if (addr_parse_hostport(&c->addr, rest) != 0)
        load_problem(l, (unsigned)sec->line, "listen \"%s\": must be transport:address:port, as \"tls:0.0.0.0:5061\"", title);
}

static void *elements(struct load *l, cfg_t *root, const char *name, size_t size, size_t *ret_n)
{
    unsigned n = cfg_size(root, name);
    void *v = arena_zalloc(l->c->arena, (n ? n : 1) * size);

    *ret_n = v ? n : 0;
    if (!v)
        l->no_memory = true;
    return v;
}

static void fill_all(struct load *l, cfg_t *root)
{
    struct config *c = l->c;
    size_t i;

    l->cap_allow = 1024;
    c->allow = arena_alloc(c->arena, l->cap_allow * sizeof *c->allow);
    c->listens = elements(l, root, "listen", sizeof *c->listens, &c->n_listens);
    c->domains = elements(l, root, "domain", sizeof *c->domains, &c->n_domains);
    c->peers = elements(l, root, "peer", sizeof *c->peers, &c->n_peers);
    c->identities = elements(l, root, "identity", sizeof *c->identities, &c->n_identities);
    if (!c->allow || l->no_memory)
        return;
    fill_section(l, root, SECTION_TOP, c, "top");
    for (i = 0; i < c->n_listens; i++) {
        cfg_t *sec = cfg_getnsec(root, "listen", (unsigned)i);

        fill_listen(l, sec, &c->listens[i]);
        fill_section(l, sec, SECTION_LISTEN, &c->listens[i], where_text(l, "listen", cfg_title(sec)));
    }
    for (i = 0; i < c->n_domains; i++) {
        cfg_t *sec = cfg_getnsec(root, "domain", (unsigned)i);
        char *p;

        c->domains[i].name = keep(l, cfg_title(sec));
        for (p = l->no_memory ? NULL : arena_alloc(c->arena, c->domains[i].name.n + 1); p;) {
            size_t k;

            for (k = 0; k <= c->domains[i].name.n; k++)
                p[k] = str_lower(c->domains[i].name.p[k]);
            c->domains[i].name.p = p;
            break;
        }
        fill_section(l, sec, SECTION_DOMAIN, &c->domains[i], where_text(l, "domain", cfg_title(sec)));
        if (!c->domains[i].realm.n)
            c->domains[i].realm = c->domains[i].name;
    }
    for (i = 0; i < c->n_peers; i++) {
        cfg_t *sec = cfg_getnsec(root, "peer", (unsigned)i);

        c->peers[i].name = keep(l, cfg_title(sec));
        fill_section(l, sec, SECTION_PEER, &c->peers[i], where_text(l, "peer", cfg_title(sec)));
    }
    for (i = 0; i < c->n_identities; i++) {
        cfg_t *sec = cfg_getnsec(root, "identity", (unsigned)i);

        c->identities[i].name = keep(l, cfg_title(sec));
        fill_section(l, sec, SECTION_IDENTITY, &c->identities[i], where_text(l, "identity", cfg_title(sec)));
    }
    fill_section(l, cfg_getsec(root, "emergency"), SECTION_EMERGENCY, c, "emergency");
    fill_section(l, cfg_getsec(root, "hep"), SECTION_HEP, c, "hep");
    fill_section(l, cfg_getsec(root, "media"), SECTION_MEDIA, c, "media");
    c->has_metrics = addr_is_set(&c->metrics);
    if (!cfg_size(root, "store") || !c->store_file.n)
        c->store_file = arena_fmt(c->arena, "%s/sallyport.db", c->state_dir.p);
    if (!c->control_socket.n)
        c->control_socket = arena_fmt(c->arena, "%s/control", c->state_dir.p);
    if (!c->store_file.p || !c->control_socket.p)
        l->no_memory = true;
}

/* ---- libconfuse's own tables, made from the rows ---- */

static const char *default_of(const struct row *row)
{
    static const char *const computed[] = {"the domain", "its domains", "state-dir/sallyport.db", "state-dir/control"};
    size_t i;

    for (i = 0; i < ARRAY_LEN(computed); i++)
        if (strcmp(row->doc.def, computed[i]) == 0)
            return "";
    return row->doc.def;
}

#define OPTS_MAX 128u /* rows of one section */

static size_t make_opts(enum row_section s, cfg_opt_t *o)
{
    size_t n, i;
    const struct row *v = rows_of(s, &n);

    if (n > OPTS_MAX)
        abort(); /* more room is needed */
    for (i = 0; i < n; i++) {
        if (v[i].kind == ROW_LIST || v[i].kind == ROW_NETS)
            o[i] = (cfg_opt_t)CFG_STR_LIST_CB(v[i].doc.name, 0, CFGF_NONE, on_value);
        else
            o[i] = (cfg_opt_t)CFG_STR_CB(v[i].doc.name, 0, CFGF_NODEFAULT, on_value);
    }
    return n;
}

/* Defaults are put in after reading: what libconfuse sets itself would go through on_value without a line. */
static void set_defaults(cfg_t *sec, enum row_section s)
{
    size_t n, i;
    const struct row *v = rows_of(s, &n);

    for (i = 0; i < n; i++)
        if (v[i].kind != ROW_LIST && v[i].kind != ROW_NETS && cfg_size(sec, v[i].doc.name) == 0 && *default_of(&v[i]))
            cfg_setstr(sec, v[i].doc.name, default_of(&v[i]));
}

static void set_all_defaults(cfg_t *root)
{
    static const enum row_section multi[] = {SECTION_LISTEN, SECTION_DOMAIN, SECTION_PEER, SECTION_IDENTITY};
    size_t m;
    unsigned i;

    set_defaults(root, SECTION_TOP);
    set_defaults(cfg_getsec(root, "emergency"), SECTION_EMERGENCY);
    set_defaults(cfg_getsec(root, "hep"), SECTION_HEP);
    set_defaults(cfg_getsec(root, "media"), SECTION_MEDIA);
    for (m = 0; m < ARRAY_LEN(multi); m++)
        for (i = 0; i < cfg_size(root, row_sections[multi[m]]); i++)
            set_defaults(cfg_getnsec(root, row_sections[multi[m]], i), multi[m]);
}

static cfg_t *make_parser(void)
{
    static cfg_opt_t opts[SECTION_N][OPTS_MAX + SECTION_N + 1];
    static const cfg_opt_t end = CFG_END();
    size_t n;
    unsigned s;
    cfg_t *cfg;

    for (s = 1; s < SECTION_N; s++) {
        n = make_opts((enum row_section)s, opts[s]);
        opts[s][n] = end;
    }
    n = make_opts(SECTION_TOP, opts[0]);
    for (s = 1; s < SECTION_N; s++)
        opts[0][n++] = (cfg_opt_t)CFG_SEC(row_sections[s], opts[s],
                                          s <= SECTION_IDENTITY ? CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES : CFGF_NONE);
    opts[0][n] = end;
    cfg = cfg_init(opts[0], CFGF_NONE);
    if (cfg)
        cfg_set_error_function(cfg, on_error);
    return cfg;
}

/* libconfuse takes the end of the file for the end of every open section: what is left open is found here. */
static unsigned open_brace_line(const char *t)
{
    unsigned line = 1, lines[8], depth = 0;

    for (; *t; t++) {
        if (*t == '\n') {
            line++;
        } else if (*t == '#' || (t[0] == '/' && t[1] == '/')) {
            while (t[1] && t[1] != '\n')
                t++;
        } else if (t[0] == '/' && t[1] == '*') {
            for (t += 2; t[0] && !(t[0] == '*' && t[1] == '/'); t++)
                line += *t == '\n';
            if (!*t)
                return line;
            t++;
        } else if (*t == '"' || *t == '\'') {
            char q = *t;

            for (t++; *t && *t != q; t++) {
                if (*t == '\\' && t[1])
                    t++;
                line += *t == '\n';
            }
            if (!*t)
                return line;
        } else if (*t == '{') {
            if (depth < ARRAY_LEN(lines))
                lines[depth] = line;
            depth++;
        } else if (*t == '}' && depth) {
            depth--;
        }
    }
    return depth ? lines[depth <= ARRAY_LEN(lines) ? depth - 1 : 0] : 0;
}

static int load_run(struct load *l, cfg_t *cfg, const char *text)
{
    unsigned line = open_brace_line(text);
    int rc;

    if (line) {
        load_problem(l, line, "what is opened here is never closed; check quotes and braces");
        return ERR_INVALID;
    }
    current = l;
    rc = cfg_parse_buf(cfg, text);
    if (rc != CFG_SUCCESS && !l->n_problems)
        load_problem(l, (unsigned)cfg->line, "cannot be understood; check quotes, braces and '='");
    if (rc == CFG_SUCCESS) {
        set_all_defaults(cfg);
        fill_all(l, cfg);
        if (l->no_memory)
            load_problem(l, 0, "out of memory");
        else
            check_all(l, cfg);
    }
    current = NULL;
    return l->n_problems ? ERR_INVALID : 0;
}

/* Whatever can be understood, checked or not. */
static int load_run_anyhow(struct load *l, cfg_t *cfg, const char *text)
{
    current = l;
    (void)cfg_parse_buf(cfg, text);
    set_all_defaults(cfg);
    fill_all(l, cfg);
    current = NULL;
    return l->no_memory ? ERR_NOMEM : 0;
}

/* The whole file, terminated; NULL with the problem said. */
static char *read_file(struct load *l, const char *file)
{
    FILE *f = fopen(file, "re");
    char *text = f ? mem_alloc(LIMIT_CONFIG_BYTES + 1) : NULL;
    size_t n;

    if (!f) {
        load_problem(l, 0, "cannot be read: %s", strerror(errno));
        return NULL;
    }
    if (text) {
        n = fread(text, 1, LIMIT_CONFIG_BYTES + 1, f);
        if (ferror(f) || n > LIMIT_CONFIG_BYTES || memchr(text, 0, n)) {
            load_problem(l, 0, n > LIMIT_CONFIG_BYTES ? "is too large" : "is not a text file");
            mem_free(text);
            text = NULL;
        } else {
            text[n] = 0;
        }
    }
    fclose(f);
    return text;
}

static int load_any(const char *file, const char *text, bool anyhow, void (*become)(const struct config *), void (*problem)(void *, struct str),
                    void *arg, struct config **ret)
{
    struct load *l = mem_zalloc(sizeof *l);
    char full[PATH_MAX];
    char *slash, *read = NULL;
    cfg_t *cfg = NULL;
    int err = ERR_NOMEM;

    *ret = NULL;
    if (!l)
        return ERR_NOMEM;
    l->problem = problem;
    l->problem_arg = arg;
    l->become = become;
    l->file = file ? file : "(text)";
    l->files = !text && !anyhow;
    if (!file || !realpath(file, full))
        snprintf(full, sizeof full, "./x");
    slash = strrchr(full, '/');
    *slash = 0;
    l->folder = *full ? full : "";
    l->c = mem_zalloc(sizeof *l->c);
    if (l->c) {
        l->c->refs = 1;
        l->c->arena = arena_new(16384, CONFIG_ARENA);
    }
    cfg = make_parser();
    if (!l->c || !l->c->arena || !cfg)
        goto out;
    l->c->file = keep(l, file ? file : "");
    if (!text) {
        text = read = read_file(l, file);
        if (!text) {
            err = ERR_IO;
            goto out;
        }
    }
    err = anyhow ? load_run_anyhow(l, cfg, text) : load_run(l, cfg, text);
    if (err == 0) {
        *ret = l->c;
        l->c = NULL;
    }
out:
    if (cfg)
        cfg_free(cfg);
    config_unref(l->c);
    mem_free(l);
    mem_free(read);
    return err;
}

int config_load(const char *file, void (*problem)(void *arg, struct str line), void *arg, struct config **ret)
{
    return load_any(file, NULL, false, NULL, problem, arg, ret);
}

int config_check(const char *file, void (*become)(const struct config *c), void (*problem)(void *arg, struct str line), void *arg,
                 struct config **ret)
{
    return load_any(file, NULL, false, become, problem, arg, ret);
}

static void nobody_listens(void *arg, struct str line)
{
    (void)arg;
    (void)line;
}

int config_load_places(const char *file, struct config **ret)
{
    return load_any(file, NULL, true, NULL, nobody_listens, NULL, ret);
}

int config_parse(struct str text, void (*problem)(void *arg, struct str line), void *arg, struct config **ret)
{
    char *z;
    int err;

    if (text.n > LIMIT_CONFIG_BYTES || memchr(text.p, 0, text.n))
        return ERR_SYNTAX;
    z = mem_alloc(text.n + 1);
    if (!z)
        return ERR_NOMEM;
    memcpy(z, text.p, text.n);
    z[text.n] = 0;
    err = load_any(NULL, z, false, NULL, problem, arg, ret);
    mem_free(z);
    return err;
}
