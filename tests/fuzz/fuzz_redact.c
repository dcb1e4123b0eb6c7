/* Any message into the mirror's redaction and into a HEP packet. What must hold: in the copy every answer to a challenge is
 * masked, URIs have neither password nor headers, the body is a note, and a collector reads from the packet what was put in. */
#include "base/limits.h"
#include "edge/mirror/redact.h"
#include "evidence/hep.h"
#include "sip/msg.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must(bool ok)
{
    if (!ok)
        abort();
}

/* Outside of quotes, `name=` is followed by "*". */
static void check_masked(struct str value, struct str name)
{
    bool quoted = false;
    size_t i;

    for (i = 0; i < value.n; i++) {
        if (quoted && value.p[i] == '\\')
            i++;
        else if (value.p[i] == '"')
            quoted = !quoted;
        else if (!quoted && value.n - i > name.n && str_starts_nocase(str_make(value.p + i, value.n - i), name) &&
                 value.p[i + name.n] == '=' && (i == 0 || value.p[i - 1] == ' '))
            must(value.n - i >= name.n + 4 && memcmp(value.p + i + name.n, "=\"*\"", 4) == 0);
    }
}

static void check_secrets(const struct sip_msg *m)
{
    static const enum sip_hdr_id ids[] = {SIP_H_AUTHORIZATION, SIP_H_PROXY_AUTHORIZATION, SIP_H_WWW_AUTHENTICATE,
                                          SIP_H_PROXY_AUTHENTICATE};
    static const struct str names[] = {{"response", 8}, {"nonce", 5}, {"opaque", 6}};
    const struct sip_hdr *h;
    size_t i, j;
    unsigned k;

    for (i = 0; i < ARRAY_LEN(ids); i++)
        for (k = 0; (h = sip_msg_hdr(m, ids[i], k)) != NULL; k++)
            for (j = 0; j < ARRAY_LEN(names); j++)
                check_masked(h->value, names[j]);
    must(m->uri.password.n <= 1 && m->uri.headers.n <= 1);
    must(!m->body.n || str_starts_nocase(m->body, STR("[a body of ")));
}

static void check_packet(const struct buf *copy)
{
    static char bytes[HEP_HEAD_MAX + 2 * LIMIT_MSG_BYTES];
    struct sbuf b = sbuf_make(bytes, sizeof bytes);
    struct hep_packet p = {.payload_n = copy->n};
    struct hep_parsed r;

    must(addr_parse(&p.from, STR("192.0.2.1"), 5060) == 0 && addr_parse(&p.to, STR("2001:db8::1"), 5061) == 0);
    if (hep_head_build(&b, &p) != 0)
        return;
    sbuf_str(&b, buf_str(copy));
    must(!b.overflow && hep_parse(sbuf_get(&b), &r) == 0 && str_eq(r.payload, buf_str(copy)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena *a = arena_new(4096, LIMIT_MSG_ARENA_BYTES), *b = arena_new(4096, LIMIT_MSG_ARENA_BYTES);
    struct hep_parsed ignored;
    struct buf *copy, *again;
    struct sip_msg *m;

    must(a && b);
    (void)!hep_parse(str_make((const char *)data, n), &ignored);
    if (redact_message(a, str_make((const char *)data, n), &copy, NULL) == 0) {
        check_packet(copy);
        if (sip_msg_parse(b, buf_str(copy), &m, NULL) == 0) {
            check_secrets(m);
            arena_reset(b);
            must(redact_message(b, buf_str(copy), &again, NULL) == 0);
            buf_unref(again);
        }
        buf_unref(copy);
    }
    arena_free(a);
    arena_free(b);
    return 0;
}
