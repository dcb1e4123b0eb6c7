/* RFC 3261 9, 12, 13, 15; RFC 3262; RFC 3264; RFC 4028 7: calls from INVITE to BYE, both ways, and
 * what goes wrong. */
#include "bed.h"
#include "oom.h"
#include <stdio.h>
#include <stdlib.h>

#define PROXY_CHALLENGE                                                                            \
    "Proxy-Authenticate: Digest realm=\"example.com\", nonce=\"p1\", algorithm=SHA-256, "          \
    "qop=\"auth\"\n"
#define CONTACT "Contact: <sip:bob@192.0.2.9:5070>\n"
#define ROUTES "Record-Route: <sip:p2.example.com;lr>\nRecord-Route: <sip:192.0.2.1:5060;lr>\n"

static phone_call_id id;

static struct sip_msg *invite(void)
{
    bed_register();
    assert_int_equal(phone_call(bed.phone, STR("bob"), &id), 0);
    return bed_take("INVITE");
}

/* The whole way: challenge, ringing, answer, ACK, BYE by us. */
static void out(void **state)
{
    (void)state;
    struct sip_msg *m = invite();
    check_str(m->ruri, "sip:bob@example.com");
    assert_non_null(strstr(bed_header(m, "Contact"), ";ob>"));
    assert_non_null(strstr(bed_header(m, "Supported"), "100rel"));
    assert_non_null(strstr(m->body.p, "m=audio 7000 RTP/AVP 8\r\n"));
    bed_reply(m, 407, PROXY_CHALLENGE, NULL);
    assert_int_equal(bed_take("ACK")->cseq, m->cseq); /* of the 407, by the transaction */
    m = bed_take("INVITE");
    assert_true(bed_knows(m, "Proxy-Authorization", "secret"));
    bed_reply(m, 100, NULL, NULL);
    bed_told("");
    bed_reply(m, 180, CONTACT ROUTES, NULL);
    bed_told("ringing 180;");
    bed_reply(m, 200, CONTACT ROUTES, SDP);
    bed_told("up;");
    assert_int_equal(bed.n_agreed, 1);
    assert_int_equal(bed.dir, SDP_SENDRECV);
    struct sip_msg *ack = bed_take("ACK");
    assert_int_equal(ack->cseq, m->cseq);
    check_str(ack->ruri, "sip:bob@192.0.2.9:5070");
    assert_string_equal(bed_header(ack, "Route"),
                        "<sip:192.0.2.1:5060;lr>, <sip:p2.example.com;lr>"); /* 12.1.2: reversed */
    assert_string_equal(bed_header(ack, "Proxy-Authorization"),
                        bed_header(m, "Proxy-Authorization")); /* 13.2.2.4 */
    bed_reply(m, 200, CONTACT ROUTES, SDP);                    /* the ACK was lost */
    check_str(bed_take("ACK")->via.branch, arena_str(bed.arena, ack->via.branch).p);
    phone_hang_up(bed.phone, id);
    struct sip_msg *bye = bed_take("BYE");
    assert_int_equal(bye->cseq, m->cseq + 1);
    check_str(bye->to_tag, "srv");
    assert_true(bed_knows(bye, "Proxy-Authorization",
                          "secret")); /* at once, with the nonce that is known */
    assert_non_null(strstr(bed_header(bye, "Proxy-Authorization"), "nc=00000002"));
    bed_reply(bye, 200, NULL, NULL);
    bed_told("end 0;");
    assert_int_equal(bed.n_open, 0);
}

static void they_hang_up(void **state)
{
    (void)state;
    struct sip_msg *m = invite();
    bed_reply(m, 200, CONTACT, SDP);
    (void)bed_take("ACK");
    bed_in_dialog(m, "BYE", 1, "bye", NULL, NULL);
    (void)bed_take("200");
    bed_told("up;end 0;");
    bed_in_dialog(m, "INFO", 2, "late", NULL, NULL);
    (void)bed_take("481");
}

static void refused(void **state)
{
    (void)state;
    struct sip_msg *m = invite();
    bed_reply(m, 486, NULL, NULL);
    (void)bed_take("ACK");
    bed_told("end 486 refused;");
    assert_int_equal(phone_call(bed.phone, STR("sip:x@y?Subject=a"), &id), ERR_SYNTAX); /* 19.1.5 */
    assert_int_equal(phone_call(bed.phone, STR("mailto:x@y"), &id), ERR_UNSUPPORTED);
    assert_int_equal(phone_call(bed.phone, STR("a b"), &id), ERR_SYNTAX);
    bed_nothing();
}

static void cancelled(void **state)
{
    (void)state;
    struct sip_msg *m = invite();
    phone_hang_up(bed.phone, id);
    bed_nothing(); /* 9.1: not before a provisional response */
    bed_reply(m, 180, CONTACT, NULL);
    struct sip_msg *c = bed_take("CANCEL");
    check_str(c->via.branch, arena_str(bed.arena, m->via.branch).p);
    bed_reply(c, 200, NULL, NULL);
    bed_reply(m, 487, NULL, NULL);
    (void)bed_take("ACK");
    bed_told("end 487;");
}

/* The answer crosses the CANCEL: it is acknowledged and the call ended. */
static void cancelled_too_late(void **state)
{
    (void)state;
    struct sip_msg *m = invite();
    bed_reply(m, 180, CONTACT, NULL);
    phone_hang_up(bed.phone, id);
    (void)bed_take("CANCEL");
    bed_reply(m, 200, CONTACT, SDP);
    (void)bed_take("ACK");
    bed_reply(bed_take("BYE"), 200, NULL, NULL);
    bed_told("ringing 180;end 487;");
}

/* 13.2.2.4: the first fork that answers has the call, the next gets ACK and BYE. */
static void forked(void **state)
{
    (void)state;
    struct sip_msg *m = invite();
    bed_reply_tag(m, 183, "f1", CONTACT, SDP);
    assert_int_equal(bed.n_agreed, 1);
    bed_reply_tag(m, 180, "f2", CONTACT, NULL);
    bed_reply_tag(
        m, 200, "f2", CONTACT,
        "v=0\no=- 2 2 IN IP4 192.0.2.8\ns=-\nc=IN IP4 192.0.2.8\nt=0 0\nm=audio 5 RTP/AVP 8\n");
    assert_int_equal(bed.n_agreed, 2); /* that one's description counts */
    assert_non_null(strstr(bed.remote, "192.0.2.8"));
    check_str(bed_take("ACK")->to_tag, "f2");
    bed_reply_tag(m, 200, "f1", CONTACT, SDP);
    check_str(bed_take("ACK")->to_tag, "f1");
    struct sip_msg *bye = bed_take("BYE");
    check_str(bye->to_tag, "f1");
    bed_reply(bye, 200, NULL, NULL);
    bed_told("ringing 183;ringing 180;up;");
    assert_int_equal(bed.n_agreed, 2);
}

/* Two forks answer early, and the first gets the call without repeating its answer: it counts
 * again. A third that never described anything cannot have it. */
static void forked_back(void **state)
{
    (void)state;
    for (int third = 0; third < 2; third++) {
        struct sip_msg *m = invite();
        bed.n_agreed = bed.n_settled = 0;
        bed_reply_tag(m, 183, "f1", CONTACT, SDP);
        assert_int_equal(bed.branch, 0);
        bed_reply_tag(m, 183, "f2", CONTACT,
                      "v=0\no=- 2 2 IN IP4 192.0.2.8\ns=-\nc=IN IP4 192.0.2.8\nt=0 0\nm=audio 5 "
                      "RTP/AVP 8\n");
        assert_int_equal(bed.branch, 1);
        assert_int_equal(bed.n_settled, 0);
        bed_reply_tag(m, 200, third ? "f3" : "f1", CONTACT, NULL);
        (void)bed_take("ACK");
        if (third) {
            bed_reply(bed_take("BYE"), 200, NULL, NULL);
            assert_true(bed_was_told("end 488 bad-answer;"));
        } else {
            assert_int_equal(bed.n_agreed, 3);
            assert_int_equal(bed.branch, 0);
            assert_non_null(strstr(bed.remote, "192.0.2.9"));
            assert_int_equal(bed.n_settled, 1);
            bed_told("ringing 183;ringing 183;up;");
        }
    }
}

/* What was offered is refused: the media's next way is offered, and the last refusal is the end.
 */
static void next_way(void **state)
{
    (void)state;
    struct sip_msg *m = invite();
    uint32_t first = m->cseq;
    bed.ways_left = 1;
    bed_reply(m, 183, CONTACT "Require: 100rel\nRSeq: 7\n", NULL);
    bed_reply(bed_take("PRACK"), 200, NULL, NULL);
    bed_reply(m, 488, NULL, NULL);
    (void)bed_take("ACK");
    m = bed_take("INVITE");
    assert_int_equal(m->cseq, first + 1);
    assert_int_equal(bed.n_rollback, 1);
    bed_reply(m, 183, CONTACT "Require: 100rel\nRSeq: 4\n", NULL); /* another count (3262 3) */
    bed_reply(bed_take("PRACK"), 200, NULL, NULL);
    bed_reply(m, 488, "Warning: 399 x \"no keys\"\n", NULL);
    (void)bed_take("ACK");
    bed_told("ringing 183;less 488;ringing 183;end 488 refused;");
    /* a busy phone is not asked again */
    bed.ways_left = 1;
    assert_int_equal(phone_call(bed.phone, STR("bob"), &id), 0);
    bed_reply(bed_take("INVITE"), 486, NULL, NULL);
    (void)bed_take("ACK");
    bed_nothing();
    bed_told("end 486 refused;");
}

/* The keys never came: the call ends, and says why. */
static void no_keys(void **state)
{
    (void)state;
    struct sip_msg *m = invite();
    bed_reply(m, 200, CONTACT, SDP);
    (void)bed_take("ACK");
    bed_told("up;");
    bed.media_user.on_news(bed.media_user.arg, bed.media_user.call, PHONE_MEDIA_SECURITY);
    sim_settle(&bed.sim);
    bed_told("security;");
    bed.media_user.on_news(bed.media_user.arg, bed.media_user.call, PHONE_MEDIA_FAILED);
    sim_settle(&bed.sim);
    bed_nothing(); /* it has not failed: the news was of another answer */
    bed.has_failed = true;
    bed.media_user.on_news(bed.media_user.arg, bed.media_user.call, PHONE_MEDIA_FAILED);
    sim_settle(&bed.sim);
    m = bed_take("BYE");
    assert_string_equal(bed_header(m, "Reason"), "SIP;cause=488;text=\"media-failed: no keys\"");
    bed_reply(m, 200, NULL, NULL);
    bed_told("end 488 media-failed;");
    /* it had failed before the answer: no call comes about */
    assert_int_equal(phone_call(bed.phone, STR("bob"), &id), 0);
    m = bed_take("INVITE");
    bed_reply(m, 183, CONTACT, SDP);
    bed.media_user.on_news(bed.media_user.arg, bed.media_user.call, PHONE_MEDIA_FAILED);
    sim_settle(&bed.sim);
    bed_nothing();
    bed_reply(m, 200, CONTACT, SDP);
    (void)bed_take("ACK");
    bed_reply(bed_take("BYE"), 200, NULL, NULL);
    assert_true(bed_was_told("end 488 media-failed;"));
}

/* RFC 3262 4: each reliable response is acknowledged once, in order. */
static void reliable(void **state)
{
    (void)state;
    struct sip_msg *m = invite();
    bed_reply(m, 183, CONTACT "Require: 100rel\nRSeq: 7\n", SDP);
    struct sip_msg *p = bed_take("PRACK");
    char rack[64];
    snprintf(rack, sizeof(rack), "7 %u INVITE", m->cseq);
    assert_string_equal(bed_header(p, "RAck"), rack);
    check_str(p->ruri, "sip:bob@192.0.2.9:5070");
    assert_int_equal(p->cseq, m->cseq + 1);
    bed_reply(m, 183, CONTACT "Require: 100rel\nRSeq: 7\n", SDP); /* repeated */
    bed_nothing();
    bed_reply(m, 180, CONTACT "Require: 100rel\nRSeq: 9\n", NULL); /* 8 is missing */
    bed_nothing();
    bed_reply(p, 200, NULL, NULL);
    bed_reply(m, 180, CONTACT "Require: 100rel\nRSeq: 8\n", NULL);
    bed_reply(bed_take("PRACK"), 200, NULL, NULL);
    bed_reply(m, 200, CONTACT, SDP);
    (void)bed_take("ACK");
    bed_told("ringing 183;ringing 180;up;");
    assert_int_equal(bed.n_agreed, 1);
    phone_hang_up(bed.phone, id);
    assert_int_equal(bed_take("BYE")->cseq, m->cseq + 3);
}

static void bad_answers(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        NULL,     /* none at all */
        "what\n", /* no description */
        "v=0\no=- 1 1 IN IP4 1.2.3.4\nc=IN IP4 1.2.3.4\nm=audio 5 RTP/SAVP 8\n", /* another
                                                                                    profile */
        "v=0\no=- 1 1 IN IP4 1.2.3.4\nc=IN IP4 1.2.3.4\nm=audio 0 RTP/AVP 8\n",  /* refused */
        "v=0\no=- 1 1 IN IP4 1.2.3.4\nc=IN IP4 1.2.3.4\nm=audio 5 RTP/AVP 8\nm=audio 6 RTP/AVP "
        "8\n", /* one too many */
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct sip_msg *m = invite();
        bed_reply(m, 200, CONTACT, bodies[i]);
        (void)bed_take("ACK");
        bed_reply(bed_take("BYE"), 200, NULL, NULL);
        assert_true(bed_was_told("end 488"));
    }
    bed.agree_error = ERR_UNSUPPORTED;
    bed_reply(invite(), 200, CONTACT, SDP);
    (void)bed_take("ACK");
    (void)bed_take("BYE");
}

static void lost(void **state)
{
    (void)state;
    (void)invite();
    bed_wait(32100);
    bed_told("end 408 no-answer;");
    assert_int_equal(phone_call(bed.phone, STR("bob"), &id), 0);
    (void)bed_take("INVITE");
    sim_close(&bed.sim, bed.server);
    bed_told("end 503 flow-closed;unregistered 0 flow-closed;");
    assert_int_equal(phone_call(bed.phone, STR("bob"), &id), ERR_CLOSED);
}

static void interval_too_small(void **state)
{
    (void)state;
    struct sip_msg *m = invite();
    assert_string_equal(bed_header(m, "Session-Expires"), "1800");
    bed_reply(m, 422, "Min-SE: 3600\n", NULL);
    (void)bed_take("ACK");
    struct sip_msg *again = bed_take("INVITE");
    assert_string_equal(bed_header(again, "Session-Expires"), "3600");
    check_str(again->call_id, bed_header(m, "Call-ID"));
    assert_int_equal(again->cseq, m->cseq + 1);
}

/* ---- to us ---- */

static struct sip_msg *ring(const char *extra, const char *body)
{
    bed_register();
    bed_request("INVITE", 5, "i1", NULL, extra, body);
    return bed_take("180");
}

static void in(void **state)
{
    (void)state;
    struct sip_msg *m = ring(NULL, SDP);
    assert_true(m->to_tag.n > 0);
    assert_non_null(strstr(bed_header(m, "Contact"), ";ob>"));
    bed_told("incoming sip:bob@example.com;");
    assert_int_equal(phone_answer(bed.phone, bed.call), 0);
    struct sip_msg *ok = bed_take("200");
    check_str(ok->to_tag, arena_str(bed.arena, m->to_tag).p);
    assert_non_null(strstr(ok->body.p, "m=audio 7000 RTP/AVP 8\r\n"));
    bed_told("");
    bed_wait(500); /* 13.3.1.4: repeated at 0.5, 1.5, 3.5 s, whatever the transport */
    (void)bed_take("200");
    bed_wait(1000);
    (void)bed_take("200");
    bed_nothing();
    bed_request("ACK", 5, "a1", arena_str(bed.arena, ok->to_tag).p, NULL, NULL);
    bed_told("up;");
    bed_wait(10000);
    bed_nothing();
    assert_int_equal(phone_answer(bed.phone, bed.call), ERR_INVALID);
    bed_request("BYE", 6, "b1", arena_str(bed.arena, ok->to_tag).p, NULL, NULL);
    (void)bed_take("200");
    bed_told("end 0;");
}

/* What could not be answered does not ring: 488, and why (RFC 3261 20.43). */
static void in_unanswerable(void **state)
{
    (void)state;
    bed_register();
    bed.check_error = ERR_UNSUPPORTED;
    bed_request("INVITE", 5, "i1", NULL, "Supported: 100rel\n", SDP);
    struct sip_msg *m = bed_take("488");
    assert_string_equal(bed_header(m, "Warning"), "399 phone \"media-test: not 'this' media\"");
    bed_told("incoming sip:bob@example.com;end 488 media-test;");
    bed_request("ACK", 5, "i1", "x", NULL, NULL);
    bed_nothing();
}

static void in_hang_up(void **state)
{
    (void)state;
    (void)ring(NULL, SDP);
    assert_int_equal(phone_answer(bed.phone, bed.call), 0);
    struct sip_msg *ok = bed_take("200");
    phone_hang_up(bed.phone, bed.call);
    bed_nothing(); /* 15: not before the ACK */
    bed_request("ACK", 5, "a1", arena_str(bed.arena, ok->to_tag).p, NULL, NULL);
    struct sip_msg *bye = bed_take("BYE");
    check_str(bye->ruri, "sip:bob@192.0.2.9");
    check_str(bye->to_tag, "bob");
    bed_reply(bye, 401, BED_CHALLENGE, NULL);
    bye = bed_take("BYE");
    assert_true(bed_knows(bye, "Authorization", "secret"));
    bed_reply(bye, 200, NULL, NULL);
    assert_true(bed_was_told("end 0;"));
}

static void in_no_ack(void **state)
{
    (void)state;
    (void)ring(NULL, SDP);
    assert_int_equal(phone_answer(bed.phone, bed.call), 0);
    bed_wait(32100);
    struct sip_msg *m = NULL;
    unsigned n = 0;
    while (bed_has() && (m = bed_take(NULL)) != NULL && !m->is_request)
        n++;
    assert_int_equal(n, 11); /* 200 at 0, .5, 1.5, 3.5, 7.5 and every 4 s */
    assert_true(m != NULL && m->method == SIP_BYE);
    bed_reply(m, 200, NULL, NULL);
    assert_true(bed_was_told("end 408 no-ack;"));
}

static void in_cancelled(void **state)
{
    (void)state;
    (void)ring(NULL, SDP);
    bed_request("CANCEL", 5, "i1", NULL, NULL, NULL);
    (void)bed_take("200");
    (void)bed_take("487");
    assert_true(bed_was_told("end 487;"));
    assert_int_equal(phone_answer(bed.phone, bed.call), ERR_NOTFOUND);
}

static void in_refused(void **state)
{
    (void)state;
    (void)ring(NULL, SDP);
    assert_int_equal(phone_refuse(bed.phone, bed.call, 480), 0);
    (void)bed_take("480");
    assert_true(bed_was_told("end 480;"));
}

static void in_busy(void **state)
{
    (void)state;
    (void)ring(NULL, SDP);
    bed_request("INVITE", 5, "i2", NULL, NULL, SDP); /* the same by another way */
    (void)bed_take("482");
    bed_deliver("INVITE sip:alice@example.com SIP/2.0\nVia: SIP/2.0/TCP "
                "192.0.2.1;branch=z9hG4bKx\nFrom: <sip:c@d>;tag=c\n"
                "To: <sip:alice@example.com>\nCall-ID: other\nCSeq: 1 INVITE\nContact: "
                "<sip:c@d>\nContent-Length: 0\n\n");
    (void)bed_take("486");
    phone_hang_up(bed.phone, bed.call);
    (void)bed_take("603");
}

static void in_wrong(void **state)
{
    (void)state;
    bed_register();
    bed_request("INVITE", 1, "w1", NULL, "Require: foo\n", SDP);
    assert_string_equal(bed_header(bed_take("420"), "Unsupported"), "foo");
    bed_request("INVITE", 1, "w2", NULL, "Content-Type: text/plain\n", "hello");
    (void)bed_take("415");
    bed_request("INVITE", 1, "w3", NULL, "Session-Expires: 60\nSupported: timer\n", SDP);
    assert_string_equal(bed_header(bed_take("422"), "Min-SE"), "90");
    bed_request("INVITE", 1, "w4", "none", NULL, SDP);
    (void)bed_take("481");
    bed_request("PUBLISH", 1, "w5", NULL, NULL, NULL);
    assert_non_null(strstr(bed_header(bed_take("405"), "Allow"), "INVITE"));
    bed_request("OPTIONS", 1, "w6", NULL, NULL, NULL);
    assert_non_null(strstr(bed_header(bed_take("200"), "Accept"), "application/sdp"));
    bed_request("REFER", 1, "w7", NULL, "Refer-To: <sip:x@y>\n", NULL);
    (void)bed_take("603");
    bed_request("SUBSCRIBE", 1, "w8", NULL, "Event: presence\n", NULL);
    (void)bed_take("489");
    bed_deliver(
        "MESSAGE sip:mallory@192.0.2.50 SIP/2.0\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bKy\nFrom: "
        "<sip:c@d>;tag=c\n"
        "To: <sip:alice@example.com>\nCall-ID: other\nCSeq: 1 MESSAGE\nContent-Length: 0\n\n");
    (void)bed_take("404");
    bed_told("");
    bed.open_error = ERR_IO;
    bed_request("INVITE", 1, "w9", NULL, NULL, SDP);
    (void)bed_take("500");
    bed.open_error = 0;
    bed.answer_error = ERR_UNSUPPORTED;
    bed_request("INVITE", 1, "w10", NULL, NULL, SDP);
    (void)bed_take("180");
    assert_int_equal(phone_answer(bed.phone, bed.call), 0);
    (void)bed_take("488");
    assert_true(bed_was_told("end 488"));
}

/* No offer in the INVITE: ours is in the 200, the answer in the ACK. */
static void in_late_offer(void **state)
{
    (void)state;
    (void)ring(NULL, NULL);
    assert_int_equal(phone_answer(bed.phone, bed.call), 0);
    struct sip_msg *ok = bed_take("200");
    const char *tag = arena_str(bed.arena, ok->to_tag).p;
    assert_non_null(strstr(ok->body.p, "m=audio 7000 RTP/AVP 8"));
    assert_int_equal(bed.n_agreed, 0);
    bed_request("ACK", 5, "a1", tag, NULL, SDP);
    assert_int_equal(bed.n_agreed, 1);
    assert_true(bed_was_told("up;"));
    phone_hang_up(bed.phone, bed.call);
    bed_reply(bed_take("BYE"), 200, NULL, NULL);
    /* and without one the call ends */
    bed_request("INVITE", 50, "i5", NULL, NULL, NULL);
    (void)bed_take("180");
    assert_int_equal(phone_answer(bed.phone, bed.call), 0);
    ok = bed_take("200");
    bed_request("ACK", 50, "a5", arena_str(bed.arena, ok->to_tag).p, NULL, NULL);
    (void)bed_take("BYE");
}

/* RFC 3262 3: 180 repeated until its PRACK, and the call refused without one. */
static void in_reliable(void **state)
{
    (void)state;
    struct sip_msg *m = ring("Supported: 100rel\n", SDP);
    char rack[64];
    const char *tag = arena_str(bed.arena, m->to_tag).p;
    assert_string_equal(bed_header(m, "Require"), "100rel");
    bed_wait(500);
    (void)bed_take("180");
    bed_request("PRACK", 6, "p0", tag, "RAck: 1 5 INVITE\n", NULL);
    (void)bed_take("481");
    snprintf(rack, sizeof(rack), "RAck: %s 5 INVITE\n", bed_header(m, "RSeq"));
    bed_request("PRACK", 7, "p1", tag, rack, NULL);
    (void)bed_take("200");
    bed_wait(40000);
    bed_nothing();
    phone_hang_up(bed.phone, bed.call);
    (void)bed_take("603");
    bed_request("INVITE", 60, "i7", NULL, "Require: 100rel\n", SDP);
    bed_wait(32100);
    struct sip_msg *last = NULL;
    while (bed_has())
        last = bed_take(NULL);
    assert_int_equal(last->status, 504);
}

static void answers_timer(void **state)
{
    (void)state;
    (void)ring("Supported: timer\nSession-Expires: 120\n", SDP);
    assert_int_equal(phone_answer(bed.phone, bed.call), 0);
    struct sip_msg *ok = bed_take("200");
    assert_string_equal(bed_header(ok, "Session-Expires"), "120;refresher=uac");
    assert_string_equal(bed_header(ok, "Require"), "timer");
    bed_request("ACK", 5, "a1", arena_str(bed.arena, ok->to_tag).p, NULL, NULL);
    bed_wait(87000);
    assert_true(bed_was_told("up;"));
    bed_wait(1500); /* 120 s less 32 (RFC 4028 10) */
    (void)bed_take("BYE");
}

static void table(void **state)
{
    (void)state;
    static const char next[CALL_STATES][CALL_EVENTS + 1] = {
        /* 1XX 2XX REFUSED ANSWER FAILED ACK NO_ACK CANCEL BYE HANG_UP BYE_DONE */
        [CALL_CALLING] = "EUX......S.",  [CALL_EARLY] = "EUX......S.",
        [CALL_STOPPING] = "SLX........", [CALL_RINGING] = "...A...XXX.",
        [CALL_ANSWERED] = "....XUL.XA.", [CALL_UP] = ".....UL.XL.",
        [CALL_LEAVING] = "........X.X",  [CALL_ENDED] = "...........",
    };
    static const char letters[] = {
        [CALL_CALLING] = 'C',  [CALL_EARLY] = 'E', [CALL_STOPPING] = 'S', [CALL_RINGING] = 'R',
        [CALL_ANSWERED] = 'A', [CALL_UP] = 'U',    [CALL_LEAVING] = 'L',  [CALL_ENDED] = 'X'};
    for (int s = 0; s < CALL_STATES; s++) {
        for (int e = 0; e < CALL_EVENTS; e++) {
            const struct call_cell *c = &call_table[s][e];
            char is = c->act ? letters[c->next] : '.';
            if (is != next[s][e])
                fail_msg("state %d, event %d: %c, not %c", s, e, is, next[s][e]);
        }
    }
}

static void oom(void **state)
{
    (void)state;
    struct net net;
    struct phone *p;
    struct phone_user u = {0};
    bed_net_null(&net);
    bed.cfg.no_register = true;
    assert_int_equal(phone_new(&net, &bed.cfg, &u, &bed.out, &p), 0);
    phone_start(p);
    OOM_SWEEP(300, {
        phone_call_id call;
        if (phone_call(p, STR("bob"), &call) == 0)
            phone_hang_up(p, call);
        (void)!phone_send_text(p, STR("bob"), STR("hi"));
        LIST_EACH(c, &p->calls, struct call, node)
        call_free(c);
    });
    phone_free(p);
}

#define T(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(out),
        T(they_hang_up),
        T(refused),
        T(cancelled),
        T(cancelled_too_late),
        T(forked_back),
        T(next_way),
        T(no_keys),
        T(in_unanswerable),
        T(forked),
        T(reliable),
        T(bad_answers),
        T(lost),
        T(interval_too_small),
        T(in),
        T(in_hang_up),
        T(in_no_ack),
        T(in_cancelled),
        T(in_refused),
        T(in_busy),
        T(in_wrong),
        T(in_late_offer),
        T(in_reliable),
        T(answers_timer),
        T(table),
        T(oom),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
