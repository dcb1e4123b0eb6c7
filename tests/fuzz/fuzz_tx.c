/* Feeds the transaction layer a sequence of events read from the input: requests, responses, the
 * user's acts (inside callbacks too), transport errors and time. What must hold is checked by
 * tx_storm.h. */
#include "../unit/sip/tx_storm.h"

struct input {
    const uint8_t *p;
    size_t n;
};

static uint8_t input_byte(void *arg)
{
    struct input *in = arg;

    if (!in->n)
        return 0;
    in->n--;
    return *in->p++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct input in = {data, n};

    /* A step takes some three bytes. */
    storm_run(input_byte, &in, n < 4096 ? n / 3 + 1 : 1400);
    return 0;
}
