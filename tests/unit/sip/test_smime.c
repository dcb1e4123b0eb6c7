/* sip/smime and fragments of messages: RFC 3261 23, RFC 8551 3, RFC 1847 2.1, RFC 3420, RFC 3893.
 */
#include "msg_help.h"
#include "oom.h"
#include "sip/smime.h"

#define HEAD                                                                                       \
    "INVITE sip:bob@example.net SIP/2.0\r\nVia: SIP/2.0/UDP pc33.example.com;"                     \
    "branch=z9hG4bKnashds8\r\nTo: Bob <sip:bob@example.net>\r\n"                                   \
    "From: Alice <sip:alice@example.com>;tag=1928301774\r\nCall-ID: a84b4c76e66710\r\n"            \
    "CSeq: 314159 INVITE\r\nMax-Forwards: 70\r\nDate: Thu, 21 Feb 2002 13:02:03 GMT\r\n"           \
    "Contact: <sip:alice@pc33.example.com>\r\n"

#define AIB                                                                                        \
    "Content-Type: message/sipfrag\r\nContent-Disposition: aib; handling=optional\r\n\r\n"         \
    "From: Alice <sip:alice@example.com>\r\nTo: Bob <sip:bob@example.net>\r\n"                     \
    "Contact: <sip:alice@pc33.example.com>\r\nDate: Thu, 21 Feb 2002 13:02:03 GMT\r\n"             \
    "Call-ID: a84b4c76e66710\r\nCSeq: 314159 INVITE\r\n"

#define SIGNED                                                                                     \
    "multipart/signed;\r\n  protocol=\"application/pkcs7-signature\";\r\n"                         \
    "  micalg=sha1; boundary=boundary42\r\n"

#define SIGNATURE                                                                                  \
    "Content-Type: application/pkcs7-signature; name=smime.p7s\r\n"                                \
    "Content-Transfer-Encoding: base64\r\n"                                                        \
    "Content-Disposition: attachment; filename=smime.p7s;\r\n   handling=required\r\n\r\n"         \
    "Zm9v\r\nYmFy\r\n"

static const char *const kinds[] = {"detached", "opaque", "encrypted", "other"};

/* What is found as "kind[:entity][:cms][,base64]|"; NULL: it cannot be read. */
static void check_find(const char *head, const char *body, const char *expected)
{
    static char text[LIMIT_MSG_BYTES], got[LIMIT_MSG_BYTES];
    struct sip_smime found[LIMIT_SMIME_LAYERS];
    size_t n = ARRAY_LEN(found);
    struct parsed p;
    int err;

    (void)snprintf(text, sizeof(text), HEAD "%s\r\n%s", head, body);
    p = parse(str_z(text));
    assert_int_equal(p.msg->defect.sip_status, 0);
    err = sip_smime_find(p.msg, found, &n, &p.why);
    assert_true((err == 0) == (expected != NULL));
    got[0] = '\0';
    for (size_t i = 0; err == 0 && i < n; i++) {
        size_t at = strlen(got);

        (void)snprintf(got + at, sizeof(got) - at, "%s:%.*s:%.*s%s|", kinds[found[i].kind],
                       STR_FMT(found[i].entity), STR_FMT(found[i].cms),
                       found[i].is_base64 ? ",base64" : "");
    }
    if (err == 0)
        assert_string_equal(got, expected);
    parsed_done(&p);
}

/* RFC 3893 3, with the blank line that stands there too early taken out: the signature lies within
 * a body that is not signed. */
static void aib_beside_a_description(void **state)
{
    (void)state;
    check_find("Content-Type: multipart/mixed; boundary=unique-boundary-1\r\n",
               "--unique-boundary-1\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n"
               "--unique-boundary-1\r\nContent-Type: " SIGNED "\r\n--boundary42\r\n" AIB
               "\r\n--boundary42\r\n" SIGNATURE
               "\r\n--boundary42--\r\n\r\n--unique-boundary-1--\r\n",
               "detached:" AIB ":Zm9v\r\nYmFy\r\n,base64|");
}

/* RFC 3261 23.4.2, and what RFC 3893 9 has inside a signature. */
static void whole_bodies(void **state)
{
    (void)state;
    check_find("Content-Type: " SIGNED,
               "--boundary42\r\n" AIB "\r\n--boundary42\r\n" SIGNATURE "\r\n--boundary42--\r\n",
               "detached:" AIB ":Zm9v\r\nYmFy\r\n,base64|");
    check_find("Content-Type: " SIGNED,
               "--boundary42\r\nContent-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n"
               "\r\nxyz\r\n--boundary42\r\n" SIGNATURE "\r\n--boundary42--\r\n",
               "detached:Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n\r\nxyz"
               ":Zm9v\r\nYmFy\r\n,base64|");
    check_find("Content-Type: application/pkcs7-mime; smime-type=Signed-Data\r\n", "xyz",
               "opaque::xyz|");
    check_find("Content-Type: application/x-pkcs7-mime; smime-type=signed-data\r\n"
               "Content-Transfer-Encoding: base64\r\n",
               "xyz", "opaque::xyz,base64|");
    check_find("Content-Type: application/pkcs7-mime\r\n", "x", "encrypted::x|");
    check_find("Content-Type: application/pkcs7-mime;smime-type=authEnveloped-data\r\n", "x",
               "encrypted::x|");
    check_find("Content-Type: application/pkcs7-mime;smime-type=certs-only\r\n", "x", "other::x|");
    check_find("Content-Type: application/sdp\r\n", "v=0", "");
    check_find("Content-Type: multipart/mixed;boundary=b\r\n", "", "");
    check_find("Content-Type: message/sipfrag\r\n", "From: <sip:a@b>", "");
    check_find("Content-Type: multipart/mixed;boundary=b\r\n", "x", NULL);
}

#define PART(b, text) "--" b "\r\nContent-Type: " text

/* The first part may be a multipart itself; what lies inside a layer is no layer; there are no more
 * than one looks at. */
static void layers(void **state)
{
    (void)state;
    check_find(
        "Content-Type: multipart/signed;boundary=s\r\n",
        PART("s", "multipart/mixed;boundary=m\r\n\r\n") PART("m", "a/b\r\n\r\n1\r\n")
            PART("m", "multipart/signed;boundary=i\r\n\r\n") PART("i", "c/d\r\n\r\n2\r\n")
                PART("i", "application/pkcs7-signature\r\n\r\nX\r\n") "--i--\r\n--m--\r\n" PART(
                    "s", "application/pkcs7-signature\r\n\r\nY\r\n") "--s--",
        "detached:Content-Type: multipart/mixed;boundary=m\r\n\r\n" PART("m", "a/b\r\n\r\n1\r\n")
            PART("m", "multipart/signed;boundary=i\r\n\r\n") PART("i", "c/d\r\n\r\n2\r\n")
                PART("i", "application/pkcs7-signature\r\n\r\nX\r\n") "--i--\r\n--m--:Y|");
    check_find("Content-Type: multipart/mixed;boundary=m\r\n",
               PART("m", "application/pkcs7-mime;smime-type=signed-data\r\n\r\n1\r\n")
                   PART("m", "text/plain\r\n\r\nx\r\n")
                       PART("m", "application/pkcs7-mime;smime-type=enveloped-data\r\n\r\n2\r\n")
                           PART("m", "application/pkcs7-mime\r\n\r\n3\r\n") "--m--",
               "opaque::1|encrypted::2|");
}

/* RFC 1847 2.1: exactly two parts, the second a signature of this kind. */
static void not_as_it_should_be(void **state)
{
    (void)state;
    check_find("Content-Type: multipart/signed;boundary=s\r\n",
               PART("s", "a/b\r\n\r\n1\r\n") "--s--", "detached::|");
    check_find("Content-Type: multipart/signed;boundary=s\r\n",
               PART("s", "a/b\r\n\r\n1\r\n") PART("s", "a/b\r\n\r\n1\r\n") "--s--", "detached::|");
    check_find("Content-Type: multipart/signed;boundary=s\r\n",
               PART("s", "a/b\r\n\r\n1\r\n") PART("s", "application/pkcs7-signature\r\n\r\nX\r\n")
                   PART("s", "application/sdp\r\n\r\nv=0\r\n") "--s--",
               "detached::|");
    check_find(
        "Content-Type: multipart/signed;protocol=\"application/pgp-signature\";boundary=s\r\n",
        PART("s", "a/b\r\n\r\n1\r\n") PART("s", "application/pgp-signature\r\n\r\nX\r\n") "--s--",
        "");
}

static void base64_in_lines(void **state)
{
    static const struct {
        const char *text, *bytes; /* NULL: refused */
    } rows[] = {
        {"", ""},
        {"Zm9v\r\nYmFy\r\n", "foobar"},
        {"Zm\t9v\nYg==", "foob"},
        {"Zm9", NULL},
        {"Zm9v\x01", NULL},
        {"Zm9v=", NULL},
        {"====", NULL},
    };
    struct arena *a = arena_new(4096, 65536);

    (void)state;
    assert_non_null(a);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str got;
        int err = sip_base64_lines(a, str_z(rows[i].text), &got);

        check_err(err, rows[i].bytes ? 0 : ERR_SYNTAX);
        if (err == 0)
            check_str(got, rows[i].bytes);
    }
    arena_free(a);
}

/* --- fragments --- */

static struct sip_msg *frag(struct arena *a, const char *text, const char *defect)
{
    struct reason why = {.code = NULL};
    struct sip_msg *m;

    check_err(sip_frag_parse(a, str_z(text), &m, &why), 0);
    if (!defect)
        assert_int_equal(m->defect.sip_status, 0);
    else
        assert_string_equal(m->defect.code, defect);
    return m;
}

static void fragments(void **state)
{
    struct arena *a = arena_new(4096, LIMIT_MSG_ARENA_BYTES);
    struct reason why = {.code = NULL};
    struct sip_msg *m;

    (void)state;
    assert_non_null(a);
    m = frag(a, "", NULL);
    assert_int_equal(m->n_hdrs, 0);
    assert_int_equal(m->body.n, 0);
    m = frag(a, "From: Alice <sip:alice@example.com>\r\nCall-ID: a84b4c76e66710", NULL);
    check_str(m->from.uri, "sip:alice@example.com");
    check_str(m->call_id, "a84b4c76e66710");
    assert_false(sip_msg_has(m, SIP_H_TO));
    m = frag(a, "f : <sip:a@b>\r\nCSeq: 314159 INVITE\r\n", NULL);
    assert_int_equal(m->cseq, 314159);
    assert_int_equal(m->cseq_method, SIP_INVITE);
    m = frag(a, "SIP/2.0 603 Declined", NULL); /* RFC 3420 4 */
    assert_int_equal(m->status, 603);
    m = frag(a, "SIP/2.0 200 OK\r\n\r\nbody", NULL);
    check_str(m->body, "body");
    m = frag(a,
             "INVITE sip:bob@biloxi.com SIP/2.0\r\nTo: <sip:bob@biloxi.com>\r\nContent-Type: "
             "application/sdp\r\nContent-Length: 3\r\n\r\nv=0\r\n",
             NULL);
    assert_int_equal(m->method, SIP_INVITE);
    check_str(m->body, "v=0");
    m = frag(a, "\r\nbody alone", NULL);
    check_str(m->body, "body alone");
    (void)frag(a, "From: <sip:a@b\r\n", "msg-from");
    (void)frag(a, "From: <sip:a@b>\r\nFrom: <sip:a@b>\r\n", "msg-repeated");
    (void)frag(a, "From: <sip:a@b>\nTo: x\r\n", "msg-control");
    (void)frag(a, "INVITE sip:b@b SIP/2.0\r\nCSeq: 1 BYE\r\n", "msg-cseq-method");
    check_err(sip_frag_parse(a, STR("no header and no start line"), &m, &why), ERR_SYNTAX);
    arena_free(a);
}

static void memory_runs_out(void **state)
{
    (void)state;
    OOM_SWEEP(40, {
        struct arena *a = arena_new(64, 65536);
        struct reason why = {.code = NULL};
        struct sip_msg *m;
        int err =
            a ? sip_frag_parse(a, STR("From: <sip:a@b>\r\nTo: <sip:a@b>"), &m, &why) : ERR_NOMEM;

        assert_true(err == 0 || err == ERR_NOMEM);
        arena_free(a);
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aib_beside_a_description),
        cmocka_unit_test(whole_bodies),
        cmocka_unit_test(layers),
        cmocka_unit_test(not_as_it_should_be),
        cmocka_unit_test(base64_in_lines),
        cmocka_unit_test(fragments),
        cmocka_unit_test(memory_runs_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
