/* What verifying and preparing a signature costs beyond the bare primitive: CPU time of one thread,
 * SHAKEN tokens of their own each time, replays looked for, the certificate at hand. Without
 * network and keeper; see `bench/run identity` and micro_keeper for those. Usage: micro_identity
 * [signatures] */
#include "base/limits.h"
#include "identity/sign.h"
#include "micro.h"
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#define URL "https://id.bench.example/certificate.pem"

static const struct pki_tn_range range = {4930555000, 4930555999, 10};
static const struct pki_tnauth list = {.ranges = &range, .n_ranges = 1};
static const struct pki_tnauth *const chain[] = {&list};
static struct passport_id dest = {true, {"49401000001", 11}};

static struct {
    struct identity_credential cred;
    struct jws_key *signer;
    struct identity_message m;
    struct identity_policy policy;
    struct arena *keep, *arena; /* of all tokens; of one */
    struct passport *tokens;
    struct str *values;
} t;

static void start(unsigned long n)
{
    EVP_PKEY *pkey = EVP_EC_gen("P-256");
    struct reason why;
    uint64_t now = (uint64_t)time(NULL);

    need(pkey && jws_key_new(pkey, true, &t.signer, &why) == 0 &&
             jws_key_new(pkey, false, &t.cred.key, &why) == 0,
         "no key");
    EVP_PKEY_free(pkey);
    t.cred.not_after_s = UINT64_MAX / 2;
    t.cred.tn = chain;
    t.cred.n_tn = 1;
    t.m = (struct identity_message){.orig = {true, STR("4930555001")},
                                    .to = dest,
                                    .target = dest,
                                    .has_date = true,
                                    .date_s = now};
    t.policy = identity_policy_default(now);
    t.keep = arena_new(1 << 20, (size_t)n * 4096);
    t.arena = arena_new(16384, 1 << 20);
    t.tokens = calloc(n, sizeof(*t.tokens));
    t.values = calloc(n, sizeof(*t.values));
    need(t.keep && t.arena && t.tokens && t.values, "no memory");
}

static double prepare(unsigned long n)
{
    double begun = now_us();

    for (unsigned long i = 0; i < n; i++) {
        struct reason why;
        struct str id = arena_fmt(t.keep, "%08lx-7e57-4bcd-8000-00000000be7c", i);
        struct identity_sign_args args = {
            .type = PASSPORT_SHAKEN, .m = &t.m, .x5u = STR(URL), .attest = 'A', .origid = id};
        need(id.p &&
                 identity_sign_prepare(t.keep, &args, &t.cred, &t.policy, &t.tokens[i], &why) == 0,
             "not prepared");
    }
    return (now_us() - begun) / (double)n;
}

static double sign(unsigned long n)
{
    char text[JWS_SIGNATURE_TEXT_MAX];
    double took = 0;

    for (unsigned long i = 0; i < n; i++) {
        double begun = now_us();
        need(jws_sign(t.signer, t.tokens[i].input, text) == 0, "not signed");
        took += now_us() - begun;
        t.tokens[i].signature = arena_str(t.keep, str_z(text));
        t.values[i] = identity_hdr_of(t.keep, &t.tokens[i], t.tokens[i].signature, false);
        need(t.values[i].p, "no memory");
    }
    return took / (double)n;
}

static double verify_alone(unsigned long n)
{
    double begun = now_us();

    for (unsigned long i = 0; i < n; i++) {
        struct reason why;
        need(jws_verify(t.cred.key, JWS_ES256, t.tokens[i].input, t.tokens[i].signature, &why) == 0,
             "not verified");
    }
    return (now_us() - begun) / (double)n;
}

static double verify(unsigned long n, struct identity_replay *seen)
{
    double begun = now_us();

    for (unsigned long i = 0; i < n; i++) {
        char call[24];
        struct identity_use use = {.from_tag = STR("tag"), .cseq = 1};
        struct identity_check *c;
        struct identity_result r;
        const struct str *urls;

        use.call_id = str_make(call, (size_t)snprintf(call, sizeof(call), "%lu@bench", i));
        arena_reset(t.arena);
        need(identity_check_new(t.arena, &t.values[i], 1, &t.m, &t.policy, &c) == 0 &&
                 identity_check_urls(c, &urls) == 1,
             "not read");
        identity_check_set_credential(c, 0, &t.cred);
        need(identity_check_finish(c, seen, &use, &r) == 0 && r.verdict == IDENTITY_VALID,
             "not valid");
        identity_replay_answered(seen, &r.tokens[0].tag, &use, 200);
    }
    return (now_us() - begun) / (double)n;
}

int main(int argc, char **argv)
{
    static const uint8_t key[16] = {1};
    unsigned long n = argc > 1 ? strtoul(argv[1], NULL, 10) : 10000;

    need(n > 0 && n <= LIMIT_IDENTITY_SEEN, "how many?");
    start(n);
    struct identity_replay *seen = identity_replay_new(LIMIT_IDENTITY_SEEN, key);
    need(seen, "no memory");
    double prepared = prepare(n), signed_ = sign(n), alone = verify_alone(n), all = verify(n, seen);
    printf("sign:   %5.1f us prepared + %5.1f us signed\n", prepared, signed_);
    printf("verify: %5.1f us, of which the signature alone %5.1f us: %5.1f us beyond\n", all, alone,
           all - alone);
    return 0;
}
