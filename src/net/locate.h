/* Where to send a request: RFC 3263 4 as a state machine over net/dns.h, with the ordering of RFC
 * 2782. The real worker and the scenario player both use it behind net_locate. It opens no socket
 * and knows no clock but the wheel it is given.
 *
 *   locator_start --+-- literal host ---------------------------------------------------------->
 * targets
 *                   +-- host and port -------------------------------------> A/AAAA of the host ->
 * targets
 *                   +-- transport= given ----------------> SRV of that one --+-> A/AAAA of each ->
 * targets
 *                   `-- neither: NAPTR --+- usable ------> SRV of each ------+
 *                                        `- none --------> SRV of all -------+
 *                                                          (no SRV at all) ----> A/AAAA of host ->
 * targets
 *
 * What is sent how:
 * - sips: TLS alone, whatever records say (RFC 3263 4.1, RFC 5630).
 * - transport= as asked; with sips, "tcp" means TLS, anything else but "tls" is refused.
 * - Neither transport nor port: by NAPTR, else by the SRV records there are. NAPTR order and
 * preference decide, or TLS, TCP, UDP with prefer_tls; without NAPTR UDP, TCP, TLS, or the other
 * way round with prefer_tls. Without SRV as well UDP, and before it TLS and TCP with prefer_tls.
 * - A literal or a port, and no transport: UDP, even with prefer_tls, since nothing says that this
 * port speaks anything else.
 * - Without allow_clear only TLS is left of all that; where nothing told the transport TLS is taken
 * then.
 *
 * A temporary failure of the DNS is never taken for "there are no records": only a NAPTR question
 * that fails or gets no answer in half the time is passed over, because servers that ignore this
 * type exist and the SRV records under the domain's own name must exist anyhow (4.1). What DNSSEC
 * calls bogus ends the search.
 *
 * Targets that failed lately (locator_failed) come last. One locator per worker, on its thread. */
#ifndef NET_LOCATE_H
#define NET_LOCATE_H

#include "net/dns.h"
#include "net/net.h"
#include "net/worker.h"

/* By transport: can we send to IPv4, to IPv6, and which comes first. */
struct locate_reach {
    bool v4[TRANSPORT_N], v6[TRANSPORT_N], v6_first[TRANSPORT_N];
};
/* From the listeners in their order; without any: TCP and TLS to both address families. A TCP or
 * TLS listener lets us dial both TCP and TLS in its address family. */
struct locate_reach locate_reach_of(const struct net_listener *listeners, size_t n);

struct locator;
struct locator_args {
    struct dns *dns;          /* stays the caller's */
    struct wheel *wheel;      /* time limits, and results that are known at once */
    struct rand_source *rand; /* RFC 2782: weights */
    struct locate_reach reach;
};

MUST_USE int locator_new(const struct locator_args *args, struct locator **ret);
void locator_free(
    struct locator *l); /* callbacks of what is under way are not called; NULL is fine */
/* After a reload; lookups under way keep the old one. */
void locator_set_reach(struct locator *l, const struct locate_reach *reach);
/* The arguments are copied. fn is called later, exactly once, within LIMIT_DNS_MS, unless
 * cancelled. ERR_LIMIT: more than LIMIT_DNS_WAITING are under way. Reasons for n == 0: dns-timeout,
 * dns-nxdomain, dns-nodata, dns-bogus, dns-servfail, dns-no-service (SRV target "."),
 * locate-transport (cannot be used here), locate-clear (only clear targets, no allow_clear),
 * locate-host (no name, no address), no-memory. */
MUST_USE int locator_start(struct locator *l, const struct net_locate_args *args, net_locate_fn fn,
                           void *arg, uint64_t *ret_id);
void locator_cancel(struct locator *l, uint64_t id); /* unknown ids are fine */
/* Nobody answered there (RFC 3263 4.3): try others first for LOCATE_FAILED_MS. locator_worked ends
 * that early. */
#define LOCATE_FAILED_MS 30000u
void locator_failed(struct locator *l, const struct net_target *t);
void locator_worked(struct locator *l, const struct net_target *t);
/* Those that failed go behind the others; otherwise the order stays. What locator_start does at its end. */
void locator_sort_failed(struct locator *l, struct net_target *t, size_t n);
size_t locator_waiting(const struct locator *l);

#endif
