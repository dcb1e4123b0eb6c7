/* The replay cache: RFC 8224 6.1.1, 6.2.3, 12.1. */
#include "check.h"

#include "base/limits.h"
#include "identity/replay.h"
#include "oom.h"
#include <pthread.h>
#include <stdio.h>

static const uint8_t key[16] = {1, 2, 3};

static struct identity_use use_of(const char *call_id, const char *tag, uint32_t cseq)
{
    return (struct identity_use){str_z(call_id), str_z(tag), cseq, false, false};
}

static struct identity_use within(const char *call_id, const char *tag, uint32_t cseq)
{
    struct identity_use use = use_of(call_id, tag, cseq);

    use.is_in_dialog = true;
    return use;
}

static int check(struct identity_replay *r, const char *token, struct identity_use use,
                 uint64_t iat)
{
    struct identity_tag tag = identity_replay_tag(r, str_z(token), STR("r"));

    return identity_replay_check(r, &tag, &use, iat, iat + 60, iat);
}

static void answered(struct identity_replay *r, const char *token, struct identity_use use,
                     unsigned status)
{
    struct identity_tag tag = identity_replay_tag(r, str_z(token), STR("r"));

    identity_replay_answered(r, &tag, &use, status);
}

static void rules(void **state)
{
    struct identity_replay *r = identity_replay_new(100, key);
    struct identity_use invite = use_of("call", "tag", 1), bye = within("call", "tag", 2);

    (void)state;
    assert_non_null(r);
    check_err(check(r, "A", invite, 100), 0);
    check_err(check(r, "A", invite, 100), ERR_EXISTS); /* a fork or spiral */
    check_err(check(r, "A", bye, 100), 0);             /* equal claims in one dialog */
    check_err(check(r, "A", use_of("other", "tag", 1), 100), ERR_CONFLICT);
    check_err(check(r, "A", use_of("call", "other", 1), 100), ERR_CONFLICT);
    check_err(check(r, "A", use_of("cal", "ltag", 1), 100), ERR_CONFLICT);
    check_err(check(r, "B", use_of("other", "tag", 1), 100), 0);
    answered(r, "A", invite, 200);
    check_err(check(r, "A", invite, 100), ERR_CONFLICT);
    check_err(check(r, "A", bye, 100), ERR_EXISTS);
    assert_int_equal(identity_replay_count(r), 2);
    identity_replay_free(r);
    identity_replay_free(NULL);
}

static void one_retry(void **state)
{
    struct identity_replay *r = identity_replay_new(100, key);
    struct identity_use invite = use_of("call", "tag", 1);

    (void)state;
    check_err(check(r, "A", invite, 100), 0);
    answered(r, "A", use_of("x", "tag", 1), 200); /* somebody else's answer */
    answered(r, "A", use_of("call", "tag", 9), 200);
    answered(r, "Z", invite, 200);
    answered(r, "A", invite, 438);
    check_err(check(r, "A", invite, 100), ERR_EXISTS);
    answered(r, "A", invite, 438);
    check_err(check(r, "A", invite, 100), ERR_CONFLICT); /* once only */
    identity_replay_free(r);
}

/* Another number outside of a dialog: the client's next try after what it may mend, else a copy. */
static void next_try(void **state)
{
    static const unsigned mendable[] = {302, 401, 403, 407, 413, 415, 416, 420, 421,
                                        422, 428, 436, 437, 438, 488, 494, 500, 503},
                          final[] = {200, 202, 404, 408, 480, 481, 486, 487, 504, 600, 603};
    struct identity_replay *r = identity_replay_new(100, key);
    char name[16];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(mendable) + ARRAY_LEN(final); i++) {
        bool may = i < ARRAY_LEN(mendable);
        unsigned status = may ? mendable[i] : final[i - ARRAY_LEN(mendable)];

        snprintf(name, sizeof name, "A%u", status);
        check_err(check(r, name, use_of("c", "t", 1), 100), 0);
        check_err(check(r, name, use_of("c", "t", 2), 100), ERR_CONFLICT); /* not answered yet */
        answered(r, name, use_of("c", "t", 1), status);
        check_err(check(r, name, use_of("c", "t", 2), 100), may ? 0 : ERR_CONFLICT);
        check_err(check(r, name, use_of("c", "t", 3), 100),
                  ERR_CONFLICT); /* the second is under way */
        check_err(check(r, name, within("c", "t", 4), 100), 0);
        answered(r, name, use_of("c", "t", 2), status);
        check_err(check(r, name, use_of("c", "t", 5), 100), ERR_CONFLICT); /* there is a dialog */
    }
    identity_replay_free(r);
}

/* A request of a dialog, cut out and pasted into a new call that looks like it. */
static void out_of_dialog(void **state)
{
    struct identity_replay *r = identity_replay_new(100, key);

    (void)state;
    check_err(check(r, "A", within("c", "t", 7), 100), 0);
    answered(r, "A", within("c", "t", 7), 503);
    check_err(check(r, "A", use_of("c", "t", 8), 100), ERR_CONFLICT);
    check_err(check(r, "A", within("c", "t", 8), 100), 0);
    identity_replay_free(r);
}

static void counted(void **state)
{
    struct identity_replay *r = identity_replay_new(100, key);

    (void)state;
    check_err(check(r, "A", use_of("c", "t", 1), 100), 0);
    for (unsigned i = 1; i < LIMIT_FORK_BRANCHES; i++)
        check_err(check(r, "A", use_of("c", "t", 1), 100), ERR_EXISTS);
    check_err(check(r, "A", use_of("c", "t", 1), 100), ERR_CONFLICT);
    for (unsigned i = 1; i < LIMIT_IDENTITY_USES; i++)
        check_err(check(r, "A", within("c", "t", 1 + i), 100), 0);
    for (unsigned i = 20; i < 40; i++) /* as many digits as somebody dials in a second */
        check_err(check(r, "A", within("c", "t", i), 100), 0);
    check_err(check(r, "A", within("c", "t", 39), 100), ERR_EXISTS);
    check_err(check(r, "A", within("c", "t", 20), 100), ERR_CONFLICT); /* it was before them */
    check_err(check(r, "A", use_of("c", "t", 99), 100), ERR_CONFLICT);
    identity_replay_free(r);
}

/* What has to go while it is fresh is never taken for new again. */
static void forgetting(void **state)
{
    struct identity_replay *r = identity_replay_new(4, key);
    char token[16];

    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        snprintf(token, sizeof(token), "t%u", i);
        check_err(check(r, token, use_of(token, "t", 1), 100 + i), 0);
        assert_int_equal(identity_replay_count(r), i < 4 ? i + 1 : 4);
    }
    check_err(check(r, "t0", use_of("new", "t", 1), 100), ERR_TIMEOUT);
    check_err(check(r, "t3", use_of("new", "t", 1), 103), ERR_TIMEOUT);
    check_err(check(r, "fresh", use_of("new", "t", 1), 108), 0);
    check_err(check(r, "t7", use_of("new", "t", 1), 107), ERR_CONFLICT);
    identity_replay_free(r);
}

/* A clock that is set back makes what was stale fresh again, but not new. */
static void set_back(void **state)
{
    struct identity_replay *r = identity_replay_new(100, key);

    (void)state;
    check_err(check(r, "old", use_of("c1", "t", 1), 1000), 0);
    check_err(check(r, "later", use_of("c2", "t", 1), 1200), 0);
    assert_int_equal(identity_replay_count(r), 1);
    check_err(check(r, "old", use_of("c3", "t", 1), 1000), ERR_TIMEOUT);
    check_err(check(r, "new", use_of("c4", "t", 1), 1001), 0);
    check_err(check(r, "later", use_of("c5", "t", 1), 1200), ERR_CONFLICT);
    identity_replay_free(r);
}

/* What is stale leaves room. */
static void expiry(void **state)
{
    struct identity_replay *r = identity_replay_new(4, key);
    char token[16];

    (void)state;
    for (unsigned round = 0; round < 50; round++) {
        for (unsigned i = 0; i < 4; i++) {
            snprintf(token, sizeof(token), "%u.%u", round, i);
            check_err(check(r, token, use_of(token, "t", 1), 100 * (round + 1)), 0);
        }
        assert_int_equal(identity_replay_count(r), 4);
    }
    identity_replay_free(r);
}

static void tags(void **state)
{
    struct identity_replay *r = identity_replay_new(1, key);
    struct identity_tag a = identity_replay_tag(r, STR("ab"), STR("c")),
                        b = identity_replay_tag(r, STR("a"), STR("bc"));

    (void)state;
    assert_memory_not_equal(&a, &b, sizeof(a));
    a = identity_replay_tag(r, STR("ab"), STR("d"));
    assert_memory_not_equal(&a, &b, sizeof(a));
    identity_replay_free(r);
}

/* One table for all workers: of the same request by eight threads one is the first. */
struct crowd {
    struct identity_replay *r;
    unsigned first, again;
};

static void *come(void *arg)
{
    struct crowd *c = arg;
    for (unsigned i = 0; i < 2000; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%u", i);
        struct identity_tag tag = identity_replay_tag(c->r, str_z(text), STR("s"));
        const struct identity_use use = {STR("call"), STR("tag"), 1, false, false};
        int err = identity_replay_check(c->r, &tag, &use, 100, 200, 100);
        if (err == 0)
            __atomic_add_fetch(&c->first, 1, __ATOMIC_RELAXED);
        else if (err == ERR_EXISTS)
            __atomic_add_fetch(&c->again, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void crowded(void **state)
{
    struct crowd c = {.r = identity_replay_new(4000, key)};
    pthread_t t[8];

    (void)state;
    assert_non_null(c.r);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&t[i], NULL, come, &c), 0);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pthread_join(t[i], NULL), 0);
    assert_int_equal(c.first, 2000);
    assert_int_equal(c.again, 7 * 2000);
    assert_int_equal(identity_replay_count(c.r), 2000);
    identity_replay_free(c.r);
}

/* RFC 3893 10: one for all of a dialog, and for no other */
static void of_a_dialog(void **state)
{
    struct identity_replay *r = identity_replay_new(10, key);
    struct identity_use use = use_of("call", "tag", 1), other = use_of("other", "tag", 1);

    (void)state;
    assert_non_null(r);
    check_err(check(r, "A", use, 100), 0);
    answered(r, "A", use, false);
    check_err(check(r, "A", use, 100), ERR_CONFLICT);
    use.is_for_dialog = other.is_for_dialog = true;
    for (use.cseq = 2; use.cseq < 2 * LIMIT_IDENTITY_USES; use.cseq++)
        check_err(check(r, "A", use, 100), ERR_EXISTS);
    check_err(check(r, "A", other, 100), ERR_CONFLICT);
    check_err(check(r, "B", use, 100), 0); /* its beginning went by another way */
    check_err(check(r, "B", other, 100), ERR_CONFLICT);
    identity_replay_free(r);
}

/* A table that begins where another one ended. */
static void after_another(void **state)
{
    struct identity_replay *r = identity_replay_new(10, key);
    struct identity_use use = use_of("call", "tag", 1);

    (void)state;
    assert_non_null(r);
    identity_replay_forget(r, 100);
    check_err(check(r, "A", use, 99), ERR_TIMEOUT);
    check_err(check(r, "B", use, 100), 0);
    identity_replay_forget(r, 50); /* what is forgotten stays so */
    check_err(check(r, "C", use, 99), ERR_TIMEOUT);
    check_err(check(r, "B", use, 100), ERR_EXISTS);
    identity_replay_clock_set(r, -40); /* it was wrong when we began */
    check_err(check(r, "D", use, 59), ERR_TIMEOUT);
    check_err(check(r, "E", use, 60), 0);
    identity_replay_clock_set(r, 1000);
    check_err(check(r, "F", use, 1059), ERR_TIMEOUT);
    identity_replay_clock_set(r, -5000);
    check_err(check(r, "G", use, 1061), 0);
    identity_replay_free(r);
}

static void no_memory(void **state)
{
    (void)state;
    OOM_SWEEP(10, { identity_replay_free(identity_replay_new(10, key)); });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules),         cmocka_unit_test(one_retry), cmocka_unit_test(next_try),
        cmocka_unit_test(out_of_dialog), cmocka_unit_test(counted),   cmocka_unit_test(forgetting),
        cmocka_unit_test(set_back),      cmocka_unit_test(expiry),    cmocka_unit_test(tags),
        cmocka_unit_test(no_memory),     cmocka_unit_test(crowded),   cmocka_unit_test(of_a_dialog),
        cmocka_unit_test(after_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
