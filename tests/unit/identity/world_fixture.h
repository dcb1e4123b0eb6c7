/* A world for each test, and nothing more. */
#ifndef TESTS_UNIT_IDENTITY_WORLD_FIXTURE_H
#define TESTS_UNIT_IDENTITY_WORLD_FIXTURE_H

#include "check.h"

#include "world.h"

static struct world world, *w = &world;

static int setup(void **state)
{
    (void)state;
    world_init(w);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_done(w);
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
