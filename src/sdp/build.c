/* Descriptions written from parts (RFC 8866 5). Pure; any thread. */
#include "sdp/build.h"
#include "sdp/sdp_priv.h"

void sdp_put_host(struct sbuf *b, const struct addr *a)
{
    char text[ADDR_TEXT_MAX];
    struct str s = addr_text_host(a, text);
    if (addr_is_v6(a)) {
        if (s.n > 2) /* without brackets here */
            s = str_make(s.p + 1, s.n - 2);
        sbuf_lit(b, "IN IP6 ");
    } else {
        sbuf_lit(b, "IN IP4 ");
    }
    sbuf_str(b, s);
}

static void put_attr(struct sbuf *b, struct str name, struct str value)
{
    sbuf_lit(b, "a=");
    sbuf_str(b, name);
    if (value.p != NULL) {
        sbuf_char(b, ':');
        sbuf_str(b, value);
    }
    sbuf_lit(b, "\r\n");
}

static bool put_attrs(struct sbuf *b, const struct sdp_new_attr *attrs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!sdp_is_token(attrs[i].name) || !sdp_is_text(attrs[i].value))
            return false;
        put_attr(b, attrs[i].name, attrs[i].value);
    }
    return true;
}

static bool codec_ok(const struct sdp_codec *c)
{
    return sdp_is_token(c->name) && c->rate && c->channels && c->pt < 128 && sdp_is_text(c->fmtp);
}

static void put_codec(struct sbuf *b, const struct sdp_codec *c)
{
    sbuf_lit(b, "a=rtpmap:");
    sbuf_u64(b, c->pt);
    sbuf_char(b, ' ');
    sbuf_str(b, c->name);
    sbuf_char(b, '/');
    sbuf_u64(b, c->rate);
    if (c->channels > 1) {
        sbuf_char(b, '/');
        sbuf_u64(b, c->channels);
    }
    sbuf_lit(b, "\r\n");
    if (c->fmtp.n) {
        sbuf_lit(b, "a=fmtp:");
        sbuf_u64(b, c->pt);
        sbuf_char(b, ' ');
        sbuf_str(b, c->fmtp);
        sbuf_lit(b, "\r\n");
    }
}

static bool put_media_line(struct sbuf *b, const struct sdp_new_media *m)
{
    if (!sdp_is_token(m->kind) || !sdp_is_proto(m->proto) || !sdp_is_text(m->fmts) ||
        (m->fmts.n == 0 && !m->n_codecs))
        return false;
    sbuf_lit(b, "m=");
    sbuf_str(b, m->kind);
    sbuf_char(b, ' ');
    sbuf_u64(b, m->port);
    sbuf_char(b, ' ');
    sbuf_str(b, m->proto);
    if (m->fmts.n) {
        sbuf_char(b, ' ');
        sbuf_str(b, m->fmts);
    }
    for (size_t i = 0; m->fmts.n == 0 && i < m->n_codecs; i++) {
        if (!codec_ok(&m->codecs[i]))
            return false;
        sbuf_char(b, ' ');
        sbuf_u64(b, m->codecs[i].pt);
    }
    sbuf_lit(b, "\r\n");
    return true;
}

static bool put_media(struct sbuf *b, const struct sdp_new_media *m)
{
    if (!put_media_line(b, m))
        return false;
    if (m->host != NULL) {
        sbuf_lit(b, "c=");
        sdp_put_host(b, m->host);
        sbuf_lit(b, "\r\n");
    }
    if (m->mid.n) {
        if (!sdp_is_token(m->mid))
            return false;
        put_attr(b, STR("mid"), m->mid);
    }
    for (size_t i = 0; m->fmts.n == 0 && i < m->n_codecs; i++)
        put_codec(b, &m->codecs[i]);
    if (m->ptime_ms) {
        sbuf_lit(b, "a=ptime:");
        sbuf_u64(b, m->ptime_ms);
        sbuf_lit(b, "\r\n");
    }
    if (m->has_dir)
        put_attr(b, sdp_dir_text(m->dir), STR_NULL);
    if (m->rtcp_port) {
        sbuf_lit(b, "a=rtcp:");
        sbuf_u64(b, m->rtcp_port);
        sbuf_lit(b, "\r\n");
    }
    if (m->rtcp_mux)
        put_attr(b, STR("rtcp-mux"), STR_NULL);
    return put_attrs(b, m->attrs, m->n_attrs);
}

int sdp_build(struct sbuf *b, const struct sdp_new *n)
{
    if (n->n_media > LIMIT_SDP_MEDIA || (n->username.n && !sdp_is_word(n->username)) ||
        !sdp_is_text(n->name) || !sdp_is_text(n->bundle))
        return ERR_INVALID;
    sbuf_lit(b, "v=0\r\no=");
    sbuf_str(b, n->username.n ? n->username : STR("-"));
    sbuf_char(b, ' ');
    sbuf_u64(b, n->sess_id);
    sbuf_char(b, ' ');
    sbuf_u64(b, n->sess_version);
    sbuf_char(b, ' ');
    sdp_put_host(b, n->host);
    sbuf_lit(b, "\r\ns=");
    sbuf_str(b, n->name.n ? n->name : STR("-"));
    sbuf_lit(b, "\r\nc=");
    sdp_put_host(b, n->host);
    sbuf_lit(b, "\r\nt=0 0\r\n");
    if (n->bundle.n) {
        sbuf_lit(b, "a=group:BUNDLE ");
        sbuf_str(b, n->bundle);
        sbuf_lit(b, "\r\n");
    }
    if (!put_attrs(b, n->attrs, n->n_attrs))
        return ERR_INVALID;
    for (size_t i = 0; i < n->n_media; i++) {
        if (!put_media(b, &n->media[i]))
            return ERR_INVALID;
    }
    return b->overflow ? ERR_LIMIT : 0;
}
