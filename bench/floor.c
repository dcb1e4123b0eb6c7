/* The do-nothing server: what the packets of each benchmark cost when next to nothing is done with
 * them. It answers OPTIONS, challenges and accepts every REGISTER with one fixed nonce, and relays
 * calls to 127.0.0.1:17060 (TLS: 17061) by cutting and pasting header lines. It keeps no
 * transaction, checks no password and stores nothing, so no real server can be cheaper with the
 * same system calls: it reads and writes in batches. One thread. */
#include "load/load.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

enum { FD_MAX = 65536 };

static struct wire wire;
static struct link *udp, *by_fd[FD_MAX], *next_hop[3];
static struct sockaddr_in uas_udp;
static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void reply(struct link *link, const struct text *t, const struct sockaddr_in *from,
                  struct slice status, struct slice extra)
{
    char bytes[LOAD_MESSAGE_BYTES];
    struct out o = {bytes, 0, sizeof(bytes), false};

    out_lit(&o, "SIP/2.0 ");
    out_slice(&o, status);
    out_lit(&o, "\r\n");
    out_lines(&o, S("Via"), t->via, t->n_via);
    out_lit(&o, "From: ");
    out_slice(&o, t->from);
    out_lit(&o, "\r\nTo: ");
    out_slice(&o, t->to);
    out_lit(&o, ";tag=floor\r\nCall-ID: ");
    out_slice(&o, t->call_id);
    out_lit(&o, "\r\nCSeq: ");
    out_number(&o, t->cseq);
    out_lit(&o, " ");
    out_slice(&o, t->method);
    out_lit(&o, "\r\n");
    if (t->n_contact > 0 && extra.len > 0 && *extra.p == ';') {
        out_lit(&o, "Contact: ");
        out_slice(&o, t->contact[0]);
    }
    out_slice(&o, extra);
    out_lit(&o, "Content-Length: 0\r\n\r\n");
    if (!o.cut)
        link_send(link, o.p, o.len, from);
}

/* The headers as they came, less the lines that begin at skip (first Via of a response, Route of a
 * request). */
static void copy_but(struct out *o, const char *p, const char *end, const struct slice *skip)
{
    if (skip != NULL && skip->p > p && skip->p < end) {
        const char *line = skip->p;
        while (line > p && line[-1] != '\n')
            line--;
        out_bytes(o, p, (size_t)(line - p));
        p = skip->p + skip->len + 2;
    }
    out_bytes(o, p, (size_t)(end - p));
}

static void relay_request(struct link *link, const struct text *t, const struct sockaddr_in *from)
{
    static const struct slice vias[] = {{"Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKf", 50},
                                        {"Via: SIP/2.0/TCP 127.0.0.1:5060;branch=z9hG4bKf", 50},
                                        {"Via: SIP/2.0/TLS 127.0.0.1:5061;branch=z9hG4bKf", 50}};
    static const struct slice routes[] = {
        {"Record-Route: <sip:127.0.0.1:5060;lr>\r\n", 39},
        {"Record-Route: <sip:127.0.0.1:5060;transport=tcp;lr>\r\n", 53},
        {"Record-Route: <sip:127.0.0.1:5061;transport=tls;lr>\r\n", 53}};
    char bytes[LOAD_MESSAGE_BYTES];
    struct out o = {bytes, 0, sizeof(bytes), false};
    const char *headers = t->uri.p + t->uri.len + sizeof(" SIP/2.0\r\n") - 1;
    struct link *to = next_hop[link->proto];

    if (to == NULL)
        to = next_hop[link->proto] = wire_connect(&wire, link->proto, loopback(0), loopback(17061));
    if (to == NULL)
        return;
    if (*t->method.p == 'I')
        reply(link, t, from, S("100 Trying"), S(""));
    out_bytes(&o, t->method.p, (size_t)(headers - t->method.p));
    out_bytes(&o, vias[link->proto].p, strlen(vias[link->proto].p));
    out_hex(&o, (uint64_t)link->fd, 8);
    out_slice(&o, text_param(t->via[0], S("branch")));
    out_lit(&o, "\r\n");
    if (*t->method.p == 'I')
        out_bytes(&o, routes[link->proto].p, strlen(routes[link->proto].p));
    size_t before = o.len;
    copy_but(&o, headers, t->body.p + t->body.len, t->n_route > 0 ? &t->route[0] : NULL);
    if (o.cut)
        return;
    char *hops = memmem(bytes + before, o.len - before, "Max-Forwards: 70", 16);
    if (hops != NULL)
        memcpy(hops + 14, "69", 2);
    link_send(to, o.p, o.len, &uas_udp);
}

static void relay_response(struct link *link, const struct text *t)
{
    char bytes[LOAD_MESSAGE_BYTES];
    struct out o = {bytes, 0, sizeof(bytes), false};
    struct slice branch = text_param(t->via[0], S("branch"));
    struct sockaddr_in to = {0};

    if (t->n_via < 2 || branch.len < 16)
        return;
    const char *start = t->via[0].p;
    while (memcmp(start, "SIP/2.0 ", 8) != 0) /* back to the status line, which text_scan saw */
        start--;
    copy_but(&o, start, t->body.p + t->body.len, &t->via[0]);
    if (o.cut)
        return;
    if (link->proto == PROTO_UDP) {
        const char *colon = memchr(t->via[1].p, ':', t->via[1].len);
        to = loopback(colon == NULL ? 0 : (uint16_t)strtol(colon + 1, NULL, 10));
        link_send(udp, o.p, o.len, &to);
        return;
    }
    unsigned long fd = 0;
    if (sscanf(branch.p + 8, "%8lx", &fd) == 1 && fd < FD_MAX && by_fd[fd] != NULL)
        link_send(by_fd[fd], o.p, o.len, NULL);
}

static void on_message(struct link *link, const struct text *t, const struct sockaddr_in *from)
{
    if (!t->is_request) {
        relay_response(link, t);
        return;
    }
    if (*t->method.p == 'O') {
        reply(link, t, from, S("200 OK"), S(""));
    } else if (*t->method.p == 'R') {
        /* Scanned for, since a server must look at the credentials. */
        if (memmem(t->uri.p, (size_t)(t->body.p - t->uri.p), "\r\nAuthorization: ", 17) != NULL)
            reply(link, t, from, S("200 OK"), S(";expires=3600\r\n"));
        else
            reply(link, t, from, S("401 Unauthorized"),
                  S("WWW-Authenticate: Digest realm=\"bench.test\", "
                    "nonce=\"aGVsbG8gd29ybGQgdGhpcyBpcyBhIG5vbmNl\", algorithm=MD5, "
                    "qop=\"auth\"\r\n"));
    } else {
        relay_request(link, t, from);
    }
}

static void on_ready(struct link *link)
{
    if (link->fd < FD_MAX)
        by_fd[link->fd] = link;
}

static void on_closed(struct link *link)
{
    if (link->fd < FD_MAX)
        by_fd[link->fd] = NULL;
    if (next_hop[link->proto] == link)
        next_hop[link->proto] = NULL;
}

int main(int argc, char **argv)
{
    struct rlimit files;
    struct timespec coalesce = {0, argc > 4 ? strtol(argv[4], NULL, 10) * 1000 : 0};

    if (argc < 3 || argc > 5) {
        fprintf(stderr, "usage: floor CERTIFICATE KEY [TICKETS [COALESCE_US]]\n");
        return 2;
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    signal(SIGPIPE, SIG_IGN);
    uas_udp = loopback(17060);
    if (wire_init(&wire, (struct wire_handlers){on_message, on_ready, on_closed}, argv[1],
                  argv[2]) != 0)
        return 1;
    wire.gather = true;
    /* OpenSSL's two session tickets a connection are work that nobody asked for yet: none unless
     * wanted. */
    SSL_CTX_set_num_tickets(wire.tls_server, argc > 3 ? (size_t)strtoul(argv[3], NULL, 10) : 0);
    udp = next_hop[PROTO_UDP] = wire_udp(&wire, loopback(5060), NULL, LINK_SERVER);
    if (udp == NULL || wire_listen(&wire, PROTO_TCP, loopback(5060)) == NULL ||
        wire_listen(&wire, PROTO_TLS, loopback(5061)) == NULL)
        return 1;
    while (!stopped) {
        wire_flush(&wire);
        /* What comes within so many microseconds of the last wake-up is taken together. */
        if (coalesce.tv_nsec > 0)
            nanosleep(&coalesce, NULL);
        wire_poll(&wire, NS_PER_S);
    }
    return 0;
}
