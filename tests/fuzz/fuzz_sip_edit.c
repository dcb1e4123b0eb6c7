/* Fuzz: edits. The first half of the input is a program of edits (one byte a command, one a header,
 * values from a table and from the input itself), the second, behind an empty line's "\n\n", the
 * message. What sip_edit_value says is what the built message holds, and no edit adds a line but
 * its own. */
#include "base/arena.h"
#include "base/limits.h"
#include "sip/edit.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must(bool ok)
{
    if (!ok)
        abort();
}

struct program {
    const uint8_t *p, *end;
};

static unsigned next(struct program *g)
{
    return g->p < g->end ? *g->p++ : 0;
}

/* A value: a few bytes of the program, or one of these. */
static struct str next_value(struct program *g)
{
    static const char *const values[] = {
        "<sip:a@h>", "a, b", "\"x,\" <sip:b>;c=d", "x\r\n y", "SIP/2.0/UDP h;branch=z", "70",
        "",          "a"};
    unsigned k = next(g);
    if (k & 0x80) {
        size_t n = k & 0x1f;
        if (n > (size_t)(g->end - g->p))
            n = (size_t)(g->end - g->p);
        struct str s = {(const char *)g->p, n};
        g->p += n;
        return s;
    }
    return str_z(values[k % ARRAY_LEN(values)]);
}

static unsigned run(struct sip_edit *e, struct program *g)
{
    unsigned lines = 0;
    for (unsigned steps = 0; g->p < g->end && steps < 40; steps++) {
        unsigned op = next(g);
        enum sip_hdr_id id = (enum sip_hdr_id)(next(g) % SIP_H_N);
        lines++;
        switch (op % 9) {
        case 0:
            sip_edit_ruri(e, next_value(g));
            break;
        case 1:
            sip_edit_add_first(e, id, next_value(g));
            break;
        case 2:
            sip_edit_add_last(e, id, next_value(g));
            break;
        case 3:
            sip_edit_add_named(e, next_value(g), next_value(g));
            break;
        case 4:
            sip_edit_set(e, id, next_value(g));
            break;
        case 5:
            sip_edit_remove(e, id);
            break;
        case 6:
            sip_edit_remove_value(e, id, next(g) % 4);
            break;
        case 7:
            sip_edit_replace_value(e, id, next(g) % 4, next_value(g));
            break;
        default:
            sip_edit_body(e, next_value(g), next_value(g));
            lines++;
            break;
        }
    }
    return lines;
}

static void check_built(const struct sip_edit *e, const struct sip_msg *m, struct str text,
                        unsigned lines)
{
    struct arena *a = arena_new(8192, LIMIT_MSG_ARENA_BYTES);
    struct sip_msg *b = NULL;
    /* an editor may take away what a message needs; then there is nothing to compare */
    if (a != NULL && sip_msg_parse(a, text, &b, NULL) == 0) {
        must(b->n_hdrs <= m->n_hdrs + lines + 1);
        for (unsigned id = SIP_H_OTHER + 1; id < SIP_H_N; id++) {
            struct sip_values it = sip_values_start(b, (enum sip_hdr_id)id);
            struct str v;
            for (unsigned i = 0; sip_values_next(&it); i++)
                must(sip_edit_value(e, (enum sip_hdr_id)id, i, &v) && str_eq(v, it.value));
            must(it.bad || !sip_edit_value(e, (enum sip_hdr_id)id, it.n, &v));
        }
    }
    arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const uint8_t *gap = memmem(data, n, "\n\n", 2);
    if (gap == NULL)
        return 0;
    struct program g = {data, gap};
    struct str text = {(const char *)gap + 2, (size_t)(data + n - gap - 2)};
    struct arena *a = arena_new(4096, LIMIT_MSG_ARENA_BYTES);
    struct sip_msg *m;
    if (a != NULL && sip_msg_parse(a, text, &m, NULL) == 0) {
        struct sip_edit *e = sip_edit_new(a, m);
        struct buf *out = NULL;
        if (e != NULL) {
            unsigned lines = run(e, &g);
            if (sip_edit_build(e, &out) == 0)
                check_built(e, m, buf_str(out), lines);
            buf_unref(out);
        }
    }
    arena_free(a);
    return 0;
}
