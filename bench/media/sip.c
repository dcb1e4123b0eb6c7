/* Calls through an edge, by SIP over UDP: the generator is caller and callee, both at addresses
 * that the edge takes for a peer's (edge.conf). One call at a time; threads take turns.
 *
 *     INVITE (the first side's offer) -> edge -> INVITE to port 17060, answered with 200 (the
 * second side's answer) -> 200 -> ACK.  Later BYE -> 200. */
#include "rtpload.h"
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CALLEE_PORT = 17060, MESSAGE = 8192, WAIT_MS = 500, TRIES = 10, CALLS = 1 << 21 };

struct dialog {
    char to[256], route[512], contact[256];
};

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static int caller = -1, callee = -1;
static uint16_t caller_port;
static struct dialog **dialogs;
static unsigned run_id;

static int socket_at(uint16_t port, uint16_t *ret_port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), buf = 1 << 20;
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) != 0 ||
        getsockname(fd, (struct sockaddr *)&a, &len) != 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buf, sizeof(buf));
    *ret_port = ntohs(a.sin_port);
    return fd;
}

bool sip_open(uint16_t port)
{
    struct sockaddr_in edge = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    uint16_t ignored;
    if (caller >= 0)
        return true;
    caller = socket_at(0, &caller_port);
    callee = socket_at(CALLEE_PORT, &ignored);
    dialogs = calloc(CALLS, sizeof(struct dialog *));
    run_id = (unsigned)getpid();
    return caller >= 0 && callee >= 0 && dialogs != NULL &&
           connect(caller, (struct sockaddr *)&edge, sizeof(edge)) == 0;
}

/* ---- reading ---- */

/* The value of the first header of this name (its end is a line's), "" if there is none. */
static void header(const char *m, const char *name, char *dst, size_t cap)
{
    size_t n = strlen(name);
    const char *line = m;
    dst[0] = '\0';
    while ((line = strstr(line, "\r\n")) != NULL) {
        line += 2;
        if (line[0] == '\r')
            return;
        if (strncasecmp(line, name, n) == 0 && line[n] == ':') {
            size_t len = strcspn(line, "\r");
            const char *at = line + n + 1;
            while (*at == ' ')
                at++;
            (void)snprintf(dst, cap, "%.*s", (int)(len - (size_t)(at - line)), at);
            return;
        }
    }
}

/* All headers of this name, lines as they are. */
static size_t headers(const char *m, const char *name, const char *as, char *dst, size_t cap)
{
    size_t n = strlen(name), at = 0;
    const char *line = m;
    dst[0] = '\0';
    while ((line = strstr(line, "\r\n")) != NULL && line[2] != '\r') {
        line += 2;
        if (strncasecmp(line, name, n) == 0 && line[n] == ':')
            at += (size_t)snprintf(dst + at, cap - at, "%s%.*s\r\n", as,
                                   (int)(strcspn(line, "\r") - n), line + n);
        if (at >= cap)
            return cap;
    }
    return at;
}

static const char *body_of(const char *m)
{
    const char *end = strstr(m, "\r\n\r\n");
    return end != NULL ? end + 4 : "";
}

static bool is_of(const char *m, unsigned id)
{
    char value[128], want[64];
    header(m, "Call-ID", value, sizeof(value));
    (void)snprintf(want, sizeof(want), "%u-%u@bench", run_id, id);
    return strcmp(value, want) == 0;
}

/* ---- the callee ---- */

static void respond(const char *request, const struct sockaddr_in *to, unsigned id, const char *sdp)
{
    char out[MESSAGE], via[1024], rr[1024], from[256], to_value[256], cseq[64];
    (void)headers(request, "Via", "Via", via, sizeof(via));
    (void)headers(request, "Record-Route", "Record-Route", rr, sizeof(rr));
    header(request, "From", from, sizeof(from));
    header(request, "To", to_value, sizeof(to_value));
    header(request, "CSeq", cseq, sizeof(cseq));
    int n = snprintf(out, sizeof(out),
                     "SIP/2.0 200 OK\r\n%s%sFrom: %s\r\nTo: %s%s\r\nCall-ID: %u-%u@bench\r\n"
                     "CSeq: %s\r\nContact: <sip:callee@127.0.0.1:%u>\r\n%s"
                     "Content-Length: %zu\r\n\r\n%s",
                     via, rr, from, to_value, strstr(to_value, "tag=") == NULL ? ";tag=callee" : "",
                     run_id, id, cseq, CALLEE_PORT,
                     sdp[0] != '\0' ? "Content-Type: application/sdp\r\n" : "", strlen(sdp), sdp);
    if (n < (int)sizeof(out))
        (void)sendto(callee, out, (size_t)n, 0, (const struct sockaddr *)to, sizeof(*to));
}

static void callee_take(unsigned id, struct side *b)
{
    char in[MESSAGE], sdp[2048];
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    unsigned tag;
    ssize_t n = recvfrom(callee, in, sizeof(in) - 1, MSG_DONTWAIT, (struct sockaddr *)&from, &len);
    if (n <= 0)
        return;
    in[n] = '\0';
    if (!is_of(in, id)) /* a repetition of a call before */
        return;
    if (strncmp(in, "INVITE ", 7) == 0 && b != NULL && control_sdp_read(body_of(in), b, &tag)) {
        control_sdp(sdp, sizeof(sdp), b, tag, false);
        if (strstr(in, "a=rtcp-mux") != NULL)
            (void)strcat(sdp, "a=rtcp-mux\r\n");
        respond(in, &from, id, sdp);
    } else if (strncmp(in, "BYE ", 4) == 0) {
        respond(in, &from, id, "");
    }
}

/* ---- the caller ---- */

static void send_request(const char *method, unsigned id, const struct dialog *d, unsigned cseq,
                         unsigned branch, const char *sdp)
{
    char out[MESSAGE];
    int n =
        snprintf(out, sizeof(out),
                 "%s %s SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%u;rport;branch=z9hG4bK%u-%u-%u\r\n"
                 "Max-Forwards: 70\r\n%sFrom: <sip:caller@trunk.bench.test>;tag=caller\r\n"
                 "To: %s\r\nCall-ID: %u-%u@bench\r\nCSeq: %u %s\r\n"
                 "Contact: <sip:caller@127.0.0.1:%u>\r\n%sContent-Length: %zu\r\n\r\n%s",
                 method, d->contact, caller_port, run_id, id, branch, d->route, d->to, run_id, id,
                 cseq, method, caller_port,
                 sdp[0] != '\0' ? "Content-Type: application/sdp\r\n" : "", strlen(sdp), sdp);
    if (n < (int)sizeof(out))
        (void)send(caller, out, (size_t)n, 0);
}

/* The final response to this request, or false. What comes to the callee meanwhile is answered. */
static bool transact(const char *method, unsigned id, const struct dialog *d, unsigned cseq,
                     const char *sdp, struct side *b, char in[MESSAGE])
{
    for (unsigned tries = 0; tries < TRIES; tries++) {
        send_request(method, id, d, cseq, cseq, sdp);
        for (;;) {
            struct pollfd pfd[2] = {{.fd = caller, .events = POLLIN},
                                    {.fd = callee, .events = POLLIN}};
            char value[64];
            if (poll(pfd, 2, WAIT_MS) <= 0)
                break;
            if (pfd[1].revents != 0)
                callee_take(id, b);
            ssize_t n = pfd[0].revents != 0 ? recv(caller, in, MESSAGE - 1, MSG_DONTWAIT) : 0;
            if (n <= 0)
                continue;
            in[n] = '\0';
            header(in, "CSeq", value, sizeof(value));
            if (strncmp(in, "SIP/2.0 ", 8) == 0 && in[8] != '1' && is_of(in, id) &&
                strtoul(value, NULL, 10) == cseq)
                return true;
        }
    }
    return false;
}

bool sip_call(unsigned id, struct side *a, struct side *b)
{
    char in[MESSAGE], sdp[2048], rr[512];
    struct dialog *d = calloc(1, sizeof(*d));
    unsigned tag;
    bool ok;
    if (d == NULL || id >= CALLS)
        return false;
    (void)strcpy(d->to, "<sip:callee@bench.test>");
    (void)strcpy(d->contact, "sip:callee@bench.test");
    control_sdp(sdp, sizeof(sdp), a, 1, true);
    (void)strcat(sdp, "a=rtcp-mux\r\n");
    (void)pthread_mutex_lock(&turn);
    ok = transact("INVITE", id, d, 1, sdp, b, in);
    if (!ok || strncmp(in, "SIP/2.0 200", 11) != 0 || !control_sdp_read(body_of(in), a, &tag)) {
        fprintf(stderr, "call: %.*s\n", ok ? (int)strcspn(in, "\r") : 10, ok ? in : "no answer");
        ok = false;
    } else {
        char contact[256];
        header(in, "To", d->to, sizeof(d->to));
        header(in, "Contact", contact, sizeof(contact));
        if (sscanf(contact, "<%255[^>]", d->contact) != 1)
            ok = false;
        (void)headers(in, "Record-Route", "Route", rr, sizeof(rr)); /* one proxy: one line */
        (void)snprintf(d->route, sizeof(d->route), "%s", rr);
        send_request("ACK", id, d, 1, 900, "");
        dialogs[id] = d;
    }
    (void)pthread_mutex_unlock(&turn);
    if (!ok)
        free(d);
    return ok;
}

bool sip_end(unsigned id)
{
    char in[MESSAGE];
    struct dialog *d = id < CALLS ? dialogs[id] : NULL;
    if (d == NULL)
        return false;
    (void)pthread_mutex_lock(&turn);
    bool ok = transact("BYE", id, d, 2, "", NULL, in) && strncmp(in, "SIP/2.0 200", 11) == 0;
    dialogs[id] = NULL;
    (void)pthread_mutex_unlock(&turn);
    free(d);
    return ok;
}
