/* What NETLINK_XFRM says: any bytes; no more policies than there is room for, and prefixes that are some. */
#include "base/err.h"
#include "net/xfrm.h"
#include <stdlib.h>

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct net_xfrm x;
    struct addr ours;
    struct addr_net peer;
    char *p = malloc(n ? n : 1);
    CHECK(p);
    CHECK(addr_parse_hostport(&ours, STR("10.77.0.1:5060")) == 0);
    CHECK(addr_net_parse(&peer, STR("10.77.0.2")) == 0);
    if (n)
        memcpy(p, data, n);
    x.n = 0;
    int err = net_xfrm_parse(p, n, &x);
    CHECK(err == 0 || err == ERR_AGAIN || err == ERR_REFUSED || err == ERR_SYNTAX);
    CHECK(x.n <= NET_XFRM_MAX);
    for (size_t i = 0; i < x.n; i++)
        CHECK(x.v[i].from.bits <= (addr_is_v6(&x.v[i].from.base) ? 128 : 32));
    CHECK(x.n > 0 || !net_xfrm_covers(&x, &ours, &peer));
    free(p);
    return 0;
}
