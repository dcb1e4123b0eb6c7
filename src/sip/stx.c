/* Server transactions: what both machines share (RFC 3261 17.2), the matching of requests (17.2.3),
 * CANCEL (9.2), and where responses go (18.2.2, RFC 3581 4, RFC 5626 5.3). The machines are in
 * stx_invite.c and stx_other.c.
 *
 * Owner: the layer; its worker's thread. The request, its buffer and arena are the transaction's
 * until the final response. */
#include "base/limits.h"
#include "sip/tx_priv.h"

static const struct hop_facts nothing_known;

static void stx_timer(struct wheel_timer *t)
{
    struct sip_stx *tx = CONTAINER_OF(t, struct sip_stx, timer);
    struct sip_txl *l = tx->l;

    bool is_end, again;

    txl_enter(l);
    is_end = txl_timer_is_end(l, &tx->head, tx->end_ms);
    if (tx->head.flags & STX_F_POST) {
        tx->head.flags &= (uint8_t)~STX_F_POST;
        (void)stx_event(tx, STX_E_SEND_ERROR, NULL);
        again = tx->head.state == STX_COMPLETED && !tx_is_reliable(&tx->rx.path);
        stx_arm(tx, again ? tx->interval_ms : TX_NEVER);
    } else {
        (void)stx_event(tx, is_end ? STX_E_END : STX_E_AGAIN, NULL);
    }
    txl_leave(l);
}

void stx_arm(struct sip_stx *tx, uint64_t again_ms)
{
    uint64_t now = txl_now(tx->l), delay = again_ms;

    if (tx->head.flags & STX_F_POST)
        delay = 0;
    if (tx->end_ms != TX_NEVER) {
        uint64_t left = tx->end_ms > now ? tx->end_ms - now : 0;

        if (left < delay)
            delay = left;
    }
    if (delay == TX_NEVER)
        txl_timer_stop(tx->l, &tx->head, &tx->timer);
    else
        txl_timer_start(tx->l, &tx->head, &tx->timer, delay);
}

void stx_linger(struct sip_stx *tx, uint64_t ms)
{
    tx->end_ms = txl_now(tx->l) + ms;
    if (tx->head.flags & STX_F_POST)
        stx_arm(tx, TX_NEVER);
    else
        txl_timer_linger(tx->l, &tx->head, &tx->timer, ms);
}

/* The setter. Only an INVITE in Completed waits for something of its peer: the ACK. */
static void stx_set_state(struct sip_stx *tx, enum stx_state next)
{
    enum stx_state was = tx->head.state;

    if (was == next)
        return;
    tx_unlink(&tx->head.link);
    if (was <= STX_PROCEEDING && next > STX_PROCEEDING)
        tx->l->st.stx_open--;
    tx->head.state = (uint8_t)next;
    if (next == STX_COMPLETED && tx->head.method == SIP_INVITE)
        txl_stx_wait(tx);
    if (next == STX_TERMINATED)
        txl_timer_stop(tx->l, &tx->head, &tx->timer);
}

int stx_event(struct sip_stx *tx, enum stx_event ev, const struct stx_in *in)
{
    const struct stx_cell *cell;

    if (tx->head.method == SIP_INVITE)
        cell = &stx_invite_table[tx->head.state][ev];
    else
        cell = &stx_other_table[tx->head.state][ev];
    if (!cell->act)
        return 0;
    stx_set_state(tx, cell->next);
    return cell->act->run(tx, in);
}

void stx_give_back(struct sip_stx *tx)
{
    struct stx_live *v = tx->live;

    if (!v)
        return;
    v->next = tx->l->dying;
    tx->l->dying = v;
    tx->live = NULL;
    tx->rx.buf = NULL;
    tx->rx.hop = &nothing_known;
}

/* What is kept for 32 seconds takes no more room than it needs. */
void stx_keep(struct sip_stx *tx, struct buf *msg)
{
    struct buf *copy = msg && msg->cap > msg->n + msg->n / 2 + 256 ? buf_copy(buf_str(msg)) : NULL;

    if (!copy && msg)
        copy = buf_ref(msg);
    buf_unref(tx->resp);
    tx->resp = copy;
}

/* ---- where responses go ---- */

const struct path *stx_path(const struct sip_stx *tx, struct path *scratch)
{
    if (!tx->dest)
        return &tx->rx.path;
    *scratch = tx->rx.path;
    memcpy(&scratch->remote, tx->dest->p, sizeof scratch->remote);
    return scratch;
}

static bool addr_is_multicast(const struct addr *a)
{
    if (a->sa.sa_family == AF_INET)
        return IN_MULTICAST(ntohl(a->v4.sin_addr.s_addr));
    return IN6_IS_ADDR_MULTICAST(&a->v6.sin6_addr) ||
           (IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr) && (a->v6.sin6_addr.s6_addr[12] & 0xf0) == 0xe0);
}

/* Datagrams: 18.2.2, with RFC 3581's step between its second and third. Streams: the connection
 * itself. */
static int stx_route(struct sip_stx *tx, const struct sip_msg *m)
{
    struct addr to = tx->rx.path.remote, literal;

    tx->via_port = m->via.port ? m->via.port : transport_default_port(tx->rx.path.transport);
    if (tx_is_reliable(&tx->rx.path))
        return 0;
    if (tx->l->maddr && m->via.maddr.n && addr_parse(&literal, m->via.maddr, tx->via_port) == 0 &&
        !addr_is_multicast(&literal))
        to = literal;
    else if (!m->via.has_rport)
        addr_set_port(&to, tx->via_port);
    if (addr_eq(&to, &tx->rx.path.remote))
        return 0;
    tx->dest = buf_copy(str_make((const char *)&to, sizeof to));
    return tx->dest ? 0 : ERR_NOMEM;
}

/* A lost connection: one to the source address and the port of the sent-by, if the user below makes
 * one (18.2.2). WebSocket clients cannot be connected to (RFC 7118 5). */
static int stx_send_anew(struct sip_stx *tx, struct buf *msg, int err)
{
    struct path to = tx->rx.path;

    if (to.transport != TRANSPORT_TCP && to.transport != TRANSPORT_TLS)
        return err;
    to.flow = 0;
    addr_set_port(&to.remote, tx->via_port);
    return txl_send(tx->l, &to, msg);
}

int stx_send(struct sip_stx *tx, struct buf *msg)
{
    struct path scratch;
    int err = txl_send(tx->l, stx_path(tx, &scratch), msg);

    return err < 0 ? stx_send_anew(tx, msg, err) : 0;
}

void stx_repeat(struct sip_stx *tx)
{
    if (!tx->resp)
        return;
    tx->l->st.retransmits_out++;
    /* Its peer asks again if it got nothing; the machine stays where it is (RFC 6026 8.8). */
    (void)stx_send(tx, tx->resp);
}

/* ---- actions of both machines ---- */

void stx_send_trying(struct sip_stx *tx)
{
    struct sip_response r = {.status = 100, .via_received = &tx->rx.path.remote};
    struct buf *msg;

    if (!tx->live || sip_response_build(tx->live->m, &r, &msg) != 0)
        return;
    stx_keep(tx, msg);
    (void)stx_send(tx, msg);
    buf_unref(msg);
}

static int stx_trying(struct sip_stx *tx, const struct stx_in *in)
{
    (void)in;
    if (!tx->resp)
        stx_send_trying(tx);
    stx_arm(tx, TX_NEVER);
    return 0;
}

static int stx_again(struct sip_stx *tx, const struct stx_in *in)
{
    (void)in;
    if (tx->resp)
        stx_repeat(tx);
    else if (tx->head.state == STX_PROCEEDING)
        stx_send_trying(tx); /* an INVITE within its first 200 ms, or without memory then */
    return 0;
}

static int stx_provisional(struct sip_stx *tx, const struct stx_in *in)
{
    stx_keep(tx, in->msg);
    stx_arm(tx, TX_NEVER);
    (void)stx_send(tx, in->msg);
    return 0;
}

static int stx_refuse(struct sip_stx *tx, const struct stx_in *in)
{
    (void)tx;
    (void)in;
    return ERR_INVALID;
}

static int stx_detach(struct sip_stx *tx, const struct stx_in *in)
{
    (void)in;
    tx->head.flags |= STX_F_DETACHED;
    return 0;
}

static int stx_end(struct sip_stx *tx, const struct stx_in *in)
{
    struct sip_txl *l = tx->l;

    (void)in;
    if (!(tx->head.flags & STX_F_DETACHED)) {
        tx->head.flags |= STX_F_DETACHED;
        l->user.on_stx_end(l->user.arg, tx, tx->upper);
    }
    stx_keep(tx, NULL); /* the request went with the final response */
    buf_unref(tx->dest);
    txl_table_remove(tx);
    txl_stx_put(tx);
    return 0;
}

const struct stx_act stx_act_repeat = {"send response again", stx_again};
const struct stx_act stx_act_trying = {"send 100", stx_trying};
const struct stx_act stx_act_provisional = {"send response, keep it", stx_provisional};
const struct stx_act stx_act_end = {"-", stx_end};
const struct stx_act stx_act_refuse = {"refuse", stx_refuse};
const struct stx_act stx_act_detach = {"no more news", stx_detach};

/* ---- matching (17.2.3) ---- */

enum stx_match { MATCH_SAME, MATCH_ACK, MATCH_CANCELLED };

static bool stx_is(const struct sip_stx *tx, const struct tx_key *k, enum sip_method method,
                   enum stx_match how)
{
    if (tx->key[0] != k->v[0] || tx->key[1] != k->v[1])
        return false;
    switch (how) {
    case MATCH_SAME:
        return tx->head.method == method && tx->method_hash == k->method_hash &&
               (!k->old || tx->to_hash == k->to_hash);
    case MATCH_ACK: /* RFC 2543: the tag of the response, which tells it from an ACK to a 2xx */
        return tx->head.method == SIP_INVITE &&
               (!k->old || (sip_stx_is_final(tx) && tx->resp_to_hash == k->to_hash));
    case MATCH_CANCELLED: /* 9.2: as if its method were anything but CANCEL and ACK */
        return tx->head.method != SIP_CANCEL && (!k->old || tx->to_hash == k->to_hash);
    }
    return false;
}

static struct sip_stx *stx_find(const struct sip_txl *l, const struct tx_key *k,
                                enum sip_method method, enum stx_match how)
{
    const struct tx_bucket *b = &l->table[k->v[0] & l->table_mask];
    struct sip_stx *tx = b->seen & tx_bucket_bit(k->v[0]) ? txl_stx_at(l, b->first) : NULL;

    while (tx && !stx_is(tx, k, method, how))
        tx = txl_stx_at(l, tx->next);
    return tx;
}

/* A client that gave several requests one branch (they differ by method, 17.2.3) means its INVITE:
 * nothing else is worth it. */
static struct sip_stx *stx_find_cancelled(const struct sip_txl *l, const struct tx_key *k)
{
    struct sip_stx *tx = stx_find(l, k, SIP_INVITE, MATCH_SAME);

    return tx ? tx : stx_find(l, k, SIP_CANCEL, MATCH_CANCELLED);
}

/* CANCEL cannot be challenged, so it is taken from the hop that sent the request only (22.1). */
static bool same_hop(const struct path *a, const struct path *b)
{
    if (a->transport != b->transport)
        return false;
    return (a->flow && a->flow == b->flow) || addr_eq_host(&a->remote, &b->remote);
}

/* ---- entry ---- */

static int stx_make(struct sip_txl *l, struct sip_msg *m, const struct rx *rx,
                    const struct tx_key *k, struct sip_stx **ret)
{
    struct stx_live *live;
    struct sip_stx *tx;

    txl_evict(l);
    if (!txl_has_room(l, m->method == SIP_CANCEL))
        return ERR_LIMIT;
    live = arena_alloc(m->arena, sizeof *live);
    tx = live ? txl_stx_get(l) : NULL;
    if (!tx)
        return ERR_NOMEM;
    tx->head.state = m->method == SIP_INVITE ? STX_PROCEEDING : STX_TRYING;
    tx->head.method = (uint8_t)m->method;
    tx->head.flags = k->old ? STX_F_OLD : 0;
    memcpy(tx->key, k->v, sizeof tx->key);
    tx->method_hash = k->method_hash;
    tx->to_hash = k->to_hash;
    tx->l = l;
    tx->rx = *rx;
    wheel_timer_init(&tx->timer, stx_timer);
    /* An INVITE is answered when its callee likes; for the others see stx_other.c. */
    tx->end_ms = m->method == SIP_INVITE ? TX_NEVER : txl_now(l) + txl_64t1(l);
    if (stx_route(tx, m) != 0) {
        txl_stx_put(tx);
        l->st.stx_made--;
        return ERR_NOMEM;
    }
    *live = (struct stx_live){.m = m, .buf = buf_ref(rx->buf)};
    tx->live = live;
    l->st.stx_open++;
    txl_table_add(tx);
    *ret = tx;
    return 0;
}

/* 9.2, 16.10: 200 whatever becomes of the INVITE, or 481. The To tag is that of the INVITE's
 * responses. */
static struct sip_stx *stx_answer_cancel(struct sip_stx *tx, const struct tx_key *k,
                                         const struct rx *rx)
{
    struct sip_stx *target = stx_find_cancelled(tx->l, k);
    struct sip_response r = {.status = 200};

    if (target && !same_hop(&target->rx.path, &rx->path))
        target = NULL;
    if (target)
        r.to_tag = sip_stx_to_tag(target);
    else
        r.status = 481;
    if (sip_stx_reply(tx, &r) != 0)
        tx->l->st.transport_errors++; /* no memory: unanswered, as any request may be */
    return target && target->head.method == SIP_INVITE ? target : NULL;
}

static int stx_begin(struct sip_txl *l, struct sip_msg *m, const struct rx *rx,
                     const struct tx_key *k)
{
    struct sip_stx *tx, *invite = NULL;
    int err = stx_make(l, m, rx, k, &tx);

    if (err != 0)
        return err;
    if (m->method == SIP_CANCEL)
        invite = stx_answer_cancel(tx, k, rx);
    tx->head.flags |= STX_F_BUSY;
    l->user.on_request(l->user.arg, tx, invite, m, rx);
    tx->head.flags &= (uint8_t)~STX_F_BUSY;
    tx->rx.hop = &nothing_known;
    if (tx->head.flags & STX_F_FORGET) {
        (void)stx_event(tx, STX_E_END, NULL);
        return 0;
    }
    /* Most are answered by now; only the others need a timer for a 100. */
    if (tx->head.state == STX_TRYING)
        stx_arm(tx, l->trying_ms);
    else if (tx->head.state == STX_PROCEEDING)
        stx_arm(tx, tx->head.method == SIP_INVITE && !tx->resp ? TX_TRYING_MS : TX_NEVER);
    return 0;
}

int stx_receive(struct sip_txl *l, struct sip_msg *m, const struct rx *rx)
{
    struct arena *a = m->arena;
    struct tx_key k;
    struct sip_stx *tx;
    int err = tx_key_make(m, &k);

    if (err != 0)
        return err;
    tx = stx_find(l, &k, m->method, m->method == SIP_ACK ? MATCH_ACK : MATCH_SAME);
    if (m->method == SIP_ACK) {
        if (!tx || stx_event(tx, STX_E_ACK, NULL) == STX_TO_USER)
            l->user.on_ack(l->user.arg, m, rx);
    } else if (tx) {
        l->st.retransmits_in++;
        (void)stx_event(tx, STX_E_REQUEST, NULL);
    } else {
        return stx_begin(l, m, rx, &k);
    }
    sip_txl_arena_done(l, a);
    return 0;
}

bool sip_txl_has(const struct sip_txl *l, const struct sip_msg *m)
{
    struct tx_key k;

    return m->is_request && m->method != SIP_ACK && tx_key_make(m, &k) == 0 &&
           stx_find(l, &k, m->method, MATCH_SAME) != NULL;
}

/* ---- from the user ---- */

struct sip_msg *sip_stx_msg(struct sip_stx *tx)
{
    return tx->live ? tx->live->m : NULL;
}

const struct rx *sip_stx_rx(const struct sip_stx *tx)
{
    return &tx->rx;
}

void sip_stx_set_upper(struct sip_stx *tx, void *upper)
{
    tx->upper = upper;
}

void *sip_stx_upper(const struct sip_stx *tx)
{
    return tx->upper;
}

struct str sip_stx_to_tag(struct sip_stx *tx)
{
    if (!tx->to_tag[0])
        rand_token(tx->l->rand, tx->to_tag, sizeof tx->to_tag);
    return str_make(tx->to_tag, sizeof tx->to_tag);
}

bool sip_stx_is_final(const struct sip_stx *tx)
{
    return tx->head.state > STX_PROCEEDING;
}

/* RFC 4320: what may not be said to a request other than INVITE. */
static bool stx_is_forbidden(const struct sip_stx *tx, unsigned status)
{
    uint64_t arrival_ms;

    if (tx->head.method == SIP_INVITE || sip_stx_is_final(tx))
        return false;
    if (status == 408 || (status > 100 && status < 200))
        return true;
    if (status != 100 || tx_is_reliable(&tx->rx.path))
        return false;
    arrival_ms = tx->end_ms - txl_64t1(tx->l);
    return txl_now(tx->l) < arrival_ms + tx->l->trying_ms;
}

int sip_stx_respond(struct sip_stx *tx, unsigned status, struct buf *msg)
{
    struct stx_in in = {msg, status};

    if (!msg || status < 100 || status > 699)
        return ERR_INVALID;
    if (stx_is_forbidden(tx, status))
        return ERR_REFUSED;
    return stx_event(tx, status < 200 ? STX_E_1XX : status < 300 ? STX_E_2XX : STX_E_FINAL, &in);
}

int sip_stx_reply(struct sip_stx *tx, struct sip_response *r)
{
    struct buf *msg;
    int err;

    if (!tx->live)
        return ERR_INVALID;
    if (stx_is_forbidden(tx, r->status))
        return ERR_REFUSED;
    if (!r->to_tag.n)
        r->to_tag = sip_stx_to_tag(tx);
    if (!r->via_received)
        r->via_received = &tx->rx.path.remote;
    err = sip_response_build(tx->live->m, r, &msg);
    if (err != 0)
        return err;
    err = sip_stx_respond(tx, r->status, msg);
    buf_unref(msg);
    return err;
}

void sip_stx_drop(struct sip_stx *tx)
{
    (void)stx_event(tx, STX_E_DROP, NULL);
}

void sip_stx_forget(struct sip_stx *tx)
{
    if (tx->head.method == SIP_INVITE || !sip_stx_is_final(tx))
        return;
    if (tx->head.flags & STX_F_BUSY)
        tx->head.flags |= STX_F_FORGET; /* it is still on the stack */
    else
        (void)stx_event(tx, STX_E_END, NULL);
}
