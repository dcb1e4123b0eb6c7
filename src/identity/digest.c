/* Digest arithmetic of both sides: hashed passwords, responses, rspauth (RFC 7616 3.4, RFC
 * 3261 22.4, RFC 8760 2). Pure; any thread. */
#include "base/secret.h"
#include "identity/identity_priv.h"
#include <stdio.h>

#define HEX_MAX (2 * DIGEST_BYTES_MAX)

struct hex {
    char p[HEX_MAX + 1];
    size_t n;
};

static struct str hex_str(const struct hex *h)
{
    return str_make(h->p, h->n);
}

struct str digest_algo_text(enum digest_algo a)
{
    switch (a) {
    case DIGEST_MD5:
        return STR("MD5");
    case DIGEST_SHA256:
        return STR("SHA-256");
    case DIGEST_SHA512_256:
        return STR("SHA-512-256");
    default:
        return STR_NULL;
    }
}

int digest_ha1_make(enum digest_algo a, struct str user, struct str realm, struct str password,
                    struct digest_ha1 *ret)
{
    NO_AUTO_INIT struct hash h;
    int err;

    *ret = (struct digest_ha1){.algo = a};
    hash_start(&h, a);
    hash_add(&h, user);
    hash_colon(&h);
    hash_add(&h, realm);
    hash_colon(&h);
    hash_add(&h, password);
    err = hash_finish(&h, ret->bytes);
    hash_wipe(&h);
    if (err) {
        secret_wipe(ret->bytes, sizeof(ret->bytes));
        return err;
    }
    ret->n = (uint8_t)hash_len(a);
    return 0;
}

static int hash_hex(struct hash *h, struct hex *ret)
{
    uint8_t bytes[DIGEST_BYTES_MAX];
    int err = hash_finish(h, bytes);

    if (err)
        return err;
    ret->n = 2 * hash_len(h->algo);
    str_hex(ret->p, bytes, hash_len(h->algo));
    return 0;
}

/* H(A1) as text. For -sess the hashed password is hashed once more with both nonces (RFC
 * 7616 3.4.2); H() stands for the hex text there as everywhere (RFC 2617 erratum 1649). */
static int a1_hex(const struct digest_credentials *c, const struct digest_ha1 *ha1, struct hex *ret)
{
    NO_AUTO_INIT struct hash h;
    int err;

    ret->n = 2u * ha1->n;
    str_hex(ret->p, ha1->bytes, ha1->n);
    if (!c->sess)
        return 0;
    hash_start(&h, c->algo);
    hash_add(&h, hex_str(ret));
    hash_colon(&h);
    hash_add(&h, c->nonce);
    hash_colon(&h);
    hash_add(&h, c->cnonce);
    err = hash_hex(&h, ret);
    hash_wipe(&h);
    return err;
}

/* H(A2) without a body, method ":" uri, is the same for all phones of a domain that register: each
 * thread keeps the last few. */
#define A2_KEPT 8u
struct a2 {
    enum digest_algo algo;
    size_t n; /* of text; 0: not in use */
    char text[120];
    struct hex hex;
};
static _Thread_local struct a2 a2_kept[A2_KEPT];

static bool a2_is(const struct a2 *k, enum digest_algo a, struct str method, struct str uri)
{
    return k->n == method.n + 1 + uri.n && k->algo == a &&
           str_eq(str_make(k->text, method.n), method) && k->text[method.n] == ':' &&
           str_eq(str_make(k->text + method.n + 1, uri.n), uri);
}

static int a2_auth(enum digest_algo a, struct str method, struct str uri, const struct hex **ret,
                   struct hex *room)
{
    struct a2 *k = &a2_kept[(uri.n + (method.n ? (unsigned char)method.p[0] : 0)) % A2_KEPT];
    bool fits = method.n + 1 + uri.n <= sizeof(k->text);
    NO_AUTO_INIT struct hash h;
    int err;

    *ret = &k->hex;
    if (a2_is(k, a, method, uri))
        return 0;
    hash_start(&h, a);
    hash_add(&h, method);
    hash_colon(&h);
    hash_add(&h, uri);
    *ret = room;
    if ((err = hash_hex(&h, room)) != 0 || !fits)
        return err;
    *k = (struct a2){.algo = a, .n = method.n + 1 + uri.n, .hex = *room};
    if (method.n)
        memcpy(k->text, method.p, method.n);
    k->text[method.n] = ':';
    if (uri.n)
        memcpy(k->text + method.n + 1, uri.p, uri.n);
    return 0;
}

/* H(A2), RFC 7616 3.4.3; without a body its hash is that of the empty string (RFC 8760 2.6 item 7).
 * It stands in `room`, or is one that is kept until the next call. */
static int a2_hex(const struct digest_credentials *c, struct str method, struct str body,
                  const struct hex **ret, struct hex *room)
{
    NO_AUTO_INIT struct hash h;
    struct hex body_hex;
    int err;

    if (!str_eq(c->qop, STR("auth-int")))
        return a2_auth(c->algo, method, c->uri, ret, room);
    hash_start(&h, c->algo);
    hash_add(&h, body);
    if ((err = hash_hex(&h, &body_hex)) != 0)
        return err;
    hash_start(&h, c->algo);
    hash_add(&h, method);
    hash_colon(&h);
    hash_add(&h, c->uri);
    hash_colon(&h);
    hash_add(&h, hex_str(&body_hex));
    *ret = room;
    return hash_hex(&h, room);
}

/* What all responses to one nonce and count begin with: RFC 7616 3.4.1, or RFC 2069 when there is
 * no qop. As good as the password: hash_wipe it, whatever this returns. */
static int response_start(const struct digest_credentials *c, const struct digest_ha1 *ha1,
                          struct hash *h)
{
    struct hex a1;
    int err = a1_hex(c, ha1, &a1);

    hash_start(h, c->algo);
    if (err)
        goto out;
    hash_add(h, hex_str(&a1));
    hash_colon(h);
    hash_add(h, c->nonce);
    hash_colon(h);
    if (c->qop.n) {
        hash_add(h, c->nc_text);
        hash_colon(h);
        hash_add(h, c->cnonce);
        hash_colon(h);
        hash_add(h, c->qop);
        hash_colon(h);
    }
    hash_flush(h);
out:
    secret_wipe(a1.p, sizeof(a1.p));
    return err;
}

/* Its end. An empty method makes rspauth (3.5). */
static int response_end(const struct digest_credentials *c, struct hash *h, struct str method,
                        struct str body, uint8_t ret[DIGEST_BYTES_MAX])
{
    const struct hex *a2;
    struct hex room;
    int err = a2_hex(c, method, body, &a2, &room);

    if (err)
        return err;
    hash_add(h, hex_str(a2));
    return hash_finish(h, ret);
}

static int response_make(const struct digest_credentials *c, const struct digest_ha1 *ha1,
                         struct str method, struct str body, uint8_t ret[DIGEST_BYTES_MAX])
{
    NO_AUTO_INIT struct hash h;
    int err = response_start(c, ha1, &h);

    if (!err)
        err = response_end(c, &h, method, body, ret);
    hash_wipe(&h);
    return err;
}

/* Same value and, when not, nothing learnt about where they differ. Capital hex digits are taken as
 * well. */
static bool response_is(struct str text, const uint8_t *expected, size_t n)
{
    uint8_t got[DIGEST_BYTES_MAX];

    return text.n == 2 * n && str_unhex(got, n, text) == 0 && secret_bytes_eq(got, expected, n);
}

/* May credentials of this form be believed at all? */
static int check_form(const struct digest_credentials *c, const struct digest_ha1 *ha1,
                      struct reason *why)
{
    if (str_is_empty(c->response) || str_is_empty(c->nonce)) {
        reason_set(why, "digest-no-answer", "RFC 8760 2.7", 401,
                   "credentials without an answer to a challenge");
        return ERR_REFUSED;
    }
    if (ha1->n != hash_len(c->algo) || ha1->algo != c->algo) {
        reason_set(why, "digest-algorithm-mismatch", "RFC 8760 2.3", 401, "answer made with %.*s",
                   STR_FMT(digest_algo_text(c->algo)));
        return ERR_REFUSED;
    }
    if (str_is_empty(c->qop) || str_is_empty(c->cnonce) || c->nc == 0) {
        reason_set(why, "digest-qop-missing", "RFC 8760 2.6 item 8", 400,
                   "qop, cnonce and nc are required");
        return ERR_REFUSED;
    }
    if (!str_eq(c->qop, STR("auth")) && !str_eq(c->qop, STR("auth-int"))) {
        reason_set(why, "digest-qop-unknown", "RFC 7616 3.4", 400,
                   "qop is neither auth nor auth-int");
        return ERR_REFUSED;
    }
    return 0;
}

int digest_check_rspauth(const struct digest_credentials *c, const struct digest_ha1 *ha1,
                         struct str method, struct str body, char ret_hex[2 * DIGEST_BYTES_MAX + 1],
                         struct reason *why)
{
    NO_AUTO_INIT struct hash h, again;
    uint8_t bytes[DIGEST_BYTES_MAX];
    int err;

    if (ret_hex)
        ret_hex[0] = 0;
    if ((err = check_form(c, ha1, why)) != 0)
        return err;
    if ((err = response_start(c, ha1, &h)) != 0)
        goto out;
    if (ret_hex)
        hash_copy(&again, &h);
    if ((err = response_end(c, &h, method, body, bytes)) != 0)
        goto out_copy;
    if (!response_is(c->response, bytes, ha1->n)) {
        reason_set(why, "digest-wrong", "RFC 7616 3.6", 401, NULL);
        err = ERR_REFUSED;
    } else if (ret_hex && (err = response_end(c, &again, STR(""), STR(""), bytes)) == 0) {
        str_hex(ret_hex, bytes, ha1->n);
    }
    secret_wipe(bytes, sizeof(bytes));
out_copy:
    if (ret_hex)
        hash_wipe(&again);
out:
    hash_wipe(&h);
    return err;
}

int digest_check(const struct digest_credentials *c, const struct digest_ha1 *ha1,
                 struct str method, struct str body, struct reason *why)
{
    return digest_check_rspauth(c, ha1, method, body, NULL, why);
}

int digest_rspauth(const struct digest_credentials *c, const struct digest_ha1 *ha1,
                   struct str body, char ret_hex[2 * DIGEST_BYTES_MAX + 1])
{
    uint8_t bytes[DIGEST_BYTES_MAX];
    int err;

    ret_hex[0] = 0;
    if (ha1->n != hash_len(c->algo) || ha1->algo != c->algo)
        return ERR_INVALID;
    if ((err = response_make(c, ha1, STR(""), body, bytes)) != 0)
        return err;
    str_hex(ret_hex, bytes, ha1->n);
    return 0;
}

int digest_info_check(const struct digest_info *info, const struct digest_credentials *c,
                      const struct digest_ha1 *ha1, struct str body, struct reason *why)
{
    struct digest_credentials answered = *c;
    uint8_t expected[DIGEST_BYTES_MAX];
    int err;

    if (ha1->n != hash_len(c->algo) || ha1->algo != c->algo)
        return ERR_INVALID;
    /* RFC 7616 3.5: cnonce and nc are those of the request; the qop of the answer is what it was
     * made with. */
    if (info->qop.n && c->qop.n &&
        (str_eq(info->qop, STR("auth")) || str_eq(info->qop, STR("auth-int"))))
        answered.qop = info->qop;
    if ((info->cnonce.n && !str_eq(info->cnonce, c->cnonce)) ||
        (info->nc_text.n && !str_eq(info->nc_text, c->nc_text)))
        goto wrong;
    if ((err = response_make(&answered, ha1, STR(""), body, expected)) != 0)
        return err;
    if (response_is(info->rspauth, expected, ha1->n))
        return 0;
wrong:
    reason_set(why, "digest-rspauth-wrong", "RFC 7616 3.5", 0,
               "the server has not shown that it knows the password");
    return ERR_REFUSED;
}

/* ---- answers and challenges as text ---- */

/* A quoted-string; what would end it is escaped (RFC 3261 25.1). */
static void add_quoted(struct sbuf *b, struct str s)
{
    sbuf_char(b, '"');
    if (str_find_char(s, '"') == s.n && str_find_char(s, '\\') == s.n) {
        sbuf_str(b, s); /* nearly always */
    } else {
        for (size_t i = 0; i < s.n; i++) {
            if (s.p[i] == '"' || s.p[i] == '\\')
                sbuf_char(b, '\\');
            sbuf_char(b, s.p[i]);
        }
    }
    sbuf_char(b, '"');
}

static void add_param(struct sbuf *b, struct str name, struct str value)
{
    sbuf_lit(b, ", ");
    sbuf_str(b, name);
    sbuf_char(b, '=');
    add_quoted(b, value);
}

static void add_algorithm(struct sbuf *b, enum digest_algo a, bool sess)
{
    sbuf_lit(b, ", algorithm=");
    sbuf_str(b, digest_algo_text(a));
    if (sess)
        sbuf_lit(b, "-sess");
}

void digest_challenge_build(struct sbuf *b, const struct digest_challenge *c)
{
    sbuf_lit(b, "Digest realm=");
    add_quoted(b, c->realm);
    if (c->domain.n)
        add_param(b, STR("domain"), c->domain);
    add_param(b, STR("nonce"), c->nonce);
    if (c->opaque.n)
        add_param(b, STR("opaque"), c->opaque);
    if (c->stale)
        sbuf_lit(b, ", stale=true");
    add_algorithm(b, c->algo, c->sess);
    if (c->qop_auth && c->qop_auth_int)
        sbuf_lit(b, ", qop=\"auth,auth-int\"");
    else if (c->qop_auth || c->qop_auth_int)
        add_param(b, STR("qop"), c->qop_auth ? STR("auth") : STR("auth-int"));
    if (c->userhash)
        sbuf_lit(b, ", userhash=true");
}

/* RFC 7616 3.4.4: with userhash the name goes as H(username:realm). */
static int answer_username(const struct digest_answer_args *args, struct hex *hashed,
                           struct str *ret)
{
    NO_AUTO_INIT struct hash h;
    int err;

    *ret = args->username;
    if (!args->challenge->userhash)
        return 0;
    hash_start(&h, args->challenge->algo);
    hash_add(&h, args->username);
    hash_colon(&h);
    hash_add(&h, args->challenge->realm);
    if ((err = hash_hex(&h, hashed)) == 0)
        *ret = hex_str(hashed);
    return err;
}

int digest_answer_build(struct sbuf *b, const struct digest_answer_args *args)
{
    const struct digest_challenge *ch = args->challenge;
    struct digest_credentials c = {.nonce = ch->nonce,
                                   .uri = args->uri,
                                   .cnonce = args->cnonce,
                                   .algo = ch->algo,
                                   .sess = ch->sess,
                                   .nc = args->nc};
    uint8_t response[DIGEST_BYTES_MAX];
    char nc[9], hex[HEX_MAX + 1];
    struct hex hashed_name;
    struct str name;
    int err;

    if (args->ha1->algo != ch->algo || args->ha1->n != hash_len(ch->algo))
        return ERR_INVALID;
    if (ch->qop_auth_int && (args->prefer_int || !ch->qop_auth))
        c.qop = STR("auth-int");
    else if (ch->qop_auth)
        c.qop = STR("auth");
    else if (ch->sess)
        return ERR_UNSUPPORTED;
    if (c.qop.n && (str_is_empty(args->cnonce) || args->nc == 0))
        return ERR_INVALID;
    snprintf(nc, sizeof(nc), "%08x", (unsigned)args->nc);
    c.nc_text = str_z(nc);
    if ((err = answer_username(args, &hashed_name, &name)) != 0 ||
        (err = response_make(&c, args->ha1, args->method, args->body, response)) != 0)
        return err;
    str_hex(hex, response, args->ha1->n);

    sbuf_lit(b, "Digest username=");
    add_quoted(b, name);
    add_param(b, STR("realm"), ch->realm);
    add_param(b, STR("nonce"), ch->nonce);
    add_param(b, STR("uri"), args->uri);
    add_param(b, STR("response"), str_z(hex));
    add_algorithm(b, ch->algo, ch->sess);
    if (c.qop.n) {
        add_param(b, STR("cnonce"), args->cnonce);
        sbuf_lit(b, ", qop=");
        sbuf_str(b, c.qop);
        sbuf_lit(b, ", nc=");
        sbuf_str(b, c.nc_text);
    }
    if (ch->opaque.n)
        add_param(b, STR("opaque"), ch->opaque);
    if (ch->userhash)
        sbuf_lit(b, ", userhash=true");
    return b->overflow ? ERR_LIMIT : 0;
}

void digest_info_build(struct sbuf *b, const struct digest_info *info)
{
    const struct {
        struct str name, value;
        bool quoted;
    } params[] = {
        {STR("nextnonce"), info->nextnonce, true}, {STR("qop"), info->qop, false},
        {STR("rspauth"), info->rspauth, true},     {STR("cnonce"), info->cnonce, true},
        {STR("nc"), info->nc_text, false},
    };
    bool is_first = true;

    for (size_t i = 0; i < ARRAY_LEN(params); i++) {
        if (str_is_empty(params[i].value))
            continue;
        if (!is_first)
            sbuf_lit(b, ", ");
        is_first = false;
        sbuf_str(b, params[i].name);
        sbuf_char(b, '=');
        if (params[i].quoted)
            add_quoted(b, params[i].value);
        else
            sbuf_str(b, params[i].value);
    }
}
