/* The parties of a scenario: what one of them sends, and what it expects to receive. */
#include <ctype.h>

#include "player.h"

unsigned party_index(const struct sim_party *p)
{
    return (unsigned)(p - P.sim.party);
}

static struct sip_msg *parse(struct arena *a, const char *text)
{
    struct sip_msg *m;
    struct reason why = {0};

    if (sip_msg_parse(a, str_z(text), &m, &why) != 0)
        fail("a message of the scenario cannot be parsed: %s %s", why.code, why.detail);
    return m;
}

/* ---- sending ---- */

static void deliver(struct sim_party *p, const char *text)
{
    if (p->transport != TRANSPORT_UDP && !p->flow)
        sim_open(&P.sim, p);
    sim_deliver(&P.sim, p, str_z(text));
}

static void add_via(struct sim_party *p, char *dst, size_t cap)
{
    char a[ADDR_TEXT_MAX];

    addr_text(&p->addr, a);
    snprintf(dst, cap, "Via: SIP/2.0/%s %s;branch=z9hG4bK-%s-%u;rport\r\n", transport_text(p->transport).p, a, p->name, ++P.serial);
}

static bool has_header(const char *lines, const char *name)
{
    size_t n = strlen(name);
    const char *l;

    for (l = lines; *l && *l != '\r'; l = strstr(l, "\r\n") + 2) /* not in the body */
        if (strncasecmp(l, name, n) == 0 && l[n] == ':')
            return true;
    return false;
}

/* "NAME: VALUE" of a step's extra lines that the dialog goes on with; NULL: it brings none. */
static const char *value_of(const char *lines, const char *name, char *dst, size_t cap)
{
    size_t n = strlen(name), len;
    const char *l;

    for (l = lines; *l && strncmp(l, "\r\n", 2) != 0; l = strstr(l, "\r\n") + 2)
        if (strncasecmp(l, name, n) == 0 && l[n] == ':') {
            l += n + 1 + strspn(l + n + 1, " ");
            len = strcspn(l, "\r");
            snprintf(dst, cap, "%.*s", (int)len, l);
            return dst;
        }
    return NULL;
}

/* Behind the empty line of a step's extra lines, which may be the first one; NULL: no body. */
static const char *body_of(const char *extra)
{
    const char *end = strncmp(extra, "\r\n", 2) == 0 ? extra : strstr(extra, "\r\n\r\n");

    return !end ? NULL : end == extra ? extra + 2 : end + 4;
}

/* Builds and sends a request of the party's dialog; `extra` may replace any header by bringing it. */
static void send_request(struct sim_party *p, const char *method, const char *uri, bool in_dialog, const char *extra)
{
    struct dialog *d = &P.dialog[party_index(p)];
    char msg[16384], via[256], a[ADDR_TEXT_MAX];
    const char *body = body_of(extra);
    size_t n = 0, nb = body ? strlen(body) : 0;
    const char *transport = p->transport == TRANSPORT_UDP ? "udp" : p->transport == TRANSPORT_TCP ? "tcp" : p->transport == TRANSPORT_TLS ? "tls" : "ws";

    addr_text(&p->addr, a);
    if (!in_dialog) {
        memset(d->remote_tag, 0, sizeof d->remote_tag);
        d->routes[0] = 0;
        snprintf(d->remote_uri, sizeof d->remote_uri, "%s", strcmp(method, "REGISTER") == 0 ? d->local_uri : uri);
        snprintf(d->call_id, sizeof d->call_id, "call-%s-%u", p->name, ++P.serial);
        snprintf(d->local_tag, sizeof d->local_tag, "tag-%s-%u", p->name, ++P.serial);
    }
    (void)value_of(extra, "Call-ID", d->call_id, sizeof d->call_id);
    if (strcmp(method, "ACK") != 0)
        d->cseq = value_of(extra, "CSeq", via, sizeof via) ? (unsigned)strtoul(via, NULL, 10) : d->cseq + 1;
    add_via(p, via, sizeof via);
#define PUT(...) (n += (size_t)snprintf(msg + n, sizeof msg - n, __VA_ARGS__))
    PUT("%s %s SIP/2.0\r\n%s", method, uri, has_header(extra, "Via") ? "" : via);
    if (!has_header(extra, "Max-Forwards"))
        PUT("Max-Forwards: 70\r\n");
    PUT("%s", in_dialog ? d->routes : "");
    if (!has_header(extra, "From"))
        PUT("From: <%s>;tag=%s\r\n", d->local_uri, d->local_tag);
    if (!has_header(extra, "To"))
        PUT("To: <%s>%s%s\r\n", d->remote_uri, d->remote_tag[0] ? ";tag=" : "", d->remote_tag);
    if (!has_header(extra, "Call-ID"))
        PUT("Call-ID: %s\r\n", d->call_id);
    if (!has_header(extra, "CSeq"))
        PUT("CSeq: %u %s\r\n", strcmp(method, "ACK") == 0 ? d->invite_cseq : d->cseq, method);
    if (!has_header(extra, "Contact") && strcmp(method, "BYE") != 0 && strcmp(method, "ACK") != 0 && strcmp(method, "MESSAGE") != 0)
        PUT("Contact: <sip:%s@%s;transport=%s>\r\n", p->name, a, transport);
    if (body)
        PUT("%.*sContent-Length: %zu\r\n\r\n%s", (int)(body - extra - 2), extra, nb, body);
    else
        PUT("%sContent-Length: 0\r\n\r\n", extra);
#undef PUT
    if (n >= sizeof msg)
        fail("message too long");
    if (strcmp(method, "ACK") != 0) {
        snprintf(d->last_request, sizeof d->last_request, "%s", msg);
        if (str_copy_z(d->last_method, sizeof d->last_method, str_z(method)) != 0)
            fail("method too long");
    }
    if (strcmp(method, "INVITE") == 0) {
        snprintf(d->invite, sizeof d->invite, "%s", msg);
        d->invite_cseq = d->cseq;
    }
    deliver(p, msg);
}

/* Repeats the last request with an answer to the last challenge, a new branch and the next CSeq. */
static void step_auth(struct sim_party *p, char **word, unsigned n)
{
    unsigned i = party_index(p);
    struct dialog *d = &P.dialog[i];
    struct arena *a = scratch_new();
    struct sip_msg *challenge = parse(a, P.received[i]), *req = parse(a, d->last_request);
    struct sip_edit *e = sip_edit_new(a, req);
    enum sip_hdr_id from = challenge->status == 401 ? SIP_H_WWW_AUTHENTICATE : SIP_H_PROXY_AUTHENTICATE;
    const struct sip_hdr *h = sip_msg_hdr(challenge, from, 0);
    struct digest_challenge c;
    struct digest_ha1 ha1;
    struct reason why = {0};
    char text[2048], cseq[64], via[256], user[64];
    struct sbuf b = sbuf_make(text, sizeof text);
    struct digest_answer_args args = {.nc = 1, .cnonce = STR("0a4f113b")};
    struct buf *out;
    unsigned k;

    snprintf(user, sizeof user, "%s", P.login[i]);
    for (k = 3; k + 1 < n; k += 2) {
        if (strcmp(word[k], "password") == 0)
            snprintf(P.password[i], sizeof P.password[i], "%s", word[k + 1]);
        else if (strcmp(word[k], "user") == 0)
            snprintf(user, sizeof user, "%s", word[k + 1]);
        else if (strcmp(word[k], "qop") == 0)
            args.prefer_int = strcmp(word[k + 1], "auth-int") == 0;
        else if (strcmp(word[k], "nc") == 0)
            args.nc = (uint32_t)strtoul(word[k + 1], NULL, 10);
        else if (strcmp(word[k], "challenge") == 0)
            h = sip_msg_hdr(challenge, from, (unsigned)strtoul(word[k + 1], NULL, 10));
        else
            fail("auth [user NAME] [password PW] [nc N] [challenge I] [qop auth-int]");
    }
    if (!h || digest_challenge_parse(a, h->value, &c, &why) != 0)
        fail("the last message of %s has no such challenge", p->name);
    if (digest_ha1_make(c.algo, str_z(user), c.realm, str_z(P.password[i]), &ha1) != 0)
        fail("digest_ha1_make");
    args.challenge = &c;
    args.username = str_z(user);
    args.method = req->method_text;
    args.uri = req->ruri;
    args.body = req->body;
    args.ha1 = &ha1;
    if (digest_answer_build(&b, &args) != 0)
        fail("digest_answer_build");
    snprintf(P.answered[i], sizeof P.answered[i], "%.*s", STR_FMT(sbuf_get(&b)));
    P.ha1[i] = ha1;
    sip_edit_remove(e, challenge->status == 401 ? SIP_H_AUTHORIZATION : SIP_H_PROXY_AUTHORIZATION);
    sip_edit_add_last(e, challenge->status == 401 ? SIP_H_AUTHORIZATION : SIP_H_PROXY_AUTHORIZATION, sbuf_get(&b));
    snprintf(cseq, sizeof cseq, "%u %.*s", ++d->cseq, STR_FMT(req->method_text));
    sip_edit_set(e, SIP_H_CSEQ, str_z(cseq));
    add_via(p, via, sizeof via);
    sip_edit_replace_value(e, SIP_H_VIA, 0, str_make(via + 5, strlen(via) - 7));
    if (sip_edit_build(e, &out) != 0)
        fail("cannot build the request");
    snprintf(d->last_request, sizeof d->last_request, "%.*s", (int)out->n, out->p);
    if (req->method == SIP_INVITE) {
        memcpy(d->invite, d->last_request, sizeof d->invite);
        d->invite_cseq = d->cseq;
    }
    buf_unref(out);
    scratch_free(a);
    deliver(p, d->last_request);
}

/* The last request again with its credentials as they were, but as a new transaction: what a replay looks like; with its number, too:
 * what comes by another way from a fork behind it. */
static void step_reuse(struct sim_party *p, bool is_fork)
{
    struct dialog *d = &P.dialog[party_index(p)];
    struct arena *a = scratch_new();
    struct sip_msg *req = parse(a, d->last_request);
    struct sip_edit *e = sip_edit_new(a, req);
    char cseq[64], via[256];
    struct buf *out;

    if (!is_fork) {
        snprintf(cseq, sizeof cseq, "%u %.*s", ++d->cseq, STR_FMT(req->method_text));
        sip_edit_set(e, SIP_H_CSEQ, str_z(cseq));
    }
    add_via(p, via, sizeof via);
    sip_edit_set(e, SIP_H_VIA, str_make(via + 5, strlen(via) - 7));
    if (sip_edit_build(e, &out) != 0)
        fail("cannot build the request");
    snprintf(d->last_request, sizeof d->last_request, "%.*s", (int)out->n, out->p);
    buf_unref(out);
    scratch_free(a);
    deliver(p, d->last_request);
}

/* A dialog, as its callee (RFC 3261 12.1.1). */
static void join(struct sim_party *p, const struct sip_msg *req)
{
    struct dialog *d = &P.dialog[party_index(p)];
    struct sip_values it = sip_values_start(req, SIP_H_RECORD_ROUTE);
    const struct sip_hdr *h = sip_msg_hdr(req, SIP_H_CONTACT, 0);
    struct sip_addr c;

    if ((req->method != SIP_INVITE && req->method != SIP_SUBSCRIBE && req->method != SIP_REFER) || req->to_tag.n)
        return;
    snprintf(d->call_id, sizeof d->call_id, "%.*s", STR_FMT(req->call_id));
    snprintf(d->remote_tag, sizeof d->remote_tag, "%.*s", STR_FMT(req->from_tag));
    snprintf(d->remote_uri, sizeof d->remote_uri, "%.*s", STR_FMT(req->from.uri));
    snprintf(d->local_uri, sizeof d->local_uri, "%.*s", STR_FMT(req->to.uri));
    d->routes[0] = 0;
    while (sip_values_next(&it)) {
        size_t at = strlen(d->routes);

        snprintf(d->routes + at, sizeof d->routes - at, "Route: %.*s\r\n", STR_FMT(it.value));
    }
    if (h && sip_addr_parse(h->value, &c) == 0)
        snprintf(d->target, sizeof d->target, "%.*s", STR_FMT(c.uri));
}

/* The tag by which the party goes in answers to this request. */
static void own_tag(struct sim_party *p, const struct sip_msg *req)
{
    struct dialog *d = &P.dialog[party_index(p)];

    if (!d->local_tag[0] || !str_eq(req->call_id, str_z(d->call_id)))
        snprintf(d->local_tag, sizeof d->local_tag, "tag-%s-%u", p->name, ++P.serial);
}

static const char *request_to_answer(unsigned i, char **word, unsigned n)
{
    unsigned k;

    if (n < 6 || strcmp(word[4], "to") != 0)
        return P.received_request[i];
    for (k = 0; k < ARRAY_LEN(P.received_method[i]); k++)
        if (strcmp(P.received_method[i][k].method, word[5]) == 0)
            return P.received_method[i][k].text;
    fail("no %s was received", word[5]);
}

/* What the party has just received is a request: kept, until it is answered. */
static void remember_request(unsigned i, struct str method)
{
    unsigned k;

    _Static_assert(sizeof P.received_request[0] == sizeof P.received[0] &&
                       sizeof P.received_method[0][0].text == sizeof P.received[0], "one size");
    memcpy(P.received_request[i], P.received[i], sizeof P.received[i]);
    for (k = 0; k < ARRAY_LEN(P.received_method[i]) - 1; k++)
        if (!P.received_method[i][k].method[0] || str_eq(method, str_z(P.received_method[i][k].method)))
            break;
    snprintf(P.received_method[i][k].method, sizeof P.received_method[i][k].method, "%.*s", STR_FMT(method));
    memcpy(P.received_method[i][k].text, P.received[i], sizeof P.received[i]);
}

/* A response to the last request the party took. */
static void step_reply(struct sim_party *p, char **word, unsigned n, const char *extra)
{
    unsigned i = party_index(p), status;
    struct dialog *d = &P.dialog[i];
    struct arena *a = scratch_new();
    struct sip_msg *req;
    struct sip_response r = {0};
    char contact[256], addr[ADDR_TEXT_MAX];
    const char *l, *body = body_of(extra);
    struct buf *out;
    char text[16384];

    if (n < 4)
        fail("PARTY > reply STATUS");
    status = (unsigned)strtoul(word[3], NULL, 10);
    if (!P.received_request[i][0])
        fail("%s has received no request", p->name);
    req = parse(a, request_to_answer(i, word, n));
    own_tag(p, req);
    if (n >= 6 && strcmp(word[n - 2], "tag") == 0) /* as a proxy's that forks */
        snprintf(d->local_tag, sizeof d->local_tag, "%s", word[n - 1]);
    r.status = status;
    r.to_tag = str_z(d->local_tag);
    for (l = extra; *l && strncmp(l, "\r\n", 2) != 0; l = strstr(l, "\r\n") + 2) {
        const char *colon = strchr(l, ':'), *end = strstr(l, "\r\n");

        r.extra[r.n_extra].name = str_make(l, (size_t)(colon - l));
        r.extra[r.n_extra++].value = str_trim(str_make(colon + 1, (size_t)(end - colon - 1)));
    }
    if (body) {
        r.body = str_z(body);
        if (!has_header(extra, "Content-Type"))
            r.content_type = STR("application/sdp");
    }
    if (status > 100 && status < 300 && !has_header(extra, "Contact") && req->method != SIP_BYE) {
        addr_text(&p->addr, addr);
        snprintf(contact, sizeof contact, "<sip:%s@%s>", p->name, addr);
        r.extra[r.n_extra].name = STR("Contact");
        r.extra[r.n_extra++].value = str_z(contact);
    }
    if (sip_response_build(req, &r, &out) != 0)
        fail("cannot build the response");
    if (status > 100 && status < 300)
        join(p, req);
    snprintf(text, sizeof text, "%.*s", (int)out->n, out->p);
    buf_unref(out);
    scratch_free(a);
    deliver(p, text);
}

static void step_ack(struct sim_party *p, const char *extra)
{
    struct dialog *d = &P.dialog[party_index(p)];
    struct arena *a = scratch_new();
    struct sip_msg *resp = parse(a, P.received[party_index(p)]);
    struct buf *out;
    char text[16384];

    if (resp->is_request)
        fail("%s has no final response to acknowledge", p->name);
    if (resp->status < 300) {
        const struct sip_hdr *h = d->invite[0] ? sip_msg_hdr(parse(a, d->invite), SIP_H_PROXY_AUTHORIZATION, 0) : NULL;

        snprintf(text, sizeof text, "%s", extra);
        if (h) /* RFC 3261 22.1 */
            snprintf(text, sizeof text, "Proxy-Authorization: %.*s\r\n%s", STR_FMT(h->value), extra);
        send_request(p, "ACK", d->target[0] ? d->target : d->remote_uri, true, text);
    } else {
        if (sip_ack_build(parse(a, d->invite), resp, &out) != 0)
            fail("cannot build the ACK");
        snprintf(text, sizeof text, "%.*s", (int)out->n, out->p);
        buf_unref(out);
        deliver(p, text);
    }
    scratch_free(a);
}

/* CANCEL of its INVITE, by itself or from elsewhere. */
static void step_cancel(struct sim_party *p, struct sim_party *from)
{
    struct arena *a = scratch_new();
    struct buf *out;
    char text[16384];

    if (sip_cancel_build(parse(a, P.dialog[party_index(p)].invite), STR_NULL, &out) != 0)
        fail("cannot build the CANCEL");
    snprintf(text, sizeof text, "%.*s", (int)out->n, out->p);
    buf_unref(out);
    scratch_free(a);
    deliver(from, text);
}

/* ---- expecting ---- */

bool take(struct sim_party *p, char *dst, size_t cap)
{
    struct sim_msg *m;

    if (!p->n)
        return false;
    m = &p->queue[p->head];
    snprintf(dst, cap, "%.*s", (int)m->buf->n, m->buf->p);
    buf_unref(m->buf);
    p->head = (p->head + 1) % SIM_QUEUE;
    p->n--;
    return true;
}

const char *first_line(const char *text)
{
    static char line[256];

    snprintf(line, sizeof line, "%.*s", (int)strcspn(text, "\r\n"), text);
    return line;
}

/* A party that called learns its route set and target from a response that makes the dialog (RFC 3261 12.1.2). */
static void learn(struct sim_party *p, const struct sip_msg *m)
{
    struct dialog *d = &P.dialog[party_index(p)];
    struct str v[16];
    struct sip_values it;
    struct sip_addr c;
    const struct sip_hdr *h = sip_msg_hdr(m, SIP_H_CONTACT, 0);
    unsigned n = 0;

    if (m->is_request || m->status <= 100 || m->status >= 300 ||
        (m->cseq_method != SIP_INVITE && m->cseq_method != SIP_SUBSCRIBE) || !m->to_tag.n)
        return;
    if (h && sip_addr_parse(h->value, &c) == 0)
        snprintf(d->target, sizeof d->target, "%.*s", STR_FMT(c.uri));
    if (d->routes[0] && str_eq(m->to_tag, str_z(d->remote_tag)))
        return; /* the route set stays (12.2.1.2) */
    snprintf(d->remote_tag, sizeof d->remote_tag, "%.*s", STR_FMT(m->to_tag));
    d->routes[0] = 0;
    for (it = sip_values_start(m, SIP_H_RECORD_ROUTE); n < 16 && sip_values_next(&it); n++)
        v[n] = it.value;
    while (n-- > 0) {
        size_t at = strlen(d->routes);

        snprintf(d->routes + at, sizeof d->routes - at, "Route: %.*s\r\n", STR_FMT(v[n]));
    }
}

/* `save-line VAR TEXT`: what stands behind the text in a line of the body; `lines N TEXT`: how many lines begin with it. */
static void check_body_lines(const struct sip_msg *m, bool save, char *name, const char *text)
{
    struct str rest = m->body, line;
    size_t n = strlen(text);
    unsigned found = 0;

    while (rest.n) {
        rest = str_cut(rest, '\n', &line);
        if (line.n && line.p[line.n - 1] == '\r')
            line.n--;
        if (line.n < n || memcmp(line.p, text, n) != 0)
            continue;
        if (save) {
            var_set(name, str_make(line.p + n, line.n - n));
            return;
        }
        found++;
    }
    if (save || found != strtoul(name, NULL, 10))
        fail("%u lines \"%s\" in the body \"%.*s\"", found, text, STR_FMT(m->body));
}

/* Does the payload of a token in its Identity headers (RFC 8225 4) have the text? */
static bool has_claim(const struct sip_msg *m, const char *text)
{
    const struct sip_hdr *h;
    char payload[4096];
    unsigned i;
    size_t n;

    for (i = 0; (h = sip_msg_hdr(m, SIP_H_IDENTITY, i)) != NULL; i++) {
        struct str head, body, rest = str_cut(h->value, '.', &head);

        (void)str_cut(rest, '.', &body);
        if (str_base64_decode(payload, sizeof payload, body, true, &n) == 0 && memmem(payload, n, text, strlen(text)))
            return true;
    }
    return false;
}

/* Is every fingerprint of its body under a signature (RFC 8225 5.2.2: hex without colons)? */
static void check_keys_signed(const struct sip_msg *m)
{
    static const char prefix[] = "a=fingerprint:sha-256 ";
    struct str rest = m->body, line;
    unsigned found = 0;

    while (rest.n) {
        char hex[128];
        size_t n = 0;

        rest = str_cut(rest, '\n', &line);
        if (line.n < sizeof prefix || memcmp(line.p, prefix, sizeof prefix - 1) != 0)
            continue;
        for (size_t i = sizeof prefix - 1; i < line.n && n < sizeof hex - 1; i++)
            if (isxdigit((unsigned char)line.p[i]))
                hex[n++] = line.p[i];
        hex[n] = 0;
        if (!has_claim(m, hex))
            fail("no Identity claims the fingerprint %s", hex);
        found++;
    }
    if (!found)
        fail("no fingerprint in the body \"%.*s\"", STR_FMT(m->body));
}

/* Checks under an expectation: `has HEADER TEXT`, `no HEADER`, `is HEADER TEXT`, `count HEADER N`, `save VAR HEADER [PARAM]`,
 * `uri TEXT`, `claims TEXT`, `keys-signed`, `body TEXT`, `nobody TEXT`, `lines N TEXT`, `save-line VAR TEXT`. */
static void check_line(const struct sip_msg *m, char *line)
{
    char full[2048], *verb, *name, *rest;
    const struct sip_hdr *h;
    struct str v;
    unsigned i;

    expand(full, sizeof full, line);
    verb = strtok_r(full, " ", &rest);
    if (strcmp(verb, "uri") == 0 || strcmp(verb, "body") == 0) {
        v = verb[0] == 'u' ? m->ruri : m->body;
        if (!memmem(v.p, v.n, rest, strlen(rest)))
            fail("%s is \"%.*s\", expected \"%s\"", verb, STR_FMT(v), rest);
        return;
    }
    if (strcmp(verb, "signed-by") == 0) {
        check_signed_by(m, rest);
        return;
    }
    if (strcmp(verb, "claims") == 0) {
        if (!has_claim(m, rest))
            fail("no Identity claims \"%s\"", rest);
        return;
    }
    if (strcmp(verb, "keys-signed") == 0) {
        check_keys_signed(m);
        return;
    }
    if (strcmp(verb, "nobody") == 0) {
        if (memmem(m->body.p, m->body.n, rest, strlen(rest)))
            fail("body is \"%.*s\", which has \"%s\"", STR_FMT(m->body), rest);
        return;
    }
    name = strtok_r(NULL, " ", &rest);
    if (!name)
        fail("a check needs a header");
    if (strcmp(verb, "save-line") == 0 || strcmp(verb, "lines") == 0) {
        check_body_lines(m, verb[0] == 's', name, rest);
        return;
    }
    if (strcmp(verb, "save") == 0) {
        char *header = strtok_r(NULL, " ", &rest), *param = strtok_r(NULL, " ", &rest);
        struct sip_addr a;

        h = header ? sip_msg_hdr_named(m, str_z(header), 0) : NULL;
        if (!h)
            fail("no header %s to save", header ? header : "");
        v = h->value;
        if (param && strcmp(param, "uri") == 0) {
            if (sip_addr_parse(v, &a) != 0)
                fail("no address in %s", header);
            v = a.uri;
        } else if (param) {
            const char *semi = memchr(v.p, ';', v.n);

            if (sip_addr_parse(v, &a) != 0 || !sip_param_find(a.params, str_z(param), &v)) {
                v = h->value;
                if (!semi || !sip_param_find(str_make(semi, v.n - (size_t)(semi - v.p)), str_z(param), &v))
                    fail("no parameter %s in %s", param, header);
            }
        }
        var_set(name, v);
        return;
    }
    h = sip_msg_hdr_named(m, str_z(name), 0);
    if (strcmp(verb, "no") == 0) {
        if (h)
            fail("%s is there: %.*s", name, STR_FMT(h->value));
        return;
    }
    if (strcmp(verb, "count") == 0) {
        for (i = 0; sip_msg_hdr_named(m, str_z(name), i); i++)
            ;
        if (i != strtoul(rest, NULL, 10))
            fail("%u headers %s, expected %s", i, name, rest);
        return;
    }
    if (!h)
        fail("no header %s", name);
    for (i = 0; (h = sip_msg_hdr_named(m, str_z(name), i)) != NULL; i++)
        if (strcmp(verb, "is") == 0 ? str_eq(h->value, str_z(rest)) : memmem(h->value.p, h->value.n, rest, strlen(rest)) != NULL)
            return;
    h = sip_msg_hdr_named(m, str_z(name), 0);
    fail("%s is \"%.*s\", expected \"%s\"", name, STR_FMT(h->value), rest);
}

/* The registrar shows that it knows the password as well (RFC 7616 3.5). */
static void check_proof(unsigned i, struct arena *a, const struct sip_msg *m)
{
    const struct sip_hdr *h = sip_msg_hdr(m, SIP_H_AUTHENTICATION_INFO, 0);
    struct digest_info info;
    struct digest_credentials c;
    struct reason why = {0};

    if (!h || digest_info_parse(a, h->value, &info, &why) != 0 || !info.rspauth.n)
        fail("no proof in the 200 to REGISTER");
    if (digest_credentials_parse(a, str_z(P.answered[i]), &c, &why) != 0 ||
        digest_info_check(&info, &c, &P.ha1[i], m->body, &why) != 0)
        fail("the proof in Authentication-Info is wrong: %s", why.code);
}

/* PARTY < STATUS [METHOD]   or   PARTY < METHOD */
static void step_expect(struct sim_party *p, char **word, unsigned n)
{
    unsigned i = party_index(p), status = (unsigned)strtoul(word[2], NULL, 10);
    struct arena *a = scratch_new();
    struct sip_msg *m;

    if (!take(p, P.received[i], sizeof P.received[i]))
        fail("%s received nothing, expected %s", p->name, word[2]);
    m = parse(a, P.received[i]);
    if (m->defect.sip_status)
        fail("%s received a malformed message (%s): %s", p->name, m->defect.code, first_line(P.received[i]));
    if (status ? m->is_request || m->status != status || (n > 3 && !str_eq(m->cseq_method_text, str_z(word[3])))
               : !m->is_request || !str_eq(m->method_text, str_z(word[2])))
        fail("%s received \"%s\" (%.*s), expected %s", p->name, first_line(P.received[i]), STR_FMT(m->cseq_method_text), word[2]);
    if (m->is_request && m->method != SIP_ACK && m->method != SIP_CANCEL)
        remember_request(i, m->method_text);
    learn(p, m);
    while (P.at < P.n_lines && P.lines[P.at][0] == ' ') {
        char *l = P.lines[P.at++];

        while (*l == ' ')
            l++;
        if (*l && *l != '#')
            check_line(m, l);
    }
    scratch_free(a);
}

/* The dialog of the last request, before it is answered. */
static void step_joins(struct sim_party *p)
{
    struct arena *a = scratch_new();
    struct sip_msg *req = parse(a, P.received_request[party_index(p)]);

    own_tag(p, req);
    join(p, req);
    scratch_free(a);
}

/* NAME registers, NAME sends METHOD URI: with the challenge in between, which must come. */
static void step_sends(struct sim_party *p, const char *method, const char *uri, const char *extra)
{
    unsigned i = party_index(p);
    struct arena *a = scratch_new();
    struct sip_msg *m;

    send_request(p, method, uri, false, extra);
    if (!take(p, P.received[i], sizeof P.received[i]))
        fail("%s received nothing, expected a challenge", p->name);
    m = parse(a, P.received[i]);
    if (m->is_request || (m->status != 401 && m->status != 407))
        fail("%s received \"%s\", expected a challenge", p->name, first_line(P.received[i]));
    scratch_free(a);
    if (strcmp(method, "INVITE") == 0)
        step_ack(p, "");
    step_auth(p, NULL, 0);
}

static void step_registers(struct sim_party *p, const char *uri, const char *extra)
{
    unsigned i = party_index(p);
    struct arena *a;

    step_sends(p, "REGISTER", uri, extra);
    if (!take(p, P.received[i], sizeof P.received[i]) || strncmp(P.received[i], "SIP/2.0 200", 11) != 0)
        fail("%s is not registered: %s", p->name, first_line(P.received[i]));
    a = scratch_new();
    check_proof(i, a, parse(a, P.received[i]));
    scratch_free(a);
}

/* ---- a line about a party ---- */

void step_party_verb(struct sim_party *p, char **word, unsigned n, char *line_end)
{
    struct dialog *d = &P.dialog[party_index(p)];
    char extra[8192];
    bool in_dialog;

    if (strcmp(word[1], "<") == 0) {
        if (n < 3)
            fail("PARTY < STATUS or METHOD");
        step_expect(p, word, n);
        return;
    }
    if (strcmp(word[1], "registers") == 0 && n <= 3) {
        extra_lines(line_end, extra, sizeof extra);
        step_registers(p, n > 2 ? word[2] : "sip:example.com", extra);
        return;
    }
    if (strcmp(word[1], "sends") == 0 && n == 4) {
        extra_lines(line_end, extra, sizeof extra);
        step_sends(p, word[2], word[3], extra);
        return;
    }
    if (strcmp(word[1], ">") != 0 || n < 3)
        fail("PARTY > what, or PARTY < what");
    extra_lines(line_end, extra, sizeof extra);
    in_dialog = n > 3 && strcmp(word[n - 1], "in-dialog") == 0;
    if (strcmp(word[2], "raw") == 0) {
        char text[32768];
        size_t k;

        block(text, sizeof text);
        k = strlen(text);
        if (!strstr(text, "\r\n\r\n"))
            snprintf(text + k, sizeof text - k, "\r\n");
        deliver(p, text);
    } else if (strcmp(word[2], "auth") == 0)
        step_auth(p, word, n);
    else if (strcmp(word[2], "again") == 0)
        deliver(p, d->last_request);
    else if (strcmp(word[2], "echo") == 0)
        deliver(p, P.received_request[party_index(p)]);
    else if (strcmp(word[2], "reuse") == 0)
        step_reuse(p, false);
    else if (strcmp(word[2], "forks") == 0)
        step_reuse(p, true);
    else if (strcmp(word[2], "ack") == 0)
        step_ack(p, extra);
    else if (strcmp(word[2], "cancel") == 0)
        step_cancel(p, p);
    else if (strcmp(word[2], "cancel-from") == 0 && n > 3)
        step_cancel(p, party(word[3]));
    else if (strcmp(word[2], "moves-to") == 0 && n > 3)
        P.dialog[party_index(party(word[3]))] = *d;
    else if (strcmp(word[2], "joins") == 0)
        step_joins(p);
    else if (strcmp(word[2], "reply") == 0)
        step_reply(p, word, n, extra);
    else if (in_dialog)
        send_request(p, word[2], n > 4 ? word[3] : d->target, true, extra);
    else if (n > 3)
        send_request(p, word[2], word[3], false, extra);
    else
        fail("PARTY > METHOD URI");
}
