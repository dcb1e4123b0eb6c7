/* Nanoseconds for protecting and opening one packet, and bytes for one direction of one session:
 * ours by OpenSSL, ours by ipsec-mb (where it is built in), and libsrtp2 as Debian builds it. Best
 * of several rounds; with one session, and with 1000 taken in turn (so that the caches do not hold
 * all of them). Usage: micro_srtp [rounds] */
#include "media/srtp_priv.h"
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#ifdef HAVE_LIBSRTP
#include <srtp2/srtp.h>
#endif

#define PACKETS 8000
#define SESSIONS_MAX 1000
#define ROOM (1200 + MEDIA_SRTP_GROWTH)

static unsigned failures;
static uint8_t (*packets)[ROOM];
static size_t lengths[PACKETS];
static void *senders[SESSIONS_MAX], *receivers[SESSIONS_MAX];

struct kind {
    const char *name;
    bool allows_mb;
    void *(*make)(enum keying_suite_id suite, bool is_sender, unsigned seed);
    void (*free)(void *s);
    void (*protect)(void *s, uint8_t *p, size_t *n);
    void (*open)(void *s, uint8_t *p, size_t *n);
};

static void *our_make(enum keying_suite_id suite, bool is_sender, unsigned seed)
{
    struct keying_keys keys = {.suite = keying_suite_get(suite), .n = 1};
    struct media_srtp *s = NULL;

    memcpy(keys.key[0].key, &seed, sizeof(seed));
    failures += media_srtp_new(&s, is_sender ? MEDIA_SRTP_SEND : MEDIA_SRTP_RECEIVE) != 0 ||
                media_srtp_install(s, &keys) != 0;
    return s;
}

static void our_free(void *s)
{
    media_srtp_free(s);
}

static void our_protect(void *s, uint8_t *p, size_t *n)
{
    failures += media_srtp_protect(s, p, n, ROOM) != MEDIA_SRTP_OK;
}

static void our_open(void *s, uint8_t *p, size_t *n)
{
    failures += media_srtp_open(s, p, n) != MEDIA_SRTP_OK;
}

#ifdef HAVE_LIBSRTP
static void *their_make(enum keying_suite_id suite, bool is_sender, unsigned seed)
{
    unsigned char key[KEYING_MASTER_KEY_MAX + KEYING_MASTER_SALT_MAX] = {0};
    srtp_policy_t policy;
    srtp_t s = NULL;

    memset(&policy, 0, sizeof(policy));
    memcpy(key, &seed, sizeof(seed));
    if (suite == KEYING_AES_128_GCM) {
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtp);
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtcp);
    } else {
        srtp_crypto_policy_set_rtp_default(&policy.rtp);
        srtp_crypto_policy_set_rtcp_default(&policy.rtcp);
    }
    policy.ssrc.type = is_sender ? ssrc_any_outbound : ssrc_any_inbound;
    policy.key = key;
    policy.window_size = 448;
    failures += srtp_create(&s, &policy) != srtp_err_status_ok;
    return s;
}

static void their_free(void *s)
{
    srtp_dealloc(s);
}

static void their_protect(void *s, uint8_t *p, size_t *n)
{
    int len = (int)*n;

    failures += srtp_protect(s, p, &len) != srtp_err_status_ok;
    *n = (size_t)len;
}

static void their_open(void *s, uint8_t *p, size_t *n)
{
    int len = (int)*n;

    failures += srtp_unprotect(s, p, &len) != srtp_err_status_ok;
    *n = (size_t)len;
}
#endif

static double now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void fill(size_t i, size_t n, unsigned sessions)
{
    uint16_t seq = (uint16_t)(i / sessions);

    memset(packets[i], 0x5a, n);
    packets[i][0] = 0x80;
    packets[i][1] = 8;
    packets[i][2] = (uint8_t)(seq >> 8);
    packets[i][3] = (uint8_t)seq;
    lengths[i] = n;
}

static void run(const struct kind *kind, enum keying_suite_id suite, unsigned sessions, size_t n,
                unsigned rounds)
{
    double protect = 1e18, open = 1e18;
    size_t memory = 0;

    msrtp_cipher_allow_mb(kind->allows_mb);
    for (unsigned round = 0; round < rounds; round++) {
        size_t before = mallinfo2().uordblks;
        double t0, t1, t2;

        for (unsigned i = 0; i < sessions; i++) {
            senders[i] = kind->make(suite, true, i);
            receivers[i] = kind->make(suite, false, i);
        }
        for (size_t i = 0; i < PACKETS; i++)
            fill(i, n, sessions);
        t0 = now_ns();
        for (size_t i = 0; i < PACKETS; i++)
            kind->protect(senders[i % sessions], packets[i], &lengths[i]);
        t1 = now_ns();
        for (size_t i = 0; i < PACKETS; i++)
            kind->open(receivers[i % sessions], packets[i], &lengths[i]);
        t2 = now_ns();
        protect = t1 - t0 < protect ? t1 - t0 : protect;
        open = t2 - t1 < open ? t2 - t1 : open;
        memory = (mallinfo2().uordblks - before) / (2 * sessions);
        for (unsigned i = 0; i < sessions; i++) {
            kind->free(senders[i]);
            kind->free(receivers[i]);
        }
    }
    printf("%-24s %-24s %5u %5zu %9.0f %9.0f %9zu\n", kind->name, keying_suite_get(suite)->name,
           sessions, n, protect / PACKETS, open / PACKETS, memory);
}

int main(int argc, char **argv)
{
    static const struct kind kinds[] = {
        {"ours, OpenSSL", false, our_make, our_free, our_protect, our_open},
        {"ours, ipsec-mb", true, our_make, our_free, our_protect, our_open},
#ifdef HAVE_LIBSRTP
        {"libsrtp2 (Debian)", false, their_make, their_free, their_protect, their_open},
#endif
    };
    static const enum keying_suite_id suites[] = {KEYING_AES_128_CM_80, KEYING_AES_128_GCM};
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 10;

    packets = calloc(PACKETS, ROOM);
    if (packets == NULL)
        return 1;
#ifdef HAVE_LIBSRTP
    failures += srtp_init() != srtp_err_status_ok;
#endif
    printf("%-24s %-24s %5s %5s %9s %9s %9s\n", "", "suite", "sess.", "bytes", "protect", "open",
           "B/direction");
    for (size_t suite = 0; suite < ARRAY_LEN(suites); suite++) {
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
            if (kinds[i].allows_mb && !msrtp_mb_is_there())
                continue;
            run(&kinds[i], suites[suite], 1, 172, rounds);
            run(&kinds[i], suites[suite], 1000, 172, rounds);
            run(&kinds[i], suites[suite], 1, 1200, rounds);
        }
    }
    free(packets);
    if (failures != 0)
        fprintf(stderr, "%u operations failed\n", failures);
    return failures != 0;
}
