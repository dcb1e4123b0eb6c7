/* Credentials per realm (RFC 3261 22, 7616, 8760): which challenge is answered, with which
 * password, counted how often. Nonces are bound to the flow they came on and forgotten with it. */
#include "identity/digest_client.h"
#include "base/limits.h"

#define ENTRY_BYTES (6u * LIMIT_DIGEST_VALUE_BYTES)

void digest_client_init(struct digest_client *c, const struct digest_login *logins,
                        unsigned n_logins, bool allow_md5)
{
    *c = (struct digest_client){.logins = logins, .n_logins = n_logins, .allow_md5 = allow_md5};
}

static void entry_drop(struct digest_client_entry *e)
{
    arena_free(e->arena);
    secret_wipe(&e->ha1, sizeof(e->ha1));
    *e = (struct digest_client_entry){0};
}

void digest_client_forget(struct digest_client *a)
{
    for (unsigned i = 0; i < DIGEST_CLIENT_ENTRIES; i++)
        entry_drop(&a->entries[i]);
}

void digest_client_done(struct digest_client *a)
{
    digest_client_forget(a);
}

static const struct digest_login *login_find(const struct digest_client *a, struct str realm)
{
    for (unsigned i = 0; i < a->n_logins; i++) {
        if (str_eq(a->logins[i].realm, realm)) /* realms have case */
            return &a->logins[i];
    }
    return NULL;
}

static struct digest_client_entry *entry_find(struct digest_client *a, struct str realm,
                                              bool is_proxy, bool is_register)
{
    for (unsigned i = 0; i < DIGEST_CLIENT_ENTRIES; i++) {
        struct digest_client_entry *e = &a->entries[i];
        if (e->arena && e->is_proxy == is_proxy && (is_proxy || e->is_register == is_register) &&
            str_eq(e->challenge.realm, realm))
            return e;
    }
    return NULL;
}

/* A challenge that is to be answered from now on, in place of an older one of the same realm. */
static int entry_take(struct digest_client *a, const struct digest_challenge *ch,
                      const struct digest_login *login, bool is_proxy, bool is_register)
{
    struct digest_client_entry *e = entry_find(a, ch->realm, is_proxy, is_register);
    if (e == NULL)
        e = &a->entries[a->at++ % DIGEST_CLIENT_ENTRIES];
    entry_drop(e);
    struct digest_client_entry next = {.arena = arena_new(ENTRY_BYTES / 4, ENTRY_BYTES),
                                       .is_proxy = is_proxy,
                                       .is_register = is_register,
                                       .challenge = *ch,
                                       .login = login};
    if (next.arena == NULL)
        return ERR_NOMEM;
    next.challenge.realm = arena_str(next.arena, ch->realm);
    next.challenge.nonce = arena_str(next.arena, ch->nonce);
    if (ch->opaque.p)
        next.challenge.opaque = arena_str(next.arena, ch->opaque);
    next.challenge.domain = STR_NULL;
    int err = ERR_NOMEM;
    if (next.challenge.realm.p && next.challenge.nonce.p &&
        (!ch->opaque.p || next.challenge.opaque.p))
        err = digest_ha1_make(ch->algo, login->user, ch->realm,
                              str_make((const char *)login->password.p, login->password.n),
                              &next.ha1);
    if (err) {
        entry_drop(&next);
        return err;
    }
    *e = next;
    return 0;
}

struct taking {
    struct digest_client *a;
    bool is_register, was_answered;
    unsigned n;                               /* challenges that will be answered */
    struct str realms[DIGEST_CLIENT_ENTRIES]; /* done with: of several for one realm the first that
                                        we can do counts (RFC 8760 2.4) */
    unsigned n_realms;
    struct reason *why; /* the first one that cannot be */
};

static void give_up(struct taking *t, const char *code, const char *clause, const char *what,
                    struct str realm)
{
    if (t->why->code == NULL)
        reason_set(t->why, code, clause, 0, "%s \"%.*s\"", what, STR_FMT(realm));
}

static int take_one(struct taking *t, struct arena *mem, struct str value, bool is_proxy)
{
    struct digest_challenge ch;
    struct reason why = {0};
    int err = digest_challenge_parse(mem, value, &ch, &why);
    if (err == ERR_NOMEM)
        return err;
    for (unsigned i = 0; i < t->n_realms; i++) {
        if (str_eq(t->realms[i], ch.realm))
            return 0;
    }
    if (err || (ch.algo == DIGEST_MD5 && !t->a->allow_md5) ||
        t->n_realms == DIGEST_CLIENT_ENTRIES) {
        give_up(t, "digest-algorithm", "RFC 8760 2.4",
                err ? "a challenge that we cannot answer, realm"
                    : "only MD5 is offered (allow-md5 would take it), realm",
                ch.realm);
        return 0;
    }
    const struct digest_login *login = login_find(t->a, ch.realm);
    if (login == NULL) {
        give_up(t, "digest-realm", "RFC 3261 22.1", "no credentials for the realm", ch.realm);
        return 0;
    }
    if (t->was_answered && !ch.stale && entry_find(t->a, ch.realm, is_proxy, t->is_register)) {
        give_up(t, "digest-refused", "RFC 3261 22.2", "user or password is wrong for the realm",
                ch.realm);
        return 0;
    }
    t->realms[t->n_realms++] = ch.realm;
    t->n++;
    return entry_take(t->a, &ch, login, is_proxy, t->is_register);
}

/* The two kinds are asked for, and answered, apart (RFC 3261 22.3). */
static int take_all(struct taking *t, struct arena *mem, const struct str *v, size_t n,
                    bool is_proxy)
{
    int err = 0;
    t->n_realms = 0;
    for (size_t i = 0; i < n && !err; i++)
        err = take_one(t, mem, v[i], is_proxy);
    return err;
}

int digest_client_challenged(struct digest_client *a, struct arena *mem,
                             const struct digest_client_values *v, bool is_register,
                             bool was_answered, struct reason *why)
{
    struct reason unused = {0};
    struct taking t = {.a = a,
                       .is_register = is_register,
                       .was_answered = was_answered,
                       .why = why ? why : &unused};
    *t.why = (struct reason){0};
    int err = take_all(&t, mem, v->own, v->n_own, false);
    if (!err)
        err = take_all(&t, mem, v->proxy, v->n_proxy, true);
    if (err)
        return err;
    if (t.n)
        return 0;
    if (t.why->code == NULL)
        reason_set(t.why, "digest-missing", "RFC 3261 22.2", 0, "asked for without a challenge");
    return ERR_REFUSED;
}

static int answer_one(struct digest_client_entry *e, struct arena *mem, struct rand_source *rand,
                      struct str method, struct str ruri, struct str body,
                      struct digest_client_cred *ret)
{
    char cnonce[24];
    rand_token(rand, cnonce, sizeof(cnonce));
    size_t cap = 1024 + 2 * (ruri.n + e->challenge.nonce.n + e->challenge.opaque.n +
                             e->challenge.realm.n + e->login->user.n);
    char *text = arena_alloc(mem, cap);
    if (text == NULL)
        return ERR_NOMEM;
    struct sbuf b = sbuf_make(text, cap);
    struct digest_answer_args args = {.challenge = &e->challenge,
                                      .username = e->login->user,
                                      .method = method,
                                      .uri = ruri,
                                      .body = body,
                                      .cnonce = str_make(cnonce, sizeof(cnonce)),
                                      .ha1 = &e->ha1,
                                      .nc = ++e->nc};
    int err = digest_answer_build(&b, &args);
    if (err)
        return err;
    *ret = (struct digest_client_cred){.name = e->is_proxy ? STR("Proxy-Authorization")
                                                           : STR("Authorization"),
                                       .value = sbuf_get(&b),
                                       .ha1 = e->ha1};
    return 0;
}

int digest_client_answer(struct digest_client *a, struct arena *mem, struct rand_source *rand,
                         bool is_register, struct str method, struct str ruri, struct str body,
                         struct digest_client_cred ret[DIGEST_CLIENT_CREDS_MAX], unsigned *ret_n)
{
    *ret_n = 0;
    for (unsigned i = 0; i < DIGEST_CLIENT_ENTRIES && *ret_n < DIGEST_CLIENT_CREDS_MAX; i++) {
        struct digest_client_entry *e = &a->entries[i];
        if (e->arena == NULL || (!e->is_proxy && e->is_register != is_register))
            continue;
        int err = answer_one(e, mem, rand, method, ruri, body, &ret[*ret_n]);
        if (err)
            return err;
        a->algo = digest_algo_text(e->challenge.algo);
        ++*ret_n;
    }
    return 0;
}

/* RFC 7616 3.5: the nonce to go on with, of a server that has proved itself or does not claim to.
 * Without memory the next challenge brings one. */
static void take_next_nonce(struct digest_client *a, const struct digest_credentials *own,
                            struct str nonce, bool is_proxy, bool is_register)
{
    struct digest_client_entry *e = entry_find(a, own->realm, is_proxy, is_register);
    if (e == NULL || !str_eq(e->challenge.nonce, own->nonce))
        return;
    struct digest_challenge ch = e->challenge;
    ch.realm = own->realm; /* the entry's own texts go with it */
    ch.opaque = own->opaque;
    ch.nonce = nonce;
    (void)!entry_take(a, &ch, e->login, is_proxy, is_register);
}

static int check_info(struct digest_client *a, struct arena *mem, struct str value,
                      const struct digest_client_cred *cred, bool is_proxy, bool is_register,
                      struct str body, struct reason *why)
{
    struct digest_info info;
    struct digest_credentials own;
    if (digest_info_parse(mem, value, &info, why) != 0 ||
        (info.rspauth.n == 0 && info.nextnonce.n == 0))
        return 0; /* nothing is claimed */
    int err = digest_credentials_parse(mem, cred->value, &own, why);
    if (!err && info.rspauth.n)
        err = digest_info_check(&info, &own, &cred->ha1, body, why);
    if (err)
        return err;
    if (info.rspauth.n)
        a->proved = true;
    if (info.nextnonce.n)
        take_next_nonce(a, &own, info.nextnonce, is_proxy, is_register);
    return 0;
}

int digest_client_check_info(struct digest_client *a, struct arena *mem,
                             const struct digest_client_values *info, bool is_register,
                             const struct digest_client_cred *creds, unsigned n_creds,
                             struct str body, struct reason *why)
{
    for (unsigned i = 0; i < n_creds; i++) {
        bool is_proxy = str_eq(creds[i].name, STR("Proxy-Authorization"));
        const struct str *v = is_proxy ? info->proxy : info->own;
        int err = (is_proxy ? info->n_proxy : info->n_own)
                      ? check_info(a, mem, v[0], &creds[i], is_proxy, is_register, body, why)
                      : 0;
        if (err)
            return err;
    }
    return 0;
}
