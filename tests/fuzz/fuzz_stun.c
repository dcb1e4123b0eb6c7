/* STUN: any bytes; answers are bounded, well-formed, and never answered themselves. */
#include "base/err.h"
#include "net/stun.h"
#include <stdlib.h>

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char out[STUN_ANSWER_MAX], again[STUN_ANSWER_MAX];
    struct addr from;
    size_t len, len2, total;
    if (n < 1)
        return 0;
    CHECK(addr_parse_hostport(&from, data[0] & 1 ? STR("[2001:db8::7]:5060")
                                                 : STR("192.0.2.7:5060")) == 0);
    char *p = malloc(n);
    CHECK(p);
    memcpy(p, data + 1, n - 1);
    n--;
    enum stun_kind kind = stun_answer(p, n, &from, out, &len);
    CHECK(len <= sizeof(out));
    CHECK((len > 0) == (kind == STUN_REQUEST));
    int err = stun_frame(p, n, &total);
    CHECK(kind == STUN_NOT || (err == 0 && total == n));
    CHECK(err != ERR_AGAIN || total > n);
    if (len) {
        CHECK(stun_frame(out, len, &total) == 0 && total == len);
        CHECK(memcmp(out + 4, p + 4, 16) == 0);
        CHECK(stun_answer(out, len, &from, again, &len2) == STUN_OTHER && len2 == 0);
    }
    free(p);
    return 0;
}
