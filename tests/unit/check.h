/* cmocka with what it needs before it, and comparisons of text slices. */
#ifndef TESTS_UNIT_CHECK_H
#define TESTS_UNIT_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"

/* A struct str against a literal, with both texts in the message. */
#define check_str(actual, literal)                                                                 \
    do {                                                                                           \
        struct str check_a_ = (actual), check_b_ = str_z(literal);                                 \
        if (!str_eq(check_a_, check_b_))                                                           \
            fail_msg("\"%.*s\" is not \"%.*s\"", STR_FMT(check_a_), STR_FMT(check_b_));            \
    } while (0)
/* Codes are small negative numbers: say them in decimal. */
#define check_err(actual, expected)                                                                \
    do {                                                                                           \
        int check_code_ = (actual);                                                                \
        if (check_code_ != (expected))                                                             \
            fail_msg("%s gives %d, not %d", #actual, check_code_, (int)(expected));                \
    } while (0)

#endif
