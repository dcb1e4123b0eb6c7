/* Fuzz: whole messages. The index lies inside the bytes, lines follow each other without gap or
 * overlap, chains name each header of an id once and in order; every value parser may be asked
 * about every value; an answer to what deserves one can be built, and an unedited message leaves
 * byte for byte. */
#include "base/addr.h"
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

static void inside(struct str whole, struct str part)
{
    must(part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n));
}

static void check_index(const struct sip_msg *m)
{
    inside(m->bytes, m->head);
    inside(m->bytes, m->body);
    must(m->head.p == m->bytes.p && m->body.p == m->head.p + m->head.n);
    uint32_t last = 0;
    unsigned linked = 0;
    for (unsigned i = 0; i < m->n_hdrs; i++) {
        const struct sip_hdr *h = &m->hdrs[i];
        struct str line = {m->bytes.p + h->line_start, h->line_end - h->line_start};
        must(h->line_start >= last && h->line_end > h->line_start && h->line_end <= m->head.n);
        must(m->defect.sip_status || i == 0 || h->line_start == last);
        inside(line, h->name);
        inside(line, h->value);
        must(h->name.n > 0 && h->name.p == line.p);
        must(h->id < SIP_H_N && h->id == sip_hdr_parse(h->name));
        last = h->line_end;
    }
    for (unsigned id = 0; id < SIP_H_N; id++) {
        int before = -1;
        for (int i = m->first[id]; i >= 0; i = m->hdrs[i].next) {
            must(i > before && i < m->n_hdrs && m->hdrs[i].id == id);
            before = i;
            linked++;
        }
    }
    must(linked == m->n_hdrs);
}

static void check_fields(struct sip_msg *m)
{
    struct str parts[] = {m->ruri,      m->phrase, m->method_text, m->call_id, m->cseq_method_text,
                          m->from_tag,  m->to_tag, m->from.uri,    m->to.uri,  m->via.whole,
                          m->via.branch};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        inside(m->head, parts[i]);
    must(m->via.host.n > 0);
    must(m->is_request || (m->status >= 100 && m->status <= 699 && m->defect.sip_status == 0));
    must(m->max_forwards >= -1 && m->max_forwards <= 255);
    if (m->defect.sip_status == 0) {
        must(m->from.uri.n > 0 && m->to.uri.n > 0 && m->call_id.n > 0 && m->cseq_method_text.n > 0);
        must(!m->is_request || str_eq(m->method_text, m->cseq_method_text));
    }
    must(m->defect.sip_status == 0 || m->defect.code != NULL);
}

static void check_values(const struct sip_msg *m)
{
    for (unsigned id = 0; id < SIP_H_N; id++) {
        struct sip_values it = sip_values_start(m, (enum sip_hdr_id)id);
        unsigned n = 0;
        while (sip_values_next(&it)) {
            struct sip_addr a;
            struct sip_via v;
            must(++n <= LIMIT_MSG_VALUES && it.n == n);
            inside(m->hdrs[it.hdr].value, it.value);
            must(it.value.n > 0);
            (void)!sip_addr_parse(it.value, &a);
            (void)!sip_via_parse(it.value, &v);
            (void)sip_msg_has_token(m, (enum sip_hdr_id)id, it.value);
        }
        uint32_t seconds;
        (void)!sip_msg_seconds(m, (enum sip_hdr_id)id, &seconds);
    }
    struct sip_part part[LIMIT_BODY_PARTS];
    size_t n = ARRAY_LEN(part);
    if (sip_body_parts(m, part, &n, NULL) == 0) {
        must(n <= ARRAY_LEN(part));
        for (size_t i = 0; i < n; i++) {
            inside(m->body, part[i].body);
            inside(m->body, part[i].headers);
            must(part[i].depth <= LIMIT_MULTIPART_DEPTH);
        }
    }
}

/* An answer is itself a message that has no more lines than the request and those of the answer. */
static void check_answer(struct sip_msg *m)
{
    struct addr source;
    struct buf *out = NULL;
    struct sip_response r = {.status = m->defect.sip_status ? m->defect.sip_status : 200,
                             .to_tag = STR("t")};
    if (addr_parse(&source, STR("192.0.2.99"), 5070) == 0)
        r.via_received = &source;
    if (sip_response_build(m, &r, &out) != 0)
        return;
    struct sip_msg *a = NULL;
    struct arena *arena = arena_new(4096, LIMIT_MSG_ARENA_BYTES);
    if (arena != NULL && sip_msg_parse(arena, buf_str(out), &a, NULL) == 0) {
        must(!a->is_request && a->status == r.status && a->n_hdrs <= m->n_hdrs + 1u);
        must(a->via.received.n > 0 || m->via.received.n == 0);
    } else if (m->defect.sip_status == 0 && arena != NULL) {
        abort(); /* to a good request there is a good answer */
    }
    arena_free(arena);
    buf_unref(out);
}

static void check_unedited(struct sip_msg *m)
{
    struct buf *out = NULL;
    struct sip_edit *e = sip_edit_new(m->arena, m);
    if (e == NULL)
        return;
    int err = sip_edit_build(e, &out);
    if (m->defect.sip_status)
        must(err != 0);
    else if (sip_msg_has(m, SIP_H_CONTENT_LENGTH))
        must(err == 0 && str_eq(buf_str(out), m->bytes));
    buf_unref(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena *a = arena_new(4096, LIMIT_MSG_ARENA_BYTES);
    struct sip_msg *m = NULL;
    struct reason why = {0};
    if (a == NULL)
        return 0;
    int err = sip_msg_parse(a, str_make((const char *)data, n), &m, &why);
    must((err == 0) == (m != NULL));
    must(err == 0 || why.code != NULL);
    if (!err) {
        check_index(m);
        check_fields(m);
        check_values(m);
        if (m->is_request)
            check_answer(m);
        check_unedited(m);
    }
    arena_free(a);
    return 0;
}
