/* Pages: see pages.h. One block of memory a set. */
#include "net/pages.h"
#include "base/mem.h"

struct net_pages {
    unsigned refs; /* atomic */
    size_t n;
    struct net_page v[];
};

static bool is_path(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= ' ' || (unsigned char)s.p[i] >= 0x7f || s.p[i] == '?' ||
            s.p[i] == '#')
            return false;
    return s.n && s.p[0] == '/';
}

static bool is_type(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ' || (unsigned char)s.p[i] >= 0x7f)
            return false;
    return s.n > 0;
}

static struct str put(char **at, struct str s)
{
    struct str r = {*at, s.n};
    if (s.n)
        memcpy(*at, s.p, s.n);
    *at += s.n;
    return r;
}

int net_pages_new(const struct net_page *pages, size_t n, struct net_pages **ret)
{
    size_t bytes = 0;
    if (n > NET_PAGES_MAX)
        return ERR_LIMIT;
    for (size_t i = 0; i < n; i++) {
        if (!is_path(pages[i].path) || !is_type(pages[i].type))
            return ERR_INVALID;
        if (pages[i].body.n > NET_PAGE_BYTES || pages[i].path.n + pages[i].type.n > 1024)
            return ERR_LIMIT;
        bytes += pages[i].path.n + pages[i].type.n + pages[i].body.n;
    }
    struct net_pages *p = mem_alloc(sizeof(*p) + n * sizeof(p->v[0]) + bytes);
    if (!p)
        return ERR_NOMEM;
    *p = (struct net_pages){.refs = 1, .n = n};
    char *at = (char *)&p->v[n];
    for (size_t i = 0; i < n; i++)
        p->v[i] = (struct net_page){.path = put(&at, pages[i].path),
                                    .type = put(&at, pages[i].type),
                                    .body = put(&at, pages[i].body),
                                    .max_age_s = pages[i].max_age_s};
    *ret = p;
    return 0;
}

struct net_pages *net_pages_ref(struct net_pages *p)
{
    __atomic_add_fetch(&p->refs, 1, __ATOMIC_RELAXED);
    return p;
}

void net_pages_unref(struct net_pages *p)
{
    if (p && __atomic_sub_fetch(&p->refs, 1, __ATOMIC_ACQ_REL) == 0)
        mem_free(p);
}

const struct net_page *net_pages_find(const struct net_pages *p, struct str target)
{
    struct str path;
    (void)str_cut(target, '?', &path);
    for (size_t i = 0; p && i < p->n; i++)
        if (str_eq(p->v[i].path, path))
            return &p->v[i];
    return NULL;
}
