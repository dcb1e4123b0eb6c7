/* Fuzz: a certificate in DER from a peer: identities, description, comparison (pki/names.h). What
 * is taken for an identity must be a host: no NUL, no blank, no wildcard. */
#include "base/str.h"
#include "pki/names.h"
#include <openssl/x509.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const unsigned char *p = data;
    X509 *cert = n <= 65536 ? d2i_X509(NULL, &p, (long)n) : NULL;
    if (!cert)
        return 0;
    struct arena *a = arena_new(1024, 65536);
    struct str names[PKI_NAMES_MAX];
    int got = a ? pki_cert_names(cert, a, names) : 0;
    for (int i = 0; i < got; i++) {
        struct reason why;
        if (names[i].n == 0 || names[i].n > 255 || names[i].p[names[i].n] != '\0')
            abort();
        for (size_t k = 0; k < names[i].n; k++) {
            char c = names[i].p[k];
            if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
                  c == ':' || c == '[' || c == ']'))
                abort();
        }
        if (pki_names_check(names, (size_t)got, names[i], &why) != 0)
            abort();
        if (pki_names_check(names, (size_t)got, STR("*.example"), &why) == 0)
            abort();
    }
    char text[80];
    struct sbuf b = sbuf_make(text, sizeof(text));
    pki_cert_describe(cert, &b);
    for (size_t i = 0; i < b.n; i++)
        if (text[i] < ' ' || text[i] > '~')
            abort();
    arena_free(a);
    X509_free(cert);
    return 0;
}
