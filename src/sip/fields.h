/* Field parsers inside the room. */
#ifndef SIP_FIELDS_H
#define SIP_FIELDS_H

#include "sip/lex.h"
#include "sip/msg.h"

/* One parameter of a list: where it is, from its ';' to its last byte, and its parts. `quoted`: the
 * value stood in quotes, which are off. */
struct sip_param {
    struct str whole, name, value;
    bool quoted;
};
/* At the end of the list false with l->p == l->end; malformed: false with l->bad. */
bool sip_param_lex(struct lex *l, struct sip_param *ret);

/* sip_addr_parse that also finds the tag (empty: none). */
MUST_USE int sip_addr_parse_tag(struct str value, struct sip_addr *ret, struct str *ret_tag);

/* Cuts the first value off a comma separated list: *rest is what follows its comma (p == NULL:
 * nothing follows). False if a quoted string or <> with a comma in it does not end. */
bool sip_list_cut(struct str *rest, struct str *ret_value);

#endif
