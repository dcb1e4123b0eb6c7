/* Every pair of state and event of the four machines, against what RFC 3261's figures (as RFC 6026 and 4320 change them) say,
 * written down here a second time: the state it leads to and what happens outside, in order. */
#include "tx_play.h"

#include "sip/tx_priv.h"

/* The log in one line, without the times. */
static void outcome(struct play *p, char *dst, size_t cap)
{
    struct str rest = str_z(p->log), line;
    struct sbuf b = sbuf_make(dst, cap - 1);

    while (rest.n) {
        rest = str_cut(rest, '\n', &line);
        line = str_cut(line, ' ', &(struct str){0});
        if (b.n)
            sbuf_lit(&b, ", ");
        sbuf_str(&b, line);
    }
    dst[b.n] = '\0';
    play_clear(p);
}

/* ---- clients ---- */

static const char *const ctx_names[] = {"", "New", "Calling", "Proceeding", "Completed", "Accepted", "Terminated"};

struct ctx_row {
    enum ctx_state state;
    const char *expect[CTX_EVENT_N]; /* 1xx, 2xx, 300-699, again, end, send error, flow gone, cancel */
};

static const struct ctx_row invite_client[] = {
    {CTX_NEW, {"New:", "New:", "New:", "New:", "New:", "New:", "New:", "New:"}},
    {CTX_CALLING,
     {"Proceeding: response 180", "Accepted: response 200", "Completed: send ACK, response 486", "Calling: send INVITE",
      "Terminated: end timeout, gone", "Terminated: end transport, gone", "Terminated: end transport, gone", "Calling:"}},
    {CTX_PROCEEDING,
     {"Proceeding: response 180", "Accepted: response 200", "Completed: send ACK, response 486", "Proceeding:",
      "Terminated: end timeout, gone", "Proceeding:", "Terminated: end transport, gone", "Proceeding: send CANCEL"}},
    {CTX_COMPLETED,
     {"Completed:", "Completed:", "Completed: send ACK", "Completed:", "Terminated: gone", "Terminated: gone",
      "Completed:", "Completed:"}},
    {CTX_ACCEPTED,
     {"Accepted:", "Accepted: response 200", "Accepted:", "Accepted:", "Terminated: gone", "Accepted:", "Accepted:",
      "Accepted:"}},
    {CTX_TERMINATED,
     {"Terminated:", "Terminated:", "Terminated:", "Terminated:", "Terminated:", "Terminated:", "Terminated:",
      "Terminated:"}},
};

static const struct ctx_row other_client[] = {
    {CTX_NEW, {"New:", "New:", "New:", "New:", "New:", "New:", "New:", "New:"}},
    {CTX_CALLING,
     {"Proceeding: response 180", "Completed: response 200", "Completed: response 486", "Calling: send INFO",
      "Terminated: end timeout, gone", "Terminated: end transport, gone", "Terminated: end transport, gone", "Calling:"}},
    {CTX_PROCEEDING,
     {"Proceeding: response 180", "Completed: response 200", "Completed: response 486", "Proceeding: send INFO",
      "Terminated: end timeout, gone", "Terminated: end transport, gone", "Terminated: end transport, gone",
      "Proceeding:"}},
    {CTX_COMPLETED,
     {"Completed:", "Completed:", "Completed:", "Completed:", "Terminated: gone", "Completed:", "Completed:",
      "Completed:"}},
    {CTX_TERMINATED,
     {"Terminated:", "Terminated:", "Terminated:", "Terminated:", "Terminated:", "Terminated:", "Terminated:",
      "Terminated:"}},
};

/* The response that stands for an event, as sip_msg_parse makes it. */
static struct sip_msg *response(struct arena *a, struct sip_ctx *tx, unsigned status, char *text, size_t cap)
{
    struct str b = sip_ctx_via_branch(tx);
    struct sip_msg *m;
    struct reason why;
    int n = snprintf(text, cap, "SIP/2.0 %u X\r\nVia: SIP/2.0/UDP 192.0.2.100;branch=%.*s\r\nFrom: <sip:a@x>;tag=f\r\n"
                                "To: <sip:b@x>;tag=t\r\nCall-ID: c1\r\nCSeq: 1 %.*s\r\n\r\n",
                     status, STR_FMT(b), STR_FMT(sip_method_text((enum sip_method)tx->head.method)));

    assert_int_equal(sip_msg_parse(a, str_make(text, (size_t)n), &m, &why), 0);
    return m;
}

static struct sip_ctx *ctx_in_state(struct play *p, enum sip_method method, enum ctx_state s)
{
    const char *name = method == SIP_INVITE ? "INVITE" : "INFO";
    struct sip_ctx_user u = {p, play_on_response, play_on_end, play_on_gone};
    struct sip_ctx *tx;

    if (s == CTX_NEW) {
        tx = sip_ctx_new(p->l, method, &u);
        assert_non_null(tx);
        return tx;
    }
    assert_int_equal(play_start(p, method), 0);
    tx = p->ctx;
    if (s == CTX_PROCEEDING)
        assert_int_equal(play_response(p, 100, name), 0);
    if (s == CTX_COMPLETED)
        assert_int_equal(play_response(p, 404, name), 0);
    if (s == CTX_ACCEPTED)
        assert_int_equal(play_response(p, 202, name), 0);
    if (s == CTX_TERMINATED)
        ctx_event(tx, CTX_E_END, NULL);
    assert_int_equal(tx->head.state, s);
    return tx;
}

static void check_ctx(enum sip_method method, enum ctx_state s, enum ctx_event ev, const char *expect)
{
    static const unsigned status[] = {180, 200, 486};
    struct play *p = play_new();
    struct arena *a = sip_txl_arena(p->l);
    struct ctx_in in = {0};
    char text[500], got[300], all[400];
    struct sip_ctx *tx;

    txl_enter(p->l); /* so that what ends can still be looked at */
    tx = ctx_in_state(p, method, s);
    play_clear(p);
    if (ev <= CTX_E_FINAL)
        in.m = response(a, tx, status[ev], text, sizeof text);
    if (ev == CTX_E_CANCEL)
        sip_ctx_cancel(tx, STR("r"));
    else
        ctx_event(tx, ev, ev <= CTX_E_FINAL ? &in : NULL);
    outcome(p, got, sizeof got);
    snprintf(all, sizeof all, "%s:%s%s", ctx_names[tx->head.state], got[0] ? " " : "", got);
    if (strcmp(all, expect) != 0)
        fail_msg("%s client, %s, event %d gives \"%s\", not \"%s\"", method == SIP_INVITE ? "INVITE" : "other",
                 ctx_names[s], ev, all, expect);
    txl_leave(p->l);
    sip_txl_arena_done(p->l, a);
    play_free(p);
}

static void test_clients(void **state)
{
    size_t i, e;

    (void)state;
    for (i = 0; i < ARRAY_LEN(invite_client); i++)
        for (e = 0; e < CTX_EVENT_N; e++)
            check_ctx(SIP_INVITE, invite_client[i].state, (enum ctx_event)e, invite_client[i].expect[e]);
    for (i = 0; i < ARRAY_LEN(other_client); i++)
        for (e = 0; e < CTX_EVENT_N; e++)
            check_ctx(SIP_INFO, other_client[i].state, (enum ctx_event)e, other_client[i].expect[e]);
}

/* ---- servers ---- */

static const char *const stx_names[] = {"", "Trying", "Proceeding", "Completed", "Confirmed", "Accepted", "Terminated"};

struct stx_row {
    enum stx_state state;
    /* request, ACK, 1xx, 2xx, 300-699, again, end, send error, drop; "=" is the code that comes back */
    const char *expect[STX_EVENT_N];
};

static const struct stx_row invite_server[] = {
    {STX_PROCEEDING,
     {"Proceeding: send 100 INVITE", "Proceeding:", "Proceeding: send 180 INVITE", "Accepted: send 200 INVITE",
      "Completed: send 486 INVITE", "Proceeding: send 100 INVITE", "Proceeding:", "Proceeding:", "Accepted:"}},
    {STX_COMPLETED,
     {"Completed: send 404 INVITE", "Confirmed:", "Completed:", "Completed: =refused", "Completed: =refused",
      "Completed: send 404 INVITE", "Terminated: failed timeout, over", "Completed: failed transport", "Completed:"}},
    {STX_CONFIRMED,
     {"Confirmed:", "Confirmed:", "Confirmed:", "Confirmed: =refused", "Confirmed: =refused", "Confirmed:",
      "Terminated: over", "Confirmed:", "Confirmed:"}},
    {STX_ACCEPTED,
     {"Accepted:", "Accepted: =up", "Accepted:", "Accepted: send 200 INVITE", "Accepted: =refused", "Accepted:",
      "Terminated: over", "Accepted: failed transport", "Accepted:"}},
    {STX_TERMINATED,
     {"Terminated:", "Terminated:", "Terminated:", "Terminated: =refused", "Terminated: =refused", "Terminated:",
      "Terminated:", "Terminated:", "Terminated:"}},
};

static const struct stx_row other_server[] = {
    {STX_TRYING,
     {"Trying:", "Trying:", "Proceeding: send 180 INVITE", "Completed: send 200 INVITE", "Completed: send 486 INVITE",
      "Proceeding: send 100 INFO", "Completed: over", "Trying:", "Completed:"}},
    {STX_PROCEEDING,
     {"Proceeding: send 100 INFO", "Proceeding:", "Proceeding: send 180 INVITE", "Completed: send 200 INVITE",
      "Completed: send 486 INVITE", "Proceeding:", "Completed: over", "Proceeding:", "Completed:"}},
    {STX_COMPLETED,
     {"Completed: send 404 INVITE", "Completed:", "Completed:", "Completed: =refused", "Completed: =refused",
      "Completed:", "Terminated: over", "Completed:", "Completed:"}},
    {STX_TERMINATED,
     {"Terminated:", "Terminated:", "Terminated:", "Terminated: =refused", "Terminated: =refused", "Terminated:",
      "Terminated:", "Terminated:", "Terminated:"}},
};

static struct {
    enum sip_method method;
    enum stx_state from;
    enum stx_event ev;
    const char *expect;
    bool done;
} now;

static void fire(struct play *p, struct sip_stx *tx)
{
    static const unsigned status[] = {[STX_E_1XX] = 180, [STX_E_2XX] = 200, [STX_E_FINAL] = 486};
    struct stx_in in = {0};
    char text[300], got[300], all[400];
    int n, ret;

    now.done = true;
    if (now.ev >= STX_E_1XX && now.ev <= STX_E_FINAL) {
        n = snprintf(text, sizeof text, "SIP/2.0 %u X\r\nCSeq: 1 INVITE\r\n\r\n", status[now.ev]);
        in = (struct stx_in){buf_copy(str_make(text, (size_t)n)), status[now.ev]};
    }
    if (now.ev == STX_E_DROP) {
        sip_stx_drop(tx);
        ret = 0;
    } else {
        ret = stx_event(tx, now.ev, &in);
    }
    buf_unref(in.msg);
    outcome(p, got, sizeof got);
    snprintf(all, sizeof all, "%s:%s%s%s", stx_names[tx->head.state], got[0] || ret ? " " : "", got,
             ret == ERR_INVALID ? "=refused" : ret == STX_TO_USER ? "=up" : ret ? "=?" : "");
    if (strcmp(all, now.expect) != 0)
        fail_msg("%s server, %s, event %d gives \"%s\", not \"%s\"", now.method == SIP_INVITE ? "INVITE" : "other",
                 stx_names[now.from], now.ev, all, now.expect);
}

static void fire_in_end(struct play *p, struct sip_stx *tx)
{
    if (now.done || now.from != STX_TERMINATED)
        return;
    play_clear(p);
    fire(p, tx);
}

static void check_stx(enum sip_method method, enum stx_state s, enum stx_event ev, const char *expect)
{
    const char *name = method == SIP_INVITE ? "INVITE" : "INFO";
    struct play *p = play_new();
    struct sip_stx *tx;

    now.method = method;
    now.from = s;
    now.ev = ev;
    now.expect = expect;
    now.done = false;
    p->in_stx_end = fire_in_end;
    assert_int_equal(play_request(p, (struct play_req){.method = name}), 0);
    tx = p->stx;
    if (s == STX_PROCEEDING && method != SIP_INVITE)
        play_until(p, 3500);
    if (s == STX_COMPLETED || s == STX_CONFIRMED || s == STX_TERMINATED)
        assert_int_equal(play_respond(tx, 404), 0);
    if (s == STX_CONFIRMED)
        assert_int_equal(play_request(p, (struct play_req){.method = "ACK"}), 0);
    if (s == STX_ACCEPTED)
        assert_int_equal(play_respond(tx, 202), 0);
    play_clear(p);
    if (s == STX_TERMINATED) {
        play_until(p, 100000);
    } else {
        assert_int_equal(tx->head.state, s);
        if (ev == STX_E_END && strncmp(expect, "Terminated", 10) == 0) {
            /* It is gone at once: only the log can be looked at. */
            char got[300], all[400];

            (void)stx_event(tx, STX_E_END, NULL);
            outcome(p, got, sizeof got);
            snprintf(all, sizeof all, "Terminated: %s", got);
            if (strcmp(all, expect) != 0)
                fail_msg("server %s, end, gives \"%s\", not \"%s\"", stx_names[s], all, expect);
            assert_int_equal(play_stats(p).stx_now, 0);
            now.done = true;
        } else {
            fire(p, tx);
        }
    }
    assert_true(now.done);
    play_free(p);
}

static void test_servers(void **state)
{
    size_t i, e;

    (void)state;
    for (i = 0; i < ARRAY_LEN(invite_server); i++)
        for (e = 0; e < STX_EVENT_N; e++)
            check_stx(SIP_INVITE, invite_server[i].state, (enum stx_event)e, invite_server[i].expect[e]);
    for (i = 0; i < ARRAY_LEN(other_server); i++)
        for (e = 0; e < STX_EVENT_N; e++)
            check_stx(SIP_INFO, other_server[i].state, (enum stx_event)e, other_server[i].expect[e]);
}

/* What the memory figures rest on. */
static void test_sizes(void **state)
{
    (void)state;
    assert_true(sizeof(struct sip_ctx) <= 256);
    assert_true(sizeof(struct sip_stx) <= 256);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clients),
        cmocka_unit_test(test_servers),
        cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
