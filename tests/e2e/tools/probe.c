/*
 * Talks to the edge as no decent client does: floods, half-open handshakes, senders of a byte at a time, raw bytes, STUN,
 * and a peer that accepts and never answers. Each command is bounded in count and time. Used by shell scripts; one
 * thread, one poll loop.
 *
 *   probe flood HOST PORT COUNT SECONDS            opens COUNT connections and holds them
 *   probe half HOST PORT COUNT SECONDS             the same, each with the beginning of a TLS handshake
 *   probe drip HOST PORT FILE MS-PER-BYTE SECONDS  one connection on which FILE is sent a byte at a time
 *   probe send tcp|udp|tls HOST PORT FILE SECONDS  sends FILE, prints what comes back; stops at a close or the time
 *   probe garbage tcp|udp HOST PORT COUNT SEED     COUNT messages or connections of random bytes
 *   probe stun HOST PORT SECONDS                   prints the mapped address of a Binding response (RFC 8489)
 *   probe blackhole HOST PORT SECONDS              listens on TCP and UDP, accepts, reads and never answers
 *
 * PROBE_FROM in the environment is the address that floods, drips and messages come from.
 * Prints words and numbers that scripts look for, e.g. "connected 9000 refused 0 closed 1000 closed-ms 5003".
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PROBE_CONNS_MAX 15000
#define PROBE_FILE_MAX (1u << 20)
#define PROBE_OPENING_MAX 256 /* connections asked for and not yet there */

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct sockaddr_in probe_addr(const char *host, const char *port)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};

    if (inet_pton(AF_INET, host, &sin.sin_addr) != 1 || atoi(port) <= 0) {
        fprintf(stderr, "probe: %s %s is no address\n", host, port);
        exit(2);
    }
    return sin;
}

static int probe_socket(int type)
{
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        perror("probe: socket");
        exit(2);
    }
    return fd;
}

/* A socket of the address in PROBE_FROM; the port is chosen only at connect, so that many can share the address. */
static int probe_client(int type)
{
    const char *from = getenv("PROBE_FROM");
    int fd = probe_socket(type), one = 1;

    if (from) {
        struct sockaddr_in own = probe_addr(from, "1");

        own.sin_port = 0;
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
        if (bind(fd, (struct sockaddr *)&own, sizeof(own)) != 0) {
            perror("probe: bind");
            exit(2);
        }
    }
    return fd;
}

static bool probe_wait(int fd, short events, int64_t until)
{
    struct pollfd p = {.fd = fd, .events = events};

    for (;;) {
        int64_t left = until - now_ms();
        int n = poll(&p, 1, left > 0 ? (int)left : 0);

        if (n > 0) {
            return true;
        }
        if (n == 0 || errno != EINTR) {
            return false;
        }
    }
}

static int probe_connect(const char *host, const char *port, int64_t until)
{
    struct sockaddr_in sin = probe_addr(host, port);
    int fd = probe_client(SOCK_STREAM), error = 0;
    socklen_t len = sizeof(error);

    if (connect(fd, (struct sockaddr *)&sin, sizeof(sin)) != 0 && errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    if (!probe_wait(fd, POLLOUT, until) || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static unsigned char *probe_file(const char *path, size_t *ret_len)
{
    unsigned char *bytes = malloc(PROBE_FILE_MAX);
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");

    if (!bytes || !file) {
        perror(path);
        exit(2);
    }
    *ret_len = fread(bytes, 1, PROBE_FILE_MAX, file);
    if (file != stdin) {
        fclose(file);
    }
    return bytes;
}

/* The first bytes of a ClientHello that promises 512: an honest beginning that never goes on. */
static const unsigned char probe_half_hello[] = {0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03};

static int probe_flood(const char *host, const char *port, int count, int seconds, bool half)
{
    struct sockaddr_in sin = probe_addr(host, port);
    struct rlimit limit;
    struct pollfd *conns;
    int asked = 0, opening = 0, connected = 0, refused = 0, closed = 0;
    int64_t begin = now_ms(), until = begin + seconds * 1000, all_ms = 0, first_closed_ms = 0, last_closed_ms = 0;

    if (count <= 0 || count > PROBE_CONNS_MAX) {
        fprintf(stderr, "probe: at most %d connections\n", PROBE_CONNS_MAX);
        return 2;
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    conns = calloc((size_t)count, sizeof(*conns));
    if (!conns) {
        return 2;
    }
    while (now_ms() < until) {
        while (asked < count && opening < PROBE_OPENING_MAX) {
            int fd = probe_client(SOCK_STREAM);

            if (connect(fd, (struct sockaddr *)&sin, sizeof(sin)) != 0 && errno != EINPROGRESS) {
                refused++;
                close(fd);
                fd = -1;
            } else {
                opening++;
            }
            conns[asked++] = (struct pollfd){.fd = fd, .events = POLLOUT | POLLRDHUP};
        }
        if (asked == count && opening == 0 && all_ms == 0) {
            all_ms = now_ms() - begin;
        }
        if (asked == count && opening == 0 && connected == closed) {
            break;
        }
        if (poll(conns, (nfds_t)asked, 100) <= 0) {
            continue;
        }
        for (int i = 0; i < asked; i++) {
            char bytes[4096];
            int error = 0;
            socklen_t len = sizeof(error);
            ssize_t n;

            if (conns[i].fd < 0 || conns[i].revents == 0) {
                continue;
            }
            if (conns[i].events & POLLOUT) {
                opening--;
                getsockopt(conns[i].fd, SOL_SOCKET, SO_ERROR, &error, &len);
                if (error != 0) {
                    refused++;
                    close(conns[i].fd);
                    conns[i].fd = -1;
                    continue;
                }
                connected++;
                conns[i].events = POLLIN | POLLRDHUP;
                if (half && send(conns[i].fd, probe_half_hello, sizeof(probe_half_hello), MSG_NOSIGNAL) < 0) {
                    continue;
                }
                continue;
            }
            n = read(conns[i].fd, bytes, sizeof(bytes));
            if (n == 0 || (n < 0 && errno != EAGAIN)) {
                closed++;
                last_closed_ms = now_ms() - begin;
                if (first_closed_ms == 0) {
                    first_closed_ms = last_closed_ms;
                }
                close(conns[i].fd);
                conns[i].fd = -1;
            }
        }
    }
    printf("connected %d refused %d closed %d opened-ms %lld first-closed-ms %lld last-closed-ms %lld\n", connected,
           refused, closed, (long long)all_ms, (long long)first_closed_ms, (long long)last_closed_ms);
    free(conns);
    return 0;
}

static int probe_drip(const char *host, const char *port, const char *path, int ms, int seconds)
{
    int64_t begin = now_ms(), until = begin + seconds * 1000;
    size_t len, sent = 0;
    unsigned char *bytes = probe_file(path, &len);
    int fd = probe_connect(host, port, until), result = 0;

    if (fd < 0) {
        printf("refused\n");
        free(bytes);
        return 1;
    }
    while (now_ms() < until) {
        char answer[65536];

        if (sent < len && send(fd, bytes + sent, 1, MSG_NOSIGNAL) == 1) {
            sent++;
        }
        if (probe_wait(fd, POLLIN, now_ms() + ms)) {
            ssize_t n = read(fd, answer, sizeof(answer));

            if (n <= 0) {
                printf("closed-ms %lld sent %zu of %zu\n", (long long)(now_ms() - begin), sent, len);
                goto out;
            }
            fwrite(answer, 1, (size_t)n, stdout);
        }
    }
    printf("open sent %zu of %zu\n", sent, len);
out:
    close(fd);
    free(bytes);
    return result;
}

static int probe_send_tls(int fd, const unsigned char *bytes, size_t len, int64_t until)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = ctx ? SSL_new(ctx) : NULL;
    int result = 1;

    /* The certificate is not looked at: openssl s_client and the browser do that; here the bytes matter. */
    if (!ssl || SSL_set_fd(ssl, fd) != 1) {
        goto out;
    }
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    if (SSL_connect(ssl) != 1) {
        printf("handshake-failed\n");
        goto out;
    }
    if (SSL_write(ssl, bytes, (int)len) <= 0) {
        printf("closed\n");
        goto out;
    }
    result = 0;
    for (;;) {
        char answer[16384];
        int n;

        if (SSL_pending(ssl) == 0 && !probe_wait(fd, POLLIN, until)) {
            printf("\nopen\n");
            break;
        }
        n = SSL_read(ssl, answer, sizeof(answer));
        if (n <= 0) {
            printf("\nclosed\n");
            break;
        }
        fwrite(answer, 1, (size_t)n, stdout);
    }
out:
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    return result;
}

static int probe_send(const char *kind, const char *host, const char *port, const char *path, double seconds)
{
    int64_t begin = now_ms(), until = begin + (int64_t)(seconds * 1000);
    size_t len, sent = 0;
    unsigned char *bytes = probe_file(path, &len);
    struct sockaddr_in sin = probe_addr(host, port);
    int fd, result = 1;

    if (strcmp(kind, "udp") == 0) {
        fd = probe_client(SOCK_DGRAM);
        if (connect(fd, (struct sockaddr *)&sin, sizeof(sin)) != 0 || send(fd, bytes, len, 0) < 0) {
            perror("probe: send");
            goto out;
        }
        sent = len;
    } else {
        fd = probe_connect(host, port, until);
        if (fd < 0) {
            printf("refused\n");
            goto out;
        }
        if (strcmp(kind, "tls") == 0) {
            result = probe_send_tls(fd, bytes, len, until);
            goto out;
        }
    }
    for (;;) {
        struct pollfd p = {.fd = fd, .events = (short)(sent < len ? POLLIN | POLLOUT : POLLIN)};
        int64_t left = until - now_ms();
        char answer[65536];

        if (left <= 0 || poll(&p, 1, (int)left) <= 0) {
            printf("\nopen sent %zu\n", sent);
            result = 0;
            break;
        }
        if (p.revents & POLLOUT) {
            ssize_t n = send(fd, bytes + sent, len - sent, MSG_NOSIGNAL);

            sent += n > 0 ? (size_t)n : 0;
        }
        if (p.revents & (POLLIN | POLLHUP | POLLERR)) {
            ssize_t n = read(fd, answer, sizeof(answer));

            if (n <= 0) {
                printf("\nclosed sent %zu ms %lld\n", sent, (long long)(now_ms() - begin));
                result = 0;
                break;
            }
            fwrite(answer, 1, (size_t)n, stdout);
        }
    }
out:
    if (fd >= 0) {
        close(fd);
    }
    free(bytes);
    return result;
}

/* xorshift: the same seed sends the same bytes again. */
static uint32_t probe_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static int probe_garbage(bool udp, const char *host, const char *port, int count, uint32_t seed)
{
    static const char *const starts[] = {"", "INVITE sip:bob@example.com SIP/2.0\r\n", "SIP/2.0 200 OK\r\n",
                                         "REGISTER sip:example.com SIP/2.0\r\nVia: ", "\r\n\r\n", "\x16\x03\x01",
                                         "GET / HTTP/1.1\r\n"};
    struct sockaddr_in sin = probe_addr(host, port);
    int fd = -1, sent = 0;

    seed = seed ? seed : 1;
    for (int i = 0; i < count; i++) {
        unsigned char bytes[1400];
        const char *start = starts[probe_random(&seed) % (sizeof(starts) / sizeof(starts[0]))];
        size_t at = strlen(start), len = at + probe_random(&seed) % (sizeof(bytes) - at);

        memcpy(bytes, start, at);
        for (size_t j = at; j < len; j++) {
            bytes[j] = (unsigned char)probe_random(&seed);
        }
        if (!udp || fd < 0) {
            fd = udp ? probe_client(SOCK_DGRAM) : probe_connect(host, port, now_ms() + 2000);
            if (fd < 0 || (udp && connect(fd, (struct sockaddr *)&sin, sizeof(sin)) != 0)) {
                continue;
            }
        }
        sent += send(fd, bytes, len, MSG_NOSIGNAL) >= 0;
        if (!udp) {
            close(fd);
        } else if (i % 64 == 63) {
            usleep(1000);
        }
    }
    printf("sent %d of %d\n", sent, count);
    return sent > 0 ? 0 : 1;
}

/* RFC 8489 5, 14.2: header, magic cookie, XOR-MAPPED-ADDRESS. */
static int probe_stun(const char *host, const char *port, int seconds)
{
    unsigned char request[20] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 'e', 'n', 'd', ' ', 't', 'o', ' ', 'e', 'n', 'd'};
    unsigned char answer[1500];
    struct sockaddr_in sin = probe_addr(host, port), own;
    socklen_t own_len = sizeof(own);
    int fd = probe_client(SOCK_DGRAM);
    ssize_t n;

    if (connect(fd, (struct sockaddr *)&sin, sizeof(sin)) != 0 || send(fd, request, sizeof(request), 0) < 0 ||
        getsockname(fd, (struct sockaddr *)&own, &own_len) != 0 ||
        !probe_wait(fd, POLLIN, now_ms() + seconds * 1000)) {
        printf("no answer\n");
        return 1;
    }
    n = read(fd, answer, sizeof(answer));
    close(fd);
    if (n < 20 || answer[0] != 1 || answer[1] != 1 || memcmp(answer + 4, request + 4, 16) != 0) {
        printf("no Binding response\n");
        return 1;
    }
    for (size_t at = 20; at + 4 <= (size_t)n;) {
        size_t len = (size_t)answer[at + 2] << 8 | answer[at + 3];

        if (answer[at] == 0 && answer[at + 1] == 0x20 && len == 8 && at + 12 <= (size_t)n) {
            unsigned mapped = ((unsigned)answer[at + 6] << 8 | answer[at + 7]) ^ 0x2112;
            unsigned char ip[4];
            char text[INET_ADDRSTRLEN];

            for (size_t i = 0; i < 4; i++) {
                ip[i] = (unsigned char)(answer[at + 8 + i] ^ request[4 + i]);
            }
            inet_ntop(AF_INET, ip, text, sizeof(text));
            printf("mapped %s:%u own port %u\n", text, mapped, ntohs(own.sin_port));
            return mapped == ntohs(own.sin_port) ? 0 : 1;
        }
        at += 4 + (len + 3) / 4 * 4;
    }
    printf("no XOR-MAPPED-ADDRESS\n");
    return 1;
}

static int probe_blackhole(const char *host, const char *port, int seconds)
{
    struct sockaddr_in sin = probe_addr(host, port);
    struct pollfd fds[66];
    int n = 2, one = 1;
    int64_t until = now_ms() + seconds * 1000;

    fds[0] = (struct pollfd){.fd = probe_socket(SOCK_STREAM), .events = POLLIN};
    fds[1] = (struct pollfd){.fd = probe_socket(SOCK_DGRAM), .events = POLLIN};
    setsockopt(fds[0].fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fds[0].fd, (struct sockaddr *)&sin, sizeof(sin)) != 0 || listen(fds[0].fd, 64) != 0 ||
        bind(fds[1].fd, (struct sockaddr *)&sin, sizeof(sin)) != 0) {
        perror("probe: bind");
        return 2;
    }
    while (now_ms() < until) {
        char bytes[65536];

        if (poll(fds, (nfds_t)n, 200) <= 0) {
            continue;
        }
        if (fds[0].revents && n < 66) {
            int fd = accept(fds[0].fd, NULL, NULL);

            if (fd >= 0) {
                printf("accepted\n");
                fflush(stdout);
                fds[n++] = (struct pollfd){.fd = fd, .events = POLLIN};
            }
        }
        for (int i = 1; i < n; i++) {
            ssize_t got;

            if (!fds[i].revents) {
                continue;
            }
            got = read(fds[i].fd, bytes, sizeof(bytes) - 1);
            if (got > 0) {
                bytes[got] = '\0';
                printf("took %zd bytes: %.*s\n", got, (int)strcspn(bytes, "\r\n"), bytes);
                fflush(stdout);
            } else if (i > 1) {
                close(fds[i].fd);
                fds[i--] = fds[--n];
            }
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    signal(SIGPIPE, SIG_IGN);
    if (strcmp(what, "flood") == 0 && argc == 6) {
        return probe_flood(argv[2], argv[3], atoi(argv[4]), atoi(argv[5]), false);
    }
    if (strcmp(what, "half") == 0 && argc == 6) {
        return probe_flood(argv[2], argv[3], atoi(argv[4]), atoi(argv[5]), true);
    }
    if (strcmp(what, "drip") == 0 && argc == 7) {
        return probe_drip(argv[2], argv[3], argv[4], atoi(argv[5]), atoi(argv[6]));
    }
    if (strcmp(what, "send") == 0 && argc == 7) {
        return probe_send(argv[2], argv[3], argv[4], argv[5], atof(argv[6]));
    }
    if (strcmp(what, "garbage") == 0 && argc == 7) {
        return probe_garbage(strcmp(argv[2], "udp") == 0, argv[3], argv[4], atoi(argv[5]), (uint32_t)atoi(argv[6]));
    }
    if (strcmp(what, "stun") == 0 && argc == 5) {
        return probe_stun(argv[2], argv[3], atoi(argv[4]));
    }
    if (strcmp(what, "blackhole") == 0 && argc == 5) {
        return probe_blackhole(argv[2], argv[3], atoi(argv[4]));
    }
    fprintf(stderr, "usage: probe flood|half|drip|send|garbage|stun|blackhole ... (see probe.c)\n");
    return 2;
}
