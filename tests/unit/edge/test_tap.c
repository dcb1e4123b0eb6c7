/* The mirror on the wire: a collector on loopback gets what was sent, redacted or not, and nobody waits when it is not there. */
#include "check.h"
#include "base/err.h"
#include "edge/edge_priv.h"
#include "edge/mirror/tap.h"
#include "evidence/hep.h"
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE                                                                                                       \
    "BYE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.1:5061;branch=z9hG4bKa\r\n"                          \
    "From: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>;tag=2\r\nCall-ID: a@b\r\nCSeq: 1 BYE\r\n"       \
    "Authorization: Bearer SECRET\r\n\r\n"

struct collector {
    int fd;
    struct config_hep cfg;
    char bytes[65536];
};

static struct addr addr_of(const char *text)
{
    struct addr a;

    assert_int_equal(addr_parse_hostport(&a, str_z(text)), 0);
    return a;
}

static void collector_open(struct collector *c, const char *host)
{
    struct timeval tv = {.tv_sec = 5};
    socklen_t n = sizeof c->cfg.collector;

    memset(&c->cfg, 0, sizeof c->cfg);
    c->cfg.collector = addr_of(host);
    c->fd = socket(c->cfg.collector.sa.sa_family, SOCK_DGRAM, 0);
    assert_int_equal(bind(c->fd, &c->cfg.collector.sa, addr_len(&c->cfg.collector)), 0);
    assert_int_equal(getsockname(c->fd, &c->cfg.collector.sa, &n), 0);
    assert_int_equal(setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv), 0);
    c->cfg.capture_id = 7;
    c->cfg.password = STR("key");
}

static struct hep_parsed receive(struct collector *c)
{
    struct hep_parsed p;
    ssize_t n = recv(c->fd, c->bytes, sizeof c->bytes, 0);

    assert_true(n > 0);
    assert_int_equal(hep_parse(str_make(c->bytes, (size_t)n), &p), 0);
    return p;
}

static struct collector collector;

static void check_mirror(bool allow_secrets, const char *expect)
{
    struct path path = {.transport = TRANSPORT_TLS, .local = addr_of("192.0.2.9:5061"), .remote = addr_of("192.0.2.1:40000")};
    struct edge edge = {.started_s = 1};
    struct edge_worker w = {.edge = &edge};
    struct hep_parsed p;

    collector_open(&collector, "127.0.0.1:0");
    collector.cfg.allow_secrets = allow_secrets;
    assert_int_equal(edge_tap_new(&collector.cfg, &edge.tap, NULL), 0);

    tap_message(&w, false, &path, STR(MESSAGE));
    p = receive(&collector);
    assert_true(addr_eq(&p.from, &path.remote));
    assert_true(addr_eq(&p.to, &path.local));
    assert_int_equal(p.ip_protocol, IPPROTO_TCP);
    assert_int_equal(p.capture_id, 7);
    check_str(p.auth_key, "key");
    assert_non_null(memmem(p.payload.p, p.payload.n, expect, strlen(expect)));
    assert_int_equal(memmem(p.payload.p, p.payload.n, "SECRET", 6) != NULL, allow_secrets);
    assert_true(p.wall_us > 1600000000ull * 1000000);

    path.transport = TRANSPORT_UDP;
    tap_message(&w, true, &path, STR(MESSAGE));
    p = receive(&collector);
    assert_true(addr_eq(&p.from, &path.local));
    assert_true(addr_eq(&p.to, &path.remote));
    assert_int_equal(p.ip_protocol, IPPROTO_UDP);
    assert_int_equal(w.counters[EC_TAP_SENT], 2);
    assert_int_equal(w.counters[EC_TAP_DROPPED], 0);
    edge_tap_free(edge.tap);
    close(collector.fd);
}

static void test_mirror(void **state)
{
    (void)state;
    check_mirror(false, "Authorization: Bearer *\r\n");
    check_mirror(true, MESSAGE);
}

static int flow_path(struct net *n, flow_id flow, struct path *ret)
{
    (void)n;
    *ret = (struct path){.flow = flow, .local = addr_of("[2001:db8::9]:5061")};
    return flow == 5 ? 0 : ERR_NOTFOUND;
}

/* A request to a contact goes along a flow of which the path has only the number: where it leaves from is told all the same. */
static void test_flow(void **state)
{
    static const struct net_ops ops = {.flow_path = flow_path};
    struct config_listen listen = {.addr = addr_of("192.0.2.9:5063")};
    struct config cfg = {.listens = &listen, .n_listens = 1};
    struct net net = {.ops = &ops};
    struct path path = {.transport = TRANSPORT_TLS, .flow = 5, .remote = addr_of("[2001:db8::1]:40000")};
    struct edge edge = {.started_s = 1};
    struct edge_worker w = {.edge = &edge, .net = &net, .cfg = &cfg};
    struct hep_parsed p;
    struct addr at;

    (void)state;
    collector_open(&collector, "127.0.0.1:0");
    assert_int_equal(edge_tap_new(&collector.cfg, &edge.tap, NULL), 0);
    tap_message(&w, true, &path, STR(MESSAGE));
    p = receive(&collector);
    at = addr_of("[2001:db8::9]:5061");
    assert_true(addr_eq(&p.from, &at));
    assert_true(addr_eq(&p.to, &path.remote));
    path.flow |= (flow_id)1 << 56; /* of another worker */
    path.remote = addr_of("192.0.2.1:40000");
    tap_message(&w, true, &path, STR(MESSAGE));
    p = receive(&collector);
    assert_true(addr_eq(&p.from, &listen.addr));
    edge_tap_free(edge.tap);
    close(collector.fd);
}

static void test_dropped(void **state)
{
    struct path path = {.transport = TRANSPORT_UDP, .local = addr_of("192.0.2.9:5060"), .remote = addr_of("192.0.2.1:5060")};
    struct edge edge = {.started_s = 1};
    struct edge_worker w = {.edge = &edge};
    int i;

    (void)state;
    tap_message(&w, true, &path, STR(MESSAGE)); /* off: nothing happens */
    collector_open(&collector, "[::1]:0");
    assert_int_equal(edge_tap_new(&collector.cfg, &edge.tap, NULL), 0);
    tap_message(&w, true, &path, STR("no SIP, password=SECRET\r\n\r\n"));
    assert_int_equal(w.counters[EC_TAP_DROPPED], 1);
    close(collector.fd); /* the collector has gone: it is never waited for */
    for (i = 0; i < 1000; i++)
        tap_message(&w, true, &path, STR(MESSAGE));
    assert_int_equal(w.counters[EC_TAP_SENT] + w.counters[EC_TAP_DROPPED], 1001);
    edge_tap_free(edge.tap);
}

static void test_password(void **state)
{
    char key[HEP_KEY_MAX + 1];
    struct edge_tap *t;
    struct reason why;

    (void)state;
    memset(key, 'k', sizeof key);
    collector_open(&collector, "127.0.0.1:0");
    collector.cfg.password = str_make(key, sizeof key);
    check_err(edge_tap_new(&collector.cfg, &t, &why), ERR_LIMIT);
    assert_string_equal(why.code, "hep-password");
    close(collector.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mirror),
        cmocka_unit_test(test_flow),
        cmocka_unit_test(test_dropped),
        cmocka_unit_test(test_password),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
