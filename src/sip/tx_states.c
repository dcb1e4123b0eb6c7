/* The four transaction machines as text, straight from their tables, so that what is printed is
 * what runs (RFC 3261 17, RFC 6026 8.4 and 8.6). Pure. */
#include "sip/tx_priv.h"

static const char *const ctx_states[CTX_STATE_N] = {
    [CTX_FREE] = "free",
    [CTX_NEW] = "New",
    [CTX_CALLING] = "Calling",
    [CTX_PROCEEDING] = "Proceeding",
    [CTX_COMPLETED] = "Completed",
    [CTX_ACCEPTED] = "Accepted",
    [CTX_TERMINATED] = "Terminated",
};
static const char *const ctx_events[CTX_EVENT_N] = {
    [CTX_E_1XX] = "1xx",
    [CTX_E_2XX] = "2xx",
    [CTX_E_FINAL] = "300-699",
    [CTX_E_AGAIN] = "timer A/E",
    [CTX_E_END] = "timer B/D/F/K/M",
    [CTX_E_SEND_ERROR] = "transport error",
    [CTX_E_FLOW_GONE] = "flow gone",
    [CTX_E_CANCEL] = "cancel from user",
};
static const char *const stx_states[STX_STATE_N] = {
    [STX_FREE] = "free",
    [STX_TRYING] = "Trying",
    [STX_PROCEEDING] = "Proceeding",
    [STX_COMPLETED] = "Completed",
    [STX_CONFIRMED] = "Confirmed",
    [STX_ACCEPTED] = "Accepted",
    [STX_TERMINATED] = "Terminated",
};
static const char *const stx_events[STX_EVENT_N] = {
    [STX_E_REQUEST] = "request",         [STX_E_ACK] = "ACK",
    [STX_E_1XX] = "1xx from user",       [STX_E_2XX] = "2xx from user",
    [STX_E_FINAL] = "300-699 from user", [STX_E_AGAIN] = "timer G/100",
    [STX_E_END] = "timer H/I/J/L",       [STX_E_SEND_ERROR] = "transport error",
    [STX_E_DROP] = "drop from user",
};

static void row(struct sbuf *b, const char *machine, const char *state, const char *event,
                const char *act, const char *next)
{
    sbuf_fmt(b, "%-18s %-11s %-18s ", machine, state, event);
    if (act)
        sbuf_fmt(b, "-> %-11s %s\n", next, act);
    else
        sbuf_lit(b, "ignored\n");
}

static void ctx_machine(struct sbuf *b, const char *name,
                        const struct ctx_cell table[CTX_STATE_N][CTX_EVENT_N])
{
    size_t s, e;

    for (s = CTX_NEW; s < CTX_STATE_N; s++)
        for (e = 0; e < CTX_EVENT_N; e++) {
            const struct ctx_cell *c = &table[s][e];

            row(b, name, ctx_states[s], ctx_events[e], c->act ? c->act->name : NULL,
                ctx_states[c->next]);
        }
}

static void stx_machine(struct sbuf *b, const char *name,
                        const struct stx_cell table[STX_STATE_N][STX_EVENT_N])
{
    size_t s, e;

    for (s = STX_TRYING; s < STX_STATE_N; s++)
        for (e = 0; e < STX_EVENT_N; e++) {
            const struct stx_cell *c = &table[s][e];

            row(b, name, stx_states[s], stx_events[e], c->act ? c->act->name : NULL,
                stx_states[c->next]);
        }
}

void sip_tx_states(struct sbuf *ret)
{
    ctx_machine(ret, "INVITE client", ctx_invite_table);
    ctx_machine(ret, "other client", ctx_other_table);
    stx_machine(ret, "INVITE server", stx_invite_table);
    stx_machine(ret, "other server", stx_other_table);
}
