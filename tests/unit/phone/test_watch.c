/* RFC 6665; TR/100 10: the phone's subscription to the status of its calls. What a NOTIFY says is
 * told along TLS alone, which the bed has not got: tests/e2e/status_events.sh shows that. */
#include "bed.h"
#include <stdio.h>
#include <stdlib.h>

#define OFFER "Allow-Events: presence, x-sallyport-status\n"
#define TAKEN "Contact: <sip:192.0.2.1:5060>\nExpires: 100\n"

/* Registered; the SUBSCRIBE, if there is one. */
static struct sip_msg *registered(const char *offer)
{
    char extra[512];
    bed_start();
    struct sip_msg *m = bed_take("REGISTER");
    snprintf(extra, sizeof(extra), "Contact: %s\nRequire: outbound\n%s", bed_header(m, "Contact"),
             offer);
    bed_reply(m, 200, extra, NULL);
    bed_told("registered 3600;");
    return bed_has() ? bed_take("SUBSCRIBE") : NULL;
}

/* A NOTIFY in the dialog that this SUBSCRIBE is to make. */
static void notify(const struct sip_msg *m, unsigned cseq, const char *state, const char *body)
{
    static unsigned branch;
    char text[4096];
    snprintf(text, sizeof(text),
             "NOTIFY sip:%.*s@192.0.2.50:5062 SIP/2.0\nVia: SIP/2.0/TCP "
             "192.0.2.1:5060;branch=z9hG4bKn%u\n"
             "Max-Forwards: 70\nFrom: <sip:example.com>;tag=srv\nTo: %s\nCall-ID: %.*s\n"
             "CSeq: %u NOTIFY\nContact: <sip:192.0.2.1:5060>\nEvent: x-sallyport-status\n"
             "Subscription-State: %s\nContent-Type: application/json\nContent-Length: %u\n\n%s",
             STR_FMT(bed.phone->contact_user), ++branch, bed_header(m, "From"), STR_FMT(m->call_id),
             cseq, state, (unsigned)strlen(body), body);
    bed_deliver(text);
}

static void not_offered(void **state)
{
    (void)state;
    assert_null(registered(""));
}

static void not_wanted(void **state)
{
    (void)state;
    bed.cfg.no_watch = true;
    assert_null(registered(OFFER));
}

static void life(void **state)
{
    (void)state;
    struct sip_msg *m = registered(OFFER);
    assert_non_null(m);
    check_str(m->ruri, "sip:example.com");
    assert_string_equal(bed_header(m, "Event"), "x-sallyport-status");
    assert_string_equal(bed_header(m, "Expires"), "3600");
    notify(m, 1, "active;expires=100", "{\"version\":0,\"calls\":[]}"); /* before the 200 */
    (void)bed_take("200");
    bed_reply(m, 200, TAKEN, NULL);
    notify(m, 2, "active;expires=100",
           "{\"version\":1,\"calls\":[{\"call_id\":\"x\",\"side\":\"caller\",\"status\":\"secure\"}"
           ",{}]}");
    (void)bed_take("200");
    notify(m, 3, "active;expires=100", "{\"version\":1");
    (void)bed_take("400");
    notify(m, 4, "active;expires=100", "[]");
    (void)bed_take("400");
    notify(m, 2, "active;expires=100", "");
    (void)bed_take("500");
    bed_wait(75000); /* refreshed in time, in its dialog */
    struct sip_msg *again = bed_take("SUBSCRIBE");
    check_str(again->to_tag, "srv");
    check_str(again->ruri, "sip:192.0.2.1:5060");
    bed_reply(again, 200, TAKEN, NULL);
    /* ended by the edge: begun anew, as another one */
    notify(m, 5, "terminated;reason=giveup", "{\"version\":2,\"calls\":[]}");
    (void)bed_take("200");
    notify(m, 6, "active;expires=100", "{\"version\":3,\"calls\":[]}");
    (void)bed_take("481");
    bed_wait(2000);
    again = bed_take("SUBSCRIBE");
    assert_int_equal(again->to_tag.n, 0);
    assert_false(str_eq(again->call_id, m->call_id));
    /* refused: that is all */
    bed_reply(again, 489, NULL, NULL);
    bed_wait(100000);
    assert_false(bed_has());
}

/* Whoever else sends one. */
static void strangers(void **state)
{
    (void)state;
    struct sip_msg *m = registered(OFFER);
    bed_reply(m, 200, TAKEN, NULL);
    bed_request("NOTIFY", 1, "s1", "none", "Event: x-sallyport-status\n", NULL);
    (void)bed_take("481");
    bed_request("NOTIFY", 1, "s2", NULL, "Event: x-sallyport-status\n", NULL);
    (void)bed_take("481");
}

/* It does not know us any more: anew, in a moment. */
static void forgotten(void **state)
{
    (void)state;
    struct sip_msg *m = registered(OFFER);
    bed_reply(m, 200, TAKEN, NULL);
    bed_wait(75000);
    bed_reply(bed_take("SUBSCRIBE"), 481, NULL, NULL);
    bed_wait(2000);
    assert_int_equal(bed_take("SUBSCRIBE")->to_tag.n, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, bed_setup, bed_teardown)
    const struct CMUnitTest tests[] = {TEST(not_offered), TEST(not_wanted), TEST(life),
                                       TEST(strangers), TEST(forgotten)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
