/* WebSocket: an upgrade request, then frames, whole and in parts: the same events, bounded, nothing
 * leaked. */
#include "base/err.h"
#include "base/limits.h"
#include "net/ws.h"
#include <stdlib.h>

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static uint64_t mix(uint64_t h, const void *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        h = (h ^ ((const unsigned char *)p)[i]) * 0x100000001b3u;
    return h;
}

/* A hash over all events. */
static uint64_t run(const char *p, size_t n, size_t step)
{
    struct ws ws = {0};
    struct ws_pool pool = {0};
    uint64_t h = 0xcbf29ce484222325u;
    bool is_over = false;
    for (size_t at = 0; at < n && !is_over;) {
        size_t len = step < n - at ? step : n - at;
        struct str in = {p + at, len};
        at += len;
        for (;;) {
            struct ws_event e;
            struct reason reason;
            enum ws_kind kind = ws_next(&ws, &pool, &in, &e, &reason);
            if (kind == WS_MORE) {
                CHECK(in.n == 0);
                break;
            }
            h = mix(h, &kind, sizeof(kind));
            h = mix(h, &e.code, sizeof(e.code));
            if (e.msg) {
                CHECK(kind == WS_MESSAGE && e.msg->n <= LIMIT_MSG_BYTES);
                h = mix(h, e.msg->p, e.msg->n);
                buf_unref(e.msg);
            }
            if (kind == WS_PING) {
                CHECK(e.data.n <= WS_CONTROL_MAX);
                h = mix(h, e.data.p, e.data.n);
            }
            if (kind == WS_CLOSE || kind == WS_BAD) {
                CHECK(e.code >= 1000 && e.code < 5000);
                is_over = true;
                break;
            }
        }
    }
    ws_done(&ws, &pool);
    ws_pool_done(&pool);
    return h;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char answer[WS_ANSWER_MAX];
    struct reason reason;
    static const struct net_page one = {
        .path = {"/p", 2}, .type = {"text/plain", 10}, .body = {"x", 1}};
    const struct net_page *page;
    struct net_pages *pages = NULL;
    size_t len, used;
    if (n < 1)
        return 0;
    char *p = malloc(n);
    CHECK(p);
    memcpy(p, data + 1, n - 1);
    struct str in = {p, n - 1};
    struct str origins = data[0] & 1 ? STR("https://a.example,https://b.example") : STR_NULL;
    CHECK(net_pages_new(&one, 1, &pages) == 0);
    int err = ws_upgrade(in, origins, pages, answer, &len, &used, &page, &reason);
    net_pages_unref(pages);
    CHECK(err == 0 || err == ERR_AGAIN || err == ERR_REFUSED);
    CHECK(len < WS_ANSWER_MAX && (len > 0) == (err != ERR_AGAIN) && used <= in.n);
    if (err == 0) {
        in.p += used;
        in.n -= used;
    }
    uint64_t whole = run(in.p, in.n, in.n ? in.n : 1);
    CHECK(run(in.p, in.n, 1) == whole);
    CHECK(run(in.p, in.n, (size_t)data[0] + 2) == whole);
    free(p);
    return 0;
}
