/* What names a REFER by its number in a NOTIFY or SUBSCRIBE: Event: refer;id=93809823 (RFC
 * 3515 2.4.6). Who changes the numbers of a dialog has to change it as well: anchor/refer.c,
 * proxy/spaced.c. Slices of the message. */
#ifndef EDGE_PROXY_REFER_ID_H
#define EDGE_PROXY_REFER_ID_H

#include "sip/msg.h"

struct refer_id {
    struct str event; /* the whole value of Event */
    struct str id;    /* in it */
    uint32_t n;
};

/* False: it names none. */
bool refer_id_find(const struct sip_msg *m, struct refer_id *ret);
/* The value of Event with *is in the number's place, NULL: without the parameter; what stands
 * around it stays. In the message's arena. ERR_NOMEM. */
MUST_USE int refer_id_change(const struct sip_msg *m, const struct refer_id *was,
                             const uint32_t *is, struct str *ret);

#endif
