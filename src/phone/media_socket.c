/* Two ports in a row (media_socket.h). */
#include "phone/media_socket.h"
#include <sys/socket.h>
#include <unistd.h>

#define PORT_TRIES 64u

static int bound(const struct addr *at, int *ret_fd)
{
    int fd = socket(at->sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, &at->sa, addr_len(at)) == 0) {
        *ret_fd = fd;
        return 0;
    }
    media_socket_close(fd);
    return ERR_IO;
}

int media_sockets_open(struct addr *local, int *ret_rtp, int *ret_rtcp)
{
    for (unsigned i = 0; i < PORT_TRIES; i++) {
        struct addr at = *local, next;
        socklen_t len = sizeof(at);
        addr_set_port(&at, 0);
        if (bound(&at, ret_rtp) != 0)
            return ERR_IO;
        if (getsockname(*ret_rtp, &at.sa, &len) == 0 && addr_port(&at) % 2 == 0) {
            next = at;
            addr_set_port(&next, (uint16_t)(addr_port(&at) + 1));
            if (bound(&next, ret_rtcp) == 0) {
                *local = at;
                return 0;
            }
        }
        media_socket_close(*ret_rtp);
        *ret_rtp = -1;
    }
    return ERR_IO;
}

void media_socket_close(int fd)
{
    if (fd >= 0)
        close(fd);
}
