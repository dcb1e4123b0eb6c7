/* How many connections each source address has, over all workers: an IPv4 address, or an IPv6 /64,
 * since that is what one subscriber gets. One of the few shared tables; its lock is held for one
 * look-up, at accept and close only. */
#include "base/mem.h"
#include "net/net_priv.h"

int sources_init(struct sources *s, size_t max)
{
    pthread_mutex_init(&s->lock, NULL);
    return map_init(&s->map, max);
}

static bool source_free(struct map_node *node, void *arg)
{
    (void)arg;
    mem_free(CONTAINER_OF(node, struct source, node));
    return true;
}

void sources_done(struct sources *s)
{
    map_each(&s->map, source_free, NULL);
    map_done(&s->map);
    pthread_mutex_destroy(&s->lock);
}

static struct str source_key(const struct addr *from, unsigned char dst[17])
{
    if (!addr_is_v6(from)) {
        dst[0] = 4;
        memcpy(dst + 1, &from->v4.sin_addr, 4);
        return str_make((char *)dst, 5);
    }
    if (IN6_IS_ADDR_V4MAPPED(&from->v6.sin6_addr)) {
        dst[0] = 4;
        memcpy(dst + 1, from->v6.sin6_addr.s6_addr + 12, 4);
        return str_make((char *)dst, 5);
    }
    dst[0] = 6;
    memcpy(dst + 1, from->v6.sin6_addr.s6_addr, 8);
    return str_make((char *)dst, 9);
}

struct source *sources_take(struct sources *s, const struct addr *from, unsigned max)
{
    unsigned char bytes[17];
    struct str key = source_key(from, bytes);
    pthread_mutex_lock(&s->lock);
    struct map_node *node = map_find(&s->map, key);
    struct source *source =
        node ? CONTAINER_OF(node, struct source, node) : mem_zalloc(sizeof(*source));
    if (source && !node) {
        memcpy(source->key, key.p, key.n);
        if (map_add(&s->map, &source->node, str_make((char *)source->key, key.n)) != 0) {
            mem_free(source);
            source = NULL;
        }
    }
    if (source && source->n >= max)
        source = NULL;
    if (source)
        source->n++;
    pthread_mutex_unlock(&s->lock);
    return source;
}

void sources_give(struct sources *s, struct source *source)
{
    pthread_mutex_lock(&s->lock);
    if (--source->n == 0) {
        map_remove(&s->map, &source->node);
        mem_free(source);
    }
    pthread_mutex_unlock(&s->lock);
}
