/* The HTTP request that opens a WebSocket, and its answer. RFC 6455 4.2.1, 4.2.2, 4.4; RFC
 * 7118 4.1; RFC 7230 3. Only what this request may be is understood: GET, HTTP/1.1, no body. Pure;
 * any thread. */
#include "base/err.h"
#include "base/sbuf.h"
#include "net/ws.h"
#include <openssl/sha.h>

struct request {
    struct str target;
    bool has_host, has_upgrade_field, has_upgrade, has_connection, has_sip, is_duplicate;
    unsigned n_key, n_version, n_origin;
    struct str key, version, origin;
};

static bool is_token(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c <= ' ' || c >= 0x7f || strchr("()<>@,;:\\\"/[]?={}", c))
            return false;
    }
    return s.n > 0;
}

static bool has_token(struct str list, struct str token)
{
    while (list.p) {
        struct str one;
        list = str_cut(list, ',', &one);
        if (str_eq_nocase(str_trim(one), token))
            return true;
    }
    return false;
}

static bool take_field(struct request *r, struct str line)
{
    struct str name, value = str_cut(line, ':', &name);
    if (!value.p || !is_token(name)) /* folded lines fail here too: RFC 7230 3.2.4 */
        return false;
    value = str_trim(value);
    for (size_t i = 0; i < value.n; i++) {
        if ((unsigned char)value.p[i] < ' ' && value.p[i] != '\t')
            return false;
    }
    if (str_eq_nocase(name, STR("Host"))) {
        r->is_duplicate |= r->has_host;
        r->has_host = true;
    } else if (str_eq_nocase(name, STR("Upgrade"))) {
        r->has_upgrade_field = true;
        r->has_upgrade |= has_token(value, STR("websocket"));
    } else if (str_eq_nocase(name, STR("Connection"))) {
        r->has_connection |= has_token(value, STR("upgrade"));
    } else if (str_eq_nocase(name, STR("Sec-WebSocket-Key"))) {
        r->n_key++;
        r->key = value;
    } else if (str_eq_nocase(name, STR("Sec-WebSocket-Version"))) {
        r->n_version++;
        r->version = value;
    } else if (str_eq_nocase(name, STR("Sec-WebSocket-Protocol"))) {
        r->has_sip |= has_token(value, STR("sip"));
    } else if (str_eq_nocase(name, STR("Origin"))) {
        r->n_origin++;
        r->origin = value;
    } else if (str_eq_nocase(name, STR("Content-Length"))) {
        return str_eq(value, STR("0"));
    } else if (str_eq_nocase(name, STR("Transfer-Encoding"))) {
        return false;
    }
    return true;
}

/* "GET /path HTTP/1.1"; for an upgrade any path is ours. */
static bool take_get(struct request *r, struct str line)
{
    struct str method, target, rest = str_cut(line, ' ', &method);
    struct str version = rest.p ? str_cut(rest, ' ', &target) : STR_NULL;
    if (!version.p)
        return false;
    r->target = target;
    return str_eq(method, STR("GET")) && target.n > 0 && str_eq(version, STR("HTTP/1.1"));
}

/* The request without its last empty line. */
static bool parse(struct str head, struct request *r)
{
    bool is_first = true;
    while (head.n) {
        struct str line;
        head = str_cut(head, '\n', &line);
        if (line.n < 2 || line.p[line.n - 1] != '\r' || memchr(line.p, '\r', line.n - 1) ||
            memchr(line.p, 0, line.n))
            return false;
        line.n--;
        if (!(is_first ? take_get(r, line) : take_field(r, line)))
            return false;
        is_first = false;
    }
    return !is_first && !r->is_duplicate && r->n_key <= 1 && r->n_version <= 1 && r->n_origin <= 1;
}

static int refuse(char *dst, size_t *ret_n, const char *status, const char *extra,
                  struct reason *reason, const char *code, const char *clause, const char *detail)
{
    struct sbuf b = sbuf_make(dst, WS_ANSWER_MAX);
    sbuf_fmt(&b, "HTTP/1.1 %s\r\n%sConnection: close\r\nContent-Length: 0\r\n\r\n", status, extra);
    *ret_n = b.n;
    reason_set(reason, code, clause, 0, "%s", detail);
    return ERR_REFUSED;
}

static void accept_value(struct str key, char dst[32])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    unsigned char in[64], digest[SHA_DIGEST_LENGTH];
    memcpy(in, key.p, key.n); /* 24 bytes, checked by the caller */
    memcpy(in + key.n, guid, sizeof(guid) - 1);
    SHA1(in, key.n + sizeof(guid) - 1, digest);
    if (str_base64_encode(dst, 32, digest, sizeof(digest), false) != 0)
        dst[0] = '\0'; /* cannot be: 28 bytes and the NUL fit */
}

static int answer(const struct request *r, struct str origins, char *dst, size_t *ret_n,
                  struct reason *reason)
{
    unsigned char raw[16];
    size_t n;
    if (!r->has_upgrade || !r->has_connection)
        return refuse(dst, ret_n, "426 Upgrade Required", "Upgrade: websocket\r\n", reason,
                      "ws-no-upgrade", "RFC 6455 4.2.1", "no upgrade to websocket asked for");
    if (r->n_version != 1 || !str_eq(r->version, STR("13")))
        return refuse(dst, ret_n, "426 Upgrade Required",
                      "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n", reason, "ws-version",
                      "RFC 6455 4.4", "version is not 13");
    if (!r->has_host || r->n_key != 1 || r->key.n != 24 ||
        str_base64_decode(raw, sizeof(raw), r->key, false, &n) != 0 || n != sizeof(raw))
        return refuse(dst, ret_n, "400 Bad Request", "", reason, "ws-key", "RFC 6455 4.2.1",
                      "Host or Sec-WebSocket-Key missing or malformed");
    if (!r->has_sip)
        return refuse(dst, ret_n, "400 Bad Request", "", reason, "ws-subprotocol", "RFC 7118 4.1",
                      "subprotocol sip not offered");
    if (origins.n && r->n_origin && !has_token(origins, r->origin)) {
        int err = refuse(dst, ret_n, "403 Forbidden", "", reason, "ws-origin", "RFC 6455 10.2", "");
        reason_set(reason, "ws-origin", "RFC 6455 10.2", 0, "origin %.*s", STR_FMT(r->origin));
        return err;
    }
    char value[32];
    struct sbuf b = sbuf_make(dst, WS_ANSWER_MAX);
    accept_value(r->key, value);
    sbuf_fmt(&b,
             "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: sip\r\n\r\n",
             value);
    *ret_n = b.n;
    return 0;
}

static void page_head(const struct net_page *page, char *dst, size_t *ret_n)
{
    struct sbuf b = sbuf_make(dst, WS_ANSWER_MAX);
    sbuf_fmt(&b,
             "HTTP/1.1 200 OK\r\nContent-Type: %.*s\r\nContent-Length: %zu\r\n"
             "Cache-Control: max-age=%u\r\nX-Content-Type-Options: nosniff\r\n"
             "Connection: close\r\n\r\n",
             STR_FMT(page->type), page->body.n, (unsigned)page->max_age_s);
    *ret_n = b.overflow ? 0 : b.n;
}

int ws_upgrade(struct str in, struct str origins, const struct net_pages *pages,
               char dst[WS_ANSWER_MAX], size_t *ret_n, size_t *ret_used,
               const struct net_page **ret_page, struct reason *reason)
{
    struct request r = {0};
    *ret_n = *ret_used = 0;
    *ret_page = NULL;
    const char *end = memmem(in.p, in.n, "\r\n\r\n", 4);
    if (in.n && in.p[0] != 'G')
        return refuse(dst, ret_n, "400 Bad Request", "", reason, "ws-not-http", "RFC 6455 4.2.1",
                      "not a GET request");
    if (!end && in.n < WS_UPGRADE_MAX)
        return ERR_AGAIN;
    if (!end || (size_t)(end - in.p) > WS_UPGRADE_MAX)
        return refuse(dst, ret_n, "431 Request Header Fields Too Large", "", reason, "ws-too-large",
                      "RFC 6585 5", "upgrade request above what is taken");
    *ret_used = (size_t)(end - in.p) + 4;
    if (!parse(str_make(in.p, *ret_used - 2), &r))
        return refuse(dst, ret_n, "400 Bad Request", "", reason, "ws-request", "RFC 7230 3",
                      "malformed request");
    if (!r.has_upgrade_field && r.has_host && r.n_key == 0 &&
        (*ret_page = net_pages_find(pages, r.target)) != NULL) {
        page_head(*ret_page, dst, ret_n);
        return 0;
    }
    return answer(&r, origins, dst, ret_n, reason);
}
