/* What the kernel says of IPsec, and whether it covers a hop (TR/100 7.2.2). */
#include "net/xfrm.h"
#include "check.h"
#include <linux/netlink.h>
#include <linux/xfrm.h>
#include <string.h>

struct policy {
    const char *from, *to;
    uint8_t dir, action, esp, optional, proto;
    uint16_t from_port, to_port;
};
static char buf[8192];
static size_t n;
static struct net_xfrm x;

static void put(struct policy p)
{
    struct {
        struct nlmsghdr h;
        struct xfrm_userpolicy_info i;
        struct nlattr a;
        struct xfrm_user_tmpl t;
    } m = {.h = {.nlmsg_len = sizeof m, .nlmsg_type = XFRM_MSG_NEWPOLICY},
           .a = {.nla_len = sizeof(struct nlattr) + sizeof(struct xfrm_user_tmpl), .nla_type = XFRMA_TMPL}};
    struct addr_net from, to;

    assert_int_equal(addr_net_parse(&from, str_z(p.from)), 0);
    assert_int_equal(addr_net_parse(&to, str_z(p.to)), 0);
    m.i.sel.family = AF_INET;
    memcpy(&m.i.sel.saddr.a4, &((struct sockaddr_in *)(void *)&from.base)->sin_addr, 4);
    memcpy(&m.i.sel.daddr.a4, &((struct sockaddr_in *)(void *)&to.base)->sin_addr, 4);
    m.i.sel.prefixlen_s = from.bits;
    m.i.sel.prefixlen_d = to.bits;
    m.i.sel.proto = p.proto;
    m.i.sel.sport = htons(p.from_port);
    m.i.sel.sport_mask = p.from_port ? 0xffff : 0;
    m.i.sel.dport = htons(p.to_port);
    m.i.sel.dport_mask = p.to_port ? 0xffff : 0;
    m.i.dir = p.dir;
    m.i.action = p.action;
    m.t.id.proto = p.esp ? IPPROTO_ESP : IPPROTO_AH;
    m.t.optional = p.optional;
    assert_true(n + sizeof m <= sizeof buf);
    memcpy(buf + n, &m, sizeof m);
    n += sizeof m;
}

static void done(void)
{
    const struct nlmsghdr h = {.nlmsg_len = NLMSG_HDRLEN, .nlmsg_type = NLMSG_DONE};

    memcpy(buf + n, &h, sizeof h);
    n += sizeof h;
    x.n = 0;
    assert_int_equal(net_xfrm_parse(buf, n, &x), 0);
    n = 0;
}

static bool is_covered(const char *peer)
{
    struct addr ours;
    struct addr_net net;

    assert_int_equal(addr_parse_hostport(&ours, STR("10.0.0.1:5060")), 0);
    assert_int_equal(addr_net_parse(&net, str_z(peer)), 0);
    return net_xfrm_covers(&x, &ours, &net);
}

#define OUT {.from = "10.0.0.1", .to = "10.0.1.0/24", .dir = XFRM_POLICY_OUT, .esp = 1}
#define IN {.from = "10.0.1.0/24", .to = "10.0.0.0/24", .dir = XFRM_POLICY_IN, .esp = 1}

static void covers_both_ways(void **state)
{
    (void)state;
    put((struct policy)OUT);
    put((struct policy)IN);
    done();
    assert_int_equal(x.n, 2);
    assert_true(is_covered("10.0.1.7"));
    assert_true(is_covered("10.0.1.128/25"));
    assert_false(is_covered("10.0.0.0/23")); /* more than the policy */
    assert_false(is_covered("10.0.2.7"));
    assert_false(is_covered("2001:db8::7"));
    put((struct policy)OUT);
    done();
    assert_false(is_covered("10.0.1.7")); /* what comes from it may come in clear */
}

static void needs_esp_that_is_not_optional(void **state)
{
    struct policy bad[] = {OUT, OUT, OUT, OUT, OUT};

    (void)state;
    bad[0].esp = 0;
    bad[1].optional = 1;
    bad[2].action = XFRM_POLICY_BLOCK;
    bad[3].proto = IPPROTO_SCTP;
    bad[4].to_port = 5070; /* its other ports go in clear */
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        put(bad[i]);
        put((struct policy)IN);
        done();
        assert_false(is_covered("10.0.1.7"));
    }
}

static void looks_at_our_port(void **state)
{
    struct policy out = OUT, in = IN;

    (void)state;
    out.from_port = in.to_port = 5060;
    put(out);
    put(in);
    done();
    assert_true(is_covered("10.0.1.7"));
    out.from_port = 5062;
    put(out);
    put(in);
    done();
    assert_false(is_covered("10.0.1.7"));
}

static void takes_nothing_malformed(void **state)
{
    struct {
        struct nlmsghdr h;
        int error;
    } e = {.h = {.nlmsg_len = sizeof e, .nlmsg_type = NLMSG_ERROR}, .error = -1};

    (void)state;
    x.n = 0;
    assert_int_equal(net_xfrm_parse(&e, sizeof e, &x), ERR_REFUSED);
    put((struct policy)OUT);
    assert_int_equal(net_xfrm_parse(buf, n, &x), ERR_AGAIN);
    for (size_t cut = 1; cut < n; cut++)
        assert_int_equal(net_xfrm_parse(buf, cut, &x), ERR_SYNTAX);
    buf[offsetof(struct xfrm_selector, prefixlen_d) + NLMSG_HDRLEN] = 33;
    assert_int_equal(net_xfrm_parse(buf, n, &x), ERR_SYNTAX);
    n = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(covers_both_ways),
        cmocka_unit_test(needs_esp_that_is_not_optional),
        cmocka_unit_test(looks_at_our_port),
        cmocka_unit_test(takes_nothing_malformed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
