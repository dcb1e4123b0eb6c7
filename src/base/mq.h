/* Message queue between threads: many producers, one consumer, bounded, wakes the consumer at most once per drain. No
 * lock: a producer that is interrupted holds up nobody. */
#ifndef BASE_MQ_H
#define BASE_MQ_H

#include "base/attr.h"
#include <stddef.h>

struct mq;
/* Embedded in what is sent; ownership passes to the consumer with mq_push. */
struct mq_item {
    struct mq_item *next;
    void (*run)(struct mq_item *item, void *consumer); /* called on the consumer's thread */
};

/* `wake` is called from the producer's thread when the queue goes from empty to not empty. */
MUST_USE struct mq *mq_new(size_t max, void (*wake)(void *arg), void *arg);
void mq_free(struct mq *q); /* NULL is fine; queued items are not run: stop the producers and drain first */
MUST_USE int mq_push(struct mq *q, struct mq_item *item); /* ERR_LIMIT when full: the caller keeps the item */
/* Runs what is queued (at most `max` items), in the order of the pushes; returns how many ran. Items pushed while it runs
 * wait for the next drain. If anything is left, `wake` is called, so that no item waits for a push. */
size_t mq_drain(struct mq *q, void *consumer, size_t max);

#endif
