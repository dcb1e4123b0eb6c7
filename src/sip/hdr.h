/* Header names inside the room; the public half (sip_hdr_parse, sip_hdr_text, sip_hdr_is_list) is
 * in msg.h. */
#ifndef SIP_HDR_H
#define SIP_HDR_H

#include "sip/msg.h"

/* May a message carry it once only? */
bool sip_hdr_is_single(enum sip_hdr_id id);

#endif
