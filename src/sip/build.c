/* Messages made from parts: responses (RFC 3261 8.2.6, 12.1.1, 18.2.1), ACK (17.1.1.3), CANCEL
 * (9.1), requests (8.1.1). Whatever a caller passes is checked before it is written: no value
 * brings a line of its own. Pure; any thread. */
#include "base/err.h"
#include "base/limits.h"
#include "sip/edit.h"
#include "sip/fields.h"
#include "sip/out.h"

#define SMALL 256u /* start line words, separators, lengths, numbers */

static void write_end(struct sbuf *b, struct str content_type, struct str body)
{
    if (content_type.n)
        out_line(b, STR("Content-Type"), content_type);
    out_number(b, STR("Content-Length"), body.n);
    sbuf_lit(b, "\r\n");
    sbuf_str(b, body);
}

static void copy_lines(struct sbuf *b, const struct sip_msg *m, enum sip_hdr_id id)
{
    for (int i = m->first[id]; i >= 0; i = m->hdrs[i].next)
        out_line(b, m->hdrs[i].name, m->hdrs[i].value);
}

static void copy_first(struct sbuf *b, const struct sip_msg *m, enum sip_hdr_id id)
{
    if (m->first[id] >= 0)
        out_line(b, m->hdrs[m->first[id]].name, m->hdrs[m->first[id]].value);
}

/* All Via lines in order (8.2.6.2); in the top one the source is noted. */
static void copy_vias(struct sbuf *b, const struct sip_msg *m, const struct addr *source)
{
    int i = m->first[SIP_H_VIA];
    if (i >= 0 && source != NULL) {
        const struct sip_hdr *h = &m->hdrs[i];
        const char *rest = m->via.whole.p + m->via.whole.n;
        sbuf_str(b, h->name);
        sbuf_lit(b, ": ");
        out_via_received(b, &m->via, source);
        sbuf_add(b, rest, (size_t)(h->value.p + h->value.n - rest));
        sbuf_lit(b, "\r\n");
        i = h->next;
    }
    for (; i >= 0; i = m->hdrs[i].next)
        out_line(b, m->hdrs[i].name, m->hdrs[i].value);
}

static void copy_to(struct sbuf *b, const struct sip_msg *m, const struct sip_response *r)
{
    int i = m->first[SIP_H_TO];
    if (i < 0)
        return;
    sbuf_str(b, m->hdrs[i].name);
    sbuf_lit(b, ": ");
    sbuf_str(b, m->hdrs[i].value);
    if (r->to_tag.n && m->to_tag.n == 0 && r->status > 100) {
        sbuf_lit(b, ";tag=");
        sbuf_str(b, r->to_tag);
    }
    sbuf_lit(b, "\r\n");
}

static bool response_is_ok(const struct sip_response *r, size_t *ret_bytes)
{
    bool ok = r->status >= 100 && r->status <= 699 && r->n_extra <= ARRAY_LEN(r->extra) &&
              r->body.n <= LIMIT_MSG_BYTES && out_value_ok(r->content_type) &&
              out_phrase_ok(r->phrase) && (r->to_tag.n == 0 || out_name_ok(r->to_tag));
    *ret_bytes = r->phrase.n + r->to_tag.n + r->content_type.n + r->body.n;
    for (size_t i = 0; ok && i < r->n_extra; i++) {
        ok = out_name_ok(r->extra[i].name) && out_value_ok(r->extra[i].value) &&
             sip_hdr_parse(r->extra[i].name) != SIP_H_CONTENT_LENGTH;
        *ret_bytes += r->extra[i].name.n + r->extra[i].value.n + 4;
    }
    return ok;
}

int sip_response_build(const struct sip_msg *req, const struct sip_response *r, struct buf **ret)
{
    size_t bytes;
    int err;
    *ret = NULL;
    if (!req->is_request || !response_is_ok(r, &bytes))
        return ERR_INVALID;
    struct sbuf b;
    /* each copied line may get a space behind its colon that it did not have */
    struct buf *buf = out_begin(req->head.n + req->n_hdrs + bytes + OUT_VIA_MORE + SMALL, &b, &err);
    if (buf == NULL)
        return err;
    sbuf_lit(&b, "SIP/2.0 ");
    sbuf_u64(&b, r->status);
    sbuf_char(&b, ' ');
    sbuf_str(&b, r->phrase.n ? r->phrase : sip_status_text(r->status));
    sbuf_lit(&b, "\r\n");
    copy_vias(&b, req, r->via_received);
    if (r->status > 100 && r->status < 300)
        copy_lines(&b, req, SIP_H_RECORD_ROUTE);
    copy_first(&b, req, SIP_H_FROM);
    copy_to(&b, req, r);
    copy_first(&b, req, SIP_H_CALL_ID);
    copy_first(&b, req, SIP_H_CSEQ);
    if (r->status == 100)
        copy_first(&b, req, SIP_H_TIMESTAMP);
    for (size_t i = 0; i < r->n_extra; i++)
        out_line(&b, r->extra[i].name, r->extra[i].value);
    write_end(&b, r->content_type, r->body);
    return out_end(buf, &b, ret);
}

/* What ACK and CANCEL have in common with the INVITE they belong to: its top Via alone, its routes,
 * From, Call-ID, CSeq number. */
static void write_companion(struct sbuf *b, const struct sip_msg *invite, struct str method,
                            const struct sip_msg *to_from)
{
    sbuf_str(b, method);
    sbuf_char(b, ' ');
    sbuf_str(b, invite->ruri);
    sbuf_lit(b, " SIP/2.0\r\n");
    out_line(b, STR("Via"), invite->via.whole);
    sbuf_lit(b, "Max-Forwards: 70\r\n");
    copy_lines(b, invite, SIP_H_ROUTE);
    copy_first(b, invite, SIP_H_FROM);
    copy_first(b, to_from, SIP_H_TO);
    copy_first(b, invite, SIP_H_CALL_ID);
    sbuf_lit(b, "CSeq: ");
    sbuf_u64(b, invite->cseq);
    sbuf_char(b, ' ');
    sbuf_str(b, method);
    sbuf_lit(b, "\r\n");
}

int sip_ack_build(const struct sip_msg *sent_invite, const struct sip_msg *response,
                  struct buf **ret)
{
    struct sbuf b;
    int err;
    *ret = NULL;
    if (!sent_invite->is_request || sent_invite->method != SIP_INVITE || response->is_request)
        return ERR_INVALID;
    struct buf *buf =
        out_begin(sent_invite->head.n + sent_invite->n_hdrs + response->head.n + SMALL, &b, &err);
    if (buf == NULL)
        return err;
    write_companion(&b, sent_invite, STR("ACK"), response);
    /* An ACK cannot be challenged, so it carries what the INVITE proved itself with (22.1). */
    copy_lines(&b, sent_invite, SIP_H_AUTHORIZATION);
    copy_lines(&b, sent_invite, SIP_H_PROXY_AUTHORIZATION);
    write_end(&b, STR_NULL, STR_NULL);
    return out_end(buf, &b, ret);
}

int sip_cancel_build(const struct sip_msg *sent_invite, struct str reason_value, struct buf **ret)
{
    struct sbuf b;
    int err;
    *ret = NULL;
    if (!sent_invite->is_request || sent_invite->method == SIP_ACK ||
        sent_invite->method == SIP_CANCEL || !out_value_ok(reason_value))
        return ERR_INVALID;
    struct buf *buf =
        out_begin(sent_invite->head.n + sent_invite->n_hdrs + reason_value.n + SMALL, &b, &err);
    if (buf == NULL)
        return err;
    write_companion(&b, sent_invite, STR("CANCEL"), sent_invite);
    if (reason_value.n)
        out_line(&b, STR("Reason"), reason_value); /* RFC 3326 2 */
    write_end(&b, STR_NULL, STR_NULL);
    return out_end(buf, &b, ret);
}

int sip_request_build(const struct sip_request *r, struct buf **ret)
{
    struct sbuf b;
    int err;
    *ret = NULL;
    if (!out_name_ok(r->method) || !out_uri_ok(r->ruri) || r->n_hdr > ARRAY_LEN(r->hdr) ||
        r->body.n > LIMIT_MSG_BYTES || !out_value_ok(r->content_type))
        return ERR_INVALID;
    size_t bytes = r->method.n + r->ruri.n + r->content_type.n + r->body.n + SMALL;
    for (size_t i = 0; i < r->n_hdr; i++) {
        enum sip_hdr_id id = sip_hdr_parse(r->hdr[i].name);
        if (!out_name_ok(r->hdr[i].name) || !out_value_ok(r->hdr[i].value) ||
            id == SIP_H_CONTENT_LENGTH)
            return ERR_INVALID;
        bytes += r->hdr[i].name.n + r->hdr[i].value.n + 4;
    }
    struct buf *buf = out_begin(bytes, &b, &err);
    if (buf == NULL)
        return err;
    sbuf_str(&b, r->method);
    sbuf_char(&b, ' ');
    sbuf_str(&b, r->ruri);
    sbuf_lit(&b, " SIP/2.0\r\n");
    for (size_t i = 0; i < r->n_hdr; i++)
        out_line(&b, r->hdr[i].name, r->hdr[i].value);
    write_end(&b, r->content_type, r->body);
    return out_end(buf, &b, ret);
}
