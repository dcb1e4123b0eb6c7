/* Hosts and ports as URIs and Via write them. */
#ifndef SIP_HOST_H
#define SIP_HOST_H

#include "sip/lex.h"

/* host = hostname / IPv4address / IPv6reference at the cursor; brackets and the root's dot are taken
 * off. l->bad if there is none. */
void sip_host_lex(struct lex *l, struct str *ret_host, bool *ret_v6);
/* 1*DIGIT, 1 to 65535; l->bad otherwise. */
void sip_port_lex(struct lex *l, uint16_t *ret);
/* host [ ":" port ] without white space; *ret_port is 0 without a port. ERR_SYNTAX. */
MUST_USE int sip_hostport_lex(struct lex *l, struct str *ret_host, bool *ret_v6,
                              uint16_t *ret_port);
/* An IPv6 address without brackets, also with the third colon of RFC 5118 4.10. False if it is not
 * one. */
bool sip_ipv6_parse(struct str s, uint8_t ret[16]);

#endif
