/* RFC 3261 14; RFC 3311; RFC 3264 8.4; RFC 4028; RFC 3515: what happens in a call that is up. */
#include "bed.h"
#include <stdio.h>
#include <stdlib.h>

#define CONTACT "Contact: <sip:bob@192.0.2.9:5070>\n"
#define HOLD                                                                                       \
    "v=0\no=- 1 2 IN IP4 192.0.2.9\ns=-\nc=IN IP4 192.0.2.9\nt=0 0\nm=audio 4000 RTP/AVP "         \
    "8\na=sendonly\n"
#define RESUME                                                                                     \
    "v=0\no=- 1 3 IN IP4 192.0.2.9\ns=-\nc=IN IP4 192.0.2.9\nt=0 0\nm=audio 4000 RTP/AVP 8\n"
#define HELD                                                                                       \
    "v=0\no=- 1 2 IN IP4 192.0.2.9\ns=-\nc=IN IP4 192.0.2.9\nt=0 0\nm=audio 4000 RTP/AVP "         \
    "8\na=recvonly\n"

static phone_call_id id;
static struct sip_msg *invite;

/* A call of ours is up; `extra` goes into its 200. */
static void up(const char *extra)
{
    char all[512];
    bed_register();
    assert_int_equal(phone_call(bed.phone, STR("bob"), &id), 0);
    invite = bed_take("INVITE");
    snprintf(all, sizeof(all), CONTACT "%s", extra);
    bed_reply(invite, 200, all, SDP);
    (void)bed_take("ACK");
    bed_told("up;");
}

static void expect_end(unsigned status)
{
    char text[32];
    bed_reply(bed_take("BYE"), 200, NULL, NULL);
    snprintf(text, sizeof(text), "end %u", status);
    assert_true(bed_was_told(text));
}

static void we_hold(void **state)
{
    (void)state;
    up("");
    assert_int_equal(phone_hold(bed.phone, id, true), 0);
    struct sip_msg *m = bed_take("INVITE");
    check_str(m->to_tag, "srv");
    check_str(m->ruri, "sip:bob@192.0.2.9:5070");
    assert_non_null(strstr(m->body.p, "a=sendonly"));
    assert_int_equal(phone_hold(bed.phone, id, false), ERR_AGAIN);
    bed_reply(m, 200, "Contact: <sip:bob@192.0.2.10>\n", HELD);
    struct sip_msg *ack = bed_take("ACK");
    assert_int_equal(ack->cseq, m->cseq);
    check_str(ack->ruri, "sip:bob@192.0.2.10"); /* the target was refreshed */
    bed_told("changed 200;");
    assert_int_equal(bed.dir, SDP_SENDONLY);
    bed_reply(m, 200, "Contact: <sip:bob@192.0.2.10>\n", HELD);
    (void)bed_take("ACK"); /* again */
    assert_int_equal(phone_hold(bed.phone, id, false), 0);
    m = bed_take("INVITE");
    assert_non_null(strstr(m->body.p, "a=sendrecv"));
    bed_reply(m, 200, CONTACT, RESUME);
    (void)bed_take("ACK");
    assert_int_equal(bed.dir, SDP_SENDRECV);
    bed_told("changed 200;");
}

/* New keys are due: an offer, which keeps the direction; at once, or when the one under way has its
 * answer. */
static void rekey(void **state)
{
    (void)state;
    up("");
    bed.media_user.on_news(bed.media_user.arg, bed.media_user.call, PHONE_MEDIA_REKEY);
    sim_settle(&bed.sim);
    struct sip_msg *m = bed_take("INVITE");
    assert_non_null(strstr(m->body.p, "a=sendrecv"));
    bed.media_user.on_news(bed.media_user.arg, bed.media_user.call, PHONE_MEDIA_REKEY);
    sim_settle(&bed.sim);
    bed_nothing();
    bed_reply(m, 200, CONTACT, RESUME);
    (void)bed_take("ACK");
    bed_told("changed 200;");
    bed_wait(600);
    m = bed_take("INVITE");
    bed_reply(m, 200, CONTACT, RESUME);
    (void)bed_take("ACK");
    bed_told("changed 200;");
    bed_wait(2000);
    bed_nothing();
}

static void they_hold(void **state)
{
    (void)state;
    up("");
    bed_in_dialog(invite, "INVITE", 10, "h1", NULL, HOLD);
    struct sip_msg *ok = bed_take("200");
    assert_non_null(strstr(ok->body.p, "a=recvonly"));
    bed_told("held;");
    assert_int_equal(bed.dir, SDP_RECVONLY);
    bed_in_dialog(invite, "ACK", 10, "h2", NULL, NULL);
    bed_wait(5000);
    bed_nothing();
    /* inactive: now nobody hears anything */
    bed_in_dialog(invite, "UPDATE", 11, "h3", NULL,
                  "v=0\no=- 1 4 IN IP4 192.0.2.9\ns=-\nc=IN IP4 192.0.2.9\nt=0 0\nm=audio 4000 "
                  "RTP/AVP 8\na=inactive\n");
    ok = bed_take("200");
    assert_non_null(strstr(ok->body.p, "a=inactive"));
    assert_int_equal(bed.dir, SDP_INACTIVE);
    bed_told("");
    bed_in_dialog(invite, "UPDATE", 12, "h4", NULL, NULL); /* only a refresh */
    assert_int_equal(bed_take("200")->body.n, 0);
    bed_in_dialog(invite, "UPDATE", 11, "h5", NULL, NULL); /* 12.2.2: older than what was seen */
    (void)bed_take("500");
    bed_in_dialog(
        invite, "UPDATE", 13, "h6", NULL,
        "v=0\no=- 1 5 IN IP4 192.0.2.9\ns=-\nc=IN IP4 192.0.2.9\nt=0 0\nm=audio 4000 RTP/AVP 8\n");
    (void)bed_take("200");
    bed_told("resumed;");
    assert_int_equal(bed.dir, SDP_SENDRECV);
}

/* What cannot be answered leaves the session as it is (14.2). */
static void bad_offers(void **state)
{
    (void)state;
    static const struct {
        const char *body, *status;
    } cases[] = {
        {"what\n", "400"},
        {"v=0\no=- 1 2 IN IP4 192.0.2.9\ns=-\nc=IN IP4 192.0.2.9\nt=0 0\n", "488"}, /* audio gone */
        {"v=0\no=- 1 2 IN IP4 192.0.2.9\ns=-\nc=IN IP4 192.0.2.9\nt=0 0\nm=video 4000 RTP/AVP 31\n",
         "488"},
        {"v=0\no=- 1 2 IN IP4 192.0.2.9\ns=-\nc=IN IP4 192.0.2.9\nt=0 0\nm=audio 4000 RTP/AVP "
         "8\nY=new\n",
         "488"},
    };
    up("");
    unsigned agreed = bed.n_agreed;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char branch[16];
        snprintf(branch, sizeof(branch), "bad%zu", i);
        bed_in_dialog(invite, "UPDATE", (unsigned)(10 + i), branch, NULL, cases[i].body);
        (void)bed_take(cases[i].status);
    }
    bed_in_dialog(invite, "INVITE", 30, "bad", "Content-Type: text/plain\n", "hello");
    (void)bed_take("415");
    assert_int_equal(bed.n_agreed, agreed);
    bed_told("");
}

/* An exchange has connected the call with another phone (RFC 3725): its description has its own o=. */
static void another_phone(void **state)
{
    (void)state;
    up("");
    unsigned agreed = bed.n_agreed;
    bed_in_dialog(invite, "UPDATE", 10, "other", NULL,
                  "v=0\no=- 2 1 IN IP4 192.0.2.9\ns=-\nc=IN IP4 192.0.2.9\nt=0 0\nm=audio 4000 RTP/AVP 8\n");
    (void)bed_take("200");
    assert_int_equal(bed.n_agreed, agreed + 1);
}

/* An offer with further sections: each is answered, only audio accepted, and our own later offers
 * keep them. */
static void more_sections(void **state)
{
    (void)state;
    up("");
    bed_in_dialog(invite, "UPDATE", 10, "v1", NULL,
                  RESUME "a=mid:x\nm=video 9 RTP/AVP 31\nm=application 7 UDP/DTLS/SCTP webrtc\n");
    struct sip_msg *ok = bed_take("200");
    assert_non_null(strstr(ok->body.p, "m=audio 7000 RTP/AVP 8\r\na=mid:x"));
    assert_non_null(
        strstr(ok->body.p, "m=video 0 RTP/AVP 31\r\nm=application 0 UDP/DTLS/SCTP webrtc\r\n"));
    assert_int_equal(phone_hold(bed.phone, id, true), 0);
    struct sip_msg *m = bed_take("INVITE");
    assert_non_null(
        strstr(m->body.p, "m=video 0 RTP/AVP 31\r\nm=application 0 UDP/DTLS/SCTP webrtc\r\n"));
    assert_non_null(strstr(m->body.p, "a=mid:x\r\n"));
}

/* Both sides offer at once (14.1, 14.2). */
static void glare(void **state)
{
    (void)state;
    up("");
    assert_int_equal(phone_hold(bed.phone, id, true), 0);
    struct sip_msg *m = bed_take("INVITE");
    bed_in_dialog(invite, "INVITE", 10, "g1", NULL, HOLD);
    (void)bed_take("491");
    bed_in_dialog(invite, "UPDATE", 11, "g2", NULL, HOLD);
    (void)bed_take("491");
    bed_reply(m, 491, NULL, NULL);
    (void)bed_take("ACK");
    bed_wait(2050);
    bed_nothing(); /* who owns the Call-ID waits 2.1 to 4 s */
    bed_wait(2000);
    m = bed_take("INVITE");
    assert_non_null(strstr(m->body.p, "a=sendonly"));
    bed_reply(m, 200, CONTACT, HELD);
    (void)bed_take("ACK");
    assert_true(bed_was_told("changed 200;"));
}

static void offer_refused(void **state)
{
    (void)state;
    up("");
    assert_int_equal(phone_hold(bed.phone, id, true), 0);
    struct sip_msg *m = bed_take("INVITE");
    bed_reply(m, 488, NULL, NULL);
    (void)bed_take("ACK");
    bed_told("changed 488;");
    assert_int_equal(phone_hold(bed.phone, id, true), 0); /* and can be tried again */
    bed_reply(bed_take("INVITE"), 481, NULL, NULL);
    (void)bed_take("ACK");
    expect_end(481);
}

static void offer_unanswered(void **state)
{
    (void)state;
    up("");
    assert_int_equal(phone_hold(bed.phone, id, true), 0);
    (void)bed_take("INVITE");
    bed_wait(32100);
    expect_end(408);
}

/* ---- session timers ---- */

static void we_refresh(void **state)
{
    (void)state;
    up("Session-Expires: 100;refresher=uac\nAllow: INVITE, UPDATE\n");
    bed_wait(49900);
    bed_nothing();
    bed_wait(200);
    struct sip_msg *m = bed_take("UPDATE");
    assert_string_equal(bed_header(m, "Session-Expires"), "100;refresher=uac");
    assert_int_equal(m->body.n, 0);
    bed_reply(m, 200, CONTACT "Session-Expires: 100;refresher=uac\n", NULL);
    bed_wait(50100);
    m = bed_take("UPDATE");
    bed_reply(m, 481, NULL, NULL);
    expect_end(481);
}

static void we_refresh_by_invite(void **state)
{
    (void)state;
    up("Session-Expires: 100;refresher=uac\n");
    bed_wait(50100);
    struct sip_msg *m = bed_take("INVITE");
    assert_non_null(strstr(m->body.p, "m=audio"));
    bed_reply(m, 200, CONTACT, RESUME);
    (void)bed_take("ACK");
    bed_wait(300000);
    bed_nothing(); /* no Session-Expires in the answer: no timer any more (7.2) */
}

static void they_refresh(void **state)
{
    (void)state;
    up("Session-Expires: 300;refresher=uas\n");
    bed_wait(250000);
    bed_in_dialog(invite, "UPDATE", 10, "r1",
                  "Supported: timer\nSession-Expires: 300;refresher=uac\n", NULL);
    assert_string_equal(bed_header(bed_take("200"), "Session-Expires"), "300;refresher=uac");
    bed_wait(267000);
    bed_nothing();
    bed_wait(1100);
    expect_end(408);
}

/* ---- transfer ---- */

static void refer_declined(void **state)
{
    (void)state;
    up("");
    bed_in_dialog(invite, "REFER", 10, "f1", "Refer-To: <sip:carol@example.com>\n", NULL);
    (void)bed_take("603");
    bed_nothing();
}

static void refer_followed(void **state)
{
    (void)state;
    bed.cfg.follow_refer = true;
    up("");
    bed_in_dialog(invite, "REFER", 10, "f0", "Refer-To: <sip:carol@example.com?Replaces=x>\n",
                  NULL);
    (void)bed_take("400"); /* headers in a URI are not taken over */
    bed_in_dialog(invite, "REFER", 11, "f1",
                  "Refer-To: <sip:carol@example.com>\nReferred-By: <sip:bob@example.com>\n", NULL);
    struct sip_msg *next = bed_take("INVITE");
    check_str(next->ruri, "sip:carol@example.com");
    assert_string_equal(bed_header(next, "Referred-By"), "<sip:bob@example.com>");
    (void)bed_take("202");
    struct sip_msg *n = bed_take("NOTIFY");
    assert_string_equal(bed_header(n, "Event"), "refer");
    check_str(n->body, "SIP/2.0 100 Trying\r\n");
    bed_reply(n, 200, NULL, NULL);
    bed_told("referred;");
    bed_reply(next, 180, CONTACT, NULL);
    bed_reply(bed_take("NOTIFY"), 200, NULL, NULL);
    bed_reply(next, 200, CONTACT, SDP);
    (void)bed_take("ACK");
    n = bed_take("NOTIFY");
    check_str(n->body, "SIP/2.0 200 OK\r\n");
    assert_non_null(strstr(bed_header(n, "Subscription-State"), "terminated"));
    bed_reply(n, 200, NULL, NULL);
    bed_in_dialog(invite, "BYE", 12, "f2", NULL, NULL);
    (void)bed_take("200");
    bed_told("ringing 180;up;end 0;");
    assert_int_equal(bed.n_open, 1);
}

static void refer_by_us(void **state)
{
    (void)state;
    up("");
    assert_int_equal(phone_refer(bed.phone, id, STR("carol")), 0);
    struct sip_msg *m = bed_take("REFER");
    assert_string_equal(bed_header(m, "Refer-To"), "<sip:carol@example.com>");
    bed_reply(m, 202, CONTACT, NULL);
    bed_told("");
#define FRAG "Event: refer\nContent-Type: message/sipfrag\n"
    bed_in_dialog(invite, "NOTIFY", 10, "n1", FRAG "Subscription-State: active\n",
                  "SIP/2.0 100 Trying\n");
    (void)bed_take("200");
    bed_told("");
    bed_in_dialog(invite, "NOTIFY", 11, "n2", FRAG "Subscription-State: terminated\n",
                  "SIP/2.0 486 Busy\n");
    (void)bed_take("200");
    bed_told("refer 486;");
    bed_in_dialog(invite, "NOTIFY", 12, "n3", FRAG "Subscription-State: terminated\n",
                  "SIP/2.0 200 OK\n");
    (void)bed_take("481");
    assert_int_equal(phone_refer(bed.phone, id, STR("carol")), 0);
    bed_reply(bed_take("REFER"), 603, NULL, NULL);
    bed_told("refer 603;");
}

/* ---- the rest ---- */

static void small_things(void **state)
{
    (void)state;
    up("");
    bed_in_dialog(invite, "MESSAGE", 10, "s1", "Content-Type: text/plain\n", "psst");
    (void)bed_take("200");
    bed_told("text sip:bob@example.com psst;");
    bed_in_dialog(invite, "OPTIONS", 11, "s2", NULL, NULL);
    (void)bed_take("200");
    bed_in_dialog(invite, "INFO", 12, "s3", NULL, NULL);
    (void)bed_take("405");
    bed_in_dialog(invite, "PRACK", 13, "s4", "RAck: 1 1 INVITE\n", NULL);
    (void)bed_take("481");
    assert_int_equal(phone_dial(bed.phone, id, STR("12")), 0);
    assert_string_equal(bed.dialled, "12");
    bed.media_user.on_first(bed.media_user.arg, bed.media_user.call);
    bed.media_user.on_digit(bed.media_user.arg, bed.media_user.call, '#');
    sim_settle(&bed.sim);
    bed_told("media;digit #;");
    bed.media_user.on_digit(bed.media_user.arg, 999, '#'); /* of a call that is gone */
    sim_settle(&bed.sim);
    bed_told("");
}

static void texts(void **state)
{
    (void)state;
    bed_register();
    assert_int_equal(phone_send_text(bed.phone, STR("bob"), STR("hello")), 0);
    struct sip_msg *m = bed_take("MESSAGE");
    check_str(m->body, "hello");
    bed_reply(m, 407,
              "Proxy-Authenticate: Digest realm=\"example.com\", nonce=\"p\", algorithm=SHA-256, "
              "qop=\"auth\"\n",
              NULL);
    m = bed_take("MESSAGE");
    assert_true(bed_knows(m, "Proxy-Authorization", "secret"));
    bed_reply(m, 202, NULL, NULL);
    bed_told("sent 202;");
    assert_int_equal(phone_ping(bed.phone, STR("sip:example.com")), 0);
    bed_wait(32100);
    bed_told("sent 408;");
    static char big[1301];
    memset(big, 'x', sizeof(big));
    assert_int_equal(phone_send_text(bed.phone, STR("bob"), str_make(big, sizeof(big))), ERR_LIMIT);
}

#define T(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(we_hold),        T(rekey),
        T(they_hold),      T(bad_offers),
        T(another_phone),  T(more_sections),
        T(glare),          T(refer_by_us),
        T(offer_refused),  T(offer_unanswered),
        T(we_refresh),     T(we_refresh_by_invite),
        T(they_refresh),   T(refer_declined),
        T(refer_followed), T(small_things),
        T(texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
