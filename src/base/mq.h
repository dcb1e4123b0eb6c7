/* Message queue between threads: many producers, one consumer, bounded, wakes the consumer at most once per drain.
 * The only locked object in the program besides the log and the shared tables named in ARCHITECTURE.md. */
#ifndef BASE_MQ_H
#define BASE_MQ_H

#include "base/list.h"
#include <stdint.h>

struct mq;
/* Embedded in what is sent; ownership passes to the consumer with mq_push. */
struct mq_item {
    struct mq_item *next;
    void (*run)(struct mq_item *item, void *consumer); /* called on the consumer's thread */
};

/* `wake` is called from the producer's thread when the queue goes from empty to not empty. */
MUST_USE struct mq *mq_new(size_t max, void (*wake)(void *arg), void *arg);
void mq_free(struct mq *q); /* queued items are not run; drain first */
MUST_USE int mq_push(struct mq *q, struct mq_item *item); /* ERR_LIMIT when full: the caller keeps the item */
/* Runs what is queued (at most `max` items); returns how many ran. */
size_t mq_drain(struct mq *q, void *consumer, size_t max);

#endif
