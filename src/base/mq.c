/* Message queue (mq.h): producers push onto a stack with one compare-and-swap, the consumer takes
 * the whole stack with one exchange and turns it round. Nobody pops single items from the stack, so
 * an address that comes back (ABA) does no harm. mq_push: any thread; mq_drain and mq_free: the
 * consumer's. */
#include "base/mq.h"
#include "base/err.h"
#include "base/mem.h"
#include <stdatomic.h>
#include <stdbool.h>

#define MQ_CACHE_LINE 64

struct mq {
    /* Written by producers. */
    _Alignas(MQ_CACHE_LINE) _Atomic(struct mq_item *) pushed; /* newest first */
    atomic_size_t n; /* in the queue, or claimed by a push under way */
    /* The consumer's own; the rest never changes. */
    _Alignas(MQ_CACHE_LINE) struct mq_item *taken; /* oldest first */
    size_t max;
    void (*wake)(void *arg);
    void *arg;
};

struct mq *mq_new(size_t max, void (*wake)(void *arg), void *arg)
{
    struct mq *q = mem_alloc_aligned(MQ_CACHE_LINE, sizeof(*q));
    if (!q)
        return NULL;
    atomic_init(&q->pushed, NULL);
    atomic_init(&q->n, 0);
    q->taken = NULL;
    q->max = max;
    q->wake = wake;
    q->arg = arg;
    return q;
}

void mq_free(struct mq *q)
{
    mem_free(q);
}

int mq_push(struct mq *q, struct mq_item *item)
{
    if (atomic_fetch_add_explicit(&q->n, 1, memory_order_relaxed) >= q->max) {
        atomic_fetch_sub_explicit(&q->n, 1, memory_order_relaxed);
        return ERR_LIMIT;
    }
    struct mq_item *top = atomic_load_explicit(&q->pushed, memory_order_relaxed);
    bool was_empty;
    do {
        item->next = top;
        was_empty = top == NULL; /* once pushed, the item may be gone before we look at it again */
    } while (!atomic_compare_exchange_weak_explicit(&q->pushed, &top, item, memory_order_release,
                                                    memory_order_relaxed));
    if (was_empty)
        q->wake(q->arg);
    return 0;
}

static struct mq_item *take_all(struct mq *q)
{
    struct mq_item *item = atomic_exchange_explicit(&q->pushed, NULL, memory_order_acquire),
                   *first = NULL;
    while (item) {
        struct mq_item *next = item->next;
        item->next = first;
        first = item;
        item = next;
    }
    return first;
}

size_t mq_drain(struct mq *q, void *consumer, size_t max)
{
    size_t n = 0;
    bool has_taken = false;
    while (n < max) {
        if (!q->taken) {
            if (has_taken) /* what came meanwhile has called wake itself */
                break;
            q->taken = take_all(q);
            has_taken = true;
            if (!q->taken)
                break;
        }
        struct mq_item *item = q->taken;
        q->taken = item->next;
        item->next = NULL;
        atomic_fetch_sub_explicit(&q->n, 1, memory_order_relaxed);
        item->run(item, consumer);
        n++;
    }
    /* Ours are left; or, if we never got to look, there may be pushed ones whose wake this call has
     * used up. */
    if (q->taken || (!has_taken && atomic_load_explicit(&q->pushed, memory_order_relaxed)))
        q->wake(q->arg);
    return n;
}
