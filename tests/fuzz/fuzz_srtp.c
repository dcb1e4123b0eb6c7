/* SRTP and SRTCP on arbitrary packets, with arbitrary re-keying in between: nothing crashes, what
 * was not protected with the key is never taken for authentic and leaves no state, and what one
 * side protects the other opens unchanged, once.
 *
 * Input: suite, flags, then operations of one byte with their operands. */
#include "base/secret.h"
#include "media/srtp.h"
#include <stdlib.h>

#define ROOM 1500

struct input {
    const uint8_t *p;
    size_t n;
};

static uint8_t take(struct input *in)
{
    if (in->n == 0)
        return 0;
    in->n--;
    return *in->p++;
}

/* A packet of up to 255 bytes in a buffer of its own size and room, so that the sanitizer sees each
 * byte outside. */
static uint8_t *take_packet(struct input *in, size_t *ret_n, size_t room)
{
    size_t n = take(in);
    uint8_t *p;

    if (n > in->n)
        n = in->n;
    p = malloc(n + room + 1);
    if (p == NULL)
        abort();
    if (n > 0)
        memcpy(p, in->p, n);
    in->p += n;
    in->n -= n;
    *ret_n = n;
    return p;
}

static struct keying_keys take_keys(struct input *in, const struct keying_suite *suite)
{
    struct keying_keys keys = {.suite = suite, .n = 1};
    uint8_t shape = take(in);

    keys.n += (shape & 3) % LIMIT_SRTP_KEYS;
    keys.kdr = shape & 4 ? take(in) % 25 : 0;
    keys.roc = (shape >> 3) % 3;
    keys.rtcp_tag = (shape >> 5) % 3;
    keys.roc_start = shape & 0x80 ? 0xffffffff : 0;
    for (size_t i = 0; i < keys.n; i++) {
        struct keying_key *key = &keys.key[i];

        key->key[0] = take(in);
        key->key[1] = (uint8_t)i;
        key->mki_len = keys.n > 1 || (shape & 0x40) ? 3 : 0;
        key->mki[2] = (uint8_t)i;
        key->max_rtp = key->max_rtcp = shape & 0x20 ? 20 : 0;
    }
    return keys;
}

static void try_open(struct media_srtp *rx, struct input *in, bool is_rtcp)
{
    size_t n;
    uint8_t *p = take_packet(in, &n, 0);
    uint32_t n_ssrcs = media_srtp_stats(rx)->n_ssrcs;
    enum media_srtp_verdict v = is_rtcp ? media_srtcp_open(rx, p, &n) : media_srtp_open(rx, p, &n);

    if (v == MEDIA_SRTP_OK || media_srtp_stats(rx)->n_ssrcs != n_ssrcs)
        abort(); /* the fuzzer does not know the session keys */
    free(p);
}

static void pass(struct media_srtp *tx, struct media_srtp *rx, struct input *in, bool is_rtcp,
                 bool may_fail)
{
    size_t n, n_plain, n_again;
    uint8_t *p = take_packet(in, &n, MEDIA_SRTP_GROWTH), plain[ROOM], again[ROOM];
    enum media_srtp_verdict v;

    n_plain = n;
    memcpy(plain, p, n);
    v = is_rtcp ? media_srtcp_protect(tx, p, &n, n + MEDIA_SRTP_GROWTH)
                : media_srtp_protect(tx, p, &n, n + MEDIA_SRTP_GROWTH);
    if (v == MEDIA_SRTP_OK) {
        memcpy(again, p, n_again = n);
        v = is_rtcp ? media_srtcp_open(rx, p, &n) : media_srtp_open(rx, p, &n);
        if (v == MEDIA_SRTP_OK) {
            if (n != n_plain || memcmp(p, plain, n) != 0)
                abort();
            v = is_rtcp ? media_srtcp_open(rx, again, &n_again)
                        : media_srtp_open(rx, again, &n_again);
            if (v != MEDIA_SRTP_REPLAYED && v != MEDIA_SRTP_EXPIRED)
                abort();
        } else if (!may_fail) {
            abort();
        }
    }
    free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    const struct keying_suite *suite = keying_suite_get(take(&in) % KEYING_SUITES);
    struct media_srtp *tx = NULL, *rx = NULL;
    bool differ =
        false; /* receiver and sender were given different rules: packets need not arrive */

    if (media_srtp_new(&tx, MEDIA_SRTP_SEND) != 0 || media_srtp_new(&rx, MEDIA_SRTP_RECEIVE) != 0)
        abort();
    for (int i = 0; i < 200 && in.n > 0; i++) {
        uint8_t op = take(&in);

        switch (op % 7) {
        case 0:
        case 1:
            try_open(rx, &in, op % 7 == 1);
            break;
        case 2:
        case 3:
            pass(tx, rx, &in, op % 7 == 3, differ);
            break;
        case 4: {
            struct keying_keys keys = take_keys(&in, suite);
            bool is_first = media_srtp_stats(tx)->n_keys == 0;
            int err = media_srtp_install(tx, &keys); /* it may know a key from before */

            if (err == 0)
                err = media_srtp_install(rx, &keys);
            differ = differ || err != 0 || !is_first || keys.key[0].max_rtp != 0;
            break;
        }
        case 5:
            media_srtp_drop_old(rx);
            break;
        default:
            suite = keying_suite_get(take(&in) % KEYING_SUITES);
            break;
        }
    }
    media_srtp_free(tx);
    media_srtp_free(rx);
    return 0;
}
