/* The sockets of a call's audio. */
#ifndef PHONE_MEDIA_SOCKET_H
#define PHONE_MEDIA_SOCKET_H

#include "base/addr.h"
#include "base/err.h"

/* Binds an even port and the next one (RFC 3550 11) of this address, and writes the first into it.
 * ERR_IO, and errno says why. */
MUST_USE int media_sockets_open(struct addr *local, int *ret_rtp, int *ret_rtcp);
void media_socket_close(int fd); /* -1 is fine */

#endif
