/* The snapshot as text again, option by option, for `sallyport status config`: what is in force, defaults included. */
#include "base/sbuf.h"
#include "config/rows.h"

#define VALUE_MAX 2048

struct show {
    void (*fn)(void *arg, const struct config_value *v);
    void *arg;
};

static void list_text(struct sbuf *b, const struct config_strs *l)
{
    size_t i;

    for (i = 0; i < l->n; i++) {
        if (b->cap - b->n < l->v[i].n + 8) { /* long lists are cut short, visibly */
            sbuf_lit(b, ", ...");
            return;
        }
        if (i)
            sbuf_lit(b, ", ");
        sbuf_str(b, l->v[i]);
    }
}

static void nets_text(struct sbuf *b, const struct addr_net *v, size_t n)
{
    char text[ADDR_TEXT_MAX];
    size_t i;

    for (i = 0; i < n; i++) {
        if (b->cap - b->n < ADDR_TEXT_MAX + 12) {
            sbuf_lit(b, ", ...");
            return;
        }
        if (i)
            sbuf_lit(b, ", ");
        sbuf_str(b, addr_text_host(&v[i].base, text));
        if (v[i].bits != (addr_is_v6(&v[i].base) ? 128 : 32))
            sbuf_fmt(b, "/%u", v[i].bits);
    }
}

/* The i-th of "a|b|c". */
static struct str choice(const char *choices, int i)
{
    struct str rest = str_z(choices), head = STR_NULL;

    for (; i >= 0 && rest.p; i--)
        rest = str_cut(rest, '|', &head);
    return i < 0 ? head : STR("?");
}

static void value_text(struct sbuf *b, const struct row *r, const char *base)
{
    const void *at = base + r->offset;
    char text[ADDR_TEXT_MAX];

    switch (r->kind) {
    case ROW_TEXT:
    case ROW_FILE:
    case ROW_PATH:
    case ROW_URI:
        sbuf_str(b, *(const struct str *)at);
        break;
    case ROW_LIST:
        list_text(b, at);
        break;
    case ROW_NETS:
        nets_text(b, *(struct addr_net *const *)at, *(const size_t *)(const void *)(base + r->offset + sizeof(void *)));
        break;
    case ROW_BOOL:
        sbuf_str(b, *(const bool *)at ? STR("yes") : STR("no"));
        break;
    case ROW_U32:
        sbuf_u64(b, *(const uint32_t *)at);
        break;
    case ROW_U64:
        sbuf_u64(b, *(const uint64_t *)at);
        break;
    case ROW_ADDR:
        if (addr_is_set(at))
            sbuf_str(b, addr_text(at, text));
        break;
    case ROW_ENUM:
        sbuf_str(b, choice(r->choices, *(const int *)at - (int)r->doc.min));
        break;
    }
}

static void show_section(const struct show *s, enum row_section section, struct str title, const void *base)
{
    char text[VALUE_MAX];
    size_t n, i;
    const struct row *v = rows_of(section, &n);

    for (i = 0; i < n; i++) {
        struct sbuf b = sbuf_make(text, sizeof text);
        struct config_value value = {.row = &v[i].doc, .title = title};

        value_text(&b, &v[i], base);
        value.value = sbuf_get(&b);
        if (str_eq(str_z(v[i].doc.name), STR("password")) && b.n)
            value.value = STR("(set)");
        s->fn(s->arg, &value);
    }
}

void config_each_value(const struct config *c, void (*fn)(void *arg, const struct config_value *v), void *arg)
{
    struct show s = {fn, arg};
    size_t i;

    show_section(&s, SECTION_TOP, STR_NULL, c);
    for (i = 0; i < c->n_listens; i++)
        show_section(&s, SECTION_LISTEN, c->listens[i].title, &c->listens[i]);
    for (i = 0; i < c->n_domains; i++)
        show_section(&s, SECTION_DOMAIN, c->domains[i].name, &c->domains[i]);
    for (i = 0; i < c->n_peers; i++)
        show_section(&s, SECTION_PEER, c->peers[i].name, &c->peers[i]);
    for (i = 0; i < c->n_identities; i++)
        show_section(&s, SECTION_IDENTITY, c->identities[i].name, &c->identities[i]);
    show_section(&s, SECTION_EMERGENCY, STR_NULL, c);
    show_section(&s, SECTION_HEP, STR_NULL, c);
    show_section(&s, SECTION_MEDIA, STR_NULL, c);
}
