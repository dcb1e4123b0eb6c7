/* What the tests of server transactions share. */
#ifndef TESTS_UNIT_SIP_TX_STX_HELP_H
#define TESTS_UNIT_SIP_TX_STX_HELP_H

#include "tx_play.h"

static inline const struct path *tcp_path(void)
{
    static struct path p;

    p = play_path(TRANSPORT_TCP, "192.0.2.1:33000", 0x100000001);
    return &p;
}

__attribute__((unused)) static const struct play_req invite = {.method = "INVITE"};
__attribute__((unused)) static const struct play_req ack = {.method = "ACK"};
__attribute__((unused)) static const struct play_req cancel = {.method = "CANCEL"};
__attribute__((unused)) static const struct play_req options = {.method = "OPTIONS"};

static inline int reply(struct sip_stx *tx, unsigned status)
{
    struct sip_response r = {.status = status};

    return sip_stx_reply(tx, &r);
}

#endif
