/* RFC 3263 4 by cases: what is asked, what comes out and in which order. Scripted DNS, virtual
 * time. */
#include "base/err.h"
#include "base/sbuf.h"
#include "check.h"
#include "dns_script.h"
#include "net/locate.h"
#include "oom.h"
#include <stdio.h>

struct lab {
    struct wheel *wheel;
    struct dns_script *dns;
    struct locator *locator;
    struct rand_source rand;
    /* the outcome */
    unsigned calls;
    struct net_target targets[LIMIT_TARGETS];
    size_t n;
    struct reason why;
};

static struct locate_reach reach_all(void)
{
    struct locate_reach r = {0};
    for (int t = TRANSPORT_UDP; t <= TRANSPORT_TLS; t++)
        r.v4[t] = r.v6[t] = true;
    return r;
}

static void lab_init(struct lab *lab, struct locate_reach reach)
{
    *lab = (struct lab){.wheel = wheel_new(1000)};
    assert_non_null(lab->wheel);
    lab->dns = dns_script_new(lab->wheel);
    rand_fixed_init(&lab->rand, 1);
    const struct locator_args args = {dns_script_dns(lab->dns), lab->wheel, &lab->rand, reach};
    assert_int_equal(locator_new(&args, &lab->locator), 0);
}

static void lab_done(struct lab *lab)
{
    assert_int_equal(locator_waiting(lab->locator), 0);
    assert_int_equal(dns_script_waiting(lab->dns), 0);
    locator_free(lab->locator);
    dns_script_free(lab->dns);
    wheel_free(lab->wheel);
}

static void on_located(void *arg, const struct net_target *targets, size_t n,
                       const struct reason *why)
{
    struct lab *lab = arg;
    lab->calls++;
    lab->n = n;
    assert_true(n <= LIMIT_TARGETS);
    assert_true((n == 0) == (why != NULL));
    memcpy(lab->targets, targets, n * sizeof(targets[0]));
    if (why)
        lab->why = *why;
}

static void pass(struct lab *lab, uint64_t ms)
{
    wheel_advance(lab->wheel, wheel_now_ms(lab->wheel) + ms);
}

static uint64_t start(struct lab *lab, struct net_locate_args args)
{
    uint64_t id = 0;
    lab->calls = 0;
    assert_int_equal(locator_start(lab->locator, &args, on_located, lab, &id), 0);
    assert_int_equal(lab->calls, 0); /* never from inside */
    assert_true(id != 0);
    return id;
}

/* "TLS 192.0.2.1:5061, UDP ..." or the code of the reason */
static const char *outcome(const struct lab *lab)
{
    static char text[4096];
    struct sbuf b = sbuf_make(text, sizeof(text));
    for (size_t i = 0; i < lab->n; i++) {
        char at[ADDR_TEXT_MAX];
        sbuf_fmt(&b, "%s%.*s %.*s", i ? ", " : "",
                 STR_FMT(transport_text(lab->targets[i].transport)),
                 STR_FMT(addr_text(&lab->targets[i].addr, at)));
    }
    sbuf_fmt(&b, "%s", lab->n ? "" : lab->why.code);
    sbuf_char(&b, '\0');
    assert_false(b.overflow);
    return text;
}

static const char *locate(struct lab *lab, struct net_locate_args args)
{
    start(lab, args);
    for (int i = 0; i < 1000 && lab->calls == 0; i++)
        pass(lab, 10);
    assert_int_equal(lab->calls, 1);
    return outcome(lab);
}

#define PLAIN(h) ((struct net_locate_args){.host = STR(h), .allow_clear = true})
#define ASK(h, ...) ((struct net_locate_args){.host = STR(h), .allow_clear = true, __VA_ARGS__})
#define BY(t) .has_transport = true, .transport = TRANSPORT_##t

static void test_literal(void **state)
{
    (void)state;
    struct lab lab;
    lab_init(&lab, reach_all());
    assert_string_equal(locate(&lab, PLAIN("192.0.2.1")), "UDP 192.0.2.1:5060");
    assert_string_equal(locate(&lab, ASK("192.0.2.1", .prefer_tls = true)), "UDP 192.0.2.1:5060");
    assert_string_equal(locate(&lab, ASK("192.0.2.1", .port = 7000)), "UDP 192.0.2.1:7000");
    assert_string_equal(locate(&lab, ASK("192.0.2.1", BY(TCP))), "TCP 192.0.2.1:5060");
    assert_string_equal(locate(&lab, ASK("192.0.2.1", BY(TLS))), "TLS 192.0.2.1:5061");
    assert_string_equal(locate(&lab, ASK("192.0.2.1", .sips = true)), "TLS 192.0.2.1:5061");
    assert_string_equal(locate(&lab, ASK("192.0.2.1", .sips = true, .port = 7000)),
                        "TLS 192.0.2.1:7000");
    assert_string_equal(locate(&lab, PLAIN("2001:db8::1")), "UDP [2001:db8::1]:5060");
    assert_string_equal(locate(&lab, ASK("[2001:db8::1]", .port = 9)), "UDP [2001:db8::1]:9");
    assert_string_equal(locate(&lab, (struct net_locate_args){.host = STR("192.0.2.1")}),
                        "TLS 192.0.2.1:5061");
    assert_string_equal(locate(&lab, PLAIN("0.0.0.0")), "locate-host");
    assert_string_equal(locate(&lab, PLAIN("224.0.1.75")), "locate-host");
    assert_string_equal(locate(&lab, PLAIN("ff02::1")), "locate-host");
    assert_string_equal(locate(&lab, PLAIN("::ffff:224.0.0.1")), "locate-host");
    assert_string_equal(dns_script_asked(lab.dns), "");
    lab_done(&lab);
}

static void test_refused(void **state)
{
    (void)state;
    struct lab lab;
    lab_init(&lab, reach_all());
    dns_script_a(lab.dns, "a.example", "192.0.2.1");
    /* sips never falls to clear; transport=tcp of it is TLS (RFC 3261 26.2.2) */
    assert_string_equal(locate(&lab, ASK("a.example", .sips = true, BY(UDP))), "locate-transport");
    assert_string_equal(locate(&lab, ASK("a.example", .sips = true, BY(TCP), .port = 1)),
                        "TLS 192.0.2.1:1");
    assert_string_equal(locate(&lab, ASK("a.example", BY(WS))), "locate-transport");
    assert_string_equal(locate(&lab, ASK("a.example", BY(WSS))), "locate-transport");
    assert_string_equal(locate(&lab, (struct net_locate_args){.host = STR("a.example"), BY(UDP)}),
                        "locate-clear");
    assert_string_equal(locate(&lab, (struct net_locate_args){.host = STR("a.example"), BY(TCP)}),
                        "locate-clear");
    assert_string_equal(locate(&lab, PLAIN("")), "locate-host");
    assert_string_equal(locate(&lab, PLAIN("a..example")), "locate-host");
    assert_string_equal(locate(&lab, PLAIN("a b.example")), "locate-host");
    assert_string_equal(locate(&lab, PLAIN("a.example\0.evil.test")), "locate-host");
    lab_done(&lab);
    struct locate_reach only_udp4 = {.v4 = {[TRANSPORT_UDP] = true}};
    lab_init(&lab, only_udp4);
    assert_string_equal(locate(&lab, ASK("192.0.2.1", BY(TLS))), "locate-transport");
    assert_string_equal(locate(&lab, PLAIN("2001:db8::1")), "locate-transport");
    assert_string_equal(locate(&lab, ASK("a.example", .sips = true)), "locate-transport");
    assert_string_equal(locate(&lab, PLAIN("192.0.2.1")), "UDP 192.0.2.1:5060");
    lab_done(&lab);
}

static void test_port(void **state)
{
    (void)state;
    struct lab lab;
    lab_init(&lab, reach_all());
    dns_script_a(lab.dns, "a.example", "192.0.2.1");
    dns_script_a(lab.dns, "a.example", "192.0.2.2");
    dns_script_a(lab.dns, "a.example", "2001:db8::1");
    dns_script_srv(lab.dns, "_sip._udp.a.example", 1, 1, 9999, "wrong.example");
    /* 4.2: a port means addresses and no SRV, 5060 as well; no transport means UDP */
    assert_string_equal(locate(&lab, ASK("a.example", .port = 5060)),
                        "UDP 192.0.2.1:5060, UDP 192.0.2.2:5060, UDP [2001:db8::1]:5060");
    assert_string_equal(dns_script_asked(lab.dns), "A a.example, AAAA a.example");
    assert_string_equal(locate(&lab, ASK("A.example.", .port = 7, BY(TCP))),
                        "TCP 192.0.2.1:7, TCP 192.0.2.2:7, TCP [2001:db8::1]:7");
    assert_string_equal(locate(&lab, ASK("a.example", .port = 7, .sips = true)),
                        "TLS 192.0.2.1:7, TLS 192.0.2.2:7, TLS [2001:db8::1]:7");
    lab_done(&lab);
}

/* The zone of RFC 3263 4.1, and the same with another order. */
static void add_rfc3263(struct lab *lab)
{
    dns_script_naptr(lab->dns, "example.com", 50, 50, "s", "SIPS+D2T", "",
                     "_sips._tcp.example.com");
    dns_script_naptr(lab->dns, "example.com", 90, 50, "s", "SIP+D2T", "", "_sip._tcp.example.com");
    dns_script_naptr(lab->dns, "example.com", 100, 50, "s", "SIP+D2U", "", "_sip._udp.example.com");
    dns_script_srv(lab->dns, "_sips._tcp.example.com", 0, 1, 5061, "server1.example.com");
    dns_script_srv(lab->dns, "_sip._tcp.example.com", 0, 1, 5060, "server1.example.com");
    dns_script_srv(lab->dns, "_sip._tcp.example.com", 1, 2, 5060, "server2.example.com");
    dns_script_srv(lab->dns, "_sip._udp.example.com", 0, 1, 5060, "server2.example.com");
    dns_script_a(lab->dns, "server1.example.com", "192.0.2.1");
    dns_script_a(lab->dns, "server2.example.com", "192.0.2.2");
}

static void test_naptr(void **state)
{
    (void)state;
    struct lab lab;
    for (uint64_t delay = 0; delay <= 20; delay += 20) {
        lab_init(&lab, reach_all());
        add_rfc3263(&lab);
        dns_script_delay_all(lab.dns, delay);
        assert_string_equal(
            locate(&lab, PLAIN("example.com")),
            "TLS 192.0.2.1:5061, TCP 192.0.2.1:5060, TCP 192.0.2.2:5060, UDP 192.0.2.2:5060");
        assert_string_equal(
            dns_script_asked(lab.dns),
            "NAPTR example.com, SRV _sips._tcp.example.com, SRV _sip._tcp.example.com, SRV "
            "_sip._udp.example.com, A server1.example.com, AAAA server1.example.com, A "
            "server2.example.com, AAAA server2.example.com");
        assert_string_equal(locate(&lab, ASK("example.com", .sips = true)), "TLS 192.0.2.1:5061");
        assert_string_equal(locate(&lab, (struct net_locate_args){.host = STR("example.com")}),
                            "TLS 192.0.2.1:5061");
        lab_done(&lab);
    }
    /* order before preference; prefer_tls before both */
    lab_init(&lab, reach_all());
    dns_script_naptr(lab.dns, "o.example", 20, 1, "s", "SIPS+D2T", "", "_sips._tcp.o.example");
    dns_script_naptr(lab.dns, "o.example", 10, 9, "S", "sip+d2t", "", "_sip._tcp.o.example");
    dns_script_naptr(lab.dns, "o.example", 10, 5, "s", "SIP+D2U", "", "_sip._udp.other.test");
    dns_script_srv(lab.dns, "_sips._tcp.o.example", 0, 0, 1, "h.o.example");
    dns_script_srv(lab.dns, "_sip._tcp.o.example", 0, 0, 2, "h.o.example");
    dns_script_srv(lab.dns, "_sip._udp.other.test", 0, 0, 3, "h.o.example");
    dns_script_a(lab.dns, "h.o.example", "192.0.2.1");
    assert_string_equal(locate(&lab, PLAIN("o.example")),
                        "UDP 192.0.2.1:3, TCP 192.0.2.1:2, TLS 192.0.2.1:1");
    assert_string_equal(locate(&lab, ASK("o.example", .prefer_tls = true)),
                        "TLS 192.0.2.1:1, TCP 192.0.2.1:2, UDP 192.0.2.1:3");
    lab_done(&lab);
}

static void test_naptr_of_no_use(void **state)
{
    (void)state;
    static const struct {
        const char *flags, *services, *regexp, *replacement;
    } bad[] = {
        {"s", "SIP+D2S", "", "_sip._sctp.a.example"},
        {"s", "SIPS+D2U", "", "_sips._udp.a.example"},
        {"s", "SIP+D2W", "", "_sip._ws.a.example"},
        {"s", "E2U+sip", "", "_sip._udp.evil.example"},
        {"u", "SIP+D2U", "", "_sip._udp.evil.example"},
        {"", "SIP+D2U", "", "evil.example"},
        {"s", "SIP+D2U", "!^.*$!x!", "_sip._udp.evil.example"},
        {"s", "SIP+D2U", "", ""},
        {"s", "SIP+D2U", "", "_sip.udp.ev/il"},
    };
    struct lab lab;
    lab_init(&lab, reach_all());
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        dns_script_naptr(lab.dns, "a.example", 1, 1, bad[i].flags, bad[i].services, bad[i].regexp,
                         bad[i].replacement);
    dns_script_raw(lab.dns, "a.example", DNS_NAPTR, "\0\1\0\1\1s", 6);
    dns_script_srv(lab.dns, "_sip._tcp.a.example", 0, 0, 5070, "h.a.example");
    dns_script_a(lab.dns, "h.a.example", "192.0.2.9");
    dns_script_a(lab.dns, "evil.example", "192.0.2.66");
    /* none of it is for us, so the SRV records of the domain itself (4.1) */
    assert_string_equal(locate(&lab, PLAIN("a.example")), "TCP 192.0.2.9:5070");
    lab_done(&lab);
}

static void test_srv_without_naptr(void **state)
{
    (void)state;
    struct lab lab;
    lab_init(&lab, reach_all());
    dns_script_srv(lab.dns, "_sips._tcp.b.example", 0, 0, 5061, "h.b.example");
    dns_script_srv(lab.dns, "_sip._udp.b.example", 0, 0, 5060, "h.b.example");
    dns_script_a(lab.dns, "h.b.example", "192.0.2.3");
    assert_string_equal(locate(&lab, PLAIN("b.example")), "UDP 192.0.2.3:5060, TLS 192.0.2.3:5061");
    assert_string_equal(dns_script_asked(lab.dns),
                        "NAPTR b.example, SRV _sip._udp.b.example, SRV _sip._tcp.b.example, SRV "
                        "_sips._tcp.b.example, A h.b.example, AAAA h.b.example");
    assert_string_equal(locate(&lab, ASK("b.example", .prefer_tls = true)),
                        "TLS 192.0.2.3:5061, UDP 192.0.2.3:5060");
    /* transport= asks for that SRV alone, and no NAPTR */
    dns_script_a(lab.dns, "b.example", "192.0.2.4");
    assert_string_equal(locate(&lab, ASK("b.example", BY(TLS))), "TLS 192.0.2.3:5061");
    assert_string_equal(locate(&lab, ASK("b.example", BY(TCP))), "TCP 192.0.2.4:5060");
    assert_string_equal(locate(&lab, ASK("b.example", BY(TCP), .sips = true)),
                        "TLS 192.0.2.3:5061");
    lab_done(&lab);
}

static void test_addresses_alone(void **state)
{
    (void)state;
    struct lab lab;
    lab_init(&lab, reach_all());
    dns_script_a(lab.dns, "c.example", "192.0.2.5");
    assert_string_equal(locate(&lab, PLAIN("c.example")), "UDP 192.0.2.5:5060");
    assert_string_equal(locate(&lab, ASK("c.example", .prefer_tls = true)),
                        "TLS 192.0.2.5:5061, TCP 192.0.2.5:5060, UDP 192.0.2.5:5060");
    assert_string_equal(locate(&lab, ASK("c.example", .sips = true)), "TLS 192.0.2.5:5061");
    assert_string_equal(locate(&lab, (struct net_locate_args){.host = STR("c.example")}),
                        "TLS 192.0.2.5:5061");
    assert_string_equal(locate(&lab, ASK("c.example", BY(TCP))), "TCP 192.0.2.5:5060");
    /* NAPTR that points to no SRV: its transports at their own ports (4.2) */
    dns_script_naptr(lab.dns, "c.example", 1, 1, "s", "SIP+D2T", "", "_sip._tcp.nowhere.example");
    assert_string_equal(locate(&lab, PLAIN("c.example")), "TCP 192.0.2.5:5060");
    lab_done(&lab);
    /* without a UDP listener what else there is */
    struct locate_reach r = {.v4 = {[TRANSPORT_TCP] = true, [TRANSPORT_TLS] = true}};
    lab_init(&lab, r);
    dns_script_a(lab.dns, "c.example", "192.0.2.5");
    assert_string_equal(locate(&lab, PLAIN("c.example")), "TLS 192.0.2.5:5061, TCP 192.0.2.5:5060");
    lab_done(&lab);
}

static void test_families(void **state)
{
    (void)state;
    struct lab lab;
    struct net_listener listeners[3] = {
        {.transport = TRANSPORT_UDP}, {.transport = TRANSPORT_TLS}, {.transport = TRANSPORT_WSS}};
    assert_int_equal(addr_parse(&listeners[0].addr, STR("::"), 5060), 0);
    assert_int_equal(addr_parse(&listeners[1].addr, STR("0.0.0.0"), 5061), 0);
    assert_int_equal(addr_parse(&listeners[2].addr, STR("::"), 443), 0);
    lab_init(&lab, locate_reach_of(listeners, 3));
    dns_script_a(lab.dns, "d.example", "192.0.2.6");
    dns_script_a(lab.dns, "d.example", "2001:db8::6");
    assert_string_equal(locate(&lab, ASK("d.example", BY(UDP))), "UDP [2001:db8::6]:5060");
    assert_string_equal(locate(&lab, ASK("d.example", BY(TLS))), "TLS 192.0.2.6:5061");
    assert_string_equal(locate(&lab, ASK("d.example", BY(TCP))), "TCP 192.0.2.6:5060");
    lab_done(&lab);
    /* both families: the one whose listener comes first */
    struct net_listener both[2] = {listeners[0], listeners[0]};
    assert_int_equal(addr_parse(&both[1].addr, STR("0.0.0.0"), 5060), 0);
    lab_init(&lab, locate_reach_of(both, 2));
    dns_script_a(lab.dns, "d.example", "192.0.2.6");
    dns_script_a(lab.dns, "d.example", "2001:db8::6");
    assert_string_equal(locate(&lab, ASK("d.example", BY(UDP))),
                        "UDP [2001:db8::6]:5060, UDP 192.0.2.6:5060");
    struct locate_reach v4_first = locate_reach_of((struct net_listener[]){both[1], both[0]}, 2);
    locator_set_reach(lab.locator, &v4_first);
    assert_string_equal(locate(&lab, ASK("d.example", BY(UDP))),
                        "UDP 192.0.2.6:5060, UDP [2001:db8::6]:5060");
    dns_script_a(lab.dns, "six.example", "2001:db8::7");
    struct locate_reach only4 = locate_reach_of(&both[1], 1);
    locator_set_reach(lab.locator, &only4);
    assert_string_equal(locate(&lab, ASK("six.example", .port = 1)), "dns-nodata");
    lab_done(&lab);
}

static void test_reasons(void **state)
{
    (void)state;
    struct lab lab;
    lab_init(&lab, reach_all());
    assert_string_equal(locate(&lab, PLAIN("none.example")), "dns-nxdomain");
    assert_non_null(strstr(lab.why.detail, "none.example"));
    dns_script_srv(lab.dns, "empty.example", 0, 0, 1, "x.example"); /* exists, but has no address */
    assert_string_equal(locate(&lab, PLAIN("empty.example")), "dns-nodata");
    /* "." in SRV: decidedly not available (RFC 2782) */
    dns_script_srv(lab.dns, "_sip._udp.off.example", 0, 0, 0, ".");
    dns_script_a(lab.dns, "off.example", "192.0.2.1");
    assert_string_equal(locate(&lab, ASK("off.example", BY(UDP))), "dns-no-service");
    assert_string_equal(locate(&lab, PLAIN("off.example")), "dns-no-service");
    dns_script_srv(lab.dns, "_sip._tcp.off.example", 0, 0, 5060, "off.example");
    assert_string_equal(locate(&lab, PLAIN("off.example")), "TCP 192.0.2.1:5060");
    /* a temporary failure is not "no records" ... */
    dns_script_a(lab.dns, "ill.example", "192.0.2.1");
    dns_script_status(lab.dns, "_sip._udp.ill.example", DNS_SRV, DNS_SERVFAIL);
    assert_string_equal(locate(&lab, PLAIN("ill.example")), "dns-servfail");
    /* ... but the question for NAPTR is one that broken servers fail */
    dns_script_a(lab.dns, "old.example", "192.0.2.1");
    dns_script_status(lab.dns, "old.example", DNS_NAPTR, DNS_SERVFAIL);
    assert_string_equal(locate(&lab, PLAIN("old.example")), "UDP 192.0.2.1:5060");
    /* an SRV record that cannot be read is not "no records" either */
    dns_script_a(lab.dns, "odd.example", "192.0.2.1");
    dns_script_raw(lab.dns, "_sip._udp.odd.example", DNS_SRV, "\0\1\0\1\0\1\3a b\0", 11);
    assert_string_equal(locate(&lab, ASK("odd.example", BY(UDP))), "dns-servfail");
    /* bogus ends it wherever it comes */
    static const struct {
        const char *name;
        enum dns_type type;
    } bogus[] = {{"example.com", DNS_NAPTR},
                 {"_sip._udp.example.com", DNS_SRV},
                 {"server2.example.com", DNS_A}};
    lab_done(&lab);
    for (size_t i = 0; i < ARRAY_LEN(bogus); i++) {
        lab_init(&lab, reach_all());
        add_rfc3263(&lab);
        dns_script_status(lab.dns, bogus[i].name, bogus[i].type, DNS_BOGUS);
        assert_string_equal(locate(&lab, PLAIN("example.com")), "dns-bogus");
        lab_done(&lab);
    }
}

static void test_time(void **state)
{
    (void)state;
    struct lab lab;
    /* nobody answers: the whole takes LIMIT_DNS_MS at most */
    lab_init(&lab, reach_all());
    dns_script_delay_all(lab.dns, DNS_NEVER);
    start(&lab, PLAIN("a.example"));
    pass(&lab, LIMIT_DNS_MS - 1300);
    assert_int_equal(lab.calls, 0);
    pass(&lab, 1300);
    assert_int_equal(lab.calls, 1);
    assert_string_equal(outcome(&lab), "dns-timeout");
    start(&lab, ASK("a.example", .port = 1));
    pass(&lab, LIMIT_DNS_MS - 1);
    assert_int_equal(lab.calls, 0);
    pass(&lab, 1);
    assert_string_equal(outcome(&lab), "dns-timeout");
    lab_done(&lab);
    /* a server that ignores NAPTR: SRV is tried when half the time is over */
    lab_init(&lab, reach_all());
    add_rfc3263(&lab);
    dns_script_delay(lab.dns, "example.com", DNS_NAPTR, DNS_NEVER);
    start(&lab, ASK("example.com", .prefer_tls = true));
    pass(&lab, LIMIT_DNS_MS / 2 - 1);
    assert_int_equal(lab.calls, 0);
    pass(&lab, 2);
    assert_int_equal(lab.calls, 1);
    assert_string_equal(
        outcome(&lab),
        "TLS 192.0.2.1:5061, TCP 192.0.2.1:5060, TCP 192.0.2.2:5060, UDP 192.0.2.2:5060");
    lab_done(&lab);
    /* one SRV question without answer does not spoil the others; nor one address */
    lab_init(&lab, reach_all());
    add_rfc3263(&lab);
    dns_script_delay(lab.dns, "_sip._udp.example.com", DNS_SRV, DNS_NEVER);
    dns_script_delay(lab.dns, "server2.example.com", DNS_A, DNS_NEVER);
    assert_string_equal(locate(&lab, PLAIN("example.com")),
                        "TLS 192.0.2.1:5061, TCP 192.0.2.1:5060");
    lab_done(&lab);
    /* the first choice is known: others get a moment only */
    lab_init(&lab, reach_all());
    add_rfc3263(&lab);
    dns_script_delay(lab.dns, "server2.example.com", DNS_A, 4000);
    start(&lab, PLAIN("example.com"));
    pass(&lab, 299);
    assert_int_equal(lab.calls, 0);
    pass(&lab, 1);
    assert_int_equal(lab.calls, 1);
    assert_string_equal(outcome(&lab), "TLS 192.0.2.1:5061, TCP 192.0.2.1:5060");
    lab_done(&lab);
    /* but the first choice is waited for */
    lab_init(&lab, reach_all());
    add_rfc3263(&lab);
    dns_script_delay(lab.dns, "server1.example.com", DNS_A, 4000);
    start(&lab, PLAIN("example.com"));
    pass(&lab, 3999);
    assert_int_equal(lab.calls, 0);
    pass(&lab, 1);
    assert_int_equal(lab.calls, 1);
    assert_string_equal(
        outcome(&lab),
        "TLS 192.0.2.1:5061, TCP 192.0.2.1:5060, TCP 192.0.2.2:5060, UDP 192.0.2.2:5060");
    lab_done(&lab);
}

static void test_weights(void **state)
{
    (void)state;
    struct lab lab;
    lab_init(&lab, reach_all());
    dns_script_srv(lab.dns, "_sip._udp.w.example", 1, 1, 1, "h.example");
    dns_script_srv(lab.dns, "_sip._udp.w.example", 1, 3, 2, "h.example");
    dns_script_srv(lab.dns, "_sip._udp.w.example", 1, 0, 3, "h.example");
    dns_script_srv(lab.dns, "_sip._udp.w.example", 0, 0, 4, "h.example");
    dns_script_srv(lab.dns, "_sip._udp.w.example", 2, 9, 5, "h.example");
    dns_script_srv(lab.dns, "_sip._udp.w.example", 2, 9, 6, "h.example");
    dns_script_a(lab.dns, "h.example", "192.0.2.1");
    unsigned second[8] = {0}, fifth[8] = {0};
    const unsigned rounds = 4000;
    for (unsigned i = 0; i < rounds; i++) {
        locate(&lab, ASK("w.example", BY(UDP)));
        assert_int_equal(lab.n, 6);
        assert_int_equal(addr_port(&lab.targets[0].addr), 4); /* the lowest priority comes first */
        second[addr_port(&lab.targets[1].addr)]++;
        fifth[addr_port(&lab.targets[4].addr)]++;
    }
    /* RFC 2782: drawn from 0..4 inclusive: 0 picks weight 0, 1 picks weight 1, 2 to 4 pick weight 3
     */
    assert_in_range(second[1], rounds / 5 * 85 / 100, rounds / 5 * 115 / 100);
    assert_in_range(second[2], rounds * 3 / 5 * 90 / 100, rounds * 3 / 5 * 110 / 100);
    assert_in_range(second[3], rounds / 5 * 85 / 100, rounds / 5 * 115 / 100);
    assert_in_range(fifth[5], rounds / 2 * 90 / 100, rounds / 2 * 110 / 100);
    assert_int_equal(fifth[5] + fifth[6], rounds);
    /* no weights: any order, not always the same */
    dns_script_srv(lab.dns, "_sip._udp.z.example", 1, 0, 1, "h.example");
    dns_script_srv(lab.dns, "_sip._udp.z.example", 1, 0, 2, "h.example");
    unsigned first[3] = {0};
    for (unsigned i = 0; i < 1000; i++) {
        locate(&lab, ASK("z.example", BY(UDP)));
        first[addr_port(&lab.targets[0].addr)]++;
    }
    assert_in_range(first[1], 400, 600);
    lab_done(&lab);
}

static void test_failed_come_last(void **state)
{
    (void)state;
    struct lab lab;
    lab_init(&lab, reach_all());
    add_rfc3263(&lab);
    locate(&lab, PLAIN("example.com"));
    struct net_target first = lab.targets[0], second = lab.targets[1];
    locator_failed(lab.locator, &first);
    locator_failed(lab.locator, &second);
    assert_string_equal(
        locate(&lab, PLAIN("example.com")),
        "TCP 192.0.2.2:5060, UDP 192.0.2.2:5060, TLS 192.0.2.1:5061, TCP 192.0.2.1:5060");
    locator_worked(lab.locator, &second);
    assert_string_equal(
        locate(&lab, PLAIN("example.com")),
        "TCP 192.0.2.1:5060, TCP 192.0.2.2:5060, UDP 192.0.2.2:5060, TLS 192.0.2.1:5061");
    pass(&lab, LOCATE_FAILED_MS);
    assert_string_equal(
        locate(&lab, PLAIN("example.com")),
        "TLS 192.0.2.1:5061, TCP 192.0.2.1:5060, TCP 192.0.2.2:5060, UDP 192.0.2.2:5060");
    /* bounded: the oldest is forgotten */
    locator_failed(lab.locator, &first);
    for (unsigned i = 0; i < 1000; i++) {
        struct net_target t = second;
        addr_set_port(&t.addr, (uint16_t)(10000 + i));
        locator_failed(lab.locator, &t);
    }
    locate(&lab, PLAIN("example.com"));
    assert_int_equal(lab.targets[0].transport, TRANSPORT_TLS);
    lab_done(&lab);
}

static void test_limits(void **state)
{
    (void)state;
    struct lab lab;
    char name[64], address[64];
    lab_init(&lab, reach_all());
    /* more records, hosts and addresses than anybody needs */
    for (unsigned i = 0; i < 60; i++) {
        snprintf(name, sizeof(name), "h%u.m.example", i);
        dns_script_srv(lab.dns, "_sip._udp.m.example", i, 0, 5060, name);
        for (unsigned k = 0; k < 20; k++) {
            snprintf(address, sizeof(address), "10.%u.0.%u", i, k + 1);
            dns_script_a(lab.dns, name, address);
        }
    }
    dns_script_delay_all(lab.dns, 1);
    start(&lab, ASK("m.example", BY(UDP)));
    pass(&lab, 1);
    assert_in_range(dns_script_waiting(lab.dns), 2, 32);
    for (int i = 0; i < 100 && !lab.calls; i++)
        pass(&lab, 10);
    assert_int_equal(lab.n, LIMIT_TARGETS);
    assert_string_equal(lab.why.code ? lab.why.code : "", "");
    /* lookups under way */
    dns_script_delay_all(lab.dns, DNS_NEVER);
    static uint64_t ids[LIMIT_DNS_WAITING];
    struct net_locate_args args = PLAIN("x.example");
    for (size_t i = 0; i < LIMIT_DNS_WAITING; i++)
        assert_int_equal(locator_start(lab.locator, &args, on_located, &lab, &ids[i]), 0);
    uint64_t id = 0;
    assert_int_equal(locator_start(lab.locator, &args, on_located, &lab, &id), ERR_LIMIT);
    lab.calls = 0;
    for (size_t i = 0; i < LIMIT_DNS_WAITING; i++)
        locator_cancel(lab.locator, ids[i]);
    assert_int_equal(locator_waiting(lab.locator), 0);
    pass(&lab, 10000);
    assert_int_equal(lab.calls, 0);
    lab_done(&lab);
}

static void test_cancel(void **state)
{
    (void)state;
    struct lab lab;
    lab_init(&lab, reach_all());
    add_rfc3263(&lab);
    /* a result that waits for the next turn is cancelled as well */
    uint64_t id = start(&lab, PLAIN("192.0.2.1"));
    locator_cancel(lab.locator, id);
    pass(&lab, 100);
    assert_int_equal(lab.calls, 0);
    dns_script_delay_all(lab.dns, 10);
    for (unsigned ms = 0; ms < 40; ms += 5) {
        id = start(&lab, PLAIN("example.com"));
        pass(&lab, ms);
        uint64_t other = start(&lab, PLAIN("192.0.2.1"));
        locator_cancel(lab.locator, id);
        locator_cancel(lab.locator, id); /* a stale id is nobody's */
        locator_cancel(lab.locator, 0);
        pass(&lab, 100);
        assert_int_equal(lab.calls, 1);
        locator_cancel(lab.locator, other);
    }
    lab_done(&lab);
}

static void again(void *arg, const struct net_target *targets, size_t n, const struct reason *why)
{
    struct lab *lab = arg;
    uint64_t id;
    on_located(arg, targets, n, why);
    struct net_locate_args args = PLAIN("example.com");
    if (lab->calls < 3)
        assert_int_equal(locator_start(lab->locator, &args, again, lab, &id), 0);
}

static void test_start_inside(void **state)
{
    (void)state;
    struct lab lab;
    lab_init(&lab, reach_all());
    add_rfc3263(&lab);
    uint64_t id;
    struct net_locate_args args = PLAIN("example.com");
    assert_int_equal(locator_start(lab.locator, &args, again, &lab, &id), 0);
    for (int i = 0; i < 10; i++)
        pass(&lab, 1);
    assert_int_equal(lab.calls, 3);
    /* freed with lookups under way: nothing is called */
    dns_script_delay_all(lab.dns, 10);
    start(&lab, PLAIN("example.com"));
    locator_free(lab.locator);
    pass(&lab, 100);
    assert_int_equal(lab.calls, 0);
    dns_script_free(lab.dns);
    wheel_free(lab.wheel);
}

static void test_no_memory(void **state)
{
    (void)state;
    struct lab lab;
    lab_init(&lab, reach_all());
    add_rfc3263(&lab);
    OOM_SWEEP(100, {
        struct net_locate_args args = PLAIN("example.com");
        uint64_t id;
        lab.calls = 0;
        if (locator_start(lab.locator, &args, on_located, &lab, &id) == 0) {
            for (int i = 0; i < 10 && !lab.calls; i++)
                pass(&lab, 1000);
            assert_int_equal(lab.calls, 1);
        }
        assert_int_equal(locator_waiting(lab.locator), 0);
    });
    lab_done(&lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_literal),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_port),
        cmocka_unit_test(test_naptr),
        cmocka_unit_test(test_naptr_of_no_use),
        cmocka_unit_test(test_srv_without_naptr),
        cmocka_unit_test(test_addresses_alone),
        cmocka_unit_test(test_families),
        cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_failed_come_last),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_start_inside),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
