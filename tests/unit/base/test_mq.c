/* base/mq: order, the bound, wake-ups, and no item lost or doubled with many producers. */
#include "check.h"

#include "base/err.h"
#include "base/mq.h"
#include "oom.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

struct note {
    struct mq_item item;
    unsigned producer, serial;
};

static atomic_uint n_wakes;

static void count_wake(void *arg)
{
    (void)arg;
    atomic_fetch_add(&n_wakes, 1);
}

struct inbox {
    unsigned order[64];
    unsigned n;
    struct mq *q;
    struct note *again; /* pushed from inside */
};

static void note_run(struct mq_item *item, void *consumer)
{
    struct note *note = CONTAINER_OF(item, struct note, item);
    struct inbox *in = consumer;
    in->order[in->n++] = note->serial;
    if (in->again) {
        struct note *again = in->again;
        in->again = NULL;
        check_err(mq_push(in->q, &again->item), 0);
    }
}

static void notes_init(struct note *notes, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        notes[i] = (struct note){.item.run = note_run, .serial = i};
}

static void test_order(void **state)
{
    (void)state;
    struct note notes[10];
    struct inbox in = {.n = 0};
    atomic_store(&n_wakes, 0);
    struct mq *q = in.q = mq_new(8, count_wake, NULL);
    assert_non_null(q);
    notes_init(notes, 10);
    assert_int_equal(mq_drain(q, &in, 100), 0);
    for (unsigned i = 0; i < 8; i++)
        check_err(mq_push(q, &notes[i].item), 0);
    assert_int_equal(n_wakes, 1); /* only from empty to not empty */
    check_err(mq_push(q, &notes[8].item), ERR_LIMIT);
    assert_int_equal(mq_drain(q, &in, 3), 3);
    assert_int_equal(n_wakes, 2); /* some are left */
    check_err(mq_push(q, &notes[8].item), 0);
    assert_int_equal(mq_drain(q, &in, 5), 5); /* all of the first batch; notes[8] is still unseen */
    assert_int_equal(n_wakes, 4);
    assert_int_equal(mq_drain(q, &in, 100), 1);
    assert_int_equal(n_wakes, 4);
    for (unsigned i = 0; i < 9; i++)
        assert_int_equal(in.order[i], i);
    mq_free(q);
    mq_free(NULL);
}

static void test_from_inside(void **state)
{
    (void)state;
    struct note notes[2];
    struct inbox in = {.again = &notes[1]};
    atomic_store(&n_wakes, 0);
    in.q = mq_new(1, count_wake, NULL);
    notes_init(notes, 2);
    check_err(mq_push(in.q, &notes[0].item), 0);
    assert_int_equal(mq_drain(in.q, &in, 100), 1); /* the new one waits, and has called */
    assert_int_equal(n_wakes, 2);
    assert_int_equal(mq_drain(in.q, &in, 100), 1);
    assert_int_equal(in.order[1], 1);
    mq_free(in.q);
}

#define N_PRODUCERS 4u
#define N_NOTES 20000u

static struct {
    struct mq *q;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool is_awake;
    unsigned seen[N_PRODUCERS], n;
    bool is_wrong;
} many = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};

static void many_wake(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&many.lock);
    many.is_awake = true;
    pthread_cond_signal(&many.cond);
    pthread_mutex_unlock(&many.lock);
}

static void many_run(struct mq_item *item, void *consumer)
{
    struct note *note = CONTAINER_OF(item, struct note, item);
    (void)consumer;
    if (note->serial != many.seen[note->producer]++)
        many.is_wrong = true;
    many.n++;
    free(note);
}

static void *produce(void *arg)
{
    unsigned me = (unsigned)(uintptr_t)arg;
    for (unsigned i = 0; i < N_NOTES; i++) {
        struct note *note = malloc(sizeof(*note));
        *note = (struct note){.item.run = many_run, .producer = me, .serial = i};
        while (mq_push(many.q, &note->item) != 0)
            sched_yield();
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    pthread_t threads[N_PRODUCERS];
    many.q = mq_new(64, many_wake, NULL);
    for (unsigned i = 0; i < N_PRODUCERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, produce, (void *)(uintptr_t)i), 0);
    /* The consumer sleeps whenever it is not called: a lost wake-up would hang the test. */
    while (many.n < N_PRODUCERS * N_NOTES) {
        pthread_mutex_lock(&many.lock);
        while (!many.is_awake)
            pthread_cond_wait(&many.cond, &many.lock);
        many.is_awake = false;
        pthread_mutex_unlock(&many.lock);
        mq_drain(many.q, NULL, 10);
    }
    for (unsigned i = 0; i < N_PRODUCERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_false(many.is_wrong);
    assert_int_equal(mq_drain(many.q, NULL, 10), 0);
    mq_free(many.q);
}

static void test_oom(void **state)
{
    (void)state;
    OOM_SWEEP(5, { mq_free(mq_new(1, count_wake, NULL)); });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_from_inside),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_oom),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
