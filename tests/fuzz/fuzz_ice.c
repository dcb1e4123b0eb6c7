/* ICE's checks: any bytes; what is answered is bounded, well-formed and never longer than a
 * stranger's question, and who has not the password shows nothing. The first byte chooses what is
 * known of the peer; with its high bit the message gets a right MESSAGE-INTEGRITY and FINGERPRINT
 * at its end, so that what is behind them is reached. */
#include "base/err.h"
#include "net/stun.h"
#include "relay/ice.h"
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct str pwd = {"VOkJxbRl1RmTxUk/WvJxBt", 22};

/* The end of a message, as the peer would write it. */
static size_t sign(uint8_t *p, size_t n, size_t cap)
{
    struct stun_out o = {.p = p, .n = n, .cap = cap};
    uint8_t *mac = stun_out_attr(&o, STUN_MESSAGE_INTEGRITY, 20);
    unsigned len = 0;

    CHECK(mac != NULL);
    CHECK(HMAC(EVP_sha1(), pwd.p, (int)pwd.n, p, n, mac, &len) != NULL && len == 20);
    stun_out_fingerprint(&o);
    CHECK(!o.overflow);
    return o.n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct relay_ice_names names = {.ufrag = STR("evtj"), .pwd = pwd};
    struct relay_ice_flow flow = {.heard_ms = 0};
    struct relay_ice_answer a, again;
    enum relay_ice_verdict v;
    struct addr from;
    bool is_signed;
    size_t total;
    uint8_t *p;

    if (n < 1 || n > 4096)
        return 0;
    CHECK(addr_parse_hostport(&from, data[0] & 1 ? STR("[2001:db8::7]:5060")
                                                 : STR("192.0.2.7:5060")) == 0);
    if (data[0] & 2)
        names.peer_ufrag = STR("h6vY");
    is_signed = (data[0] & 0x80) && n > STUN_HEADER_BYTES && n % 4 == 1;
    p = malloc(n + 64);
    CHECK(p);
    memcpy(p, data + 1, n - 1);
    n--;
    if (is_signed)
        n = sign(p, n, n + 65);
    p = realloc(p, n ? n : 1); /* nothing behind the end is read */
    CHECK(p);
    v = relay_ice_check(&names, &from, p, n, &a);
    CHECK(a.n <= sizeof(a.bytes));
    if (a.n > 0) {
        CHECK(v != RELAY_ICE_NOT && v != RELAY_ICE_IGNORED);
        CHECK(stun_frame((const char *)a.bytes, a.n, &total) == 0 && total == a.n);
        CHECK(memcmp(a.bytes + 4, p + 4, 16) == 0);
        CHECK(relay_ice_check(&names, &from, a.bytes, a.n, &again) == RELAY_ICE_IGNORED);
        CHECK(again.n == 0);
        if (a.theirs.p == NULL)
            CHECK(a.n <= n && v == RELAY_ICE_REFUSED);
    }
    if (v == RELAY_ICE_VALID || v == RELAY_ICE_NOMINATED) {
        CHECK(a.theirs.p != NULL && a.n > 0);
        CHECK(relay_ice_flow_check(&flow, v, a.theirs, &from, 5) == (v == RELAY_ICE_NOMINATED));
        CHECK(relay_ice_flow_knows(&flow, &from, 5));
    }
    free(p);
    return 0;
}
