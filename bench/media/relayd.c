/* The media plane of the product alone, driven by lines of text (control.c says which): what is
 * measured beside rtpengine. Keys are given, as SDES would, or come by a handshake with the peer.
 *
 *     relayd PORT [--wait US] [--workers N] [--key-threads N] */
#include "base/err.h"
#include "relay/keys.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CALLS = 1 << 21 };

struct call {
    struct relay_call *relay;
    struct relay_keys *keys[2]; /* of sides with DTLS */
};

static struct relay *relay;
static struct relay_keyring *ring;
static struct keying_policy policy;
static struct call *calls;

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

static void on_change(void *arg, uint64_t cookie, const struct relay_keys_change *change)
{
    (void)arg;
    if (change->kind == RELAY_KEYS_FAILED)
        fprintf(stderr, "relayd: call %llu: %s %s\n", (unsigned long long)cookie,
                change->reason.code, change->reason.detail);
}

/* The peer offers as a client of DTLS; we answer. */
static int shake(struct call *c, unsigned id, unsigned i, struct relay_end *e,
                 const struct addr *remote, const char *fingerprint)
{
    char text[1024], room[2048];
    struct keying_wish wish = {.policy = &policy, .is_hop_private = true, .paths = 1};
    struct keying_heard offer = {.is_hop_private = true};
    struct keying_said said;
    struct reason why = {0};
    struct sdp *sdp;
    struct arena *a = arena_new(8192, 1u << 20);
    int err = a != NULL ? relay_keys_new(ring, &policy, id, &c->keys[i]) : ERR_NOMEM;
    int n = snprintf(text, sizeof(text),
                     "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                     "m=audio %u UDP/TLS/RTP/SAVP 0\r\na=rtcp-mux\r\na=setup:active\r\n"
                     "a=fingerprint:sha-256 %s\r\n",
                     addr_port(remote), fingerprint);
    if (err == 0) {
        relay_keys_bind(c->keys[i], 0, e);
        err = sdp_parse(a, str_make(text, (size_t)n), &sdp, &why);
    }
    if (err == 0) {
        offer.sdp = sdp;
        keying_said_init(&said, room, sizeof(room));
        err = relay_keys_answer(c->keys[i], 0, &wish, &offer, &said, &why);
        keying_said_done(&said);
    }
    arena_free(a);
    return err;
}

static int side(struct call *c, unsigned id, unsigned i, const char *suite, const char *remote,
                const char *key_in, const char *key_out, struct relay_end **ret, unsigned *ret_port)
{
    bool is_dtls = strcmp(suite, "DTLS") == 0;
    struct relay_end_args args = {.cookie = id, .needs_rtcp = !is_dtls};
    struct relay_end_setting s = {.protection =
                                      strcmp(suite, "-") == 0 ? RELAY_CLEAR : RELAY_PROTECT,
                                  .mux = is_dtls,
                                  .sends = true,
                                  .receives = true};
    struct addr rtp, rtcp;
    int err = addr_parse_hostport(&s.rtp, str_z(remote));
    if (err != 0)
        return err;
    s.rtcp = s.rtp;
    addr_set_port(&s.rtcp, (uint16_t)(addr_port(&s.rtp) + 1));
    err = relay_end_new(c->relay, &args, ret, NULL);
    if (err != 0)
        return err;
    relay_end_set(*ret, &s);
    if (is_dtls) {
        err = shake(c, id, i, *ret, &s.rtp, key_in);
    } else if (s.protection == RELAY_PROTECT) {
        err = install(*ret, suite, key_in, false);
        if (err == 0)
            err = install(*ret, suite, key_out, true);
    }
    relay_end_local(*ret, &rtp, &rtcp);
    *ret_port = addr_port(&rtp);
    return err;
}

static void end(struct call *c)
{
    for (unsigned i = 0; i < 2; i++)
        relay_keys_free(c->keys[i]);
    relay_call_free(c->relay);
    *c = (struct call){.relay = NULL};
}

static void control(const char *in, char *out, size_t cap)
{
    char s[2][64], remote[2][64], key_in[2][100], key_out[2][100];
    unsigned id, port[2];
    struct relay_end *e[2];
    if (sscanf(in, "call %u %63s %63s %99s %99s %63s %63s %99s %99s", &id, s[0], remote[0],
               key_in[0], key_out[0], s[1], remote[1], key_in[1], key_out[1]) == 9 &&
        id < CALLS) {
        struct call *c = &calls[id];
        int err = relay_call_new(relay, &c->relay);
        for (unsigned i = 0; i < 2 && err == 0; i++)
            err = side(c, id, i, s[i], remote[i], key_in[i], key_out[i], &e[i], &port[i]);
        if (err != 0) {
            end(c);
            (void)snprintf(out, cap, "error %s", err_text(err));
            return;
        }
        relay_join(e[0], e[1]);
        (void)snprintf(out, cap, "ok %u %u", port[0], port[1]);
    } else if (sscanf(in, "end %u", &id) == 1 && id < CALLS) {
        end(&calls[id]);
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
    struct relay_keyring_args ka = {.on_change = on_change};
    struct reason why = {0};
    struct rlimit files;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    a.sin_port = htons(argc > 1 ? (uint16_t)strtoul(argv[1], NULL, 10) : 0);
    for (int i = 2; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--wait") == 0)
            config.wait_us = (unsigned)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--workers") == 0)
            config.n_workers = (unsigned)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--key-threads") == 0)
            ka.n_threads = (unsigned)strtoul(argv[i + 1], NULL, 10);
    }
    (void)getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    calls = calloc(CALLS, sizeof(*calls)); /* pages are taken as they are used */
    if (calls == NULL || addr_parse(&config.at[0].local, STR("127.0.0.1"), 0) != 0 ||
        relay_new(&config, &relay, &why) != 0 || relay_keyring_new(&ring, &ka) != 0 ||
        bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
        fprintf(stderr, "relayd: %s %s\n", why.code, why.detail);
        return 1;
    }
    keying_policy_init(&policy);
    policy.identity = relay_keyring_identity(ring);
    policy.dtls_passive = true;
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
