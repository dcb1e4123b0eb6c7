/* Fuzz: single header values. The first byte chooses the parser: address, Via, parameters,
 * unquoting. Slices lie inside the value; what one way of reading finds, the other finds too. */
#include "base/arena.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/path.h"
#include "sip/msg.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void inside(struct str whole, struct str part)
{
    must(part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n));
}

/* Walks a list; true if it is well formed to its end. */
static bool check_params(struct str list)
{
    struct str rest = list, name, value, found;
    const char *last = list.p;
    while (sip_param_next(&rest, &name, &value)) {
        must(name.n > 0);
        inside(list, name);
        inside(list, value);
        inside(list, rest);
        must(name.p >= last && rest.p > name.p);
        last = rest.p;
        must(sip_param_find(list, name, &found));
        inside(list, found);
    }
    return rest.n == 0;
}

static void check_addr(struct str v)
{
    struct sip_addr a;
    if (sip_addr_parse(v, &a) != 0)
        return;
    inside(v, a.whole);
    inside(a.whole, a.display);
    inside(a.whole, a.uri);
    inside(a.whole, a.params);
    must(a.star || a.uri.n > 0);
    must(a.uri.n == 0 || memchr(a.uri.p, '>', a.uri.n) == NULL);
    must(a.uri.n == 0 || memchr(a.uri.p, ' ', a.uri.n) == NULL);
    must(check_params(a.params));
}

static void check_via(struct str v)
{
    struct sip_via via;
    int err = sip_via_parse(v, &via);
    inside(v, via.whole);
    inside(via.whole, via.transport);
    inside(via.whole, via.host);
    inside(via.whole, via.params);
    inside(via.params, via.branch);
    inside(via.params, via.received);
    inside(via.params, via.maddr);
    if (err)
        return;
    must(sip_host_is_valid(via.host));
    must(via.transport_id < (int)TRANSPORT_N);
    must(via.received.n == 0 || sip_host_is_valid(via.received));
    must(check_params(via.params));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0)
        return 0;
    struct str v = str_make((const char *)data + 1, n - 1), s;
    struct arena *a;
    switch (data[0] % 4) {
    case 0:
        check_addr(v);
        break;
    case 1:
        check_via(v);
        break;
    case 2:
        (void)check_params(v);
        break;
    default:
        a = arena_new(256, LIMIT_MSG_ARENA_BYTES);
        if (a != NULL && sip_unquote(a, v, &s) == 0) {
            must(s.n <= v.n);
            must(v.n > 0 || s.n == 0);
        }
        arena_free(a);
        break;
    }
    return 0;
}
