/* URLs that strangers sign, and what servers say of freshness: never anything but https, never a
 * special-purpose address, always within our bounds. Input: URL, newline, Cache-Control. */
#include "fetch/core.h"
#include <stdlib.h>

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static unsigned n_started, n_told;

static int start(void *arg, struct fetch_transfer *t, uint64_t timeout_ms)
{
    struct addr a;

    (void)arg;
    CHECK(timeout_ms > 0 && timeout_ms <= LIMIT_HTTPS_MS);
    CHECK(str_starts_nocase(str_z(t->url), STR("https://")) && t->host[0]);
    CHECK(addr_parse(&a, str_z(t->host), 443) != 0 || !addr_special(&a));
    n_started++;
    return ERR_NOMEM;
}

static void cancel(void *arg, struct fetch_transfer *t)
{
    (void)arg, (void)t;
}

static void on_told(void *arg, int err, struct str bytes, uint64_t fresh_ms,
                    const struct reason *why)
{
    (void)arg, (void)bytes, (void)fresh_ms;
    CHECK(err != 0 && why && why->code);
    n_told++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct fetch_transport transport = {start, cancel, NULL};
    struct str url, rest = str_cut(str_make((const char *)data, n), '\n', &url);
    struct fetch_core core;
    struct fetch_url parts;
    uint64_t s = fetch_fresh_s(rest, (int64_t)n - 10, n);
    int err;

    CHECK(s >= LIMIT_HTTPS_FRESH_MIN_S && s <= LIMIT_HTTPS_FRESH_MAX_S);
    if (fetch_url_parse(url, &parts, NULL) == 0)
        CHECK(parts.host.n > 0 && parts.port > 0);
    if (fetch_core_init(&core, &transport, NULL, 0) != 0)
        return 0;
    n_told = 0;
    err = fetch_core_get(&core, url, on_told, NULL, 1000);
    (void)fetch_core_turn(&core, 1000);
    CHECK(n_told == (err == 0));
    fetch_core_done_all(&core);
    return 0;
}
