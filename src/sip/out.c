/* What edit.c and build.c share: checks of what may be written, and the source noted in a Via.
 * Pure; any thread. */
#include "sip/out.h"
#include "base/err.h"
#include "base/limits.h"
#include "sip/fields.h"

bool out_value_ok(struct str s)
{
    return s.n == 0 || lex_value_is_clean(s);
}

bool out_phrase_ok(struct str s)
{
    return s.n == 0 ||
           lex_find_control(s.p, s.p + s.n) == s.p + s.n; /* nothing folds in a start line */
}

bool out_name_ok(struct str s)
{
    struct lex l = lex_make(s);
    lex_run1(&l, LEX_TOKEN);
    return !l.bad && lex_at_end(&l);
}

bool out_uri_ok(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c <= ' ' || c == 0x7f)
            return false;
    }
    return s.n > 0;
}

bool out_via_wants_received(const struct sip_via *v, const struct addr *source)
{
    struct addr host;
    /* A received or rport value that came with the request is not its sender's to claim: responses
     * go there (18.2.2). */
    if (v->has_rport || v->received.n)
        return true;
    return addr_parse(&host, v->host, 0) != 0 || !addr_eq_host(&host, source);
}

void out_via_received(struct sbuf *b, const struct sip_via *v, const struct addr *source)
{
    if (!out_via_wants_received(v, source)) {
        sbuf_str(b, v->whole);
        return;
    }
    struct lex l = lex_make(v->params);
    struct sip_param p;
    sbuf_add(b, v->whole.p, (size_t)(v->params.p - v->whole.p));
    const char *kept = v->params.p; /* up to here it is written */
    while (sip_param_lex(&l, &p)) {
        bool rport = p.name.n == 5 && str_eq_nocase(p.name, STR("rport"));
        bool received = p.name.n == 8 && str_eq_nocase(p.name, STR("received"));
        if (!rport && !received)
            continue;
        sbuf_add(b, kept, (size_t)(p.whole.p - kept));
        kept = p.whole.p + p.whole.n;
        if (rport) {
            sbuf_lit(b, ";rport=");
            sbuf_u64(b, addr_port(source));
        }
    }
    sbuf_add(b, kept, (size_t)(v->whole.p + v->whole.n - kept));
    char text[ADDR_TEXT_MAX];
    struct str host = addr_text_host(source, text);
    if (host.n >= 2 && host.p[0] == '[') /* via-received has no brackets (RFC 5118 4.5) */
        host = (struct str){host.p + 1, host.n - 2};
    /* what a socket for both families calls ::ffff:192.0.2.1 is 192.0.2.1 to its sender */
    if (str_starts_nocase(host, STR("::ffff:")) && str_find_char(host, '.') < host.n)
        host = (struct str){host.p + 7, host.n - 7};
    sbuf_lit(b, ";received=");
    sbuf_str(b, host);
}

struct buf *out_begin(size_t max, struct sbuf *ret, int *ret_err)
{
    struct buf *buf = NULL;
    *ret_err = ERR_LIMIT;
    if (max <= LIMIT_BUF_BYTES) {
        buf = buf_new(max);
        *ret_err = buf ? 0 : ERR_NOMEM;
    }
    if (buf)
        *ret = sbuf_make(buf->p, buf->cap);
    return buf;
}

int out_end(struct buf *buf, const struct sbuf *b, struct buf **ret)
{
    if (b->overflow || b->n > LIMIT_MSG_BYTES) {
        buf_unref(buf);
        return ERR_LIMIT;
    }
    buf->n = (uint32_t)b->n;
    *ret = buf;
    return 0;
}
