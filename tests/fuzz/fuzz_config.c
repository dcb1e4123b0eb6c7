/* The configuration reader on any text: it says problems or gives a snapshot, and frees everything. */
#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_problem(void *arg, struct str line)
{
    size_t *n = arg;

    *n += line.n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *c;
    size_t n = 0;

    if (size > 8192)
        return 0;
    if (config_parse(str_make((const char *)data, size), on_problem, &n, &c) == 0)
        config_unref(c);
    return 0;
}
