/* Text primitives of base on any bytes: what is accepted must survive the way back, and nothing may
 * read outside. */
#include "base/addr.h"
#include "base/sbuf.h"
#include <stdlib.h>

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_addr(struct str s)
{
    struct addr a, b;
    struct addr_net net;
    char text[ADDR_TEXT_MAX];
    if (addr_parse(&a, s, 5060) == 0) {
        CHECK(addr_parse_hostport(&b, addr_text(&a, text)) == 0 && addr_eq(&a, &b));
        CHECK(addr_hash(&a) == addr_hash(&b));
        CHECK(addr_parse(&b, addr_text_host(&a, text), 5060) == 0 && addr_eq(&a, &b));
    }
    if (addr_parse_hostport(&a, s) == 0)
        CHECK(addr_parse_hostport(&b, addr_text(&a, text)) == 0 && addr_eq(&a, &b));
    if (addr_net_parse(&net, s) == 0)
        CHECK(addr_net_has(&net, &net.base));
}

static void check_base64(struct str s, bool url)
{
    unsigned char bytes[8192];
    char text[8192];
    size_t len;
    if (str_base64_decode(bytes, sizeof(bytes), s, url, &len) == 0) {
        CHECK(str_base64_encode(text, sizeof(text), bytes, len, url) == 0);
        CHECK(str_eq(str_z(text), s));
    }
    if (s.n <= 4096) {
        CHECK(str_base64_encode(text, sizeof(text), s.p, s.n, url) == 0);
        CHECK(str_base64_decode(bytes, sizeof(bytes), str_z(text), url, &len) == 0);
        CHECK(str_eq(str_make((char *)bytes, len), s));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str s = {(const char *)data, n}, head;
    static char big[65536];
    uint64_t v;
    if (n > 8192)
        return 0;
    check_addr(s);
    check_base64(s, false);
    check_base64(s, true);
    struct sbuf out = sbuf_make(big, sizeof(big));
    sbuf_json(&out, s);
    CHECK(!out.overflow && str_is_utf8(sbuf_get(&out)));
    CHECK(str_utf8_prefix(s) <= n && str_is_utf8(str_make(s.p, str_utf8_prefix(s))));
    if (str_to_u64(s, UINT64_MAX, &v) == 0) {
        out.n = 0;
        sbuf_u64(&out, v);
        CHECK(out.n <= n && str_eq(sbuf_get(&out), str_make(s.p + n - out.n, out.n)));
    }
    struct str rest = str_cut(s, ';', &head);
    CHECK(rest.p ? head.n + 1 + rest.n == n : head.n == n);
    CHECK(str_trim(s).n <= n && str_eq_nocase(s, s) && str_cmp(s, s) == 0);
    memcpy(big, s.p, n);
    for (size_t i = 0; i < n; i++)
        big[i] = str_lower(big[i]);
    CHECK(str_eq_nocase(s, str_make(big, n)) && str_hash_nocase(s) == str_hash(str_make(big, n)));
    return 0;
}
