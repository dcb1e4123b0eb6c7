/* Certificate chains as a stranger's server may send them: PEM or DER of any bytes, read without
 * anchors and against anchors that nobody's chain leads to. Nothing may be read outside; what is
 * accepted has facts that hold together and make a credential; what is not has a reason. */
#include "base/limits.h"
#include "identity/cred_chain.h"
#include <stdlib.h>

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_credential(const struct pki_chain *chain)
{
    const struct pki_chain_facts *f = pki_chain_facts(chain);
    struct arena *a = arena_new(512, 65536);
    struct identity_credential c;
    struct reason why = {.code = NULL};

    CHECK(f->key && f->n_tn >= 1 && f->n_tn <= PKI_CHAIN_CERTS);
    if (!a)
        return;
    if (identity_credential_make(a, chain, &c, &why) == 0) {
        CHECK(c.state == IDENTITY_CRED_GOOD && (c.key || c.rsa));
        (void)identity_authority_of(&c, (struct passport_id){false, STR("sip:a@a.example")});
        (void)identity_authority_of(&c, (struct passport_id){true, STR("4930123")});
        for (size_t i = 0; i < c.n_uris; i++)
            CHECK(c.uris[i].n > 4 && str_find_char(c.uris[i], '@') < c.uris[i].n);
    } else {
        CHECK(why.code);
    }
    identity_credential_done(&c);
    arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct pki_anchors *nobody;
    struct str bytes = str_make((const char *)data, n);
    struct pki_chain *chain;
    struct reason why = {.code = NULL};

    if (!nobody && pki_anchors_new(NULL, NULL, &nobody, NULL) != 0)
        return 0;
    if (n > 2 * LIMIT_CERT_CHAIN_BYTES)
        return 0;
    if (pki_chain_new(bytes, NULL, 0, &chain, &why) == 0) {
        check_credential(chain);
        pki_chain_unref(chain);
    } else {
        CHECK(why.code && why.sip_status >= 400);
    }
    why = (struct reason){.code = NULL};
    CHECK(pki_chain_new(bytes, nobody, 1796000000, &chain, &why) != 0);
    CHECK(!chain && why.code);
    return 0;
}
