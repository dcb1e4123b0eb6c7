/* Signed bodies in scenarios: users with certificates of a CA that the edge trusts for identities,
 * or of another one, and what they sign.
 *
 *   smime-user NAME sip:URI | email:ADDRESS | domain:DOMAIN [stranger]
 *   smime VAR by NAME [inside] [signed SECONDS | undated]
 *   ENTITY
 *   .                    the base64 text of a signature over these lines (without their last CRLF,
 *                        which is the delimiter's), or with them inside of it
 *   date VAR [SECONDS]   a Date, of now or another time
 *   next-call VAR PARTY  the Call-ID that this party's next request outside a dialog will have
 *
 * SECONDS count from now; a signature says that it is of now, unless told otherwise. */
#include "edge/identity/service.h"
#include "identity/canon.h"
#include "pki/chain.h"
#include "pki/mint.h"
#include "player.h"
#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#define USERS_MAX 12

static struct {
    struct pki_mint_ca *ca[2]; /* trusted, and not */
    struct pki_anchors *anchors;
    struct {
        char name[32];
        X509 *cert;
        EVP_PKEY *key;
    } user[USERS_MAX];
    size_t n;
} S;

struct pki_anchors *smime_anchors(struct edge_credentials *self)
{
    (void)self;
    return S.anchors ? pki_anchors_ref(S.anchors) : NULL;
}

static int64_t wall(void)
{
    return (int64_t)net_wall_s(&P.sim.net);
}

static void ca_make(bool is_stranger)
{
    struct pki_mint_ca_args a = {
        .cn = is_stranger ? STR("Stranger") : STR("Users"), .not_before = 1699900000, .days = 3650};
    struct reason why = {0};
    char file[96];

    if (S.ca[is_stranger])
        return;
    snprintf(file, sizeof(file), "%s/users.crt", P.dir);
    if (pki_mint_ca_new(&a, &S.ca[is_stranger], &why) != 0)
        fail("CA: %s", why.detail);
    if (!is_stranger && (pki_mint_ca_save(S.ca[0], file, NULL, &why) != 0 ||
                         pki_anchors_new(file, NULL, &S.anchors, &why) != 0))
        fail("anchors: %s", why.detail);
}

void step_smime_user(char **word, unsigned n)
{
    bool is_stranger = n == 4 && strcmp(word[3], "stranger") == 0;
    char cert[96], key[96];
    struct pki_mint_san san = {.kind = PKI_MINT_URI};
    struct str domain;
    struct pki_mint_args a = {
        .uses = PKI_MINT_SMIME, .not_before = 1699900000, .days = 3650, .cn = STR("User")};
    struct reason why = {0};
    FILE *f;

    if (n < 3 || (n == 4 && !is_stranger) || S.n == USERS_MAX)
        fail("smime-user NAME sip:URI | email:ADDRESS | domain:DOMAIN [stranger]");
    ca_make(is_stranger);
    snprintf(cert, sizeof(cert), "%s/user.crt", P.dir);
    snprintf(key, sizeof(key), "%s/user.key", P.dir);
    a.cert_file = cert;
    a.key_file = key;
    domain = str_z(word[2] + 7);
    if (strncmp(word[2], "domain:", 7) == 0) {
        a.domains = &domain;
        a.n_domains = 1;
    } else {
        bool is_email = strncmp(word[2], "email:", 6) == 0;

        san = (struct pki_mint_san){is_email ? PKI_MINT_EMAIL : PKI_MINT_URI,
                                    str_z(word[2] + (is_email ? 6 : 0))};
        a.sans = &san;
        a.n_sans = 1;
    }
    if (pki_mint_cert(S.ca[is_stranger], &a, &why) != 0)
        fail("certificate: %s", why.detail);
    snprintf(S.user[S.n].name, sizeof(S.user[S.n].name), "%s", word[1]);
    if ((f = fopen(cert, "r")) != NULL) {
        S.user[S.n].cert = PEM_read_X509(f, NULL, NULL, NULL);
        fclose(f);
    }
    if ((f = fopen(key, "r")) != NULL) {
        S.user[S.n].key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
        fclose(f);
    }
    if (!S.user[S.n].cert || !S.user[S.n].key)
        fail("certificate or key cannot be read");
    S.n++;
    identity_credentials_on();
}

static void sign(const char *name, struct str what, bool is_inside, bool is_dated, int64_t at,
                 const char *var)
{
    unsigned flags = CMS_BINARY | CMS_PARTIAL | (is_inside ? 0 : CMS_DETACHED) |
                     (is_dated ? CMS_NOSMIMECAP : CMS_NOATTR);
    BIO *in = BIO_new_mem_buf(what.p, (int)what.n);
    CMS_ContentInfo *cms = CMS_sign(NULL, NULL, NULL, NULL, flags);
    ASN1_TIME *t = ASN1_TIME_adj(NULL, (time_t)at, 0, 0);
    CMS_SignerInfo *si = NULL;
    unsigned char *der = NULL;
    char text[2048];
    int len;

    for (size_t i = 0; i < S.n && !si; i++)
        if (strcmp(S.user[i].name, name) == 0)
            si = CMS_add1_signer(cms, S.user[i].cert, S.user[i].key, EVP_sha256(), flags);
    if (!si || !t ||
        (is_dated && CMS_signed_add1_attr_by_NID(si, NID_pkcs9_signingTime, t->type, t, -1) != 1))
        fail("nobody to sign, or no time: %s", name);
    if (CMS_final(cms, in, NULL, flags) != 1 || (len = i2d_CMS_ContentInfo(cms, &der)) <= 0 ||
        str_base64_encode(text, sizeof(text), der, (size_t)len, false) != 0)
        fail("it cannot be signed, or is too long: %s",
             ERR_reason_error_string(ERR_peek_last_error()));
    var_set(var, str_z(text));
    OPENSSL_free(der);
    ASN1_TIME_free(t);
    CMS_ContentInfo_free(cms);
    BIO_free(in);
}

void step_smime(char **word, unsigned n)
{
    static char entity[16384];
    bool is_inside = false, is_dated = true;
    int64_t at = wall();
    size_t len;

    if (n < 4 || strcmp(word[2], "by") != 0)
        fail("smime VAR by NAME [inside] [signed SECONDS | undated]");
    for (unsigned i = 4; i < n; i++) {
        if (strcmp(word[i], "inside") == 0)
            is_inside = true;
        else if (strcmp(word[i], "undated") == 0)
            is_dated = false;
        else if (strcmp(word[i], "signed") == 0 && i + 1 < n)
            at += strtoll(word[++i], NULL, 10);
        else
            fail("smime: what is %s?", word[i]);
    }
    block(entity, sizeof(entity));
    len = strlen(entity);
    sign(word[3], str_make(entity, len > 2 ? len - 2 : 0), is_inside, is_dated, at, word[1]);
}

void step_date(char **word, unsigned n)
{
    char text[CANON_DATE_MAX];

    if (n < 2)
        fail("date VAR [SECONDS]");
    canon_date_build((uint64_t)(wall() + (n > 2 ? strtoll(word[2], NULL, 10) : 0)), text);
    var_set(word[1], str_z(text));
}

void step_next_call(char **word, unsigned n)
{
    char text[128];

    if (n != 3)
        fail("next-call VAR PARTY");
    snprintf(text, sizeof(text), "call-%s-%u", word[2], P.serial + 1);
    var_set(word[1], str_z(text));
}

void smime_stop(void)
{
    for (size_t i = 0; i < S.n; i++) {
        X509_free(S.user[i].cert);
        EVP_PKEY_free(S.user[i].key);
    }
    pki_anchors_unref(S.anchors);
    for (size_t i = 0; i < ARRAY_LEN(S.ca); i++)
        pki_mint_ca_free(S.ca[i]);
    memset(&S, 0, sizeof(S));
}
