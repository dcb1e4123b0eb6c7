/* A reload is all or nothing: whatever of it fails, and if it is not wanted in the end, the old configuration stays in force with its
 * listeners; once committed it is in force in every worker. */
#include "check.h"
#include "edge/edge.h"
#include "edge/edge_worker.h"
#include "pki/mint.h"
#include "folder.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static char folder[] = "/tmp/reload.XXXXXX";
static struct edge *edge;
static uint16_t port, other;

static int socket_at(uint16_t at)
{
    struct addr a;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    assert_int_equal(addr_parse(&a, STR("127.0.0.1"), at), 0);
    if (bind(fd, &a.sa, addr_len(&a)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static uint16_t free_port(void)
{
    struct addr a;
    socklen_t n = sizeof a;
    int fd = socket_at(0);

    assert_int_equal(getsockname(fd, &a.sa, &n), 0);
    close(fd);
    return addr_port(&a);
}

static bool is_bound(uint16_t at)
{
    int fd = socket_at(at);

    if (fd >= 0)
        close(fd);
    return fd < 0;
}

static struct config *make(const char *domain, const char *more)
{
    struct config *cfg;
    char text[1024];
    int n = snprintf(text, sizeof text,
                     "state-dir = \"%s\"\nworkers = 3\ndomain \"%s\" { }\nidentity-ca = \"%s/ca\"\n"
                     "listen \"udp:127.0.0.1:%u\" { allow-clear = yes }\n%s",
                     folder, domain, folder, port, more);

    assert_int_equal(config_parse(str_make(text, (size_t)n), NULL, NULL, &cfg), 0);
    return cfg;
}

static void write_ca(const char *text)
{
    char path[64];
    FILE *f;

    snprintf(path, sizeof path, "%s/ca", folder);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static char ca_text[16384];

static int set_up(void **state)
{
    struct pki_mint_ca *ca;
    struct reason why = {0};
    struct config *cfg;
    char path[64];
    FILE *f;
    size_t n;

    (void)state;
    log_threshold = LOG_ERROR;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/ca", folder);
    assert_int_equal(pki_mint_ca_new(&(struct pki_mint_ca_args){.cn = STR("anchors"), .days = 2}, &ca, &why), 0);
    assert_int_equal(pki_mint_ca_save(ca, path, NULL, &why), 0);
    pki_mint_ca_free(ca);
    f = fopen(path, "r");
    n = fread(ca_text, 1, sizeof ca_text - 1, f);
    ca_text[n] = 0;
    fclose(f);
    port = free_port();
    other = free_port();
    cfg = make("old.example", "");
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

static void expect_all(const char *domain)
{
    unsigned i;

    assert_true(str_eq(edge->cfg->domains[0].name, str_z(domain)));
    for (i = 0; i < edge->n_workers; i++) /* a commit returns when the workers have it */
        assert_true(str_eq(edge->workers[i]->cfg->domains[0].name, str_z(domain)));
}

static void refused(const char *more, const char *code)
{
    struct config *cfg = make("new.example", more);
    struct edge_change *change;
    struct reason why = {0};

    assert_int_not_equal(edge_reload_prepare(edge, cfg, &change, &why), 0);
    assert_null(change);
    assert_string_equal(why.code, code);
    config_unref(cfg);
    expect_all("old.example");
    assert_false(is_bound(other));
    assert_true(is_bound(port));
}

static void test_refused(void **state)
{
    char more[160];

    (void)state;
    snprintf(more, sizeof more,
             "listen \"udp:127.0.0.1:%u\" { allow-clear = yes }\nlisten \"udp:192.0.2.1:5060\" { allow-clear = yes }\n", other);
    refused(more, "listen");
    write_ca("nothing of a certificate");
    snprintf(more, sizeof more, "listen \"udp:127.0.0.1:%u\" { allow-clear = yes }\n", other);
    refused(more, "cert-syntax");
    write_ca(ca_text);
}

static void test_discarded(void **state)
{
    struct config *cfg;
    struct edge_change *change;
    struct reason why = {0};
    char more[160];

    (void)state;
    snprintf(more, sizeof more, "listen \"udp:127.0.0.1:%u\" { allow-clear = yes }\n", other);
    cfg = make("new.example", more);
    assert_int_equal(edge_reload_prepare(edge, cfg, &change, &why), 0);
    expect_all("old.example");
    edge_reload_discard(change);
    config_unref(cfg);
    expect_all("old.example");
    assert_false(is_bound(other));
}

static void test_committed(void **state)
{
    struct config *cfg;
    struct edge_change *change;
    struct reason why = {0};
    char more[160];

    (void)state;
    snprintf(more, sizeof more, "listen \"udp:127.0.0.1:%u\" { allow-clear = yes }\n", other);
    cfg = make("new.example", more);
    assert_int_equal(edge_reload_prepare(edge, cfg, &change, &why), 0);
    edge_reload_commit(change);
    config_unref(cfg);
    expect_all("new.example");
    assert_true(is_bound(other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_discarded),
        cmocka_unit_test(test_committed),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
