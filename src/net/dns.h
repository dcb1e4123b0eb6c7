/* Questions to the DNS that never block: a small interface with one real implementation (dns.c:
 * libunbound in a thread of its own, a bounded cache in front of it) and scripted ones in tests and
 * in the scenario player. Also the RDATA of the two record types that RFC 3263 rests on
 * (dns_rdata.c, pure).
 *
 * Owned by one worker; everything is called on its thread. */
#ifndef NET_DNS_H
#define NET_DNS_H

#include "base/addr.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/reason.h"
#include "base/wheel.h"

enum dns_type { DNS_A = 1, DNS_AAAA = 28, DNS_SRV = 33, DNS_NAPTR = 35 };

enum dns_status {
    DNS_OK,       /* n > 0 */
    DNS_NODATA,   /* the name exists, without records of this type */
    DNS_NXDOMAIN, /* the name does not exist */
    DNS_SERVFAIL, /* no server could tell */
    DNS_BOGUS, /* DNSSEC (RFC 4035 4.3): the answer was tampered with or its signatures do not hold
                */
};

struct dns_answer {
    enum dns_status status;
    bool secure;             /* validated by DNSSEC */
    size_t n;                /* at most LIMIT_DNS_RECORDS */
    const struct str *rdata; /* RDATA as on the wire, names in it uncompressed */
};

typedef void (*dns_fn)(void *arg, const struct dns_answer *answer);

struct dns;
/* A question under way, embedded in who asks; the answer comes to `fn` unless it is cancelled
 * before. */
struct dns_query {
    struct list node; /* the implementation's */
    dns_fn fn;
    void *arg;
};

struct dns_ops {
    int (*ask)(struct dns *d, struct str name, enum dns_type type, struct dns_query *q,
               const struct dns_answer **ret_now);
    void (*free)(struct dns *d);
};
struct dns {
    const struct dns_ops *ops;
};

/* Asks for the records of an absolute name (with or without final dot, letters, digits, '-', '_'
 * only). If the answer is known already *ret_now is it, valid until the next call here, and fn is
 * not called; else *ret_now is NULL and fn is called later, never from inside. ERR_SYNTAX: no such
 * name can exist; ERR_LIMIT: too many are waiting; ERR_NOMEM; ERR_IO. On failure nothing is under
 * way. */
MUST_USE static inline int dns_ask(struct dns *d, struct str name, enum dns_type type,
                                   struct dns_query *q, const struct dns_answer **ret_now)
{
    return d->ops->ask(d, name, type, q, ret_now);
}
static inline void dns_query_init(struct dns_query *q, dns_fn fn, void *arg)
{
    list_init(&q->node);
    q->fn = fn;
    q->arg = arg;
}
static inline bool dns_is_waiting(const struct dns_query *q)
{
    return !list_is_empty(&q->node);
}
static inline void dns_cancel(struct dns_query *q) /* harmless when nothing is under way */
{
    list_remove(&q->node);
}
static inline void dns_free(struct dns *d) /* queries under way are forgotten; NULL is fine */
{
    if (d)
        d->ops->free(d);
}

/* --- the real one --- */

struct uv_loop_s;

struct dns_args {
    struct uv_loop_s *loop;
    struct wheel *wheel; /* its clock ages the cache */
    const char *forward; /* "127.0.0.1@5353": ask this server only; NULL: those of resolv_conf */
    const char *resolv_conf; /* NULL: /etc/resolv.conf; if it is missing or names no server, ask
                                from the root down */
    const char *hosts; /* a file like /etc/hosts (that one may be missing) whose names come first;
                          NULL: none */
    const char *trust_anchor; /* file of DS or DNSKEY records: validate with DNSSEC; NULL: do not */
};

/* Its thread begins with the first question. After dns_free the loop must run once more before it
 * is closed. */
MUST_USE int dns_new(const struct dns_args *args, struct dns **ret, struct reason *reason);
/* Questions that went to the library, and those of them that ended in SERVFAIL or BOGUS; made by
 * dns_new only. */
void dns_counts(const struct dns *d, uint64_t *ret_asked, uint64_t *ret_failed);

/* --- RDATA --- */

#define DNS_NAME_TEXT_MAX                                                                          \
    254u /* 253 characters (RFC 1035 2.3.4, without final dot) and the NUL                         \
          */

struct dns_srv { /* RFC 2782 */
    uint16_t priority, weight, port;
    char target[DNS_NAME_TEXT_MAX]; /* lower case; empty: "." (the service is not offered) */
};
struct dns_naptr { /* RFC 3403 4.1 */
    uint16_t order, preference;
    struct str flags, services, regexp; /* into the RDATA */
    char replacement[DNS_NAME_TEXT_MAX];
};

/* ERR_SYNTAX: cut short, too long, or with a name that is none (see dns_ask). */
MUST_USE int dns_srv_parse(struct str rdata, struct dns_srv *ret);
MUST_USE int dns_naptr_parse(struct str rdata, struct dns_naptr *ret);
MUST_USE int dns_addr_parse(struct str rdata, enum dns_type type, uint16_t port, struct addr *ret);
/* Is this a name that can be asked for? */
bool dns_name_is_valid(struct str name);

#endif
