/* A request in the dialog of an anchored call that another worker reads is handed over to the
 * call's owner, and answered from there; where the owner's queue has no room it is refused at once
 * and counted, not lost. RFC 3261 21.5.4. Two real workers, one socket: what it sends comes to one
 * of them, so that of two tokens that name each worker one needs a hand-over. */
#include "check.h"
#include "edge/edge.h"
#include "edge/edge_worker.h"
#include "folder.h"
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static char folder[] = "/tmp/handover.XXXXXX";
static struct edge *edge;
static struct addr at;
static int fd = -1;
static unsigned serial;

static uint64_t counted(enum edge_counter c)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < edge->n_workers; i++)
        sum += __atomic_load_n(&edge->workers[i]->counters[c], __ATOMIC_RELAXED);
    return sum;
}

static int set_up(void **state)
{
    struct reason why = {0};
    struct config *cfg;
    char text[1024];
    socklen_t len;
    int n;

    (void)state;
    log_threshold = LOG_ERROR;
    assert_non_null(mkdtemp(folder));
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(addr_parse(&at, STR("127.0.0.1"), 0), 0);
    assert_int_equal(bind(fd, &at.sa, addr_len(&at)),
                     0); /* whose port nobody else gets: then ours */
    len = sizeof at;
    assert_int_equal(getsockname(fd, &at.sa, &len), 0);
    close(fd);
    n = snprintf(text, sizeof text,
                 "state-dir = \"%s\"\nworkers = 2\ndomain \"example.com\" { media = protect }\n"
                 "listen \"udp:127.0.0.1:%u\" { allow-clear = yes }\n"
                 "media { address = {\"127.0.0.1\"} ports = \"42000-42099\" }\n",
                 folder, addr_port(&at));
    assert_int_equal(config_parse(str_make(text, (size_t)n), NULL, NULL, &cfg), 0);
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (edge_start(cfg, &edge, &why) != 0) {
        print_error("%s: %s\n", why.code ? why.code : "", why.detail);
        return -1;
    }
    config_unref(cfg);
    return connect(fd, &at.sa, addr_len(&at));
}

static int tear_down(void **state)
{
    (void)state;
    edge_stop(edge, 0);
    close(fd);
    return folder_remove(folder);
}

/* A request in a dialog whose token names the worker; the status that comes back, 0: none. */
static unsigned ask(const char *method, unsigned worker)
{
    struct dialog_token t = {.worker = worker, .anchor_slot = 3, .anchor_gen = 5};
    char call_id[32], token[TOKEN_TEXT_MAX], text[2048], answer[4096];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    unsigned status = 0;
    int n;

    snprintf(call_id, sizeof call_id, "call-%u", ++serial);
    assert_int_equal(token_dialog_seal(&edge->keys, &t, str_z(call_id), token), 0);
    n = snprintf(
        text, sizeof text,
        "%s sip:bob@127.0.0.1:9 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK%u;rport\r\n"
        "Max-Forwards: 70\r\nRoute: <sip:%s@127.0.0.1:%u;lr>\r\n"
        "From: <sip:alice@example.com>;tag=a\r\nTo: <sip:bob@example.com>;tag=b\r\n"
        "Call-ID: %s\r\nCSeq: 2 %s\r\nContent-Length: 0\r\n\r\n",
        method, serial, token, addr_port(&at), call_id, method);
    assert_int_equal(send(fd, text, (size_t)n, 0), n);
    while (poll(&p, 1, strcmp(method, "ACK") == 0 ? 300 : 5000) == 1) {
        n = (int)recv(fd, answer, sizeof answer - 1, 0);
        assert_true(n > 12);
        answer[n] = 0;
        if (strstr(answer, call_id) == NULL)
            continue; /* to an earlier one, again */
        status = (unsigned)atoi(answer + 8);
        if (status >= 200)
            break;
    }
    return status;
}

static void test_handed_over(void **state)
{
    uint64_t before = counted(EC_HANDOVERS);

    (void)state;
    assert_in_range(ask("BYE", 0), 400, 499); /* there is no such call: its owner says so */
    assert_in_range(ask("BYE", 1), 400, 499);
    assert_int_equal(counted(EC_HANDOVERS), before + 1);
    assert_int_equal(counted(EC_HANDOVERS_LOST), 0);
}

/* ---- a worker that is busy ---- */

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void wait_at_gate(void *worker, void *arg)
{
    (void)worker;
    (void)arg;
    (void)!pthread_mutex_lock(&gate);
    (void)!pthread_mutex_unlock(&gate);
}

static _Atomic bool has_passed;

static void pass(void *worker, void *arg)
{
    (void)worker;
    (void)arg;
    has_passed = true;
}

static void nothing(void *worker, void *arg)
{
    (void)worker;
    (void)arg;
}

static void test_no_room(void **state)
{
    uint64_t before = counted(EC_HANDOVERS);
    unsigned owner = 0;

    (void)state;
    (void)ask("BYE", 0);
    if (counted(EC_HANDOVERS) == before)
        owner = 1; /* worker 0 reads us itself */
    (void)!pthread_mutex_lock(&gate);
    assert_int_equal(net_group_post(edge->group, owner, wait_at_gate, NULL), 0);
    while (net_group_post(edge->group, owner, nothing, NULL) == 0)
        ;
    before = counted(EC_HANDOVERS);
    assert_int_equal(ask("BYE", owner), 503);
    assert_int_equal(counted(EC_HANDOVERS_LOST), 1);
    assert_int_equal(ask("ACK", owner), 0); /* nobody answers an ACK (RFC 3261 17.1.1.3) */
    assert_int_equal(counted(EC_HANDOVERS_LOST), 2);
    assert_int_equal(counted(EC_HANDOVERS), before);
    (void)!pthread_mutex_unlock(&gate);
    while (net_group_post(edge->group, owner, pass, NULL) != 0)
        usleep(1000);
    while (!has_passed)
        usleep(1000);
    assert_in_range(ask("BYE", owner), 400, 499);
    assert_int_equal(counted(EC_HANDOVERS), before + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handed_over),
        cmocka_unit_test(test_no_room),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
