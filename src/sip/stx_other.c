/* The server transaction of requests other than INVITE and ACK: RFC 3261 17.2.2, Figure 8, with RFC
 * 4320 (only 100, and that late; no 408; nothing at all once its client has given up) and RFC
 * 6026 8.8 (a transport error ends nothing).
 *
 *                      | request: up
 *                      v
 *                 +--------+
 *        +--------| Trying |<-- request: -
 *        |        +--------+
 *        |             | 3.5 s gone (E of the client at T2), or 100 from user: send
 *        |             v
 *        |      +------------+--+ request: send 100 again
 *        |      | Proceeding |<-+
 *        |      +------------+
 *        |             | 200-699 from user: send, timer J
 *        |             | dropped: timer J, silently
 *        |             | end (64*T1, its client's timer F): over, T4 for strays
 *        |             v
 *        |      +-----------+--+ request: send final again
 *        +----->| Completed |<-+
 *               +-----------+
 *                      | end (J)
 *                      v
 *               +------------+
 *               | Terminated |
 *               +------------+ */
#include "sip/tx_priv.h"

static int other_final(struct sip_stx *tx, const struct stx_in *in)
{
    bool reliable = tx_is_reliable(&tx->rx.path);

    stx_keep(tx, reliable ? NULL : in->msg);
    (void)stx_send(tx, in->msg);
    stx_give_back(tx);
    stx_linger(tx, reliable ? 0 : txl_64t1(tx->l)); /* timer J */
    return 0;
}

static int other_drop(struct sip_stx *tx, const struct stx_in *in)
{
    (void)in;
    tx->head.flags |= STX_F_DETACHED;
    stx_keep(tx, NULL);
    stx_give_back(tx);
    stx_linger(tx, tx_is_reliable(&tx->rx.path) ? 0 : txl_64t1(tx->l));
    return 0;
}

/* 4320 4.2: its client timed out. A repetition still under way must not come up as a request. */
static int other_over(struct sip_stx *tx, const struct stx_in *in)
{
    struct sip_txl *l = tx->l;

    (void)in;
    l->st.timeouts++;
    if (!(tx->head.flags & STX_F_DETACHED)) {
        tx->head.flags |= STX_F_DETACHED;
        l->user.on_stx_end(l->user.arg, tx, tx->upper);
    }
    stx_keep(tx, NULL);
    stx_give_back(tx);
    stx_linger(tx, tx_is_reliable(&tx->rx.path) ? 0 : l->t.t4_ms);
    return 0;
}

static const struct stx_act act_final = {"send response, keep it, timer J", other_final};
static const struct stx_act act_drop = {"no more news, timer J", other_drop};
static const struct stx_act act_over = {"over, T4", other_over};

/* clang-format off */
const struct stx_cell stx_other_table[STX_STATE_N][STX_EVENT_N] = {
    [STX_TRYING] = {
        [STX_E_1XX] = {&stx_act_provisional, STX_PROCEEDING},
        [STX_E_2XX] = {&act_final, STX_COMPLETED},
        [STX_E_FINAL] = {&act_final, STX_COMPLETED},
        [STX_E_AGAIN] = {&stx_act_trying, STX_PROCEEDING},
        [STX_E_END] = {&act_over, STX_COMPLETED},
        [STX_E_DROP] = {&act_drop, STX_COMPLETED},
    },
    [STX_PROCEEDING] = {
        [STX_E_REQUEST] = {&stx_act_repeat, STX_PROCEEDING},
        [STX_E_1XX] = {&stx_act_provisional, STX_PROCEEDING},
        [STX_E_2XX] = {&act_final, STX_COMPLETED},
        [STX_E_FINAL] = {&act_final, STX_COMPLETED},
        [STX_E_END] = {&act_over, STX_COMPLETED},
        [STX_E_DROP] = {&act_drop, STX_COMPLETED},
    },
    [STX_COMPLETED] = {
        [STX_E_REQUEST] = {&stx_act_repeat, STX_COMPLETED},
        [STX_E_2XX] = {&stx_act_refuse, STX_COMPLETED},
        [STX_E_FINAL] = {&stx_act_refuse, STX_COMPLETED},
        [STX_E_END] = {&stx_act_end, STX_TERMINATED},
        [STX_E_DROP] = {&stx_act_detach, STX_COMPLETED},
    },
    [STX_TERMINATED] = {
        [STX_E_2XX] = {&stx_act_refuse, STX_TERMINATED},
        [STX_E_FINAL] = {&stx_act_refuse, STX_TERMINATED},
    },
};
/* clang-format on */
