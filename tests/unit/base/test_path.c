/* base/path: names and ports of transports (RFC 3261 25.1, 18; RFC 7118 5). */
#include "check.h"

#include "base/err.h"
#include "base/path.h"

static void test_transport(void **state)
{
    (void)state;
    static const struct {
        const char *text, *other;
        uint16_t port;
        bool is_reliable, is_secure;
    } rows[TRANSPORT_N] = {
        [TRANSPORT_UDP] = {"UDP", "udp", 5060, false, false},
        [TRANSPORT_TCP] = {"TCP", "Tcp", 5060, true, false},
        [TRANSPORT_TLS] = {"TLS", "tls", 5061, true, true},
        [TRANSPORT_WS] = {"WS", "ws", 80, true, false},
        [TRANSPORT_WSS] = {"WSS", "wSS", 443, true, true},
    };
    for (unsigned i = 0; i < TRANSPORT_N; i++) {
        enum transport t = (enum transport)i, back = TRANSPORT_N;
        check_str(transport_text(t), rows[i].text);
        assert_int_equal(transport_default_port(t), rows[i].port);
        assert_int_equal(transport_is_reliable(t), rows[i].is_reliable);
        assert_int_equal(transport_is_secure(t), rows[i].is_secure);
        check_err(transport_parse(&back, str_z(rows[i].text)), 0);
        assert_int_equal(back, t);
        back = TRANSPORT_N;
        check_err(transport_parse(&back, str_z(rows[i].other)), 0);
        assert_int_equal(back, t);
    }
}

static void test_bad(void **state)
{
    (void)state;
    enum transport t = TRANSPORT_N;
    check_err(transport_parse(&t, STR("SCTP")), ERR_UNSUPPORTED);
    check_err(transport_parse(&t, STR("TLS-SCTP")), ERR_UNSUPPORTED);
    check_err(transport_parse(&t, STR("DTLS-UDP")), ERR_UNSUPPORTED);
    check_err(transport_parse(&t, STR("U")), ERR_UNSUPPORTED);
    check_err(transport_parse(&t, STR("")), ERR_SYNTAX);
    check_err(transport_parse(&t, STR_NULL), ERR_SYNTAX);
    check_err(transport_parse(&t, STR("UDP ")), ERR_SYNTAX);
    check_err(transport_parse(&t, STR("UDP\0")), ERR_SYNTAX);
    check_err(transport_parse(&t, STR("U;P")), ERR_SYNTAX);
    assert_int_equal(t, TRANSPORT_N); /* untouched */
    check_str(transport_text(TRANSPORT_N), "UNKNOWN");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_transport),
                                       cmocka_unit_test(test_bad)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
