/* Sets up calls. rtpengine: its ng protocol, one offer and one answer a call (bencoded dictionaries
 * in datagrams). Ours (relayd, rtpfloor): one line of text,
 *
 *     call ID  SUITE HOST:PORT KEY-IN KEY-OUT  SUITE HOST:PORT KEY-IN KEY-OUT   ->  ok PORT PORT
 *     end ID                                                                   ->  ok
 *
 * keys in hex as the server sees them, "-" for none. With suite DTLS, KEY-IN is our fingerprint,
 * and the server waits for our hello (relayd only). Blocking, one at a time. */
#include "rtpload.h"
#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER_MS = 5000, MESSAGE = 8192 };

bool control_open(struct control *c, const char *host, uint16_t port, enum control_kind kind)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    *c = (struct control){.kind = kind};
    if (kind == CONTROL_SIP)
        return sip_open(port);
    c->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return c->fd >= 0 && inet_pton(AF_INET, host, &a.sin_addr) == 1 &&
           connect(c->fd, (struct sockaddr *)&a, sizeof(a)) == 0;
}

static bool ask(struct control *c, const char *text, size_t n, char *ret, size_t cap)
{
    struct pollfd pfd = {.fd = c->fd, .events = POLLIN};
    ssize_t got;
    for (unsigned tries = 0; tries < 3; tries++) {
        if (send(c->fd, text, n, 0) < 0)
            return false;
        if (poll(&pfd, 1, ANSWER_MS) == 1 && (got = recv(c->fd, ret, cap - 1, 0)) > 0) {
            ret[got] = '\0';
            return true;
        }
    }
    return false;
}

/* ---- ng ---- */

static int put(char *at, size_t cap, const char *text)
{
    return snprintf(at, cap, "%zu:%s", strlen(text), text);
}

static size_t ng_request(struct control *c, char *out, size_t cap, const char *command,
                         const char *call_id, const char *sdp, const char *transport)
{
    size_t n = (size_t)snprintf(out, cap, "%u_%u d", getpid(), ++c->n);
    const char *pairs[][2] = {{"command", command},
                              {"call-id", call_id},
                              {"from-tag", "a"},
                              {"to-tag", strcmp(command, "answer") == 0 ? "b" : NULL},
                              {"sdp", sdp},
                              {"transport-protocol", transport},
                              {"ICE", sdp != NULL ? "remove" : NULL}};
    for (unsigned i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        if (pairs[i][1] == NULL)
            continue;
        n += (size_t)put(out + n, cap - n, pairs[i][0]);
        n += (size_t)put(out + n, cap - n, pairs[i][1]);
    }
    n += (size_t)snprintf(out + n, cap - n, "e");
    return n;
}

static const char *transport_of(enum suite s)
{
    return s == SUITE_RTP ? "RTP/AVP" : s == SUITE_DTLS ? "UDP/TLS/RTP/SAVP" : "RTP/SAVP";
}

void control_sdp(char *out, size_t cap, const struct side *s, unsigned tag, bool is_offer)
{
    char key[64] = "", crypto[256] = "";
    if (s->suite == SUITE_CM80 || s->suite == SUITE_GCM) {
        (void)EVP_EncodeBlock((unsigned char *)key, s->key, (int)suite_key_bytes(s->suite));
        (void)snprintf(crypto, sizeof(crypto), "a=crypto:%u %s inline:%s\r\n", tag,
                       suite_name(s->suite), key);
    } else if (s->suite == SUITE_DTLS) {
        (void)snprintf(crypto, sizeof(crypto), "a=setup:%s\r\na=fingerprint:sha-256 %s\r\n",
                       is_offer ? "actpass" : "active", s->fingerprint);
    }
    (void)snprintf(out, cap,
                   "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                   "m=audio %u %s 0\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n%s",
                   ntohs(s->at.sin_port), transport_of(s->suite), crypto);
}

/* Port, and the key and tag of a suite, out of the SDP in an answer. */
bool control_sdp_read(const char *text, struct side *s, unsigned *ret_tag)
{
    const char *m = strstr(text, "m=audio "), *line = text;
    unsigned port;
    if (m == NULL || sscanf(m, "m=audio %u", &port) != 1)
        return false;
    s->to = (struct sockaddr_in){.sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (s->suite == SUITE_RTP || s->suite == SUITE_DTLS)
        return true;
    while ((line = strstr(line, "a=crypto:")) != NULL) {
        char suite[64], key[128];
        unsigned char raw[128];
        line += 9;
        if (sscanf(line, "%u %63s inline:%100[A-Za-z0-9+/=]", ret_tag, suite, key) != 3)
            continue;
        while (strlen(key) % 4 != 0) /* rtpengine leaves the padding out */
            (void)strcat(key, "=");
        if (strcmp(suite, suite_name(s->suite)) == 0 &&
            EVP_DecodeBlock(raw, (unsigned char *)key, (int)strlen(key)) >=
                (int)suite_key_bytes(s->suite)) {
            memcpy(s->their_key, raw, suite_key_bytes(s->suite));
            return true;
        }
    }
    return false;
}

static bool ng_call(struct control *c, unsigned id, struct side *a, struct side *b)
{
    char out[MESSAGE], in[MESSAGE], sdp[2048], call[32];
    unsigned tag = 1;
    (void)snprintf(call, sizeof(call), "c%u", id);
    control_sdp(sdp, sizeof(sdp), a, 1, true);
    size_t n = ng_request(c, out, sizeof(out), "offer", call, sdp, transport_of(b->suite));
    if (!ask(c, out, n, in, sizeof(in)) || !control_sdp_read(in, b, &tag)) {
        fprintf(stderr, "offer: %s\n", in);
        return false;
    }
    control_sdp(sdp, sizeof(sdp), b, tag, false);
    n = ng_request(c, out, sizeof(out), "answer", call, sdp, NULL);
    if (!ask(c, out, n, in, sizeof(in)) || !control_sdp_read(in, a, &tag)) {
        fprintf(stderr, "answer: %s\n", in);
        return false;
    }
    return true;
}

/* ---- ours ---- */

static void hex(char *out, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", p[i]);
}

static int put_side(char *at, size_t cap, struct side *s)
{
    char in[64] = "-", out[64] = "-";
    if (s->suite == SUITE_DTLS)
        return snprintf(at, cap, " DTLS 127.0.0.1:%u %s -", ntohs(s->at.sin_port), s->fingerprint);
    if (s->suite != SUITE_RTP) {
        if (RAND_bytes(s->their_key, sizeof(s->their_key)) != 1)
            abort();
        hex(in, s->key, suite_key_bytes(s->suite));
        hex(out, s->their_key, suite_key_bytes(s->suite));
    }
    return snprintf(at, cap, " %s 127.0.0.1:%u %s %s", suite_name(s->suite), ntohs(s->at.sin_port),
                    in, out);
}

static bool our_call(struct control *c, unsigned id, struct side *a, struct side *b)
{
    char out[1024], in[256];
    unsigned pa, pb;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int n = snprintf(out, sizeof(out), "call %u", id);
    n += put_side(out + n, sizeof(out) - (size_t)n, a);
    n += put_side(out + n, sizeof(out) - (size_t)n, b);
    if (!ask(c, out, (size_t)n, in, sizeof(in)) || sscanf(in, "ok %u %u", &pa, &pb) != 2) {
        fprintf(stderr, "call: %s\n", in);
        return false;
    }
    to.sin_port = htons((uint16_t)pa);
    a->to = to;
    to.sin_port = htons((uint16_t)pb);
    b->to = to;
    return true;
}

bool control_call(struct control *c, unsigned id, struct side *a, struct side *b)
{
    return c->kind == CONTROL_SIP  ? sip_call(id, a, b)
           : c->kind == CONTROL_NG ? ng_call(c, id, a, b)
                                   : our_call(c, id, a, b);
}

bool control_end(struct control *c, unsigned id)
{
    char out[1024], in[MESSAGE], call[32];
    size_t n;
    if (c->kind == CONTROL_SIP)
        return sip_end(id);
    (void)snprintf(call, sizeof(call), "c%u", id);
    if (c->kind == CONTROL_NG)
        n = ng_request(c, out, sizeof(out), "delete", call, NULL, NULL);
    else
        n = (size_t)snprintf(out, sizeof(out), "end %u", id);
    return ask(c, out, n, in, sizeof(in));
}
