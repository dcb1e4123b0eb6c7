/* base/map: against a plain array as the model, while the table grows, shrinks and is walked. */
#include "check.h"

#include "base/err.h"
#include "base/map.h"
#include "base/rand.h"
#include "oom.h"
#include <stdio.h>

struct item {
    struct map_node node;
    char key[16];
    bool is_in;
    unsigned n_seen;
};

static struct item items[20000];

static void items_init(void)
{
    for (size_t i = 0; i < ARRAY_LEN(items); i++) {
        items[i] = (struct item){.is_in = false};
        snprintf(items[i].key, sizeof(items[i].key), "k%zu", i);
    }
}

static bool see(struct map_node *node, void *arg)
{
    struct item *it = CONTAINER_OF(node, struct item, node);
    (void)arg;
    it->n_seen++;
    return true;
}

static void check_all(struct map *m)
{
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(items); i++)
        items[i].n_seen = 0;
    map_each(m, see, NULL);
    for (size_t i = 0; i < ARRAY_LEN(items); i++) {
        struct map_node *found = map_find(m, str_z(items[i].key));
        assert_ptr_equal(found, items[i].is_in ? &items[i].node : NULL);
        assert_int_equal(items[i].n_seen, items[i].is_in);
        n += items[i].is_in;
    }
    assert_int_equal(m->n, n);
}

static void test_model(void **state)
{
    (void)state;
    struct map m;
    struct rand_source r;
    rand_fixed_init(&r, 1);
    items_init();
    check_err(map_init(&m, ARRAY_LEN(items)), 0);
    for (size_t step = 0; step < 120000; step++) {
        struct item *it = &items[rand_u64(&r) % ARRAY_LEN(items)];
        bool wants_add = rand_u64(&r) % 3 != 0 || step > 100000;
        if (wants_add) {
            check_err(map_add(&m, &it->node, str_z(it->key)), it->is_in ? ERR_EXISTS : 0);
            it->is_in = true;
        } else if (it->is_in) {
            map_remove(&m, &it->node);
            it->is_in = false;
        }
        if (step % 9973 == 0)
            check_all(&m);
    }
    check_all(&m);
    assert_true(m.n_slots >= m.n / 2);
    map_done(&m);
    map_done(&m);
}

static void test_each_size(void **state)
{
    (void)state;
    struct map m;
    items_init();
    check_err(map_init(&m, 3000), 0);
    for (size_t i = 0; i < 3000; i++) { /* so that every stage of moving is walked */
        check_err(map_add(&m, &items[i].node, str_z(items[i].key)), 0);
        items[i].is_in = true;
        if (i % 37 == 0 || (i > 500 && i < 530))
            check_all(&m);
    }
    check_err(map_add(&m, &items[3000].node, str_z(items[3000].key)), ERR_LIMIT);
    check_err(map_add(&m, &items[3001].node, STR("k7")), ERR_EXISTS);
    map_done(&m);
}

static bool drop_odd(struct map_node *node, void *arg)
{
    struct item *it = CONTAINER_OF(node, struct item, node);
    if ((it - items) % 2) {
        map_remove(arg, node);
        it->is_in = false;
    }
    return true;
}

static bool stop_at_once(struct map_node *node, void *arg)
{
    (void)node;
    ++*(int *)arg;
    return false;
}

static void test_walk(void **state)
{
    (void)state;
    struct map m;
    int n = 0;
    for (size_t count = 1; count < 600; count += 13) {
        items_init();
        check_err(map_init(&m, 1000), 0);
        for (size_t i = 0; i < count; i++) {
            check_err(map_add(&m, &items[i].node, str_z(items[i].key)), 0);
            items[i].is_in = true;
        }
        map_each(&m, drop_odd, &m);
        check_all(&m);
        assert_int_equal(m.n, (count + 1) / 2);
        n = 0;
        map_each(&m, stop_at_once, &n);
        assert_int_equal(n, 1);
        map_done(&m);
    }
}

static void test_oom(void **state)
{
    (void)state;
    items_init();
    OOM_SWEEP(20, {
        struct map m;
        if (map_init(&m, 1000) == 0) {
            for (size_t i = 0; i < 200; i++) /* no memory to grow is not an error */
                check_err(map_add(&m, &items[i].node, str_z(items[i].key)), 0);
            for (size_t i = 0; i < 200; i++)
                assert_ptr_equal(map_find(&m, str_z(items[i].key)), &items[i].node);
            map_done(&m);
        }
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_each_size),
        cmocka_unit_test(test_walk),
        cmocka_unit_test(test_oom),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
