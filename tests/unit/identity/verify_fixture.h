/* What tests of verification share: a token that a.example signs, and what comes of it. */
#ifndef TESTS_UNIT_IDENTITY_VERIFY_FIXTURE_H
#define TESTS_UNIT_IDENTITY_VERIFY_FIXTURE_H

#include "check.h"

#include "world_fixture.h"

#define BASE                                                                                       \
    (struct identity_sign_args)                                                                    \
    {                                                                                              \
        .type = PASSPORT_BASE                                                                      \
    }

static void expect_one(struct str value, enum identity_verdict v, const char *code)
{
    struct identity_result r = world_verify(w, &value, 1);

    world_expect(&r, v, code);
}

/* What a token that claims this, signed by a.example, comes to. */
static struct passport claims(void)
{
    return (struct passport){.orig = uri("sip:alice@a.example"),
                             .dest = &w->m.to,
                             .n_dest = 1,
                             .iat = NOW - 2,
                             .mky = w->mky,
                             .n_mky = 2};
}

#endif
