/* The INVITE client transaction: RFC 3261 17.1.1 with Figure 5 as RFC 6026 8.4 replaces it, and
 * CANCEL (9.1).
 *
 *                         | sip_ctx_start: send INVITE, timers A (datagrams) and B
 *                         v        again (A): send INVITE, double A
 *                    +---------+---+
 *        +-----------| Calling |<--+        end (B): timeout; send error, flow gone: transport
 *        |           +---------+------------------------------------------------------+
 *        | 300-699:     | 1xx: up       2xx: up                                       |
 *        | ACK, up      v              +------------------------------+               |
 *        |         +------------+------+                              |               |
 *        +---------| Proceeding |<-+ 1xx: up                          v               |
 *        |         +------------+--+                            +----------+--+       |
 *        v               | end: 64*T1 after CANCEL, timeout     | Accepted |<-+ 2xx  |
 *   +-----------+--+     | flow gone: transport                 +----------+     up |
 *   | Completed |<-+     |                                          | end (M)        |
 *   +-----------+ 300-699: ACK again                                |                |
 *        | end (D)       |                                          v                |
 *        | send error    |                                   +------------+          |
 *        +---------------+---------------------------------->| Terminated |<---------+
 *                                                            +------------+
 *
 * CANCEL is remembered in Calling and sent on the first provisional response; in Proceeding it is
 * sent at once. A transport error of the ACK ends the transaction without on_end: the user has got
 * the final response already. */
#include "sip/tx_priv.h"

static void invite_again(struct sip_ctx *tx, const struct ctx_in *in)
{
    (void)in;
    if (!ctx_repeat(tx))
        return;
    tx->interval_ms *= 2;
    ctx_arm(tx, tx->interval_ms);
}

static void invite_provisional(struct sip_ctx *tx, const struct ctx_in *in)
{
    tx->end_ms = TX_NEVER; /* timers A and B are over; what ends it now is the user's timer C */
    ctx_arm(tx, TX_NEVER);
    ctx_up(tx, in);
    if (tx->head.state != CTX_PROCEEDING)
        return;
    if (tx->head.flags & CTX_F_CANCEL_WANTED)
        ctx_send_cancel(tx);
    else if (!tx->user.on_response && tx->end_ms == TX_NEVER)
        ctx_end_in(tx, TX_TIMER_C_MS);
}

static void invite_accepted(struct sip_ctx *tx, const struct ctx_in *in)
{
    ctx_drop_buf(tx);
    ctx_linger(tx, txl_64t1(tx->l)); /* timer M */
    ctx_up(tx, in);
}

static void invite_refused(struct sip_ctx *tx, const struct ctx_in *in)
{
    bool failed;

    ctx_linger(tx, tx_is_reliable(&tx->path) ? 0 : tx->l->t.t_udp_d_ms); /* timer D */
    ctx_send_ack(tx, in->m, &failed);
    ctx_up(tx, in);
    if (failed)
        ctx_event(tx, CTX_E_SEND_ERROR, NULL);
}

static void invite_ack_again(struct sip_ctx *tx, const struct ctx_in *in)
{
    bool failed = false;

    if (tx->head.flags & CTX_F_ACKED)
        (void)ctx_repeat(tx);
    else
        ctx_send_ack(tx, in->m, &failed);
    if (failed)
        ctx_event(tx, CTX_E_SEND_ERROR, NULL);
}

static void invite_cancel_now(struct sip_ctx *tx, const struct ctx_in *in)
{
    (void)in;
    ctx_send_cancel(tx);
}

static void invite_cancel_later(struct sip_ctx *tx, const struct ctx_in *in)
{
    (void)tx;
    (void)in;
}

static void invite_up(struct sip_ctx *tx, const struct ctx_in *in)
{
    ctx_up(tx, in);
}

static const struct ctx_act act_again = {"send INVITE, double timer A", invite_again};
static const struct ctx_act act_provisional = {"response up, no timer, CANCEL if it waits",
                                               invite_provisional};
static const struct ctx_act act_accepted = {"response up, timer M", invite_accepted};
static const struct ctx_act act_refused = {"send ACK, response up, timer D", invite_refused};
static const struct ctx_act act_ack_again = {"send ACK", invite_ack_again};
static const struct ctx_act act_cancel_now = {"send CANCEL, 64*T1", invite_cancel_now};
static const struct ctx_act act_cancel_later = {"remember CANCEL", invite_cancel_later};
static const struct ctx_act act_up = {"response up", invite_up};

/* clang-format off */
const struct ctx_cell ctx_invite_table[CTX_STATE_N][CTX_EVENT_N] = {
    [CTX_NEW] = {
        [CTX_E_CANCEL] = {&act_cancel_later, CTX_NEW},
    },
    [CTX_CALLING] = {
        [CTX_E_1XX] = {&act_provisional, CTX_PROCEEDING},
        [CTX_E_2XX] = {&act_accepted, CTX_ACCEPTED},
        [CTX_E_FINAL] = {&act_refused, CTX_COMPLETED},
        [CTX_E_AGAIN] = {&act_again, CTX_CALLING},
        [CTX_E_END] = {&ctx_act_timeout, CTX_TERMINATED},
        [CTX_E_SEND_ERROR] = {&ctx_act_fail, CTX_TERMINATED},
        [CTX_E_FLOW_GONE] = {&ctx_act_fail, CTX_TERMINATED},
        [CTX_E_CANCEL] = {&act_cancel_later, CTX_CALLING},
    },
    [CTX_PROCEEDING] = {
        [CTX_E_1XX] = {&act_up, CTX_PROCEEDING},
        [CTX_E_2XX] = {&act_accepted, CTX_ACCEPTED},
        [CTX_E_FINAL] = {&act_refused, CTX_COMPLETED},
        [CTX_E_END] = {&ctx_act_timeout, CTX_TERMINATED},
        [CTX_E_FLOW_GONE] = {&ctx_act_fail, CTX_TERMINATED},
        [CTX_E_CANCEL] = {&act_cancel_now, CTX_PROCEEDING},
    },
    [CTX_COMPLETED] = {
        [CTX_E_FINAL] = {&act_ack_again, CTX_COMPLETED},
        [CTX_E_END] = {&ctx_act_gone, CTX_TERMINATED},
        [CTX_E_SEND_ERROR] = {&ctx_act_gone, CTX_TERMINATED},
    },
    [CTX_ACCEPTED] = {
        [CTX_E_2XX] = {&act_up, CTX_ACCEPTED},
        [CTX_E_END] = {&ctx_act_gone, CTX_TERMINATED},
    },
};
/* clang-format on */
