/* Private keys as OpenSSL sees them that are not in this process: a provider in a library context
 * of its own, so that it is nobody's choice but theirs. A key object has the public half and a
 * name; its signatures come from whoever pki_signing_set has named for this thread
 * (provider-keymgmt(7), provider-signature(7)). What it cannot do, to decrypt above all, OpenSSL is
 * told it cannot.
 *
 * Objects are immutable and counted over threads; signature contexts belong to one handshake. */
#include "base/attr.h"
#include "base/mem.h"
#include "pki/pki_priv.h"
#include "pki/signing.h"
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <pthread.h>
#include <strings.h>

#define PARAM_KEY "sallyport-key" /* how a key gets into an object: a pointer, within this file */
#define DIGEST_MAX 16

struct remote_key {
    unsigned refs;
    EVP_PKEY *public;   /* of the default provider */
    OSSL_PARAM *params; /* ... as such */
    const char *type;
    char name[PKI_KEY_NAME + 1];
};

/* What OpenSSL calls a key: none of them before it is imported. */
struct handle {
    struct remote_key *key;
};

struct signature {
    struct handle *handle;
    char digest[DIGEST_MAX];
    bool is_pss;
};

static _Thread_local struct pki_signing *signing;

void pki_signing_set(struct pki_signing *s)
{
    signing = s;
}

static void key_unref(struct remote_key *k)
{
    if (!k || __atomic_sub_fetch(&k->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    OSSL_PARAM_free(k->params);
    EVP_PKEY_free(k->public);
    mem_free(k);
}

/* --- keys --- */

static void *handle_new(void *provider)
{
    (void)provider;
    return mem_zalloc(sizeof(struct handle));
}

static void handle_free(void *data)
{
    struct handle *h = data;

    if (h)
        key_unref(h->key);
    mem_free(h);
}

static int handle_has(const void *data, int selection)
{
    const struct handle *h = data;

    (void)selection;
    return h && h->key;
}

static int handle_import(void *data, int selection, const OSSL_PARAM params[])
{
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, PARAM_KEY);
    struct handle *h = data;
    const void *key;
    size_t n;

    (void)selection;
    if (!p || h->key || OSSL_PARAM_get_octet_ptr(p, &key, &n) != 1)
        return 0;
    memcpy(&h->key, &key, sizeof(h->key));
    __atomic_add_fetch(&h->key->refs, 1, __ATOMIC_RELAXED);
    return 1;
}

static const OSSL_PARAM *import_types(int selection)
{
    static const OSSL_PARAM types[] = {OSSL_PARAM_octet_ptr(PARAM_KEY, NULL, 0), OSSL_PARAM_END};

    (void)selection;
    return types;
}

/* The public half, so that it can be compared with a certificate's. There is no other to be had. */
static int handle_export(void *data, int selection, OSSL_CALLBACK *fn, void *arg)
{
    const struct handle *h = data;

    return !(selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) && h->key && fn(h->key->params, arg);
}

static const OSSL_PARAM *export_types(int selection)
{
    static const OSSL_PARAM none[] = {OSSL_PARAM_END};

    (void)selection;
    return none;
}

static int handle_get(void *data, OSSL_PARAM params[])
{
    const struct handle *h = data;

    return h->key && EVP_PKEY_get_params(h->key->public, params);
}

static const OSSL_PARAM *handle_gettable(void *provider)
{
    static const OSSL_PARAM types[] = {OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
                                       OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
                                       OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
                                       OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
                                       OSSL_PARAM_END};

    (void)provider;
    return types;
}

static const char *ec_operation(int operation)
{
    return operation == OSSL_OP_SIGNATURE ? "ECDSA" : NULL;
}

static const char *rsa_operation(int operation)
{
    return operation == OSSL_OP_SIGNATURE ? "RSA" : NULL;
}

static const char *ed25519_operation(int operation)
{
    return operation == OSSL_OP_SIGNATURE ? "ED25519" : NULL;
}

#define FN(id, fn)                                                                                 \
    {                                                                                              \
        (id), (void (*)(void))(fn)                                                                 \
    }
#define KEY_FUNCTIONS(operation)                                                                   \
    {                                                                                              \
        FN(OSSL_FUNC_KEYMGMT_NEW, handle_new), FN(OSSL_FUNC_KEYMGMT_FREE, handle_free),            \
            FN(OSSL_FUNC_KEYMGMT_HAS, handle_has), FN(OSSL_FUNC_KEYMGMT_IMPORT, handle_import),    \
            FN(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, import_types),                                      \
            FN(OSSL_FUNC_KEYMGMT_EXPORT, handle_export),                                           \
            FN(OSSL_FUNC_KEYMGMT_EXPORT_TYPES, export_types),                                      \
            FN(OSSL_FUNC_KEYMGMT_GET_PARAMS, handle_get),                                          \
            FN(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, handle_gettable),                                \
            FN(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, operation),                                 \
        {                                                                                          \
            0, NULL                                                                                \
        }                                                                                          \
    }

static const OSSL_DISPATCH ec_key[] = KEY_FUNCTIONS(ec_operation);
static const OSSL_DISPATCH rsa_key[] = KEY_FUNCTIONS(rsa_operation);
static const OSSL_DISPATCH ed25519_key[] = KEY_FUNCTIONS(ed25519_operation);

/* --- signatures --- */

static void *signature_new(void *provider, const char *properties)
{
    (void)provider, (void)properties;
    return mem_zalloc(sizeof(struct signature));
}

static void signature_free(void *data)
{
    mem_free(data);
}

static int signature_set(void *data, const OSSL_PARAM params[])
{
    const OSSL_PARAM *p =
        params ? OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE) : NULL;
    struct signature *s = data;
    int mode;

    if (!p)
        return 1;
    if (p->data_type == OSSL_PARAM_INTEGER) {
        if (OSSL_PARAM_get_int(p, &mode) != 1)
            return 0;
        s->is_pss = mode == 6; /* RSA_PKCS1_PSS_PADDING; the length of its salt is the digest's */
        return mode == 6 || mode == 1;
    }
    if (p->data_type != OSSL_PARAM_UTF8_STRING || !p->data)
        return 0;
    s->is_pss = strcmp(p->data, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0;
    return s->is_pss || strcmp(p->data, OSSL_PKEY_RSA_PAD_MODE_PKCSV15) == 0;
}

static const OSSL_PARAM *signature_settable(void *data, void *provider)
{
    static const OSSL_PARAM types[] = {
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0), OSSL_PARAM_END};

    (void)data, (void)provider;
    return types;
}

static int signature_init(void *data, const char *digest, void *key, const OSSL_PARAM params[])
{
    struct signature *s = data;

    s->handle = key;
    if (!key || str_copy_z(s->digest, sizeof(s->digest), str_z(digest ? digest : "")) != 0)
        return 0;
    return signature_set(s, params);
}

static enum pki_sign_kind kind_of(const struct pki_signing *s)
{
    if (s->version >= TLS1_3_VERSION)
        return s->is_client ? PKI_SIGN_TLS13_CLIENT : PKI_SIGN_TLS13_SERVER;
    return s->is_client ? PKI_SIGN_TLS12_CLIENT : PKI_SIGN_TLS12_SERVER;
}

/* "SHA2-256" is another of the names of SHA256. */
static const struct pki_sign_scheme *scheme_of(const struct signature *s)
{
    const char *digest = s->digest;
    char plain[DIGEST_MAX];

    if (strncasecmp(digest, "SHA2-", 5) == 0) {
        memcpy(plain, "SHA", 3);
        memcpy(plain + 3, digest + 5, strlen(digest + 5) + 1);
        digest = plain;
    }
    return pki_sign_scheme_find(s->handle->key->type, digest, s->is_pss);
}

static int digest_sign(void *data, unsigned char *sig, size_t *n, size_t cap,
                       const unsigned char *input, size_t n_input)
{
    const struct signature *s = data;
    const struct remote_key *k = s->handle->key;
    const struct pki_sign_scheme *scheme = scheme_of(s);
    size_t max = (size_t)EVP_PKEY_get_size(k->public);
    uint8_t room[PKI_SIGNATURE_MAX];
    struct pki_sign_request r;

    if (!sig) {
        *n = max;
        return 1;
    }
    if (!signing || !scheme)
        return 0;
    signing->version = SSL_version(signing->ssl);
    r = (struct pki_sign_request){.key = str_z(k->name),
                                  .kind = kind_of(signing),
                                  .scheme = scheme->code,
                                  .input = str_make((const char *)input, n_input)};
    if (signing->wait(signing, &r, room, n) != 0 || *n > max || *n > cap)
        return 0;
    memcpy(sig, room, *n);
    return 1;
}

static const OSSL_DISPATCH signature_functions[] = {
    FN(OSSL_FUNC_SIGNATURE_NEWCTX, signature_new),
    FN(OSSL_FUNC_SIGNATURE_FREECTX, signature_free),
    FN(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, signature_init),
    FN(OSSL_FUNC_SIGNATURE_DIGEST_SIGN, digest_sign),
    FN(OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, signature_set),
    FN(OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, signature_settable),
    {0, NULL}};

/* --- the provider --- */

#define PROPERTIES "provider=sallyport"

static const OSSL_ALGORITHM keys[] = {
    {"EC:id-ecPublicKey:1.2.840.10045.2.1", PROPERTIES, ec_key, NULL},
    {"RSA:rsaEncryption:1.2.840.113549.1.1.1", PROPERTIES, rsa_key, NULL},
    {"ED25519:1.3.101.112", PROPERTIES, ed25519_key, NULL},
    {NULL, NULL, NULL, NULL}};
static const OSSL_ALGORITHM signatures[] = {
    {"ECDSA", PROPERTIES, signature_functions, NULL},
    {"RSA:rsaEncryption", PROPERTIES, signature_functions, NULL},
    {"ED25519", PROPERTIES, signature_functions, NULL},
    {NULL, NULL, NULL, NULL}};

static const OSSL_ALGORITHM *query(void *provider, int operation, int *no_cache)
{
    (void)provider;
    *no_cache = 0;
    switch (operation) {
    case OSSL_OP_KEYMGMT:
        return keys;
    case OSSL_OP_SIGNATURE:
        return signatures;
    default:
        return NULL;
    }
}

static void teardown(void *provider)
{
    (void)provider;
}

static int provider_init(const OSSL_CORE_HANDLE *core, const OSSL_DISPATCH *in,
                         const OSSL_DISPATCH **out, void **provider)
{
    static const OSSL_DISPATCH functions[] = {FN(OSSL_FUNC_PROVIDER_QUERY_OPERATION, query),
                                              FN(OSSL_FUNC_PROVIDER_TEARDOWN, teardown),
                                              {0, NULL}};

    (void)in;
    *out = functions;
    *provider = (void *)(uintptr_t)core;
    return 1;
}

static OSSL_LIB_CTX *library; /* lives as long as the process */

static void library_init(void)
{
    OSSL_LIB_CTX *l = OSSL_LIB_CTX_new();

    if (l && OSSL_PROVIDER_add_builtin(l, "sallyport", provider_init) == 1 &&
        OSSL_PROVIDER_load(l, "sallyport") != NULL) {
        library = l;
        return;
    }
    OSSL_LIB_CTX_free(l);
}

static const char *type_of(const EVP_PKEY *key)
{
    static const char *const types[] = {"EC", "RSA", "ED25519"};

    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (EVP_PKEY_is_a(key, types[i]))
            return types[i];
    }
    return NULL;
}

static struct remote_key *remote_new(const EVP_PKEY *key, const char *type)
{
    struct remote_key *k = mem_zalloc(sizeof(*k));

    if (!k)
        return NULL;
    k->refs = 1;
    k->type = type;
    k->public = EVP_PKEY_dup((EVP_PKEY *)(uintptr_t)key); /* dup changes nothing in it */
    if (k->public && pki_key_name(k->public, k->name) == 0 &&
        EVP_PKEY_todata(k->public, EVP_PKEY_PUBLIC_KEY, &k->params) == 1)
        return k;
    key_unref(k);
    return NULL;
}

int pki_remote_key_new(const EVP_PKEY *key, EVP_PKEY **ret, struct reason *why)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const char *type = type_of(key);
    struct remote_key *k = type ? remote_new(key, type) : NULL;
    OSSL_PARAM params[] = {OSSL_PARAM_octet_ptr(PARAM_KEY, NULL, 0), OSSL_PARAM_END};
    EVP_PKEY_CTX *ctx = NULL;
    void *p = k;

    *ret = NULL;
    if (!type) {
        reason_set(why, "cert-key", "RFC 8446 4.2.3", 0,
                   "a key of this kind cannot be kept apart; EC, RSA or Ed25519 can");
        return ERR_UNSUPPORTED;
    }
    pthread_once(&once, library_init);
    params[0].data = &p;
    params[0].data_size = sizeof(p);
    if (k && library)
        ctx = EVP_PKEY_CTX_new_from_name(library, type, NULL);
    if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, ret, EVP_PKEY_KEYPAIR, params) != 1) {
        EVP_PKEY_free(*ret);
        *ret = NULL;
        reason_set(why, "no-memory", NULL, 0, "out of memory");
    }
    EVP_PKEY_CTX_free(ctx);
    key_unref(k);
    ERR_clear_error();
    return *ret ? 0 : ERR_NOMEM;
}
