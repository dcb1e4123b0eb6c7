/* Framing of a stream: whatever comes, in whatever parts, the pieces are the same, nothing is read
 * outside, and a message that is found has its header and exactly the body that its one
 * Content-Length says. */
#include "net/framing.h"
#include <stdlib.h>

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define PIECES_MAX 4096

struct piece {
    enum framing_kind kind;
    size_t n;
};

/* Part lengths come from `sizes`, in turn; 0: all at once. Returns how many pieces there are. */
static size_t run(const char *p, size_t n, const uint8_t *sizes, size_t n_sizes, struct piece *ret)
{
    struct framing f = {0};
    size_t start = 0, have = 0, k = 0, turn = 0;
    while (have < n) {
        size_t step = n_sizes ? (size_t)sizes[turn++ % n_sizes] + 1 : n;
        have = step < n - have ? have + step : n;
        for (;;) {
            struct reason reason;
            size_t len;
            enum framing_kind kind = framing_next(&f, p + start, have - start, &len, &reason);
            if (kind == FRAMING_MORE) {
                CHECK(len == 0 || len > have - start);
                break;
            }
            if (k < PIECES_MAX)
                ret[k] = (struct piece){kind, kind == FRAMING_BAD ? 0 : len};
            k++;
            if (kind == FRAMING_BAD) {
                CHECK(len <= have - start && reason.code);
                return k;
            }
            CHECK(len > 0 && len <= have - start);
            if (kind == FRAMING_MESSAGE) {
                CHECK(len <= LIMIT_MSG_BYTES);
                const char *end = memmem(p + start, len, "\r\n\r\n", 4);
                CHECK(end);
                CHECK(p[start] != '\0');
            }
            start += len;
        }
    }
    return k;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct piece whole[PIECES_MAX], parts[PIECES_MAX];
    static const uint8_t bytewise[1] = {0};
    if (n < 4)
        return 0;
    char *p = malloc(n - 4 ? n - 4 : 1);
    CHECK(p);
    memcpy(p, data + 4, n - 4);
    size_t n_whole = run(p, n - 4, NULL, 0, whole);
    size_t n_parts = run(p, n - 4, data, 4, parts);
    CHECK(n_whole == n_parts);
    for (size_t i = 0; i < n_whole && i < PIECES_MAX; i++)
        CHECK(whole[i].kind == parts[i].kind && whole[i].n == parts[i].n);
    n_parts = run(p, n - 4, bytewise, 1, parts);
    CHECK(n_whole == n_parts);
    free(p);
    return 0;
}
