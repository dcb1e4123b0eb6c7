/* Fuzz: what a peer shows and a responder says, through all of pki: certificates (names, usages,
 * numbers, claims, responders, words), the chain that they make, CRLs, an OCSP answer, and the
 * verdict on the whole (pki/tls.h). Input: records of a type byte ('c' certificate, 'r' CRL, 'o'
 * OCSP answer), two bytes of length, and DER. The first certificate is the peer's, the last one is
 * the anchor. */
#include "base/str.h"
#include "pki/chain.h"
#include "pki/claims.h"
#include "pki/inspect.h"
#include "pki/names.h"
#include "pki/ocsp.h"
#include "pki/tls.h"
#include "pki/tnauth.h"
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define CERTS_MAX 10
#define NOW 1796000000 /* within the seeds' validity, whenever this runs */

struct input {
    X509 *certs[CERTS_MAX];
    size_t n_certs;
    struct str crl, answer, leaf;
};

static void take(struct input *in, int type, const uint8_t *p, size_t n)
{
    const unsigned char *at = p;

    if (type == 'r') {
        in->crl = str_make((const char *)p, n);
    } else if (type == 'o') {
        in->answer = str_make((const char *)p, n);
    } else if (type == 'c' && in->n_certs < CERTS_MAX) {
        X509 *c = d2i_X509(NULL, &at, (long)n);

        if (!c)
            return;
        if (in->n_certs == 0)
            in->leaf = str_make((const char *)p, n);
        in->certs[in->n_certs++] = c;
    }
}

/* A file that is only memory: the readers of pki take names of files. */
static int file_new(char name[32], FILE **ret)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    if (fd < 0 || (*ret = fdopen(fd, "w+")) == NULL)
        abort();
    snprintf(name, 32, "/proc/self/fd/%d", fd);
    return fd;
}

static void on_say(void *arg, const char *label, struct str text)
{
    (void)arg;
    if (!*label)
        abort();
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] < ' ' || text.p[i] > '~')
            abort();
}

static void read_cert(X509 *cert, X509 *issuer)
{
    struct arena *a = arena_new(1024, 262144);
    struct str names[PKI_NAMES_MAX];
    struct pki_tnauth tn;
    struct pki_claim_rules rules;
    struct pki_cert_id id;
    char url[PKI_URL_MAX];
    unsigned char *q;
    size_t n;
    struct reason why;
    int got;

    if (!a)
        return;
    got = pki_cert_names(cert, a, names);
    for (int i = 0; i < got; i++)
        if (names[i].n == 0 || memchr(names[i].p, 0, names[i].n) ||
            memchr(names[i].p, '*', names[i].n))
            abort();
    (void)!pki_tnauth_of(cert, a, &tn, &why);
    (void)!pki_claim_rules_of(cert, a, &rules, &why);
    (void)pki_must_staple(cert);
    if (pki_ocsp_responder(cert, url) == 0 && strncasecmp(url, "http://", 7) != 0)
        abort();
    if (pki_cert_id_make(cert, issuer, &id) == 0 && pki_ocsp_request(cert, issuer, &q, &n) == 0)
        free(q);
    (void)pki_inspect_cert(cert, NOW, on_say, NULL);
    arena_free(a);
}

static void read_answer(const struct input *in)
{
    struct pki_ocsp_answer got;
    struct reason why;
    X509 *issuer = in->certs[in->n_certs > 1 ? 1 : 0];
    int err = pki_ocsp_check(in->answer.p, in->answer.n, in->certs[0], issuer, NOW, &got, &why);

    if (err != 0 && got.status != PKI_STATUS_UNKNOWN) /* what does not count says nothing */
        abort();
}

/* The verdict, as of a server that is asked for a.example; it must be the same twice. */
static void judge(const struct input *in)
{
    char shown_name[32], anchor_name[32], crl_name[32];
    FILE *shown, *anchor, *crl = NULL;
    struct pki_tls_options o = {.revocation = PKI_REVOCATION_SOFT};
    struct pki_tls_client *c;
    enum cert_standing standing;
    struct reason why;

    (void)file_new(shown_name, &shown);
    (void)file_new(anchor_name, &anchor);
    for (size_t i = 0; i + 1 < in->n_certs; i++)
        (void)PEM_write_X509(shown, in->certs[i]);
    (void)PEM_write_X509(anchor, in->certs[in->n_certs - 1]);
    (void)fflush(shown);
    (void)fflush(anchor);
    o.ca_pem = anchor_name;
    if (in->crl.n) {
        (void)file_new(crl_name, &crl);
        (void)fwrite(in->crl.p, 1, in->crl.n, crl);
        (void)fflush(crl);
        o.crl_pem = crl_name;
    }
    if (pki_tls_client_new(&o, &c, &why) == 0) {
        int err = pki_tls_client_judge_file(c, shown_name, STR("a.example"), &standing, &why);

        if (err != pki_tls_client_judge_file(c, shown_name, STR("a.example"), &standing, &why))
            abort();
        if (err != 0 && !why.code)
            abort();
        pki_tls_client_unref(c);
    }
    (void)fclose(shown);
    (void)fclose(anchor);
    if (crl)
        (void)fclose(crl);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct input in = {.n_certs = 0};
    struct pki_chain *chain;
    struct reason why;
    size_t i;

    while (n >= 3 && n <= 262144) {
        size_t len = (size_t)data[1] << 8 | data[2];

        if (len > n - 3)
            break;
        take(&in, data[0], data + 3, len);
        data += 3 + len;
        n -= 3 + len;
    }
    for (i = 0; i < in.n_certs; i++)
        read_cert(in.certs[i], in.certs[i + 1 < in.n_certs ? i + 1 : i]);
    if (in.n_certs && in.answer.n)
        read_answer(&in);
    if (in.leaf.n && pki_chain_new(in.leaf, NULL, NOW, &chain, &why) == 0)
        pki_chain_unref(chain);
    if (in.n_certs > 1)
        judge(&in);
    for (i = 0; i < in.n_certs; i++)
        X509_free(in.certs[i]);
    ERR_clear_error();
    return 0;
}
