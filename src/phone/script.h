/* What a phone is to do, step by step, and what becomes of it. On the phone's thread. */
#ifndef PHONE_SCRIPT_H
#define PHONE_SCRIPT_H

#include "phone/media.h"
#include "phone/run.h"

struct script;

/* `done` is called once, on the phone's thread, when everything is over; nothing happens
 * afterwards. */
MUST_USE int script_new(struct net *net, const struct phone_run *run, struct phone_out *out,
                        void (*done)(void *arg, int status), void *arg, struct script **ret);
void script_free(struct script *s); /* NULL is fine */
struct phone *script_phone(struct script *s);
void script_begin(struct script *s);
void script_interrupt(struct script *s); /* hang up, unregister, be done */

#endif
