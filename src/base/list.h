/* Intrusive doubly linked list. A node is in at most one list; an initialised, unlinked node points to itself. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include "base/attr.h"
#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}
static inline bool list_is_empty(const struct list *l)
{
    return l->next == l;
}
static inline void list_append(struct list *head, struct list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}
static inline void list_prepend(struct list *head, struct list *node)
{
    node->next = head->next;
    node->prev = head;
    head->next->prev = node;
    head->next = node;
}
static inline void list_remove(struct list *node) /* harmless when unlinked */
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}
#define LIST_FIRST(head, type, member) \
    (list_is_empty(head) ? NULL : CONTAINER_OF((head)->next, type, member))
/* Safe against removal of `it` in the body. */
#define LIST_EACH(it, head, type, member)                                                             \
    for (type *it = CONTAINER_OF((head)->next, type, member),                                         \
              *it##_next = CONTAINER_OF(it->member.next, type, member);                               \
         &it->member != (head);                                                                       \
         it = it##_next, it##_next = CONTAINER_OF(it->member.next, type, member))

#endif
