/* The media plane of the product alone, driven by lines of text (control.c says which): what is
 * measured beside rtpengine. Keys are given, as SDES would.
 *
 *     relayd PORT [--wait US] [--workers N] */
#include "base/err.h"
#include "relay/relay.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CALLS = 1 << 21 };

static struct relay *relay;
static struct relay_call **calls;

static const struct keying_suite *suite_of(const char *name)
{
    return keying_suite_get(strcmp(name, "AEAD_AES_128_GCM") == 0 ? KEYING_AES_128_GCM
                                                                  : KEYING_AES_128_CM_80);
}

static int install(struct relay_end *e, const char *suite, const char *hex, bool is_send)
{
    struct keying_keys keys = {.suite = suite_of(suite), .n = 1};
    struct keying_install in = {
        .paths = 1u << KEYING_RTP | 1u << KEYING_RTCP, .is_send = is_send, .keys = &keys};
    size_t n_key = keys.suite->key_len, n_salt = keys.suite->salt_len;
    if (strlen(hex) != 2 * (n_key + n_salt) ||
        str_unhex(keys.key[0].key, n_key, str_make(hex, 2 * n_key)) != 0 ||
        str_unhex(keys.key[0].salt, n_salt, str_make(hex + 2 * n_key, 2 * n_salt)) != 0)
        return ERR_SYNTAX;
    return relay_end_install(e, &in);
}

static int side(struct relay_call *call, const char *suite, const char *remote, const char *key_in,
                const char *key_out, struct relay_end **ret, unsigned *ret_port)
{
    struct relay_end_args args = {.needs_rtcp = true};
    struct relay_end_setting s = {.protection =
                                      strcmp(suite, "-") == 0 ? RELAY_CLEAR : RELAY_PROTECT,
                                  .sends = true,
                                  .receives = true};
    struct addr rtp, rtcp;
    int err = addr_parse_hostport(&s.rtp, str_z(remote));
    if (err != 0)
        return err;
    s.rtcp = s.rtp;
    addr_set_port(&s.rtcp, (uint16_t)(addr_port(&s.rtp) + 1));
    err = relay_end_new(call, &args, ret, NULL);
    if (err != 0)
        return err;
    relay_end_set(*ret, &s);
    if (s.protection == RELAY_PROTECT) {
        err = install(*ret, suite, key_in, false);
        if (err == 0)
            err = install(*ret, suite, key_out, true);
    }
    relay_end_local(*ret, &rtp, &rtcp);
    *ret_port = addr_port(&rtp);
    return err;
}

static void control(const char *in, char *out, size_t cap)
{
    char s[2][64], remote[2][64], key_in[2][80], key_out[2][80];
    unsigned id, port[2];
    struct relay_end *e[2];
    if (sscanf(in, "call %u %63s %63s %79s %79s %63s %63s %79s %79s", &id, s[0], remote[0],
               key_in[0], key_out[0], s[1], remote[1], key_in[1], key_out[1]) == 9 &&
        id < CALLS) {
        int err = relay_call_new(relay, &calls[id]);
        for (unsigned i = 0; i < 2 && err == 0; i++)
            err = side(calls[id], s[i], remote[i], key_in[i], key_out[i], &e[i], &port[i]);
        if (err != 0) {
            (void)snprintf(out, cap, "error %s", err_text(err));
            return;
        }
        relay_join(e[0], e[1]);
        (void)snprintf(out, cap, "ok %u %u", port[0], port[1]);
    } else if (sscanf(in, "end %u", &id) == 1 && id < CALLS) {
        relay_call_free(calls[id]);
        calls[id] = NULL;
        (void)snprintf(out, cap, "ok");
    } else {
        (void)snprintf(out, cap, "error");
    }
}

int main(int argc, char **argv)
{
    struct relay_config config = {
        .n_workers = 1, .n_at = 1, .port_min = 30000, .port_max = 59999, .wait_us = 850};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct reason why = {0};
    struct rlimit files;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    a.sin_port = htons(argc > 1 ? (uint16_t)strtoul(argv[1], NULL, 10) : 0);
    for (int i = 2; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--wait") == 0)
            config.wait_us = (unsigned)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--workers") == 0)
            config.n_workers = (unsigned)strtoul(argv[i + 1], NULL, 10);
    }
    (void)getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    calls = calloc(CALLS, sizeof(struct relay_call *)); /* pages are taken as they are used */
    if (calls == NULL || addr_parse(&config.at[0].local, STR("127.0.0.1"), 0) != 0 ||
        relay_new(&config, &relay, &why) != 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
        fprintf(stderr, "relayd: %s %s\n", why.code, why.detail);
        return 1;
    }
    for (;;) {
        char in[1024], out[128];
        struct sockaddr_in from;
        socklen_t len = sizeof(from);
        ssize_t n = recvfrom(fd, in, sizeof(in) - 1, 0, (struct sockaddr *)&from, &len);
        if (n <= 0)
            continue;
        in[n] = '\0';
        control(in, out, sizeof(out));
        (void)sendto(fd, out, strlen(out), 0, (struct sockaddr *)&from, len);
    }
}
