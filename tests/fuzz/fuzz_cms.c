/* S/MIME bodies as strangers may send them. The input's first byte says what it is: a CMS structure
 * (with what it is over, or without), a MIME entity, a fragment of a message, a message's type
 * and body, whose layers are verified, or what the target shall sign. Nothing may be read outside;
 * without anchors no signature may come out as good, and with those of the target's CA only what
 * the seeds or the target have signed; what is refused has a reason. */
#include "base/limits.h"
#include "ca.h"
#include "pki/cms.h"
#include "sip/smime.h"
#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct pki_anchors *nobody;

static void inside(struct str outer, struct str s)
{
    CHECK(s.n == 0 || (s.p >= outer.p && s.p + s.n <= outer.p + outer.n));
}

static void check_frag(struct arena *a, struct str bytes)
{
    struct reason why = {.code = NULL};
    struct sip_msg *m;

    if (sip_frag_parse(a, bytes, &m, &why) != 0) {
        CHECK(why.code);
        return;
    }
    CHECK(m->body.n <= bytes.n && m->n_hdrs <= LIMIT_MSG_HEADERS);
    CHECK(m->defect.sip_status == 0 || m->defect.code);
    if (m->defect.sip_status == 0 && sip_msg_has(m, SIP_H_FROM))
        CHECK(m->from.uri.n > 0);
}

static void check_entity(struct arena *a, struct str entity)
{
    struct sip_part parts[LIMIT_BODY_PARTS];
    size_t n = ARRAY_LEN(parts);
    struct reason why = {.code = NULL};

    if (sip_entity_parts(entity, parts, &n, &why) != 0) {
        CHECK(why.code && why.sip_status >= 400);
        return;
    }
    CHECK(n >= 1 && n <= ARRAY_LEN(parts) && parts[0].depth == 0);
    for (size_t i = 0; i < n; i++) {
        inside(entity, sip_part_whole(&parts[i]));
        inside(entity, sip_part_header(&parts[i], STR("Content-Transfer-Encoding")));
        inside(entity, sip_type_param(parts[i].content_type, STR("smime-type")));
        if (str_starts_nocase(parts[i].content_type, STR("message/sip")))
            check_frag(a, parts[i].body);
    }
}

#define SIGNED_TEXT                                                                                \
    "Content-Type: text/plain\r\n\r\nhello\r\n" /* by those of the seeds that F vouches for */

/* Of the target's CA. `signed_text`: what the signer has signed, if it is one. */
static int check_trusted(struct arena *a, struct str cms, struct str content,
                         struct str signed_text)
{
    struct pki_cms_args args = {
        .cms = cms, .content = content, .anchors = fuzz_ca_anchors(), .now_s = FUZZ_NOW};
    struct reason why = {.code = NULL};
    struct pki_cms got;
    int err = pki_cms_verify(&args, a, &got, &why);

    if (err != 0) {
        CHECK(!got.chain && why.code && why.sip_status >= 400);
        return err;
    }
    CHECK(got.chain && str_eq(got.content, signed_text) && got.fixed.n > 0);
    CHECK(pki_chain_facts(got.chain)->not_after_s >= FUZZ_NOW);
    pki_chain_unref(got.chain);
    return 0;
}

static void put_extension(X509 *x, int nid, const uint8_t *p, size_t n)
{
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    X509_EXTENSION *e;

    CHECK(value && ASN1_OCTET_STRING_set(value, p, (int)n) == 1);
    e = X509_EXTENSION_create_by_NID(NULL, nid, 0, value);
    CHECK(e && X509_add_ext(x, e, -1) == 1);
    X509_EXTENSION_free(e);
    ASN1_OCTET_STRING_free(value);
}

/* "flags, uint8 n, n bytes of a subjectAltName, uint8 n, n bytes of a signingTime, content". */
static void check_signing(struct arena *a, const uint8_t *p, size_t n)
{
    unsigned how = CMS_BINARY | CMS_PARTIAL | CMS_NOSMIMECAP;
    X509 *leaf = fuzz_ca_blank("L", false);
    struct str part[2] = {{NULL, 0}}, content, all;
    CMS_ContentInfo *cms;
    CMS_SignerInfo *signer;
    unsigned char *der = NULL;
    uint8_t flags = *p++;
    BIO *b;
    int len;

    n--;
    for (size_t i = 0; i < 2 && n > 0; i++) {
        size_t k = p[0] < n - 1 ? p[0] : n - 1;

        part[i] = str_make((const char *)p + 1, k);
        p += 1 + k;
        n -= 1 + k;
    }
    content = str_make((const char *)p, n);
    put_extension(leaf, NID_subject_alt_name, (const uint8_t *)part[0].p, part[0].n);
    CHECK(X509_sign(leaf, fuzz_ca_key(), EVP_sha256()) > 0);
    if (flags & 1)
        how |= CMS_DETACHED;
    if (flags & 2)
        how |= CMS_NOATTR;
    b = BIO_new_mem_buf(p, (int)n);
    cms = CMS_sign(NULL, NULL, NULL, NULL, how);
    signer = cms ? CMS_add1_signer(cms, leaf, fuzz_ca_key(), EVP_sha256(), how) : NULL;
    CHECK(b && signer);
    if (!(flags & 2) && part[1].n)
        (void)CMS_signed_add1_attr_by_NID(signer, NID_pkcs9_signingTime,
                                          flags & 4 ? V_ASN1_GENERALIZEDTIME : V_ASN1_UTCTIME,
                                          part[1].p, (int)part[1].n);
    if (CMS_final(cms, b, NULL, how) == 1 && (len = i2d_CMS_ContentInfo(cms, &der)) > 0) {
        all = str_make((const char *)der, (size_t)len);
        (void)check_trusted(a, all, flags & 1 ? content : STR_NULL, content);
        if (flags & 1) /* over something else it holds only if that is the same */
            (void)check_trusted(a, all, STR(SIGNED_TEXT), content);
    }
    OPENSSL_free(der);
    BIO_free(b);
    CMS_ContentInfo_free(cms);
    X509_free(leaf);
    ERR_clear_error();
}

static void check_cms(struct arena *a, struct str cms, struct str content)
{
    struct pki_cms_args args = {
        .cms = cms, .content = content, .anchors = nobody, .now_s = FUZZ_NOW};
    struct reason why = {.code = NULL};
    struct pki_cms got;
    struct str what;
    int err = pki_cms_verify(&args, a, &got, &why);

    CHECK(err != 0 && !got.chain && why.code && why.sip_status >= 400);
    (void)check_trusted(a, cms, content, STR(SIGNED_TEXT));
    why = (struct reason){.code = NULL};
    if (pki_cms_content(cms, a, &what, &why) == 0)
        check_entity(a, what);
    else
        CHECK(why.code);
}

/* "Content-Type value LF body". */
static void check_message(struct arena *a, struct str text)
{
    static const char head[] = "INVITE sip:b@b SIP/2.0\r\nVia: SIP/2.0/TLS h;branch=z9hG4bKx\r\n"
                               "From: <sip:a@a>;tag=1\r\nTo: <sip:b@b>\r\nCall-ID: c\r\n"
                               "CSeq: 1 INVITE\r\nContent-Type: ";
    struct sip_smime found[LIMIT_SMIME_LAYERS];
    size_t n = ARRAY_LEN(found), at = sizeof(head) - 1;
    struct reason why = {.code = NULL};
    struct str type, body = str_cut(text, '\n', &type), cms;
    struct sip_msg *m;
    char *p = arena_alloc(a, at + text.n + 4);

    if (!p)
        return;
    memcpy(p, head, at);
    if (type.n)
        memcpy(p + at, type.p, type.n);
    at += type.n;
    memcpy(p + at, "\r\n\r\n", 4);
    at += 4;
    if (body.n)
        memcpy(p + at, body.p, body.n);
    if (sip_msg_parse(a, str_make(p, at + body.n), &m, &why) != 0 ||
        sip_smime_find(m, found, &n, &why) != 0)
        return;
    CHECK(n <= ARRAY_LEN(found));
    for (size_t i = 0; i < n; i++) {
        inside(m->body, found[i].entity);
        inside(m->body, found[i].cms);
        CHECK(found[i].kind == SIP_SMIME_DETACHED || !found[i].entity.p);
        cms = found[i].cms;
        if (found[i].is_base64 && sip_base64_lines(a, cms, &cms) != 0)
            continue;
        check_cms(a, cms, found[i].entity);
        if (found[i].entity.p)
            check_entity(a, found[i].entity);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str text = str_make((const char *)data + 1, n - 1);
    struct arena *a;

    if (n == 0 || n > LIMIT_MSG_BYTES || (!nobody && pki_anchors_new(NULL, NULL, &nobody, NULL)))
        return 0;
    a = arena_new(4096, LIMIT_MSG_ARENA_BYTES);
    if (!a)
        return 0;
    if (data[0] == 'c')
        check_cms(a, text, STR_NULL);
    else if (data[0] == 'd')
        check_cms(a, text, STR(SIGNED_TEXT));
    else if (data[0] == 'e')
        check_entity(a, text);
    else if (data[0] == 'f')
        check_frag(a, text);
    else if (data[0] == 's' && n > 4)
        check_signing(a, data + 1, n - 1);
    else
        check_message(a, text);
    arena_free(a);
    return 0;
}
