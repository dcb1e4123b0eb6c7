/* See dns_script.h. Allocations that fail end the program: this is a test's helper. */
#include "dns_script.h"
#include "base/err.h"
#include <stdio.h>
#include <stdlib.h>

#define RULES_MAX 256
#define ASKED_MAX 8192

struct rule {
    char name[DNS_NAME_TEXT_MAX];
    enum dns_type type;
    enum dns_status status;
    uint64_t delay_ms;
    bool has_delay;
    struct str rdata[LIMIT_DNS_RECORDS * 2];
    size_t n;
};

/* Waiting for the wheel; freed when the answer was given or the question was cancelled. */
struct pending {
    struct list node;
    struct wheel_timer timer;
    struct list waiters; /* the one query */
    struct dns_answer answer;
    struct dns_script *script;
};

struct dns_script {
    struct dns base;
    struct wheel *wheel;
    struct rule rules[RULES_MAX];
    size_t n;
    uint64_t delay_ms;
    struct list pending;
    char asked[ASKED_MAX];
};

static void *need(void *p)
{
    if (!p)
        abort();
    return p;
}

static struct rule *rule_find(struct dns_script *s, const char *name, enum dns_type type)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->rules[i].type == type && str_eq_nocase(str_z(s->rules[i].name), str_z(name)))
            return &s->rules[i];
    return NULL;
}

static struct rule *rule_get(struct dns_script *s, const char *name, enum dns_type type)
{
    struct rule *r = rule_find(s, name, type);
    if (r)
        return r;
    if (s->n == RULES_MAX)
        abort();
    r = &s->rules[s->n++];
    snprintf(r->name, sizeof(r->name), "%s", name);
    r->type = type;
    r->status = DNS_NODATA;
    return r;
}

void dns_script_raw(struct dns_script *s, const char *name, enum dns_type type, const void *rdata,
                    size_t n)
{
    struct rule *r = rule_get(s, name, type);
    char *p = need(malloc(n ? n : 1));
    memcpy(p, rdata, n);
    if (r->n == ARRAY_LEN(r->rdata))
        abort();
    r->rdata[r->n++] = str_make(p, n);
    r->status = DNS_OK;
}

void dns_script_a(struct dns_script *s, const char *name, const char *address)
{
    struct addr a;
    if (addr_parse(&a, str_z(address), 0) != 0)
        abort();
    if (addr_is_v6(&a))
        dns_script_raw(s, name, DNS_AAAA, &a.v6.sin6_addr, 16);
    else
        dns_script_raw(s, name, DNS_A, &a.v4.sin_addr, 4);
}

static void put_u16(char **p, unsigned v)
{
    *(*p)++ = (char)(v >> 8);
    *(*p)++ = (char)v;
}

static void put_string(char **p, const char *s)
{
    size_t n = strlen(s);
    *(*p)++ = (char)n;
    memcpy(*p, s, n);
    *p += n;
}

static void put_name(char **p, const char *name)
{
    struct str rest = str_z(name), label;
    while (rest.n) {
        rest = str_cut(rest, '.', &label);
        if (label.n) {
            *(*p)++ = (char)label.n;
            memcpy(*p, label.p, label.n);
            *p += label.n;
        }
    }
    *(*p)++ = 0;
}

void dns_script_srv(struct dns_script *s, const char *name, unsigned priority, unsigned weight,
                    unsigned port, const char *target)
{
    char rdata[512], *p = rdata;
    put_u16(&p, priority);
    put_u16(&p, weight);
    put_u16(&p, port);
    put_name(&p, target);
    dns_script_raw(s, name, DNS_SRV, rdata, (size_t)(p - rdata));
}

void dns_script_naptr(struct dns_script *s, const char *name, unsigned order, unsigned preference,
                      const char *flags, const char *services, const char *regexp,
                      const char *replacement)
{
    char rdata[1200], *p = rdata;
    put_u16(&p, order);
    put_u16(&p, preference);
    put_string(&p, flags);
    put_string(&p, services);
    put_string(&p, regexp);
    put_name(&p, replacement);
    dns_script_raw(s, name, DNS_NAPTR, rdata, (size_t)(p - rdata));
}

void dns_script_status(struct dns_script *s, const char *name, enum dns_type type,
                       enum dns_status status)
{
    rule_get(s, name, type)->status = status;
}

void dns_script_delay(struct dns_script *s, const char *name, enum dns_type type, uint64_t ms)
{
    struct rule *r = rule_get(s, name, type);
    r->has_delay = true;
    r->delay_ms = ms;
}

void dns_script_delay_all(struct dns_script *s, uint64_t ms)
{
    s->delay_ms = ms;
}

static bool has_name(const struct dns_script *s, const char *name)
{
    for (size_t i = 0; i < s->n; i++)
        if (str_eq_nocase(str_z(s->rules[i].name), str_z(name)) && s->rules[i].n)
            return true;
    return false;
}

static void on_due(struct wheel_timer *t)
{
    struct pending *p = CONTAINER_OF(t, struct pending, timer);
    list_remove(&p->node);
    if (!list_is_empty(&p->waiters)) {
        struct dns_query *q = CONTAINER_OF(p->waiters.next, struct dns_query, node);
        list_remove(&q->node);
        q->fn(q->arg, &p->answer);
    }
    free(p);
}

static const char *type_text(enum dns_type type)
{
    switch (type) {
    case DNS_A:
        return "A";
    case DNS_AAAA:
        return "AAAA";
    case DNS_SRV:
        return "SRV";
    default:
        return "NAPTR";
    }
}

static int ask(struct dns *d, struct str name, enum dns_type type, struct dns_query *q,
               const struct dns_answer **ret_now)
{
    struct dns_script *s = CONTAINER_OF(d, struct dns_script, base);
    static struct dns_answer now;
    char z[DNS_NAME_TEXT_MAX];
    *ret_now = NULL;
    if (!dns_name_is_valid(name) || str_copy_z(z, sizeof(z), name) != 0)
        return ERR_SYNTAX;
    size_t used = strlen(s->asked);
    snprintf(s->asked + used, sizeof(s->asked) - used, "%s%s %s", used ? ", " : "", type_text(type),
             z);
    const struct rule *r = rule_find(s, z, type);
    now = (struct dns_answer){.status = has_name(s, z) ? DNS_NODATA : DNS_NXDOMAIN};
    if (r && (r->n || r->status != DNS_NODATA || has_name(s, z)))
        now = (struct dns_answer){.status = r->status, .n = r->n, .rdata = r->rdata};
    if (now.n > LIMIT_DNS_RECORDS)
        now.n = LIMIT_DNS_RECORDS;
    uint64_t delay = r && r->has_delay ? r->delay_ms : s->delay_ms;
    if (delay == 0) {
        *ret_now = &now;
        return 0;
    }
    struct pending *p = need(calloc(1, sizeof(*p)));
    p->script = s;
    p->answer = now;
    list_init(&p->waiters);
    list_append(&p->waiters, &q->node);
    list_init(&p->node);
    list_append(&s->pending, &p->node);
    wheel_timer_init(&p->timer, on_due);
    if (delay != DNS_NEVER)
        wheel_start(s->wheel, &p->timer, delay);
    return 0;
}

const char *dns_script_asked(const struct dns_script *s)
{
    return s->asked;
}

size_t dns_script_waiting(const struct dns_script *s)
{
    size_t n = 0;
    LIST_EACH(p, &s->pending, struct pending, node)
    n += !list_is_empty(&p->waiters);
    return n;
}

static void script_free(struct dns *d)
{
    dns_script_free(CONTAINER_OF(d, struct dns_script, base));
}

struct dns_script *dns_script_new(struct wheel *wheel)
{
    static const struct dns_ops ops = {ask, script_free};
    struct dns_script *s = need(calloc(1, sizeof(*s)));
    s->base.ops = &ops;
    s->wheel = wheel;
    list_init(&s->pending);
    return s;
}

struct dns *dns_script_dns(struct dns_script *s)
{
    return &s->base;
}

void dns_script_free(struct dns_script *s)
{
    while (!list_is_empty(&s->pending)) {
        struct pending *p = CONTAINER_OF(s->pending.next, struct pending, node);
        list_remove(&p->node);
        list_remove(&p->waiters);
        wheel_cancel(s->wheel, &p->timer);
        free(p);
    }
    for (size_t i = 0; i < s->n; i++)
        for (size_t k = 0; k < s->rules[i].n; k++)
            free((void *)(uintptr_t)s->rules[i].rdata[k].p);
    free(s);
}
