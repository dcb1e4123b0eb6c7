/* Requests to the keeper, answered one by one: those for identities, then handshakes, either in the
 * order they came. */
#include "keeper/serve.h"
#include <time.h>

#define TLS_QUICK 8u /* signatures by elliptic curves in one turn: some 200 us */
#define TLS_QUICK_BYTES                                                                            \
    200u /* of an answer; what is longer is by RSA, 250 us (2048 bits) to 4 ms (4096) */

#define LOG_NAME_MAX 200 /* bytes of an identity that are logged */

void keeper_log_time(struct keeper_log *l, uint64_t now_s)
{
    time_t t = (time_t)now_s;
    struct tm tm;

    if (!gmtime_r(&t, &tm) || strftime(l->time, sizeof(l->time), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        l->time[0] = '\0';
}

static void log_member(struct sbuf *b, const char *name, struct str value)
{
    sbuf_lit(b, ",\"");
    sbuf_str(b, str_z(name));
    sbuf_lit(b, "\":");
    sbuf_json(b, str_make(value.p, value.n > LOG_NAME_MAX ? LOG_NAME_MAX : value.n));
}

/* false: there were too many of its like in this second. */
static bool line_begin(struct keeper_serving *s, struct sbuf *b, const char *event,
                       const struct keeper_conn *c, struct str key, enum keeper_status status)
{
    if (s->log->second != s->now_s) {
        s->log->second = s->now_s;
        s->log->n_refused = 0;
    }
    if (status != KEEPER_DONE && s->log->n_refused++ >= KEEPER_LOG_REFUSALS) {
        s->log->lost++;
        return false;
    }
    sbuf_lit(b, "{\"time\":\"");
    sbuf_str(b, str_z(s->log->time));
    sbuf_fmt(b, "\",\"event\":\"%s\",\"worker\":%u", event, c->worker);
    log_member(b, "key", key);
    return true;
}

static void line_end(struct keeper_serving *s, struct sbuf *b, enum keeper_status status,
                     const struct reason *why)
{
    log_member(b, "result", keeper_status_text(status));
    if (status != KEEPER_DONE && why->code) {
        log_member(b, "reason", str_z(why->code));
        log_member(b, "detail", str_z(why->detail));
    }
    sbuf_lit(b, "}\n");
    if (b->overflow || b->n > s->log->lines.cap - s->log->lines.n)
        s->log->lost++;
    else
        sbuf_str(&s->log->lines, sbuf_get(b));
}

/* Who is named in what was signed, and by whom it was asked for: nothing that is secret. */
static void log_request(struct keeper_serving *s, const struct keeper_conn *c,
                        const struct keeper_frame *f, const struct passport *p,
                        enum keeper_status status, const struct reason *why)
{
    char line[2048];
    struct sbuf b = sbuf_make(line, sizeof(line));

    if (!line_begin(s, &b, "sign", c, f->name, status))
        return;
    if (p->type != PASSPORT_UNKNOWN)
        log_member(&b, "ppt", passport_type_text(p->type));
    if (p->orig.text.p)
        log_member(&b, "orig", p->orig.text);
    if (p->n_dest)
        log_member(&b, "dest", p->dest[0].text);
    if (p->div.text.p)
        log_member(&b, "div", p->div.text);
    if (p->iat) {
        sbuf_lit(&b, ",\"iat\":");
        sbuf_u64(&b, p->iat);
    }
    line_end(s, &b, status, why);
}

static void answer_sign(struct keeper_serving *s, const struct keeper_conn *c,
                        const struct keeper_frame *f, struct sbuf *out)
{
    struct keeper_key *key = keeper_keys_find(s->keys, f->name);
    struct passport p = {.type = PASSPORT_UNKNOWN};
    struct reason why = {.code = NULL};
    char signature[JWS_SIGNATURE_TEXT_MAX];
    enum keeper_status status = KEEPER_NO_KEY;

    if (key)
        status = keeper_key_sign(key, s->arena, f->body, s->now_s, s->now_ms, &p, signature, &why);
    log_request(s, c, f, &p, status, &why);
    keeper_frame_build(
        out, &(struct keeper_frame){.type = KEEPER_SIGNED,
                                    .id = f->id,
                                    .status = status,
                                    .body = status == KEEPER_DONE ? str_z(signature) : STR("")});
    arena_reset(s->arena);
}

static void log_rfc4474(struct keeper_serving *s, const struct keeper_conn *c,
                        const struct keeper_frame *f, const struct rfc4474_parts *p,
                        enum keeper_status status, const struct reason *why)
{
    char line[2048];
    struct sbuf b = sbuf_make(line, sizeof(line));

    if (!line_begin(s, &b, "sign-rfc4474", c, f->name, status))
        return;
    if (p->from.p) {
        log_member(&b, "from", p->from);
        log_member(&b, "to", p->to);
        log_member(&b, "call", p->call_id);
        log_member(&b, "method", p->method);
        log_member(&b, "date", p->date);
    }
    line_end(s, &b, status, why);
}

static void answer_rfc4474(struct keeper_serving *s, const struct keeper_conn *c,
                           const struct keeper_frame *f, struct sbuf *out)
{
    struct keeper_key *key = keeper_keys_find(s->keys, f->name);
    struct rfc4474_parts p = {.cseq = 0};
    struct reason why = {.code = NULL};
    char signature[RFC4474_SIGNATURE_TEXT_MAX] = "";
    enum keeper_status status = KEEPER_NO_KEY;

    if (key)
        status = keeper_key_sign_rfc4474(key, s->arena, f->body, s->now_s, s->now_ms, &p, signature,
                                         &why);
    log_rfc4474(s, c, f, &p, status, &why);
    keeper_frame_build(
        out, &(struct keeper_frame){.type = KEEPER_RFC4474_SIGNED,
                                    .id = f->id,
                                    .status = status,
                                    .body = status == KEEPER_DONE ? str_z(signature) : STR("")});
    arena_reset(s->arena);
}

/* Only what is refused has a line of its own (tls_keys.h). */
static void answer_tls(struct keeper_serving *s, const struct keeper_conn *c,
                       const struct keeper_frame *f, struct sbuf *out)
{
    const struct pki_sign_request r = {
        .key = f->name, .kind = (enum pki_sign_kind)f->kind, .scheme = f->scheme, .input = f->body};
    enum keeper_status status = KEEPER_NO_KEY;
    uint8_t signature[PKI_SIGNATURE_MAX];
    struct reason why = {.code = NULL};
    struct str name = STR("");
    size_t n = 0;

    if (s->tls)
        status = keeper_tls_sign(s->tls, &r, s->now_ms, signature, &n, &name, &why);
    if (status != KEEPER_DONE) {
        char line[1024];
        struct sbuf b = sbuf_make(line, sizeof(line));

        if (line_begin(s, &b, "tls-sign", c, name.n ? name : f->name, status))
            line_end(s, &b, status, &why);
        n = 0;
    }
    keeper_frame_build(out, &(struct keeper_frame){.type = KEEPER_TLS_SIGNED,
                                                   .id = f->id,
                                                   .status = status,
                                                   .body = str_make((const char *)signature, n)});
}

static bool has_room(const struct sbuf *out)
{
    return out->cap - out->n >= KEEPER_ANSWER_MAX;
}

/* All but handshakes, which move to the front of what waits. *ret_tls: their bytes. */
static int serve_identities(struct keeper_serving *s, struct keeper_conn *c, struct sbuf *out,
                            size_t *ret_tls)
{
    size_t at = 0, kept = 0, n;
    struct keeper_frame f;
    int err = 0;

    while (has_room(out) &&
           (err = keeper_frame_parse(str_make(c->in + at, c->n_in - at), &f, &n)) == 0) {
        if (f.type == KEEPER_SIGN)
            answer_sign(s, c, &f, out);
        else if (f.type == KEEPER_RFC4474)
            answer_rfc4474(s, c, &f, out);
        else if (f.type == KEEPER_RELOAD && c->may_reload)
            s->reload_asked++;
        else if (f.type != KEEPER_TLS)
            return ERR_SYNTAX;
        if (f.type == KEEPER_TLS) {
            memmove(c->in + kept, c->in + at, n);
            kept += n;
        }
        at += n;
    }
    memmove(c->in + kept, c->in + at, c->n_in - at);
    c->n_in -= at - kept;
    *ret_tls = kept;
    return err == ERR_AGAIN ? 0 : err;
}

/* One that takes long, or some that do not. */
static void serve_tls(struct keeper_serving *s, struct keeper_conn *c, struct sbuf *out,
                      size_t n_tls)
{
    size_t at = 0, n;
    unsigned left = TLS_QUICK;

    while (left && at < n_tls && has_room(out)) {
        size_t before = out->n;
        struct keeper_frame f;

        if (keeper_frame_parse(str_make(c->in + at, n_tls - at), &f, &n) != 0)
            break; /* it was one before */
        answer_tls(s, c, &f, out);
        at += n;
        left = out->n - before > KEEPER_HEAD + TLS_QUICK_BYTES ? 0 : left - 1;
    }
    memmove(c->in, c->in + at, c->n_in - at);
    c->n_in -= at;
    c->is_behind = at < n_tls;
}

int keeper_serve(struct keeper_serving *s, struct keeper_conn *c)
{
    struct sbuf out = {c->out, c->n_out, sizeof(c->out), false};
    size_t n_tls;
    int err = serve_identities(s, c, &out, &n_tls);

    if (err != 0)
        return err;
    serve_tls(s, c, &out, n_tls);
    c->n_out = out.n;
    return 0;
}
