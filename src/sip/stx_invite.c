/* The INVITE server transaction: RFC 3261 17.2.1 with Figure 7 as RFC 6026 8.6 replaces it.
 *
 *                          | INVITE: up; 100 if unanswered for 200 ms
 *                          v
 *                   +------------+---+ INVITE: send last 1xx again (or 100)
 *         +---------| Proceeding |<--+ 1xx from user: send; send error: stay
 *         |         +------------+
 *         | 300-699 from user:   | 2xx from user: send, timer L
 *         | send, timers G, H    | dropped: timer L, silently
 *         v                      v
 *   +-----------+--+        +----------+--+ INVITE: -         ACK: up
 *   | Completed |<-+ INVITE | Accepted |<-+ 2xx from user: send
 *   +-----------+    or G:  +----------+    send error: say
 *     |   |     |    send        | end (L)
 *     |   |     | end (H): say timeout
 *     |   |     +----------------+------------------+
 *     |   | send error: say                         |
 *     |   +-> Completed                             v
 *     | ACK: timer I                          +------------+
 *     |      +-----------+ end (I)            | Terminated |
 *     +----->| Confirmed |------------------->|            |
 *            +-----------+ INVITE, ACK: -     +------------+ */
#include "sip/tx_priv.h"

static void stx_failed(struct sip_stx *tx, enum sip_tx_end why)
{
    struct sip_txl *l = tx->l;

    if (tx->head.flags & (STX_F_DETACHED | STX_F_REPORTED))
        return;
    tx->head.flags |= STX_F_REPORTED;
    l->user.on_stx_failed(l->user.arg, tx, tx->upper, why);
}

/* Said later: nothing is called back inside sip_stx_respond. */
static void send_final(struct sip_stx *tx, struct buf *msg)
{
    if (stx_send(tx, msg) < 0)
        tx->head.flags |= STX_F_POST;
}

/* RFC 2543 clients put the To tag of the response they acknowledge where others have a branch. */
static void remember_to_tag(struct sip_stx *tx, struct buf *msg)
{
    struct arena *a = sip_txl_arena(tx->l);
    struct reason why;
    struct sip_msg *m;

    if (a && sip_msg_parse(a, buf_str(msg), &m, &why) == 0)
        tx->resp_to_hash = tx_tag_hash(m->to_tag);
    sip_txl_arena_done(tx->l, a);
}

static int invite_accept(struct sip_stx *tx, const struct stx_in *in)
{
    send_final(tx, in->msg);
    stx_keep(tx, NULL);
    stx_give_back(tx);
    stx_linger(tx, txl_64t1(tx->l)); /* timer L */
    return 0;
}

static int invite_accept_again(struct sip_stx *tx, const struct stx_in *in)
{
    send_final(tx, in->msg);
    if (tx->head.flags & STX_F_POST)
        stx_arm(tx, TX_NEVER);
    return 0;
}

static int invite_final(struct sip_stx *tx, const struct stx_in *in)
{
    if (tx->head.flags & STX_F_OLD)
        remember_to_tag(tx, in->msg);
    stx_keep(tx, in->msg);
    stx_give_back(tx);
    tx->interval_ms = tx->l->t.t1_ms;
    tx->end_ms = txl_now(tx->l) + txl_64t1(tx->l); /* timer H */
    send_final(tx, in->msg);
    stx_arm(tx, tx_is_reliable(&tx->rx.path) ? TX_NEVER : tx->interval_ms); /* timer G */
    return 0;
}

static int invite_final_again(struct sip_stx *tx, const struct stx_in *in)
{
    uint32_t t2 = tx->l->t.t2_ms;

    (void)in;
    stx_repeat(tx);
    tx->interval_ms = tx->interval_ms * 2 > t2 ? t2 : tx->interval_ms * 2;
    stx_arm(tx, tx->interval_ms);
    return 0;
}

static int invite_confirm(struct sip_stx *tx, const struct stx_in *in)
{
    (void)in;
    stx_keep(tx, NULL);
    tx->head.flags &= (uint8_t)~STX_F_POST; /* it has arrived after all */
    stx_linger(tx, tx_is_reliable(&tx->rx.path) ? 0 : tx->l->t.t4_ms); /* timer I */
    return 0;
}

static int invite_no_ack(struct sip_stx *tx, const struct stx_in *in)
{
    tx->l->st.timeouts++;
    stx_failed(tx, SIP_TX_TIMEOUT);
    return stx_act_end.run(tx, in);
}

static int invite_report(struct sip_stx *tx, const struct stx_in *in)
{
    (void)in;
    stx_failed(tx, SIP_TX_TRANSPORT);
    return 0;
}

static int invite_to_user(struct sip_stx *tx, const struct stx_in *in)
{
    (void)tx;
    (void)in;
    return STX_TO_USER;
}

/* The INVITE must not come up as a new one as long as its client may repeat it. */
static int invite_drop(struct sip_stx *tx, const struct stx_in *in)
{
    (void)in;
    tx->head.flags |= STX_F_DETACHED;
    stx_keep(tx, NULL);
    stx_give_back(tx);
    stx_linger(tx, txl_64t1(tx->l));
    return 0;
}

static const struct stx_act act_accept = {"send response, timer L", invite_accept};
static const struct stx_act act_accept_again = {"send response", invite_accept_again};
static const struct stx_act act_final = {"send response, keep it, timers G and H", invite_final};
static const struct stx_act act_final_again = {"send response, next timer G", invite_final_again};
static const struct stx_act act_confirm = {"timer I", invite_confirm};
static const struct stx_act act_no_ack = {"say timeout", invite_no_ack};
static const struct stx_act act_report = {"say transport error", invite_report};
static const struct stx_act act_to_user = {"ACK up", invite_to_user};
static const struct stx_act act_drop = {"no more news, timer L", invite_drop};

/* clang-format off */
const struct stx_cell stx_invite_table[STX_STATE_N][STX_EVENT_N] = {
    [STX_PROCEEDING] = {
        [STX_E_REQUEST] = {&stx_act_repeat, STX_PROCEEDING},
        [STX_E_1XX] = {&stx_act_provisional, STX_PROCEEDING},
        [STX_E_2XX] = {&act_accept, STX_ACCEPTED},
        [STX_E_FINAL] = {&act_final, STX_COMPLETED},
        [STX_E_AGAIN] = {&stx_act_trying, STX_PROCEEDING},
        [STX_E_DROP] = {&act_drop, STX_ACCEPTED},
    },
    [STX_COMPLETED] = {
        [STX_E_REQUEST] = {&stx_act_repeat, STX_COMPLETED},
        [STX_E_ACK] = {&act_confirm, STX_CONFIRMED},
        [STX_E_2XX] = {&stx_act_refuse, STX_COMPLETED},
        [STX_E_FINAL] = {&stx_act_refuse, STX_COMPLETED},
        [STX_E_AGAIN] = {&act_final_again, STX_COMPLETED},
        [STX_E_END] = {&act_no_ack, STX_TERMINATED},
        [STX_E_SEND_ERROR] = {&act_report, STX_COMPLETED},
        [STX_E_DROP] = {&stx_act_detach, STX_COMPLETED},
    },
    [STX_CONFIRMED] = {
        [STX_E_2XX] = {&stx_act_refuse, STX_CONFIRMED},
        [STX_E_FINAL] = {&stx_act_refuse, STX_CONFIRMED},
        [STX_E_END] = {&stx_act_end, STX_TERMINATED},
        [STX_E_DROP] = {&stx_act_detach, STX_CONFIRMED},
    },
    [STX_ACCEPTED] = {
        [STX_E_ACK] = {&act_to_user, STX_ACCEPTED},
        [STX_E_2XX] = {&act_accept_again, STX_ACCEPTED},
        [STX_E_FINAL] = {&stx_act_refuse, STX_ACCEPTED},
        [STX_E_END] = {&stx_act_end, STX_TERMINATED},
        [STX_E_SEND_ERROR] = {&act_report, STX_ACCEPTED},
        [STX_E_DROP] = {&stx_act_detach, STX_ACCEPTED},
    },
    [STX_TERMINATED] = {
        [STX_E_2XX] = {&stx_act_refuse, STX_TERMINATED},
        [STX_E_FINAL] = {&stx_act_refuse, STX_TERMINATED},
        [STX_E_DROP] = {&stx_act_detach, STX_TERMINATED}, /* inside on_stx_failed */
    },
};
/* clang-format on */
