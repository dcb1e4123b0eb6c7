/* Every allocation failing in turn: OOM_SWEEP(200, { struct x *x = x_new(); x_free(x); }) runs the
 * statement with the 1st, 2nd, 3rd ... allocation of this thread failing, once with that one only
 * and once with all later ones as well, until a run needs no allocation that fails. The statement
 * must clean up on its own, whether or not its calls succeeded; leaks and crashes are found by the
 * sanitizers. Fails the test if n_max runs were not enough. In release builds (no fault injection)
 * the statement runs once. No break or continue across the statement. Include after cmocka.h. */
#ifndef TESTS_UNIT_OOM_H
#define TESTS_UNIT_OOM_H

#include "base/fault.h"

#define OOM_SWEEP(n_max, ...)                                                                      \
    do {                                                                                           \
        for (int oom_rest_ = 0; oom_rest_ < 2; oom_rest_++) {                                      \
            bool oom_fired_ = true;                                                                \
            for (size_t oom_n_ = 1; oom_fired_ && oom_n_ <= (size_t)(n_max); oom_n_++) {           \
                if (oom_rest_)                                                                     \
                    fault_arm_rest(oom_n_);                                                        \
                else                                                                               \
                    fault_arm(oom_n_);                                                             \
                {__VA_ARGS__} oom_fired_ = fault_disarm();                                         \
            }                                                                                      \
            if (oom_fired_)                                                                        \
                fail_msg("more than %zu allocations: raise n_max", (size_t)(n_max));               \
        }                                                                                          \
    } while (0)

#endif
