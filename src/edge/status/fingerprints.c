/* Names for the keys that a description shows (facts.h): of its fingerprints (RFC 8122 5), and of
 * its other lines about keys (RFC 4568, 4567, 6189). A file of its own, since phones look into
 * bodies as the edge does (edge/anchor/body.c) and have no calls of the edge's. Pure. */
#include "edge/status/facts.h"

static uint64_t sum_lines(struct str body, const struct str *names, size_t n,
                          uint64_t (*hash)(struct str))
{
    uint64_t sum = 0;

    while (body.n) {
        struct str line;

        body = str_cut(body, '\n', &line);
        line = str_trim(line);
        for (size_t i = 0; i < n; i++)
            if (str_starts_nocase(line, names[i]))
                sum += hash(str_make(line.p + names[i].n, line.n - names[i].n));
    }
    return sum;
}

uint64_t facts_fingerprints(struct str body)
{
    static const struct str name = {"a=fingerprint:", 14};

    return sum_lines(body, &name, 1, str_hash_nocase);
}

uint64_t facts_other_keys(struct str body)
{
    static const struct str names[] = {{"a=crypto:", 9}, {"a=key-mgmt:", 11}, {"a=zrtp-hash:", 12}};

    return sum_lines(body, names, ARRAY_LEN(names), str_hash);
}
