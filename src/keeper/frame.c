/* Frames between the daemon and its keeper, both directions. Pure. */
#include "keeper/frame.h"
#include "identity/jws.h"
#include "identity/rfc4474.h"

static const struct {
    struct str text;
    int err;
} statuses[KEEPER_STATUS_N] = {
    [KEEPER_DONE] = {{"signed", 6}, 0},
    [KEEPER_REFUSED] = {{"refused", 7}, ERR_REFUSED},
    [KEEPER_LIMITED] = {{"limited", 7}, ERR_LIMIT},
    [KEEPER_NO_KEY] = {{"no-key", 6}, ERR_NOTFOUND},
    [KEEPER_MALFORMED] = {{"malformed", 9}, ERR_SYNTAX},
    [KEEPER_FAILED] = {{"failed", 6}, ERR_CRYPTO},
};

struct str keeper_status_text(enum keeper_status s)
{
    return statuses[s].text;
}

int keeper_status_err(enum keeper_status s)
{
    return statuses[s].err;
}

static uint64_t read_be(const char *p, size_t n)
{
    uint64_t v = 0;

    for (size_t i = 0; i < n; i++)
        v = v << 8 | (uint8_t)p[i];
    return v;
}

static void write_be(struct sbuf *b, uint64_t v, size_t n)
{
    for (size_t i = n; i > 0; i--)
        sbuf_char(b, (char)(v >> (8 * (i - 1))));
}

static int parse_sign(struct str in, struct keeper_frame *ret)
{
    size_t n;

    if (in.n < 9)
        return ERR_SYNTAX;
    ret->id = read_be(in.p, 8);
    n = (uint8_t)in.p[8];
    if (n == 0 || n > LIMIT_KEEPER_NAME || in.n - 9 <= n)
        return ERR_SYNTAX;
    ret->name = str_make(in.p + 9, n);
    ret->body = str_make(in.p + 9 + n, in.n - 9 - n);
    return 0;
}

static int parse_tls(struct str in, struct keeper_frame *ret)
{
    int err = parse_sign(in, ret);

    if (err != 0 || ret->body.n <= 3)
        return ERR_SYNTAX;
    ret->kind = (uint8_t)ret->body.p[0];
    ret->scheme = (uint16_t)read_be(ret->body.p + 1, 2);
    ret->body = str_make(ret->body.p + 3, ret->body.n - 3);
    return 0;
}

static int parse_answer(struct str in, size_t max, struct keeper_frame *ret)
{
    if (in.n < 9 || in.n - 9 > max || (uint8_t)in.p[8] >= KEEPER_STATUS_N)
        return ERR_SYNTAX;
    ret->id = read_be(in.p, 8);
    ret->status = (enum keeper_status)(uint8_t)in.p[8];
    ret->body = str_make(in.p + 9, in.n - 9);
    return 0;
}

/* A signature stands in a header field afterwards: nothing but base64url, or base64, may come
 * through. */
static int parse_signed(struct str in, size_t max, const char *others, struct keeper_frame *ret)
{
    int err = parse_answer(in, max, ret);

    if (err != 0 || (ret->status == KEEPER_DONE) != (ret->body.n > 0))
        return ERR_SYNTAX;
    for (size_t i = 0; i < ret->body.n; i++) {
        char c = ret->body.p[i], l = str_lower(c);

        if (!((l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || (c && strchr(others, c))))
            return ERR_SYNTAX;
    }
    return 0;
}

static int parse_tls_signed(struct str in, struct keeper_frame *ret)
{
    int err = parse_answer(in, PKI_SIGNATURE_MAX, ret);

    return err != 0 || (ret->status == KEEPER_DONE) != (ret->body.n > 0) ? ERR_SYNTAX : 0;
}

int keeper_frame_parse(struct str in, struct keeper_frame *ret, size_t *ret_n)
{
    struct str body;
    size_t n;

    if (in.n < KEEPER_HEAD)
        return ERR_AGAIN;
    n = (size_t)read_be(in.p, 4);
    if (n > LIMIT_KEEPER_FRAME - KEEPER_HEAD)
        return ERR_LIMIT;
    if ((uint8_t)in.p[4] != KEEPER_VERSION || in.p[6] != 0 || in.p[7] != 0)
        return ERR_SYNTAX;
    if (in.n - KEEPER_HEAD < n)
        return ERR_AGAIN;
    *ret = (struct keeper_frame){.type = (enum keeper_type)(uint8_t)in.p[5]};
    *ret_n = KEEPER_HEAD + n;
    body = str_make(in.p + KEEPER_HEAD, n);
    switch (ret->type) {
    case KEEPER_SIGN:
    case KEEPER_RFC4474:
        return parse_sign(body, ret);
    case KEEPER_SIGNED:
        return parse_signed(body, JWS_SIGNATURE_TEXT_MAX - 1, "-_", ret);
    case KEEPER_RFC4474_SIGNED:
        return parse_signed(body, RFC4474_SIGNATURE_TEXT_MAX - 1, "+/=", ret);
    case KEEPER_RELOAD:
        return n == 0 ? 0 : ERR_SYNTAX;
    case KEEPER_STATE:
        return parse_answer(body, KEEPER_TEXT_MAX, ret);
    case KEEPER_TLS:
        return parse_tls(body, ret);
    case KEEPER_TLS_SIGNED:
        return parse_tls_signed(body, ret);
    }
    return ERR_SYNTAX;
}

size_t keeper_frame_size(const struct keeper_frame *f)
{
    switch (f->type) {
    case KEEPER_SIGN:
    case KEEPER_RFC4474:
        return KEEPER_HEAD + 9 + f->name.n + f->body.n;
    case KEEPER_TLS:
        return KEEPER_HEAD + 12 + f->name.n + f->body.n;
    case KEEPER_RELOAD:
        return KEEPER_HEAD;
    case KEEPER_SIGNED:
    case KEEPER_STATE:
    case KEEPER_TLS_SIGNED:
    case KEEPER_RFC4474_SIGNED:
        break;
    }
    return KEEPER_HEAD + 9 + f->body.n;
}

void keeper_frame_build(struct sbuf *b, const struct keeper_frame *f)
{
    size_t n = keeper_frame_size(f);

    if (n > LIMIT_KEEPER_FRAME || n > b->cap - b->n || f->name.n > LIMIT_KEEPER_NAME) {
        b->overflow = true;
        return;
    }
    write_be(b, n - KEEPER_HEAD, 4);
    sbuf_char(b, (char)KEEPER_VERSION);
    sbuf_char(b, (char)f->type);
    write_be(b, 0, 2);
    if (f->type == KEEPER_RELOAD)
        return;
    write_be(b, f->id, 8);
    if (f->type == KEEPER_SIGN || f->type == KEEPER_TLS || f->type == KEEPER_RFC4474) {
        sbuf_char(b, (char)f->name.n);
        sbuf_str(b, f->name);
    } else {
        sbuf_char(b, (char)f->status);
    }
    if (f->type == KEEPER_TLS) {
        sbuf_char(b, (char)f->kind);
        write_be(b, f->scheme, 2);
    }
    sbuf_str(b, f->body);
}
