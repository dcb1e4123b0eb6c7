/* Status and metrics of a running edge: what is asked of its workers, in JSON that a parser takes, within its limits, and without
 * waiting for a worker that hangs. */
#include "check.h"
#include "edge/ask.h"
#include "edge/edge.h"
#include "edge/edge_worker.h"
#include "folder.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char folder[] = "/tmp/status.XXXXXX";
static struct edge *edge;

static uint16_t free_port(void)
{
    struct addr a;
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    assert_int_equal(addr_parse(&a, STR("127.0.0.1"), 0), 0);
    assert_int_equal(bind(fd, &a.sa, addr_len(&a)), 0);
    assert_int_equal(getsockname(fd, &a.sa, &n), 0);
    close(fd);
    return addr_port(&a);
}

static int set_up(void **state)
{
    char text[1024];
    struct reason why = {0};
    struct config *cfg;
    int n;

    (void)state;
    log_threshold = LOG_ERROR;
    assert_non_null(mkdtemp(folder));
    n = snprintf(text, sizeof text,
                 "state-dir = \"%s\"\nworkers = 2\ndomain \"example.com\" { }\n"
                 "listen \"udp:127.0.0.1:%u\" { allow-clear = yes }\n"
                 "hep { password = \"SECRET\" }\n",
                 folder, free_port());
    assert_int_equal(config_parse(str_make(text, (size_t)n), NULL, NULL, &cfg), 0);
    if (edge_start(cfg, &edge, &why) != 0) {
        print_error("%s: %s\n", why.code ? why.code : "", why.detail);
        return -1;
    }
    config_unref(cfg);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    edge_stop(edge, 0);
    return folder_remove(folder);
}

static json_t *ask(const char *what)
{
    char *text = edge_status_json(edge, str_z(what));
    json_error_t error;
    json_t *root;

    assert_non_null(text);
    assert_null(strchr(text, '\n')); /* the control socket's answers are lines */
    root = json_loads(text, JSON_ALLOW_NUL, &error);
    if (!root)
        fail_msg("%s in %.200s", error.text, text);
    free(text);
    return root;
}

static json_int_t number(const json_t *root, const char *key)
{
    const json_t *v = json_object_get(root, key);

    if (!json_is_integer(v))
        fail_msg("there is no number %s", key);
    return json_integer_value(v);
}

static void add_user(const char *aor, const char *user)
{
    struct store_user u = {.aor = str_z(aor), .username = str_z(user), .realm = STR("example.com"), .ha1_len = {0, 32, 32}};

    assert_int_equal(account_put(edge->loc, &u), 0);
}

static void add_binding(const char *aor, const char *uri, struct str user_agent, uint32_t cseq)
{
    struct location_contact c = {.uri = str_z(uri), .expires_s = 600, .q_milli = 1000};
    struct path path = {.transport = TRANSPORT_UDP};
    struct location_register r = {.aor = str_z(aor), .call_id = str_z(uri), .cseq = cseq, .contacts = &c, .n_contacts = 1,
                                  .path = &path, .user_agent = user_agent, .now_s = (uint64_t)time(NULL),
                                  .rand = &edge->workers[0]->net->rand};
    struct arena *a = arena_new(1024, 1 << 20);
    struct location_bindings got;
    struct reason why = {0};

    assert_int_equal(addr_parse(&path.remote, STR("192.0.2.7"), 5060), 0);
    if (location_register(edge->loc, &r, a, &got, &why) != 0)
        fail_msg("%s", why.detail);
    arena_free(a);
}

static void test_summary(void **state)
{
    json_t *s = ask("summary");

    (void)state;
    assert_string_equal(json_string_value(json_object_get(s, "version")), SALLYPORT_VERSION);
    assert_int_equal(number(s, "workers"), 2);
    assert_int_equal(number(s, "workers_silent"), 0);
    assert_int_equal(number(s, "users"), 0);
    assert_int_equal(json_array_size(json_object_get(s, "listeners")), 1);
    assert_int_equal(json_array_size(json_object_get(s, "weakenings")), 1);
    assert_true(json_is_true(json_object_get(json_object_get(s, "store"), "writable")));
    assert_false(json_is_true(json_object_get(s, "stopping")));
    json_decref(s);
}

/* A view that is none, and one that takes no text, are refused in JSON. */
static void test_views(void **state)
{
    static const char *const good[] = {"registrations", "flows", "calls", "counters", "config", "summary", " flows  tls ",
                                       "call a@b", "registrations a b"};
    static const char *const bad[] = {"", "nonsense", "call", "counters x", "summary x", "\""};
    char text[600];
    size_t i;
    json_t *r;

    (void)state;
    for (i = 0; i < ARRAY_LEN(good); i++) {
        r = ask(good[i]);
        if (json_object_get(r, "error"))
            fail_msg("\"%s\" is refused", good[i]);
        json_decref(r);
    }
    for (i = 0; i < ARRAY_LEN(bad); i++) {
        r = ask(bad[i]);
        if (!json_object_get(r, "error"))
            fail_msg("\"%s\" is not refused", bad[i]);
        json_decref(r);
    }
    snprintf(text, sizeof text, "calls %0*d", (int)ASK_TEXT_MAX + 1, 7);
    r = ask(text);
    assert_non_null(json_object_get(r, "error"));
    json_decref(r);
}

static void test_registrations(void **state)
{
    json_t *r, *row;

    (void)state;
    add_user("sip:alice@example.com", "alice");
    add_user("sip:bob@example.com", "bob");
    add_binding("sip:alice@example.com", "sip:alice@192.0.2.7;x=1", str_make("bad\xff\x80\"\\\x01 agent\xc3", 15), 1);
    add_binding("sip:bob@example.com", "sip:bob@192.0.2.7", STR("Phone 1"), 1);
    r = ask("registrations");
    assert_int_equal(number(r, "total"), 2);
    assert_int_equal(number(r, "shown"), 2);
    json_decref(r);
    r = ask("registrations ALICE@");
    assert_int_equal(number(r, "total"), 1);
    row = json_array_get(json_object_get(r, "rows"), 0);
    assert_string_equal(json_string_value(json_object_get(row, "aor")), "sip:alice@example.com");
    assert_string_equal(json_string_value(json_object_get(row, "contact")), "sip:alice@192.0.2.7;x=1");
    assert_string_equal(json_string_value(json_object_get(row, "user_agent")), "bad??\"\\\x01 agent?");
    assert_string_equal(json_string_value(json_object_get(row, "transport")), "UDP");
    assert_string_equal(json_string_value(json_object_get(row, "remote")), "192.0.2.7:5060");
    assert_true(number(row, "expires_s") > 590);
    json_decref(r);
    r = ask("registrations phone 1");
    assert_int_equal(number(r, "total"), 1);
    json_decref(r);
}

static void test_many(void **state)
{
    char aor[64], user[32], uri[64];
    unsigned i;
    json_t *r;

    (void)state;
    for (i = 0; i < 10050; i++) {
        snprintf(user, sizeof user, "m%u", i);
        snprintf(aor, sizeof aor, "sip:%s@example.com", user);
        snprintf(uri, sizeof uri, "sip:%s@192.0.2.7", user);
        add_user(aor, user);
        add_binding(aor, uri, STR(""), 1);
    }
    r = ask("registrations sip:m");
    assert_int_equal(number(r, "total"), 10050);
    assert_int_equal(number(r, "shown"), 10000);
    assert_int_equal(json_array_size(json_object_get(r, "rows")), 10000);
    json_decref(r);
}

static void test_config(void **state)
{
    char *text = edge_status_json(edge, STR("config"));

    (void)state;
    assert_non_null(strstr(text, "\"option\":\"workers\",\"value\":\"2\""));
    assert_non_null(strstr(text, "\"option\":\"password\",\"value\":\"(set)\""));
    assert_null(strstr(text, "SECRET"));
    free(text);
}

/* Every counter has a name, and each name is there once. */
static void test_counters(void **state)
{
    json_t *r = ask("counters");

    (void)state;
    assert_int_equal(json_object_size(json_object_get(r, "edge")), EC_N);
    assert_null(json_object_get(json_object_get(r, "edge"), "other"));
    assert_int_equal(json_object_size(json_object_get(r, "responses_sent")), 6);
    json_decref(r);
}

/* A worker that hangs is named, not waited for longer than a second, and its late answer is thrown away. */
static void hang(void *edge_worker, void *seconds)
{
    (void)edge_worker;
    sleep(*(unsigned *)seconds);
}

static void test_silent(void **state)
{
    static unsigned seconds = 5; /* three questions of a second each, and some */
    struct timespec a, b;
    char *text;
    json_t *r;

    (void)state;
    assert_int_equal(net_group_post(edge->group, 1, hang, &seconds), 0);
    clock_gettime(CLOCK_MONOTONIC, &a);
    r = ask("calls");
    assert_int_equal(number(r, "workers_silent"), 1);
    json_decref(r);
    text = edge_metrics_text(edge);
    clock_gettime(CLOCK_MONOTONIC, &b);
    assert_true(b.tv_sec - a.tv_sec <= 3);
    assert_non_null(strstr(text, "\nsallyport_workers_silent 1\n"));
    assert_null(strstr(text, "\nsallyport_calls ")); /* absent rather than wrong */
    assert_non_null(strstr(text, "\nsallyport_requests_total 0\n"));
    free(text);
    assert_true(edge_busy(edge));
    sleep(3);
    r = ask("calls");
    assert_int_equal(number(r, "workers_silent"), 0);
    json_decref(r);
    assert_false(edge_busy(edge));
}

static void test_metrics(void **state)
{
    char *text = edge_metrics_text(edge);

    (void)state;
    assert_non_null(strstr(text, "# TYPE sallyport_calls gauge\nsallyport_calls 0\n"));
    assert_non_null(strstr(text, "\nsallyport_registrations{transport=\"udp\"} 10052\n"));
    assert_non_null(strstr(text, "\nsallyport_weakenings 1\n"));
    assert_int_equal(text[strlen(text) - 1], '\n');
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_summary),  cmocka_unit_test(test_views),  cmocka_unit_test(test_registrations),
        cmocka_unit_test(test_many),     cmocka_unit_test(test_config), cmocka_unit_test(test_counters),
        cmocka_unit_test(test_metrics),  cmocka_unit_test(test_silent),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
