/* S/MIME bodies as strangers may send them. The input's first byte says what it is: a CMS structure
 * (with what it is over, or without), a MIME entity, a fragment of a message, or a message's type
 * and body, whose layers are verified. Nothing may be read outside; nobody's signature is trusted,
 * since there are no anchors, so that none may come out as good; what is refused has a reason. */
#include "base/limits.h"
#include "pki/cms.h"
#include "sip/smime.h"
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

static void check_cms(struct arena *a, struct str cms, struct str content)
{
    struct pki_cms_args args = {
        .cms = cms, .content = content, .anchors = nobody, .now_s = 1796000000};
    struct reason why = {.code = NULL};
    struct pki_cms got;
    struct str what;
    int err = pki_cms_verify(&args, a, &got, &why);

    CHECK(err != 0 && !got.chain && why.code && why.sip_status >= 400);
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
        check_cms(a, text, STR("Content-Type: text/plain\r\n\r\nhello\r\n"));
    else if (data[0] == 'e')
        check_entity(a, text);
    else if (data[0] == 'f')
        check_frag(a, text);
    else
        check_message(a, text);
    arena_free(a);
    return 0;
}
