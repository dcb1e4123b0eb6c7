/* Keys that never leave a token: PKCS#11 2.40 called directly, the key named by a URI of RFC 7512.
 * In the keeper's process only; one thread. Modules stay loaded until it ends. */
#include "base/mem.h"
#include "base/sbuf.h"
#include "base/secret.h"
#include "keeper/keeper_priv.h"
#include <dlfcn.h>
#include <errno.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>

#define TEXT_MAX 256 /* of each part of a URI, and of a PIN */
#define SLOTS_MAX 64
#define MODULES_MAX 4

struct token_uri {
    char token[TEXT_MAX], object[TEXT_MAX], serial[TEXT_MAX], module[TEXT_MAX], pin_file[TEXT_MAX];
    uint8_t id[64];
    size_t n_id;
};

struct token_key {
    CK_FUNCTION_LIST *f;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE key;
};

static int fail(struct reason *why, int err, const char *what, const char *more)
{
    reason_set(why, "keeper-pkcs11", "RFC 7512 2.3", 0, "%s%s%s", what, more ? ": " : "",
               more ? more : "");
    return err;
}

static int fail_rv(struct reason *why, int err, const char *what, CK_RV rv)
{
    reason_set(why, "keeper-pkcs11", NULL, 0, "%s: PKCS#11 error 0x%lx", what, rv);
    return err;
}

/* --- the URI --- */

bool token_uri_is(const char *key)
{
    return str_starts_nocase(str_z(key), STR("pkcs11:"));
}

static int unescape(struct str s, char *dst, size_t cap, size_t *ret_n)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (c == '%') {
            if (s.n - i < 3 || str_unhex(&c, 1, str_make(s.p + i + 1, 2)) != 0)
                return ERR_SYNTAX;
            i += 2;
        }
        if (n == cap)
            return ERR_LIMIT;
        dst[n++] = c;
    }
    *ret_n = n;
    return 0;
}

static int read_text(struct str s, char dst[TEXT_MAX])
{
    size_t n;
    int err = unescape(s, dst, TEXT_MAX - 1, &n);

    if (err == 0)
        dst[n] = '\0';
    return err == 0 && strlen(dst) != n ? ERR_SYNTAX : err;
}

static int read_attribute(struct token_uri *u, struct str name, struct str value)
{
    char type[TEXT_MAX];

    if (str_eq(name, STR("token")))
        return read_text(value, u->token);
    if (str_eq(name, STR("object")))
        return read_text(value, u->object);
    if (str_eq(name, STR("serial")))
        return read_text(value, u->serial);
    if (str_eq(name, STR("id")))
        return unescape(value, (char *)u->id, sizeof(u->id), &u->n_id);
    if (str_eq(name, STR("module-path")))
        return read_text(value, u->module);
    if (str_eq(name, STR("type")))
        return read_text(value, type) == 0 && strcmp(type, "private") == 0 ? 0 : ERR_UNSUPPORTED;
    if (str_eq(name, STR("pin-source"))) {
        if (str_starts_nocase(value, STR("file:")))
            value = str_make(value.p + 5, value.n - 5);
        if (str_starts_nocase(value, STR("//")))
            value = str_make(value.p + 2, value.n - 2);
        return read_text(value, u->pin_file);
    }
    return ERR_UNSUPPORTED; /* RFC 7512 2.5: what is not understood must not be passed over */
}

static int read_uri(const char *uri, struct token_uri *ret, struct reason *why)
{
    struct str query, path, rest[2];

    *ret = (struct token_uri){.n_id = 0};
    query = str_cut(str_make(uri + 7, strlen(uri) - 7), '?', &path);
    rest[0] = path;
    rest[1] = query;
    for (size_t i = 0; i < 2; i++) {
        while (rest[i].p && rest[i].n) {
            struct str one, name, value;

            rest[i] = str_cut(rest[i], i == 0 ? ';' : '&', &one);
            value = str_cut(one, '=', &name);
            if (str_eq(name, STR("pin-value")))
                return fail(why, ERR_REFUSED,
                            "no PIN in the configuration; use pin-source=file:FILE", NULL);
            if (!value.p || read_attribute(ret, name, value) != 0) {
                char text[64];
                struct sbuf b = sbuf_make(text, sizeof(text));

                sbuf_str(&b, str_make(name.p, name.n > 40 ? 40 : name.n));
                sbuf_char(&b, '\0');
                return fail(why, ERR_SYNTAX, "this part of the URI is not understood", text);
            }
        }
    }
    if (!ret->module[0])
        return fail(why, ERR_SYNTAX, "the URI needs ?module-path=FILE", NULL);
    if (!ret->object[0] && ret->n_id == 0)
        return fail(why, ERR_SYNTAX, "the URI needs object= or id=", NULL);
    return 0;
}

/* --- the module --- */

static int module_load(const char *path, CK_FUNCTION_LIST **ret, struct reason *why)
{
    static struct {
        char path[TEXT_MAX];
        CK_FUNCTION_LIST *f;
    } loaded[MODULES_MAX];
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
    CK_FUNCTION_LIST *f = NULL;
    CK_C_GetFunctionList get;
    void *lib, *symbol;
    size_t i;
    CK_RV rv;

    for (i = 0; i < ARRAY_LEN(loaded) && loaded[i].f; i++) {
        if (strcmp(loaded[i].path, path) == 0) {
            *ret = loaded[i].f;
            return 0;
        }
    }
    if (i == ARRAY_LEN(loaded))
        return fail(why, ERR_LIMIT, "too many modules", NULL);
    lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!lib)
        return fail(why, ERR_IO, path, dlerror());
    symbol = dlsym(lib, "C_GetFunctionList");
    memcpy(&get, &symbol, sizeof(get)); /* POSIX lets us; ISO C has no cast for it */
    if (!symbol || (rv = get(&f)) != CKR_OK || !f) {
        dlclose(lib);
        return fail(why, ERR_IO, path, "is no PKCS#11 module");
    }
    rv = f->C_Initialize(&args);
    if (rv != CKR_OK && rv != CKR_CRYPTOKI_ALREADY_INITIALIZED) {
        dlclose(lib);
        return fail_rv(why, ERR_IO, path, rv);
    }
    if (str_copy_z(loaded[i].path, sizeof(loaded[i].path), str_z(path)) != 0)
        return fail(why, ERR_LIMIT, "module-path is too long", NULL);
    *ret = loaded[i].f = f;
    return 0;
}

/* Fixed fields, padded with blanks. */
static bool field_is(const CK_UTF8CHAR *field, size_t n, const char *text)
{
    struct str s = str_make((const char *)field, n);

    while (s.n && s.p[s.n - 1] == ' ')
        s.n--;
    return !text[0] || str_eq(s, str_z(text));
}

static int find_slot(CK_FUNCTION_LIST *f, const struct token_uri *u, CK_SLOT_ID *ret,
                     struct reason *why)
{
    CK_SLOT_ID slots[SLOTS_MAX];
    CK_ULONG n = SLOTS_MAX;
    CK_RV rv = f->C_GetSlotList(CK_TRUE, slots, &n);
    size_t found = 0;

    if (rv != CKR_OK)
        return fail_rv(why, ERR_IO, "slots", rv);
    for (CK_ULONG i = 0; i < n; i++) {
        CK_TOKEN_INFO info;

        if (f->C_GetTokenInfo(slots[i], &info) != CKR_OK || !(info.flags & CKF_TOKEN_INITIALIZED) ||
            !field_is(info.label, sizeof(info.label), u->token) ||
            !field_is(info.serialNumber, sizeof(info.serialNumber), u->serial))
            continue;
        *ret = slots[i];
        found++;
    }
    if (found != 1)
        return fail(why, ERR_NOTFOUND, found ? "the URI fits several tokens" : "no such token",
                    u->token);
    return 0;
}

/* --- the session and the key --- */

static int read_pin(const char *file, char pin[TEXT_MAX], size_t *ret_n, struct reason *why)
{
    FILE *f = fopen(file, "re");
    size_t n = f ? fread(pin, 1, TEXT_MAX, f) : 0;

    if (!f)
        return fail(why, ERR_IO, file, strerror(errno));
    fclose(f);
    while (n && (pin[n - 1] == '\n' || pin[n - 1] == '\r'))
        n--;
    *ret_n = n;
    return 0;
}

static int log_in(struct token_key *k, const struct token_uri *u, struct reason *why)
{
    char pin[TEXT_MAX];
    size_t n;
    CK_RV rv;
    int err;

    if (!u->pin_file[0])
        return 0;
    if ((err = read_pin(u->pin_file, pin, &n, why)) != 0)
        return err;
    rv = k->f->C_Login(k->session, CKU_USER, (CK_UTF8CHAR *)pin, (CK_ULONG)n);
    secret_wipe(pin, sizeof(pin));
    if (rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN)
        return 0;
    return fail_rv(why, ERR_REFUSED, "the PIN is not taken", rv);
}

static int find_key(struct token_key *k, const struct token_uri *u, enum token_key_type of,
                    struct reason *why)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_KEY_TYPE type = of == TOKEN_RSA ? CKK_RSA : CKK_EC;
    CK_ATTRIBUTE want[4] = {{CKA_CLASS, &class, sizeof(class)},
                            {CKA_KEY_TYPE, &type, sizeof(type)}};
    char label[TEXT_MAX];
    uint8_t id[sizeof(u->id)];
    CK_OBJECT_HANDLE found[2];
    CK_ULONG n = 2, n_found = 0;
    CK_RV rv;

    memcpy(label, u->object, sizeof(label));
    memcpy(id, u->id, sizeof(id));
    if (label[0])
        want[n++] = (CK_ATTRIBUTE){CKA_LABEL, label, (CK_ULONG)strlen(label)};
    if (u->n_id)
        want[n++] = (CK_ATTRIBUTE){CKA_ID, id, (CK_ULONG)u->n_id};
    rv = k->f->C_FindObjectsInit(k->session, want, n);
    if (rv == CKR_OK) {
        rv = k->f->C_FindObjects(k->session, found, ARRAY_LEN(found), &n_found);
        (void)k->f->C_FindObjectsFinal(k->session);
    }
    if (rv != CKR_OK)
        return fail_rv(why, ERR_IO, "looking for the key", rv);
    if (n_found != 1)
        return fail(why, ERR_NOTFOUND,
                    n_found           ? "the URI fits several keys"
                    : of == TOKEN_RSA ? "no such RSA key, or it wants a PIN"
                                      : "no such EC key, or it wants a PIN",
                    u->object);
    k->key = found[0];
    return 0;
}

int token_key_open(const char *uri, enum token_key_type type, struct token_key **ret,
                   struct reason *why)
{
    struct token_key *k = mem_zalloc(sizeof(*k));
    struct token_uri u;
    CK_SLOT_ID slot;
    CK_RV rv;
    int err = k ? read_uri(uri, &u, why) : ERR_NOMEM;

    *ret = NULL;
    if (err == 0)
        err = module_load(u.module, &k->f, why);
    if (err == 0)
        err = find_slot(k->f, &u, &slot, why);
    if (err == 0) {
        rv = k->f->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &k->session);
        if (rv != CKR_OK) {
            k->session = CK_INVALID_HANDLE;
            err = fail_rv(why, ERR_IO, "no session with the token", rv);
        }
    }
    if (err == 0)
        err = log_in(k, &u, why);
    if (err == 0)
        err = find_key(k, &u, type, why);
    if (err != 0) {
        token_key_close(k);
        return err;
    }
    *ret = k;
    return 0;
}

void token_key_close(struct token_key *k)
{
    if (!k)
        return;
    if (k->f && k->session != CK_INVALID_HANDLE)
        (void)k->f->C_CloseSession(k->session);
    mem_free(k);
}

int token_key_sign(struct token_key *k, const uint8_t *digest, size_t n_digest, size_t half,
                   uint8_t ret[JWS_SIGNATURE_MAX])
{
    CK_MECHANISM ecdsa = {.mechanism = CKM_ECDSA};
    uint8_t in[64];
    CK_ULONG n = JWS_SIGNATURE_MAX;

    if (n_digest > sizeof(in))
        return ERR_INVALID;
    memcpy(in, digest, n_digest);
    if (k->f->C_SignInit(k->session, &ecdsa, k->key) != CKR_OK ||
        k->f->C_Sign(k->session, in, (CK_ULONG)n_digest, ret, &n) != CKR_OK || n != 2 * half)
        return ERR_CRYPTO;
    return 0;
}

/* PKCS #1 v1.5 signs a DigestInfo (RFC 8017 9.2, note 1), which is no work of the token's. */
static const struct {
    const char *digest;
    CK_MECHANISM_TYPE hash;
    CK_RSA_PKCS_MGF_TYPE mgf;
    uint8_t n_info, info[19];
} rsa_digests[] = {
    {"SHA1", CKM_SHA_1, CKG_MGF1_SHA1, 15,
     {0x30, 0x21, 0x30, 0x09, 6, 5, 0x2b, 0x0e, 3, 2, 0x1a, 5, 0, 4, 20}},
    {"SHA256", CKM_SHA256, CKG_MGF1_SHA256, 19,
     {0x30, 0x31, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 32}},
    {"SHA384", CKM_SHA384, CKG_MGF1_SHA384, 19,
     {0x30, 0x41, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2, 5, 0, 4, 48}},
    {"SHA512", CKM_SHA512, CKG_MGF1_SHA512, 19,
     {0x30, 0x51, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3, 5, 0, 4, 64}},
};

int token_key_sign_rsa(struct token_key *k, const struct pki_sign_scheme *scheme,
                       const uint8_t *digest, size_t n_digest, uint8_t ret[PKI_SIGNATURE_MAX],
                       size_t *ret_n)
{
    CK_RSA_PKCS_PSS_PARAMS pss = {.sLen = (CK_ULONG)n_digest};
    CK_MECHANISM how = {.mechanism = CKM_RSA_PKCS};
    uint8_t in[sizeof(rsa_digests[0].info) + 64];
    size_t i = 0, n = 0;
    CK_ULONG n_out = PKI_SIGNATURE_MAX;

    while (i < ARRAY_LEN(rsa_digests) && strcmp(rsa_digests[i].digest, scheme->digest) != 0)
        i++;
    if (i == ARRAY_LEN(rsa_digests) || n_digest > 64)
        return ERR_INVALID;
    if (scheme->is_pss) {
        pss.hashAlg = rsa_digests[i].hash;
        pss.mgf = rsa_digests[i].mgf;
        how = (CK_MECHANISM){CKM_RSA_PKCS_PSS, &pss, sizeof(pss)};
    } else {
        n = rsa_digests[i].n_info;
        memcpy(in, rsa_digests[i].info, n);
    }
    memcpy(in + n, digest, n_digest);
    if (k->f->C_SignInit(k->session, &how, k->key) != CKR_OK ||
        k->f->C_Sign(k->session, in, (CK_ULONG)(n + n_digest), ret, &n_out) != CKR_OK)
        return ERR_CRYPTO;
    *ret_n = n_out;
    return 0;
}
