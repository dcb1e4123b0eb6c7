/* The user table of the location service: who may log in, with what (RFC 3261 22, RFC 8760).
 * Any thread. */
#include "base/mem.h"
#include "base/secret.h"
#include "location/location_priv.h"

static const enum digest_algo algos[STORE_HA1_N] = {DIGEST_MD5, DIGEST_SHA256, DIGEST_SHA512_256};
static const uint8_t ha1_lens[STORE_HA1_N] = {16, 32, 32};

static struct loc_user *user_new(const struct store_user *u)
{
    struct loc_user *user;

    if (u->username.n > LOCATION_AOR_MAX || u->realm.n > LOCATION_AOR_MAX)
        return NULL;
    user = mem_zalloc(sizeof(*user) + u->username.n + u->realm.n);
    if (!user)
        return NULL;
    for (size_t i = 0; i < STORE_HA1_N; i++) {
        if (u->ha1_len[i] != ha1_lens[i])
            continue;
        user->ha1_len[i] = ha1_lens[i];
        memcpy(user->ha1[i], u->ha1[i], ha1_lens[i]);
    }
    user->allow_md5 = u->allow_md5;
    user->username_n = (uint16_t)u->username.n;
    user->realm_n = (uint16_t)u->realm.n;
    if (u->username.n)
        memcpy(user->text, u->username.p, u->username.n);
    if (u->realm.n)
        memcpy(user->text + u->username.n, u->realm.p, u->realm.n);
    return user;
}

void loc_user_free(struct loc_user *user)
{
    if (!user)
        return;
    secret_wipe(user, sizeof(*user));
    mem_free(user);
}

static void user_copy(const struct loc_row *row, struct account *ret)
{
    const struct loc_user *user = row->user;

    memcpy(ret->aor, row->node.key.p, row->node.key.n);
    ret->aor[row->node.key.n] = 0;
    memcpy(ret->username, user->text, user->username_n);
    ret->username[user->username_n] = 0;
    memcpy(ret->realm, user->text + user->username_n, user->realm_n);
    ret->realm[user->realm_n] = 0;
    for (size_t i = 0; i < STORE_HA1_N; i++) {
        ret->ha1[i].algo = algos[i];
        ret->ha1[i].n = user->ha1_len[i];
        memcpy(ret->ha1[i].bytes, user->ha1[i], sizeof(user->ha1[i]));
    }
    ret->allow_md5 = user->allow_md5;
}

int account_find(struct location *l, struct str aor, struct account *ret)
{
    uint64_t hash;
    struct loc_stripe *s = loc_stripe_of(l, aor, &hash);
    struct loc_row *row;
    int err = ERR_NOTFOUND;

    pthread_mutex_lock(&s->lock);
    row = loc_row_find(s, aor, hash);
    if (row && row->user) {
        user_copy(row, ret);
        loc_row_warm(row);
        err = 0;
    }
    pthread_mutex_unlock(&s->lock);
    return err;
}

void account_warm(struct location *l, struct str aor, struct account_warm *at)
{
    struct loc_stripe *s;
    struct map_node *node;
    struct loc_row *row;

    if (at->step > 1)
        return;
    at->hash = at->step ? at->hash : str_hash(aor);
    s = loc_stripe_of_hash(l, at->hash);
    pthread_mutex_lock(&s->lock);
    node = *map_slot(&s->rows, at->hash);
    if (node && at->step == 0) {
        PREFETCH(node);
        PREFETCH((char *)node + 64);
    } else if (node && node->hash == at->hash) {
        row = CONTAINER_OF(node, struct loc_row, node);
        for (size_t i = 0; row->user && i < sizeof(*row->user) + 32; i += 64)
            PREFETCH((char *)row->user + i);
        loc_row_warm(row);
    }
    at->step++;
    pthread_mutex_unlock(&s->lock);
}

void account_done(struct account *a)
{
    secret_wipe(a->ha1, sizeof(a->ha1));
}

uint64_t account_version(struct location *l, struct str aor)
{
    uint64_t hash, version = 0;
    struct loc_stripe *s = loc_stripe_of(l, aor, &hash);
    struct loc_row *row;

    pthread_mutex_lock(&s->lock);
    row = loc_row_find(s, aor, hash);
    if (row && row->user)
        version = str_hash(str_make((const char *)row->user->ha1, sizeof row->user->ha1)) | 1;
    pthread_mutex_unlock(&s->lock);
    return version;
}

bool account_allows_md5(struct location *l, struct str aor)
{
    uint64_t hash;
    struct loc_stripe *s = loc_stripe_of(l, aor, &hash);
    struct loc_row *row;
    bool may;

    pthread_mutex_lock(&s->lock);
    row = loc_row_find(s, aor, hash);
    may = row && row->user && row->allows_md5;
    pthread_mutex_unlock(&s->lock);
    return may;
}

/* Another name to log in with, another hash: whoever knew what was good before is another now. */
static bool is_same_login(const struct loc_user *a, const struct loc_user *b)
{
    return a->username_n == b->username_n && a->realm_n == b->realm_n &&
           memcmp(a->text, b->text, (size_t)a->username_n + a->realm_n) == 0 &&
           memcmp(a->ha1_len, b->ha1_len, sizeof(a->ha1_len)) == 0 &&
           secret_bytes_eq(a->ha1, b->ha1, sizeof(a->ha1));
}

int account_change(struct location *l, const struct store_user *u, size_t *ret_unbound)
{
    uint64_t hash;
    struct loc_stripe *s = loc_stripe_of(l, u->aor, &hash);
    struct loc_user *user;
    struct loc_row *row;
    int err;

    *ret_unbound = 0;
    if (u->disabled) {
        *ret_unbound = account_remove(l, u->aor);
        return 0;
    }
    if (u->username.n > LOCATION_AOR_MAX || u->realm.n > LOCATION_AOR_MAX)
        return ERR_LIMIT;
    user = user_new(u);
    if (!user)
        return ERR_NOMEM;
    pthread_mutex_lock(&s->lock);
    err = loc_row_get(s, u->aor, hash, &row);
    if (err == 0) {
        struct loc_user *old = row->user;

        if (!old) {
            s->stats.users++;
        } else if (!is_same_login(old, user)) {
            *ret_unbound = row->n_bindings;
            loc_row_unbind_all(l, s, row);
            (void)__atomic_add_fetch(&l->n_changed, 1, __ATOMIC_RELEASE);
        }
        row->user = user;
        row->allows_md5 = user->allow_md5;
        user = old;
    }
    pthread_mutex_unlock(&s->lock);
    loc_user_free(user);
    return err;
}

size_t account_remove(struct location *l, struct str aor)
{
    uint64_t hash;
    size_t n = 0;
    struct loc_stripe *s = loc_stripe_of(l, aor, &hash);
    struct loc_user *user = NULL;
    struct loc_row *row;

    pthread_mutex_lock(&s->lock);
    row = loc_row_find(s, aor, hash);
    if (row) {
        user = row->user;
        row->user = NULL;
        row->allows_md5 = false;
        if (user)
            s->stats.users--;
        n = row->n_bindings;
        loc_row_unbind_all(l, s, row);
        loc_row_drop_if_empty(s, row);
    }
    pthread_mutex_unlock(&s->lock);
    if (user)
        (void)__atomic_add_fetch(&l->n_changed, 1, __ATOMIC_RELEASE);
    loc_user_free(user);
    return n;
}

int account_put(struct location *l, const struct store_user *u)
{
    size_t n;

    return account_change(l, u, &n);
}

unsigned account_changes(struct location *l)
{
    return __atomic_load_n(&l->n_changed, __ATOMIC_ACQUIRE);
}
