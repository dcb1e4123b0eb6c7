/* The client transaction of requests other than INVITE (and ACK, which has none): RFC 3261 17.1.2,
 * Figure 6.
 *
 *                       | sip_ctx_start: send request, timers E (datagrams) and F
 *                       v        again (E): send request, E = min(2*E, T2)
 *                  +--------+---+
 *      +-----------| Trying |<--+
 *      |           +--------+----------------+
 *      | 200-699:    | 1xx: up               |
 *      | up          v                       | end (F): timeout
 *      |      +------------+--+ 1xx: up      | send error, flow gone: transport
 *      +------| Proceeding |<-+ again (E):   |
 *      v      +------------+ send, E = T2    |
 * +-----------+      |                       |
 * | Completed |      +---------------------->|
 * +-----------+                              v
 *      | end (K)                      +------------+
 *      +----------------------------->| Terminated |
 *                                     +------------+
 *
 * Trying is CTX_CALLING. Timer E is not touched on the way to Proceeding (RFC 4321 1.2). */
#include "sip/tx_priv.h"

static void other_again(struct sip_ctx *tx, const struct ctx_in *in)
{
    const struct sip_timers *t = &tx->l->t;

    (void)in;
    if (!ctx_repeat(tx))
        return;
    tx->interval_ms *= 2;
    if (tx->head.state == CTX_PROCEEDING || tx->interval_ms > t->t2_ms)
        tx->interval_ms = t->t2_ms;
    ctx_arm(tx, tx->interval_ms);
}

static void other_up(struct sip_ctx *tx, const struct ctx_in *in)
{
    ctx_up(tx, in);
}

static void other_final(struct sip_ctx *tx, const struct ctx_in *in)
{
    ctx_drop_buf(tx);
    ctx_linger(tx, tx_is_reliable(&tx->path) ? 0 : tx->l->t.t4_ms); /* timer K */
    ctx_up(tx, in);
}

static const struct ctx_act act_again = {"send request, next timer E", other_again};
static const struct ctx_act act_up = {"response up", other_up};
static const struct ctx_act act_final = {"response up, timer K", other_final};

/* clang-format off */
const struct ctx_cell ctx_other_table[CTX_STATE_N][CTX_EVENT_N] = {
    [CTX_CALLING] = {
        [CTX_E_1XX] = {&act_up, CTX_PROCEEDING},
        [CTX_E_2XX] = {&act_final, CTX_COMPLETED},
        [CTX_E_FINAL] = {&act_final, CTX_COMPLETED},
        [CTX_E_AGAIN] = {&act_again, CTX_CALLING},
        [CTX_E_END] = {&ctx_act_timeout, CTX_TERMINATED},
        [CTX_E_SEND_ERROR] = {&ctx_act_fail, CTX_TERMINATED},
        [CTX_E_FLOW_GONE] = {&ctx_act_fail, CTX_TERMINATED},
    },
    [CTX_PROCEEDING] = {
        [CTX_E_1XX] = {&act_up, CTX_PROCEEDING},
        [CTX_E_2XX] = {&act_final, CTX_COMPLETED},
        [CTX_E_FINAL] = {&act_final, CTX_COMPLETED},
        [CTX_E_AGAIN] = {&act_again, CTX_PROCEEDING},
        [CTX_E_END] = {&ctx_act_timeout, CTX_TERMINATED},
        [CTX_E_SEND_ERROR] = {&ctx_act_fail, CTX_TERMINATED},
        [CTX_E_FLOW_GONE] = {&ctx_act_fail, CTX_TERMINATED},
    },
    [CTX_COMPLETED] = {
        [CTX_E_END] = {&ctx_act_gone, CTX_TERMINATED},
    },
};
/* clang-format on */
