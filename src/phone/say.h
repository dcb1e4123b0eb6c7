/* Events about a call's security, on standard output (out.h). Thread: the phone's. */
#ifndef PHONE_SAY_H
#define PHONE_SAY_H

#include "identity/verify.h"
#include "phone/out.h"

/* What the edge says of a call: the value of X-Sallyport-Status, or what it notifies. */
void say_status(struct phone_out *out, struct str value);
/* What we have found ourselves; `who`: empty, nobody who could be believed. */
void say_verified(struct phone_out *out, struct str who, const struct identity_result *r);
void say_not_signed(struct phone_out *out, const struct reason *why);

#endif
