/* A relay that does nothing but pass on: what the packets themselves cost, by the way they are read
 * and written. One thread. It checks where packets come from, as each relay must, and no more.
 *
 *     rtpfloor PORT [--io lt|et|sends|uring|shared] [--connect] [--wait US] [--shared N]
 *
 *   lt      a socket a party, level-triggered epoll, recv and send
 *   et      the same, edge-triggered, read until empty with one recvmmsg
 *   sends   epoll and recv, then all sends of a turn by one io_uring_enter
 *   uring   io_uring: multishot recvmsg into a ring of buffers, sends as above
 *   shared  N sockets for all: recvmmsg and sendmmsg of 64, parties told apart by address
 *
 * --connect: sockets connected to the party. --wait: packets may gather so long before each turn.
 * The control protocol is in control.c; keys are ignored. */
#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CALLS = 1 << 16, ROOM = 2048, EVENTS = 512, BATCH = 64, BUFFERS = 4096, TABLE = 1 << 16 };
enum io { IO_LT, IO_ET, IO_SENDS, IO_URING, IO_SHARED };

struct leg {
    int fd;
    struct sockaddr_in remote;
    struct leg *other;
    struct leg *next; /* in the table of shared sockets */
    uint16_t port;
};
struct call {
    unsigned id;
    bool used;
    struct leg a, b;
};

static enum io io;
static bool connects;
static unsigned wait_us, n_shared = 1;
static struct call *calls[CALLS];
static int epoll_fd, control_fd, shared_fd[64];
static uint16_t shared_port[64];
static struct leg *table[64][TABLE];
static struct io_uring ring;
static struct io_uring_buf_ring *buffers;
static uint8_t (*buffer)[ROOM];
static unsigned n_sends;
static struct msghdr recv_shape = {.msg_namelen = sizeof(struct sockaddr_in)};

_Noreturn static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int socket_open(uint16_t *port, bool is_big)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), size = 4 << 20;
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) != 0 ||
        getsockname(fd, (struct sockaddr *)&a, &len) != 0)
        die("socket");
    if (is_big)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
    *port = ntohs(a.sin_port);
    return fd;
}

static unsigned slot(const struct sockaddr_in *a)
{
    return (a->sin_port * 40503u ^ a->sin_addr.s_addr * 2654435761u) % TABLE;
}

static bool same(const struct sockaddr_in *a, const struct sockaddr_in *b)
{
    return a->sin_port == b->sin_port && a->sin_addr.s_addr == b->sin_addr.s_addr;
}

static void uring_recv(struct leg *l)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    if (sqe == NULL) {
        (void)io_uring_submit(&ring);
        sqe = io_uring_get_sqe(&ring);
    }
    if (connects)
        io_uring_prep_recv_multishot(sqe, l->fd, NULL, 0, 0);
    else
        io_uring_prep_recvmsg_multishot(sqe, l->fd, &recv_shape, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
    io_uring_sqe_set_data(sqe, l);
}

static void leg_open(struct leg *l, struct leg *other, const char *host_port)
{
    struct epoll_event e = {.events = EPOLLIN | (io == IO_ET ? (uint32_t)EPOLLET : 0),
                            .data.ptr = l};
    unsigned port;
    l->other = other;
    if (sscanf(host_port, "127.0.0.1:%u", &port) != 1)
        return;
    l->remote = (struct sockaddr_in){.sin_family = AF_INET,
                                     .sin_port = htons((uint16_t)port),
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (io == IO_SHARED) {
        unsigned s = slot(&l->remote), k = port / 2 % n_shared;
        l->fd = shared_fd[k];
        l->port = shared_port[k];
        l->next = table[k][s];
        table[k][s] = l;
        return;
    }
    l->port = 0;
    l->fd = socket_open(&l->port, false);
    if (connects && connect(l->fd, (struct sockaddr *)&l->remote, sizeof(l->remote)) != 0)
        die("connect");
    if (io == IO_URING)
        uring_recv(l);
    else if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, l->fd, &e) != 0)
        die("epoll");
}

static void control(void)
{
    char in[1024], a[64], b[64], out[64] = "error";
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    unsigned id;
    ssize_t n = recvfrom(control_fd, in, sizeof(in) - 1, 0, (struct sockaddr *)&from, &len);
    if (n <= 0)
        return;
    in[n] = '\0';
    if (sscanf(in, "call %u %*s %63s %*s %*s %*s %63s", &id, a, b) == 3) {
        struct call *c = calls[id % CALLS] = calloc(1, sizeof(*c));
        if (c == NULL)
            die("memory");
        leg_open(&c->a, &c->b, a);
        leg_open(&c->b, &c->a, b);
        (void)snprintf(out, sizeof(out), "ok %u %u", c->a.port, c->b.port);
    } else if (sscanf(in, "end %u", &id) == 1) {
        (void)snprintf(out, sizeof(out), "ok"); /* calls stay: nothing is measured after it */
    }
    (void)sendto(control_fd, out, strlen(out), 0, (struct sockaddr *)&from, len);
}

static void gather(unsigned n)
{
    if (wait_us > 0 && n > 1)
        (void)nanosleep(&(struct timespec){.tv_nsec = wait_us * 1000L}, NULL);
}

static void pass(struct leg *l, const uint8_t *p, size_t n)
{
    struct leg *o = l->other;
    if (connects)
        (void)!send(o->fd, p, n, MSG_DONTWAIT);
    else
        (void)!sendto(o->fd, p, n, MSG_DONTWAIT, (struct sockaddr *)&o->remote, sizeof(o->remote));
}

static void uring_send(struct leg *o, const uint8_t *p, size_t n, uint64_t data)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    if (sqe == NULL) {
        (void)io_uring_submit(&ring);
        sqe = io_uring_get_sqe(&ring);
    }
    io_uring_prep_send(sqe, o->fd, p, n, MSG_DONTWAIT);
    if (!connects)
        io_uring_prep_send_set_addr(sqe, (struct sockaddr *)&o->remote, sizeof(o->remote));
    if (io == IO_SENDS)
        sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(sqe, data);
    n_sends++;
}

static ssize_t leg_recv(struct leg *l, uint8_t *p)
{
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    if (connects)
        return recv(l->fd, p, ROOM, MSG_DONTWAIT);
    ssize_t n = recvfrom(l->fd, p, ROOM, MSG_DONTWAIT, (struct sockaddr *)&from, &len);
    return n > 0 && same(&from, &l->remote) ? n : -1;
}

static void drain(struct leg *l)
{
    static uint8_t p[4][ROOM];
    static struct sockaddr_in from[4];
    struct mmsghdr m[4];
    struct iovec iov[4];
    for (unsigned i = 0; i < 4; i++) {
        iov[i] = (struct iovec){p[i], ROOM};
        m[i].msg_hdr = (struct msghdr){.msg_name = connects ? NULL : &from[i],
                                       .msg_namelen = connects ? 0 : sizeof(from[i]),
                                       .msg_iov = &iov[i],
                                       .msg_iovlen = 1};
    }
    int n;
    do {
        n = recvmmsg(l->fd, m, 4, MSG_DONTWAIT, NULL);
        for (int i = 0; i < n; i++) {
            if (connects || same(&from[i], &l->remote))
                pass(l, p[i], m[i].msg_len);
        }
    } while (n == 4);
}

static void run_epoll(void)
{
    static uint8_t p[EVENTS][ROOM];
    struct epoll_event events[EVENTS];
    for (;;) {
        int n = epoll_wait(epoll_fd, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            struct leg *l = events[i].data.ptr;
            ssize_t len;
            if (l == NULL)
                control();
            else if (io == IO_ET)
                drain(l);
            else if ((len = leg_recv(l, p[i])) > 0 && io == IO_LT)
                pass(l, p[i], (size_t)len);
            else if (len > 0)
                uring_send(l->other, p[i], (size_t)len, 0);
        }
        if (io == IO_SENDS && n_sends > 0) {
            (void)io_uring_submit(&ring);
            n_sends = 0;
            struct io_uring_cqe *cqe;
            while (io_uring_peek_cqe(&ring, &cqe) == 0)
                io_uring_cqe_seen(&ring, cqe);
        }
        gather((unsigned)n);
    }
}

static void run_shared(void)
{
    static uint8_t p[BATCH][ROOM];
    static struct sockaddr_in from[BATCH];
    static struct mmsghdr in[BATCH], out[64][BATCH];
    static struct iovec iov[BATCH], oiov[64][BATCH];
    struct epoll_event events[EVENTS];
    for (;;) {
        int n = epoll_wait(epoll_fd, events, EVENTS, -1);
        unsigned total = 0;
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL) {
                control();
                continue;
            }
            unsigned k = (unsigned)((int *)events[i].data.ptr - shared_fd);
            int got;
            do {
                for (unsigned j = 0; j < BATCH; j++) {
                    iov[j] = (struct iovec){p[j], ROOM};
                    in[j].msg_hdr = (struct msghdr){.msg_name = &from[j],
                                                    .msg_namelen = sizeof(from[j]),
                                                    .msg_iov = &iov[j],
                                                    .msg_iovlen = 1};
                }
                got = recvmmsg(shared_fd[k], in, BATCH, MSG_DONTWAIT, NULL);
                unsigned n_out[64] = {0};
                for (int j = 0; j < got; j++) {
                    struct leg *l = table[k][slot(&from[j])];
                    while (l != NULL && !same(&l->remote, &from[j]))
                        l = l->next;
                    if (l == NULL)
                        continue;
                    unsigned o = 0;
                    while (shared_fd[o] != l->other->fd)
                        o++;
                    unsigned at = n_out[o]++;
                    oiov[o][at] = (struct iovec){p[j], in[j].msg_len};
                    out[o][at].msg_hdr = (struct msghdr){.msg_name = &l->other->remote,
                                                         .msg_namelen = sizeof(struct sockaddr_in),
                                                         .msg_iov = &oiov[o][at],
                                                         .msg_iovlen = 1};
                }
                for (unsigned o = 0; o < n_shared; o++) {
                    for (unsigned done = 0; done < n_out[o];) {
                        int r =
                            sendmmsg(shared_fd[o], out[o] + done, n_out[o] - done, MSG_DONTWAIT);
                        done += r > 0 ? (unsigned)r : 1;
                    }
                }
                total += got > 0 ? (unsigned)got : 0;
            } while (got == BATCH);
        }
        gather(total);
    }
}

static void buffer_give(unsigned bid)
{
    io_uring_buf_ring_add(buffers, buffer[bid], ROOM, (uint16_t)bid,
                          io_uring_buf_ring_mask(BUFFERS), 0);
    io_uring_buf_ring_advance(buffers, 1);
}

static void run_uring(void)
{
    struct io_uring_buf_reg reg = {.ring_entries = BUFFERS, .bgid = 0};
    struct io_uring_sqe *sqe;
    struct io_uring_cqe *cqe, *cqes[EVENTS];
    buffer = aligned_alloc(4096, (size_t)BUFFERS * ROOM);
    if (posix_memalign((void **)&buffers, 4096, BUFFERS * sizeof(struct io_uring_buf)) != 0)
        die("memory");
    memset(buffers, 0, BUFFERS * sizeof(struct io_uring_buf));
    reg.ring_addr = (uintptr_t)buffers;
    if (io_uring_register_buf_ring(&ring, &reg, 0) != 0)
        die("buffers");
    io_uring_buf_ring_init(buffers);
    for (unsigned i = 0; i < BUFFERS; i++)
        buffer_give(i);
    sqe = io_uring_get_sqe(&ring);
    io_uring_prep_poll_multishot(sqe, control_fd, POLLIN);
    io_uring_sqe_set_data64(sqe, 1);
    for (;;) {
        struct __kernel_timespec t = {.tv_nsec = wait_us * 1000L};
        int err = n_sends > 0 && wait_us > 0
                      ? io_uring_submit_and_wait_timeout(&ring, &cqe, 4096, &t, NULL)
                      : io_uring_submit_and_wait(&ring, 1);
        unsigned n;
        if (err < 0 && err != -ETIME && err != -EINTR)
            die("wait");
        n_sends = 0;
        while ((n = io_uring_peek_batch_cqe(&ring, cqes, EVENTS)) > 0) {
            for (unsigned i = 0; i < n; i++) {
                struct io_uring_cqe c = *cqes[i];
                if (c.user_data == 1) {
                    control();
                    continue;
                }
                if (c.user_data & 1) { /* a send is done: its buffer may be filled again */
                    buffer_give((unsigned)(c.user_data >> 1));
                    continue;
                }
                struct leg *l = (struct leg *)(uintptr_t)c.user_data;
                if ((c.flags & IORING_CQE_F_MORE) == 0)
                    uring_recv(l);
                if (c.res <= 0 || (c.flags & IORING_CQE_F_BUFFER) == 0)
                    continue;
                unsigned bid = c.flags >> IORING_CQE_BUFFER_SHIFT;
                uint8_t *p = buffer[bid];
                size_t len = (size_t)c.res;
                if (!connects) {
                    struct io_uring_recvmsg_out *o =
                        io_uring_recvmsg_validate(p, c.res, &recv_shape);
                    if (o == NULL || !same(io_uring_recvmsg_name(o), &l->remote)) {
                        buffer_give(bid);
                        continue;
                    }
                    len = io_uring_recvmsg_payload_length(o, c.res, &recv_shape);
                    p = io_uring_recvmsg_payload(o, &recv_shape);
                }
                uring_send(l->other, p, len, (uint64_t)bid << 1 | 1);
            }
            io_uring_cq_advance(&ring, n);
        }
    }
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"lt", "et", "sends", "uring", "shared"};
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    struct rlimit files;
    uint16_t port = argc > 1 ? (uint16_t)strtoul(argv[1], NULL, 10) : 0;
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--connect") == 0)
            connects = true;
        else if (strcmp(argv[i], "--wait") == 0 && i + 1 < argc)
            wait_us = (unsigned)strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--shared") == 0 && i + 1 < argc)
            n_shared = (unsigned)strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--io") == 0 && i + 1 < argc) {
            i++;
            for (unsigned k = 0; k < 5; k++)
                io = strcmp(argv[i], names[k]) == 0 ? (enum io)k : io;
        }
    }
    (void)getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    (void)prctl(PR_SET_TIMERSLACK, 1000ul);
    if (port == 0 || n_shared < 1 || n_shared > 64)
        return 2;
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    control_fd = socket_open(&port, false);
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, control_fd, &e) != 0)
        die("epoll");
    if (io == IO_SENDS || io == IO_URING) {
        struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER |
                                                  IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
                                         .cq_entries = 16384};
        if (io_uring_queue_init_params(4096, &ring, &params) != 0)
            die("io_uring");
    }
    for (unsigned i = 0; io == IO_SHARED && i < n_shared; i++) {
        e.data.ptr = &shared_fd[i];
        shared_port[i] = 0;
        shared_fd[i] = socket_open(&shared_port[i], true);
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, shared_fd[i], &e) != 0)
            die("epoll");
    }
    if (io == IO_SHARED)
        run_shared();
    else if (io == IO_URING)
        run_uring();
    else
        run_epoll();
}
