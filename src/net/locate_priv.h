/* One lookup of locate.c, and the parts of it that are arithmetic alone (locate_order.c). */
#ifndef NET_LOCATE_PRIV_H
#define NET_LOCATE_PRIV_H

#include "net/locate.h"

#define SERVICES_MAX 8u /* SRV names of one lookup */
#define HOSTS_MAX 16u   /* names whose addresses are asked for in one lookup: two questions each */
#define ADDRS_MAX 8u    /* of one host and family */
#define FAILED_MAX 64u
#define STATUS_TIMEOUT (DNS_BOGUS + 1) /* beside enum dns_status: no answer in time */

enum locate_state { LOCATE_NAPTR, LOCATE_SRV, LOCATE_ADDR, LOCATE_DONE };

struct srv_record {
    uint16_t priority, weight, port;
    struct str target;
};

/* One SRV name and what it stands for. */
struct service {
    struct locate *locate;
    enum transport transport;
    struct str name;
    unsigned order, preference; /* NAPTR's */
    struct dns_query query;
    bool is_done, is_refused; /* refused: "." */
    enum dns_status status;
    struct srv_record *records; /* in the order to try */
    size_t n;
};

struct family {
    struct locate *locate;
    enum dns_type type;
    struct dns_query query;
    bool is_asked, is_done;
    enum dns_status status;
    struct addr v[ADDRS_MAX];
    size_t n;
};

struct host {
    struct str name;
    struct family v4, v6;
};

struct route {
    enum transport transport;
    uint16_t port;
    struct host *host;
};

struct locate {
    struct locator *locator;
    struct arena *arena; /* this struct is in it */
    uint64_t id;
    net_locate_fn fn;
    void *arg;
    struct wheel_timer timer;
    uint64_t start_ms;
    enum locate_state state;
    bool is_starting, is_time_up, has_grace;

    struct str host;
    bool sips, has_transport, prefer_tls, allow_clear;
    enum transport transport;
    struct locate_reach reach;
    bool may_use[TRANSPORT_N];

    struct dns_query naptr;
    bool naptr_is_done, has_naptr;
    enum dns_status naptr_status;
    struct service *services[SERVICES_MAX]; /* in the order to try */
    size_t n_services;
    struct host *hosts[HOSTS_MAX];
    size_t n_hosts;
    struct route routes[LIMIT_TARGETS]; /* in the order to try */
    size_t n_routes;
    struct net_target targets[LIMIT_TARGETS];
    size_t n_targets;
    struct reason why;
};

struct failed {
    struct net_target target;
    uint64_t until_ms;
};

struct locator {
    struct dns *dns;
    struct wheel *wheel;
    struct rand_source *rand;
    struct locate_reach reach;
    struct locate **slots;
    size_t n_slots, n_free_hint, n_waiting;
    uint32_t generation;
    struct failed failed[FAILED_MAX];
    size_t n_failed;
};

/* locate.c */
struct service *locate_service_add(struct locate *lo, enum transport t,
                                   struct str name); /* NULL: full, or no memory */
void locate_fail(struct locate *lo, const char *code, const char *clause, const char *text);

/* locate_order.c */
void locate_naptr_take(struct locate *lo, const struct dns_answer *a);
void locate_service_take(struct service *s, const struct dns_answer *a);
/* Puts the records into the order of RFC 2782: priority, then chance by weight. */
void locate_srv_sort(struct srv_record *r, size_t n, struct rand_source *rand);
bool locate_addr_is_usable(const struct addr *a);

#endif
