/* Local media ports: pairs of an even port for RTP and the next for RTCP (RFC 3550 11), taken at
 * random, so that nobody outside can tell where the next call will be. Under the relay's lock. */
#include "base/err.h"
#include "base/mem.h"
#include "relay/relay_priv.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Pairs that another program has got hold of, before giving up. */
#define TRIES 64u

int relay_ports_init(struct relay_ports *p, uint16_t min, uint16_t max)
{
    uint32_t first = (min + 1u) & ~1u;

    if (first == 0 || first + 1 > max)
        return ERR_INVALID;
    p->first = (uint16_t)first;
    p->n = (max - first + 1u) / 2;
    p->n_taken = 0;
    p->taken = mem_zalloc_array((p->n + 63) / 64, sizeof(*p->taken));
    if (p->taken == NULL)
        return ERR_NOMEM;
    rand_system_init(&p->rand);
    return 0;
}

void relay_ports_done(struct relay_ports *p)
{
    mem_free(p->taken);
    p->taken = NULL;
}

static int socket_bind(const struct addr *local, uint16_t port)
{
    struct addr a = *local;
    int one = 1, saved,
        fd = socket(a.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP);

    if (fd < 0)
        return -1;
    addr_set_port(&a, port);
    if ((!addr_is_v6(&a) || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) == 0) &&
        bind(fd, &a.sa, addr_len(&a)) == 0)
        return fd;
    saved = errno;
    (void)close(fd);
    errno = saved;
    return -1;
}

int relay_ports_probe(const struct addr *local)
{
    int fd = socket_bind(local, 0);

    if (fd < 0)
        return ERR_IO;
    (void)close(fd);
    return 0;
}

static bool is_taken(const struct relay_ports *p, uint32_t i)
{
    return (p->taken[i / 64] >> i % 64 & 1) != 0;
}

/* The first free pair at or behind `from`, round the end; there is one. */
static uint32_t next_free(const struct relay_ports *p, uint32_t from)
{
    uint32_t i = from;

    while (is_taken(p, i)) {
        if (i % 64 == 0 && i + 64 <= p->n && p->taken[i / 64] == UINT64_MAX)
            i += 63;
        i = i + 1 < p->n ? i + 1 : 0;
    }
    return i;
}

int relay_ports_take(struct relay_ports *p, const struct addr *local, bool needs_rtcp, bool dry,
                     int ret_fd[2], uint16_t *ret_port)
{
    uint32_t i = (uint32_t)(rand_u64(&p->rand) % p->n);

    ret_fd[0] = ret_fd[1] = -1;
    for (unsigned tries = 0; p->n_taken < p->n && tries < TRIES; tries++) {
        i = next_free(p, i);
        *ret_port = (uint16_t)(p->first + 2 * i);
        if (!dry) {
            ret_fd[0] = socket_bind(local, *ret_port);
            if (ret_fd[0] >= 0 && needs_rtcp)
                ret_fd[1] = socket_bind(local, (uint16_t)(*ret_port + 1));
        }
        if (dry || (ret_fd[0] >= 0 && (ret_fd[1] >= 0 || !needs_rtcp))) {
            p->taken[i / 64] |= 1ull << i % 64;
            p->n_taken++;
            return 0;
        }
        int saved = errno;
        if (ret_fd[0] >= 0)
            (void)close(ret_fd[0]);
        ret_fd[0] = -1;
        errno = saved;
        if (saved != EADDRINUSE)
            return ERR_IO;
        i = i + 1 < p->n ? i + 1 : 0;
    }
    return ERR_LIMIT;
}

void relay_ports_give(struct relay_ports *p, uint16_t port)
{
    uint32_t i = (uint32_t)(port - p->first) / 2;

    p->taken[i / 64] &= ~(1ull << i % 64);
    p->n_taken--;
}
