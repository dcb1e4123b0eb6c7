/* A scripted DNS behind net/dns.h: answers from a list, at once, after a while on the wheel's
 * clock, or never. Used by the tests of net/locate.h, and fit for anything else that runs in
 * virtual time. */
#ifndef TESTS_UNIT_NET_DNS_SCRIPT_H
#define TESTS_UNIT_NET_DNS_SCRIPT_H

#include "net/dns.h"

#define DNS_NEVER UINT64_MAX

struct dns_script;
struct dns_script *dns_script_new(struct wheel *wheel);
struct dns *dns_script_dns(struct dns_script *s);
void dns_script_free(struct dns_script *s);
/* Adds one record; several of one name and type make one answer. Names that have any record answer
 * NODATA for other types, all else is NXDOMAIN. */
void dns_script_a(struct dns_script *s, const char *name, const char *address); /* A or AAAA */
void dns_script_srv(struct dns_script *s, const char *name, unsigned priority, unsigned weight,
                    unsigned port, const char *target);
void dns_script_naptr(struct dns_script *s, const char *name, unsigned order, unsigned preference,
                      const char *flags, const char *services, const char *regexp,
                      const char *replacement);
void dns_script_raw(struct dns_script *s, const char *name, enum dns_type type, const void *rdata,
                    size_t n);
/* An answer without records. */
void dns_script_status(struct dns_script *s, const char *name, enum dns_type type,
                       enum dns_status status);
/* How long the answer to this question takes; 0 (the default): it is known at once. */
void dns_script_delay(struct dns_script *s, const char *name, enum dns_type type, uint64_t ms);
void dns_script_delay_all(struct dns_script *s,
                          uint64_t ms); /* for all questions without a delay of their own */
/* The questions so far: "NAPTR a.example, SRV _sip._udp.a.example". */
const char *dns_script_asked(const struct dns_script *s);
size_t dns_script_waiting(const struct dns_script *s); /* questions under way */

#endif
