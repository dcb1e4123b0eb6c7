/* OpenSSL as handshakes use it: a library context of its own, with all algorithms of the default
 * provider but for the readers of keys, of which there are those for certificates only. Made once,
 * for the life of the process; any thread.
 *
 * Why. OpenSSL 3.0 looks at every reader that there is, each time that it reads the public key of a
 * certificate: 134 us, where 38 do with those that fit; a quarter of a handshake. Later versions
 * remember what they found. */
#include "keying/dtls_priv.h"
#include <openssl/core_dispatch.h>
#include <openssl/provider.h>
#include <pthread.h>

#define READERS_MAX 16

static OSSL_LIB_CTX *library; /* NULL: the default one */
static OSSL_PROVIDER *whole;
static OSSL_ALGORITHM readers[READERS_MAX + 1];

/* A certificate's key is a SubjectPublicKeyInfo of one of these; "DER" finds out of which. */
static bool is_wanted(const OSSL_ALGORITHM *a)
{
    static const char *const names[] = {"EC", "RSA", "RSA-PSS", "ED25519", "ED448", "DER"};

    if (strstr(a->property_definition, "structure=SubjectPublicKeyInfo") == NULL)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        size_t n = strlen(names[i]);

        if (strncmp(a->algorithm_names, names[i], n) == 0 &&
            (a->algorithm_names[n] == '\0' || a->algorithm_names[n] == ':'))
            return true;
    }
    return false;
}

/* ---- the provider ---- */

static const OSSL_ALGORITHM *query(void *ctx, int operation, int *no_cache)
{
    (void)ctx;
    if (operation != OSSL_OP_DECODER)
        return OSSL_PROVIDER_query_operation(whole, operation, no_cache);
    *no_cache = 0;
    return readers;
}

static int capabilities(void *ctx, const char *capability, OSSL_CALLBACK *cb, void *arg)
{
    (void)ctx;
    return OSSL_PROVIDER_get_capabilities(whole, capability, cb, arg);
}

static void teardown(void *ctx)
{
    (void)ctx;
}

static int provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
                         const OSSL_DISPATCH **out, void **ret_ctx)
{
    static const OSSL_DISPATCH table[] = {
        {OSSL_FUNC_PROVIDER_TEARDOWN, (void (*)(void))teardown},
        {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query},
        {OSSL_FUNC_PROVIDER_GET_CAPABILITIES, (void (*)(void))capabilities},
        {0, NULL}};

    (void)handle;
    (void)in;
    *out = table;
    *ret_ctx = OSSL_PROVIDER_get0_provider_ctx(whole); /* the algorithms' own */
    return 1;
}

/* ---- once ---- */

static bool readers_find(void)
{
    int no_cache = 0;
    const OSSL_ALGORITHM *all = OSSL_PROVIDER_query_operation(whole, OSSL_OP_DECODER, &no_cache);
    size_t n = 0;

    for (; all != NULL && all->algorithm_names != NULL && n < READERS_MAX; all++) {
        if (is_wanted(all))
            readers[n++] = *all;
    }
    return n > 0;
}

static void make(void)
{
    OSSL_LIB_CTX *ctx;

    /* Whoever has told the library to use other algorithms than the default ones has them. */
    if (EVP_default_properties_is_fips_enabled(NULL) || !OSSL_PROVIDER_available(NULL, "default"))
        return;
    whole = OSSL_PROVIDER_load(NULL, "default");
    ctx = whole != NULL && readers_find() ? OSSL_LIB_CTX_new() : NULL;
    if (ctx != NULL && OSSL_PROVIDER_add_builtin(ctx, "sallyport", provider_init) == 1 &&
        OSSL_PROVIDER_load(ctx, "sallyport") != NULL)
        library = ctx;
    else
        OSSL_LIB_CTX_free(ctx);
}

OSSL_LIB_CTX *dtls_library(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, make);
    return library;
}
