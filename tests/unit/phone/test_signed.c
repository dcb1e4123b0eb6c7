/* RFC 8862, RFC 8224, RFC 9970: calls and answers that the phone's user signs itself, and its own
 * look at what others have signed. */
#include "bed.h"
#include "identity/cred_chain.h"
#include "phone/signer.h"
#include "pki/mint.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NOW 1700000000u
#define ALICE_URL "https://example.com/users/alice@example.com.pem"
#define BOB_URL "https://example.com/users/bob@example.com.pem"
#define PRINT                                                                                      \
    "v=0\no=- 1 1 IN IP4 192.0.2.9\ns=-\nc=IN IP4 192.0.2.9\nt=0 0\nm=audio 4000 RTP/AVP 8\n"      \
    "a=fingerprint:sha-256 CC:DD\n"
#define OTHER                                                                                      \
    "v=0\no=- 1 1 IN IP4 192.0.2.9\ns=-\nc=IN IP4 192.0.2.9\nt=0 0\nm=audio 4000 RTP/AVP 8\n"      \
    "a=fingerprint:sha-256 66:66\n"
#define CONTACT "Contact: <sip:bob@192.0.2.9:5070>\n"

/* ---- certificates ---- */

static struct {
    char dir[64], cert[2][96], key[2][96];
    struct phone_signer *bob;
    struct pki_chain *chain;
    struct arena *arena;
    struct identity_credential cred;
    /* the verifier */
    struct phone_verifier base;
    bool is_late, is_missing;
    int held;
    void (*fn)(void *arg, const struct identity_credential *cred);
    void *arg;
    uint64_t waiting;
} W;

static void mint(unsigned i, const char *user)
{
    const struct pki_mint_san san = {PKI_MINT_URI, str_z(user)};
    struct pki_mint_args args = {.sans = &san,
                                 .n_sans = 1,
                                 .not_before = NOW - 3600,
                                 .days = 30,
                                 .cert_file = W.cert[i],
                                 .key_file = W.key[i]};
    const struct pki_mint_ca_args ca_args = {
        .cn = STR("users"), .not_before = NOW - 3600, .days = 30};
    struct pki_mint_ca *ca;
    struct reason why;
    snprintf(W.cert[i], sizeof(W.cert[i]), "%s/%u.crt", W.dir, i);
    snprintf(W.key[i], sizeof(W.key[i]), "%s/%u.key", W.dir, i);
    assert_int_equal(pki_mint_ca_new(&ca_args, &ca, &why), 0);
    assert_int_equal(pki_mint_cert(ca, &args, &why), 0);
    pki_mint_ca_free(ca);
}

static struct phone_signer *signer(unsigned i, const char *user, const char *url, int expected)
{
    const struct phone_signer_args args = {
        .cert = W.cert[i], .key = W.key[i], .url = str_z(url), .user = str_z(user), .now_s = NOW};
    struct phone_signer *s = NULL;
    struct reason why = {0};
    assert_int_equal(phone_signer_new(&args, &s, &why), expected);
    return s;
}

static int get(struct phone_verifier *self, struct str url,
               void (*fn)(void *arg, const struct identity_credential *cred), void *arg,
               const struct identity_credential **ret, uint64_t *ret_id)
{
    (void)self;
    if (W.is_missing)
        return ERR_LIMIT;
    assert_true(str_eq(url, STR(BOB_URL)));
    if (W.is_late) {
        W.fn = fn;
        W.arg = arg;
        *ret_id = W.waiting = 7;
        return ERR_AGAIN;
    }
    W.held++;
    *ret = &W.cred;
    return 0;
}

static void put(struct phone_verifier *self, const struct identity_credential *cred)
{
    (void)self;
    assert_ptr_equal(cred, &W.cred);
    W.held--;
}

static void cancel(struct phone_verifier *self, uint64_t id)
{
    (void)self;
    assert_int_equal(id, W.waiting);
    W.waiting = 0;
}

static int setup(void **state)
{
    struct reason why;
    memset(&W, 0, sizeof(W));
    snprintf(W.dir, sizeof(W.dir), "/tmp/phone-signed.XXXXXX");
    assert_non_null(mkdtemp(W.dir));
    mint(0, "sip:alice@example.com");
    mint(1, "sip:bob@example.com");
    W.bob = signer(1, "sip:bob@example.com", BOB_URL, 0);
    W.arena = arena_new(1024, 16384);
    assert_int_equal(pki_chain_load(W.cert[1], &W.chain, &why), 0);
    assert_int_equal(identity_credential_make(W.arena, W.chain, &W.cred, &why), 0);
    W.base = (struct phone_verifier){.get = get, .put = put, .cancel = cancel};
    return bed_setup(state);
}

static int teardown(void **state)
{
    struct phone_signer *own = bed.cfg.signer;
    int err = bed_teardown(state);
    assert_int_equal(W.held, 0);
    assert_int_equal(W.waiting, 0);
    phone_signer_free(own);
    phone_signer_free(W.bob);
    identity_credential_done(&W.cred);
    pki_chain_unref(W.chain);
    arena_free(W.arena);
    for (unsigned i = 0; i < 2; i++) {
        unlink(W.cert[i]);
        unlink(W.key[i]);
    }
    rmdir(W.dir);
    return err;
}

/* ---- our own ---- */

static void own_certificate(void **state)
{
    (void)state;
    assert_null(signer(1, "sip:alice@example.com", ALICE_URL, ERR_REFUSED)); /* bob's */
}

static struct sip_msg *call(void)
{
    phone_call_id id;
    bed.cfg.signer = signer(0, "sip:alice@example.com", ALICE_URL, 0);
    bed_register();
    assert_int_equal(phone_call(bed.phone, STR("bob"), &id), 0);
    return bed_take("INVITE");
}

static void out(void **state)
{
    (void)state;
    bed.has_print = true;
    struct sip_msg *m = call();
    const char *first = bed_header(m, "Identity");
    assert_non_null(strstr(first, "info=<" ALICE_URL ">"));
    assert_non_null(strstr(first, "ppt=msec"));
    assert_string_not_equal(bed_header(m, "Date"), "");
    bed_reply(m, 407,
              "Proxy-Authenticate: Digest realm=\"example.com\", nonce=\"p1\", "
              "algorithm=SHA-256, qop=\"auth\"\n",
              NULL);
    (void)bed_take("ACK");
    m = bed_take("INVITE"); /* another request: what was signed for the first would be a replay */
    assert_non_null(strstr(bed_header(m, "Identity"), "ppt=msec"));
    assert_string_not_equal(bed_header(m, "Identity"), first);
}

/* Keys that are no fingerprints cannot be signed: it leaves as without a certificate. */
static void out_other_keys(void **state)
{
    (void)state;
    struct sip_msg *m = call();
    assert_string_equal(bed_header(m, "Identity"), "");
    bed_told("");
}

/* ---- others' ---- */

/* `body` is what is delivered, `signed_body` what bob has signed: an INVITE of his. */
static void invited(const char *body, const char *signed_body)
{
    char text[4096], extra[4096];
    struct arena *a = arena_new(4096, 1 << 20);
    struct reason why = {0};
    struct str value;
    struct sbuf b = sbuf_make(text, sizeof(text));
    sbuf_fmt(
        &b,
        "INVITE sip:alice@example.com SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bKs\r\n"
        "Max-Forwards: 70\r\nFrom: <sip:bob@example.com>;tag=bob\r\nTo: <sip:alice@example.com>\r\n"
        "Call-ID: in1\r\nCSeq: 5 INVITE\r\nContact: <sip:bob@192.0.2.9>\r\n"
        "Date: Tue, 14 Nov 2023 22:13:20 GMT\r\nContent-Type: application/sdp\r\n"
        "Content-Length: %u\r\n\r\n%s",
        (unsigned)strlen(signed_body), signed_body);
    assert_int_equal(phone_signer_sign(W.bob, a, sbuf_get(&b), NOW, &value, &why), 0);
    snprintf(extra, sizeof(extra), "Date: Tue, 14 Nov 2023 22:13:20 GMT\nIdentity: %.*s\n",
             STR_FMT(value));
    arena_free(a);
    bed_request("INVITE", 5, "i1", NULL, extra, body);
}

static void wait_for_calls(void)
{
    bed.cfg.verifier = &W.base;
    bed_register();
}

static void in_valid(void **state)
{
    (void)state;
    bed.has_print = true;
    bed.cfg.signer = signer(0, "sip:alice@example.com", ALICE_URL, 0);
    wait_for_calls();
    invited(PRINT, PRINT);
    (void)bed_take("180");
    bed_told("incoming sip:bob@example.com;verified valid user sip:bob@example.com;");
    assert_int_equal(phone_answer(bed.phone, bed.call), 0);
    struct sip_msg *ok = bed_take("200");
    assert_non_null(strstr(bed_header(ok, "Identity"), "ppt=rsp"));
    assert_string_not_equal(bed_header(ok, "Date"), "");
}

/* RFC 8862 4.4: whatever is wrong with it. */
static void in_wrong(void **state)
{
    (void)state;
    wait_for_calls();
    invited(OTHER, PRINT);
    assert_non_null(strstr(bed_header(bed_take("438"), "Warning"), "identity-mky-contradicted"));
    bed_told("verified contradicted ;");
}

static void in_missing(void **state)
{
    (void)state;
    W.is_missing = true;
    wait_for_calls();
    invited(PRINT, PRINT);
    (void)bed_take("436");
    bed_told("verified unverifiable ;");
}

static void in_late(void **state)
{
    (void)state;
    W.is_late = true;
    wait_for_calls();
    invited(PRINT, PRINT);
    bed_told(""); /* it does not ring before it is known who calls */
    W.waiting = 0;
    W.held++;
    W.fn(W.arg, &W.cred);
    (void)bed_take("180");
    bed_told("incoming sip:bob@example.com;verified valid user sip:bob@example.com;");
}

static void in_cancelled(void **state)
{
    (void)state;
    W.is_late = true;
    wait_for_calls();
    invited(PRINT, PRINT);
    bed_request("CANCEL", 5, "i1", NULL, NULL, NULL);
    (void)bed_take("200");
    (void)bed_take("487");
    bed_told("");
    assert_int_equal(W.waiting, 0);
}

/* Waits when the phone goes. */
static void in_left(void **state)
{
    (void)state;
    W.is_late = true;
    wait_for_calls();
    invited(PRINT, PRINT);
    assert_int_equal(W.waiting, 7);
}

static struct sip_msg *invite;

static void answer(const char *body, const char *signed_body)
{
    char text[4096], extra[4096];
    struct arena *a = arena_new(4096, 1 << 20);
    struct reason why = {0};
    phone_call_id id;
    struct str value;
    struct sbuf b = sbuf_make(text, sizeof(text));
    bed.cfg.verifier = &W.base;
    bed.has_print = true;
    bed_register();
    assert_int_equal(phone_call(bed.phone, STR("bob"), &id), 0);
    struct sip_msg *m = invite = bed_take("INVITE");
    bed.call = id;
    sbuf_fmt(&b,
             "SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bKs\r\nFrom: %s\r\n"
             "To: <sip:bob@example.com>;tag=srv\r\nCall-ID: %.*s\r\nCSeq: %u INVITE\r\n"
             "Date: Tue, 14 Nov 2023 22:13:20 GMT\r\nContent-Type: application/sdp\r\n"
             "Content-Length: %u\r\n\r\n%s",
             bed_header(m, "From"), STR_FMT(m->call_id), m->cseq, (unsigned)strlen(signed_body),
             signed_body);
    assert_int_equal(phone_signer_sign(W.bob, a, sbuf_get(&b), NOW, &value, &why), 0);
    snprintf(extra, sizeof(extra), CONTACT "Date: Tue, 14 Nov 2023 22:13:20 GMT\nIdentity: %.*s\n",
             STR_FMT(value));
    arena_free(a);
    bed_reply(m, 200, extra, body);
    (void)bed_take("ACK");
}

static void answer_valid(void **state)
{
    (void)state;
    answer(PRINT, PRINT);
    bed_told("up;verified valid user sip:bob@example.com;");
}

static void answer_wrong(void **state)
{
    (void)state;
    answer(OTHER, PRINT);
    assert_non_null(strstr(bed_header(bed_take("BYE"), "Reason"), "identity-mky-contradicted"));
    bed_told("up;verified contradicted ;");
}

/* ---- within the call (RFC 8862 4.3, 4.4) ---- */

/* A request of bob's in the call that he has answered; signed_body NULL: not signed. */
static void later(const char *method, unsigned cseq, const char *body, const char *signed_body)
{
    char text[4096], extra[4096] = "", branch[16];
    struct arena *a = arena_new(4096, 1 << 20);
    struct reason why = {0};
    struct str value;
    struct sbuf b = sbuf_make(text, sizeof(text));
    if (signed_body) {
        sbuf_fmt(&b,
                 "%s sip:alice@192.0.2.50 SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bKs\r\n"
                 "Max-Forwards: 70\r\nFrom: <sip:bob@example.com>;tag=srv\r\nTo: %s\r\n"
                 "Call-ID: x\r\nCSeq: %u %s\r\nContact: <sip:bob@192.0.2.9>\r\n"
                 "Date: Tue, 14 Nov 2023 22:13:20 GMT\r\nContent-Type: application/sdp\r\n"
                 "Content-Length: %u\r\n\r\n%s",
                 method, bed_header(invite, "From"), cseq, method, (unsigned)strlen(signed_body),
                 signed_body);
        assert_int_equal(phone_signer_sign(W.bob, a, sbuf_get(&b), NOW, &value, &why), 0);
        snprintf(extra, sizeof(extra), "Date: Tue, 14 Nov 2023 22:13:20 GMT\nIdentity: %.*s\n",
                 STR_FMT(value));
    }
    arena_free(a);
    snprintf(branch, sizeof(branch), "later%u", cseq);
    bed_in_dialog(invite, method, cseq, branch, extra, body);
}

static void up_and_signed(void)
{
    answer(PRINT, PRINT);
    bed_told("up;verified valid user sip:bob@example.com;");
}

static void change_unsigned(void **state)
{
    (void)state;
    up_and_signed();
    unsigned agreed = bed.n_agreed;
    later("UPDATE", 10, OTHER, NULL);
    assert_non_null(strstr(bed_header(bed_take("428"), "Warning"), "keys-not-signed"));
    later("INVITE", 11, OTHER, NULL);
    (void)bed_take("428");
    bed_in_dialog(invite, "ACK", 11, "later11", NULL, NULL);
    later("UPDATE", 12, SDP, NULL); /* none at all are others, too */
    (void)bed_take("428");
    bed_told("verified absent ;verified absent ;verified absent ;");
    assert_int_equal(bed.n_agreed, agreed);
    later("UPDATE", 13, PRINT, NULL); /* the signed ones */
    (void)bed_take("200");
    later("UPDATE", 14, "", NULL); /* only a refresh */
    (void)bed_take("200");
    bed_told("");
    assert_int_equal(bed.n_agreed, agreed + 1);
}

static void change_signed(void **state)
{
    (void)state;
    bed.cfg.signer = signer(0, "sip:alice@example.com", ALICE_URL, 0);
    up_and_signed();
    later("UPDATE", 10, OTHER, OTHER);
    assert_non_null(strstr(bed_header(bed_take("200"), "Identity"), "ppt=rsp"));
    bed_told("verified valid user sip:bob@example.com;");
    later("UPDATE", 11, PRINT, NULL); /* what was signed before is not what is signed now */
    (void)bed_take("428");
    bed_told("verified absent ;");
    later("INVITE", 12, OTHER, NULL);
    (void)bed_take("200");
    bed_told("");
}

static void change_wrong(void **state)
{
    (void)state;
    up_and_signed();
    later("UPDATE", 10, OTHER, PRINT);
    assert_non_null(strstr(bed_header(bed_take("438"), "Warning"), "identity-mky-contradicted"));
    bed_told("verified contradicted ;");
    W.is_missing = true;
    later("UPDATE", 11, OTHER, OTHER);
    (void)bed_take("436");
    bed_told("verified unverifiable ;");
}

/* Nobody has signed it in the beginning: then it is our edge that is believed. */
static void change_of_unsigned(void **state)
{
    (void)state;
    bed.has_print = true;
    wait_for_calls();
    phone_call_id id;
    assert_int_equal(phone_call(bed.phone, STR("bob"), &id), 0);
    invite = bed_take("INVITE");
    bed_reply(invite, 200, CONTACT, PRINT);
    (void)bed_take("ACK");
    later("UPDATE", 10, OTHER, NULL);
    (void)bed_take("200");
    later("UPDATE", 11, PRINT, OTHER);
    (void)bed_take("438");
    bed_told("up;verified contradicted ;");
    later("UPDATE", 12, PRINT, PRINT); /* ... until somebody does (RFC 8862 4.3) */
    (void)bed_take("200");
    later("UPDATE", 13, OTHER, NULL);
    (void)bed_take("428");
    bed_told("verified valid user sip:bob@example.com;verified absent ;");
}

static void change_late(void **state)
{
    (void)state;
    up_and_signed();
    W.is_late = true;
    later("UPDATE", 10, OTHER, OTHER);
    bed_nothing();
    later("UPDATE", 11, PRINT, NULL);
    (void)bed_take("491");
    assert_int_equal(phone_hold(bed.phone, bed.call, true), ERR_AGAIN);
    W.waiting = 0;
    W.held++;
    W.fn(W.arg, &W.cred);
    (void)bed_take("200");
    bed_told("verified valid user sip:bob@example.com;");
}

static void change_ended(void **state)
{
    (void)state;
    up_and_signed();
    W.is_late = true;
    later("INVITE", 10, OTHER, OTHER);
    bed_nothing();
    later("BYE", 11, "", NULL);
    (void)bed_take("200");
    (void)bed_take("487");
    assert_int_equal(W.waiting, 0);
}

static void change_cancelled(void **state)
{
    (void)state;
    up_and_signed();
    W.is_late = true;
    later("INVITE", 10, OTHER, OTHER);
    bed_in_dialog(invite, "CANCEL", 10, "later10", NULL, NULL);
    (void)bed_take("200");
    (void)bed_take("487");
    assert_int_equal(W.waiting, 0);
    bed_told("");
}

/* An answer cannot be refused. */
static void change_answered(void **state)
{
    (void)state;
    up_and_signed();
    assert_int_equal(phone_hold(bed.phone, bed.call, true), 0);
    struct sip_msg *m = bed_take("INVITE");
    bed_reply(m, 200, CONTACT, OTHER);
    (void)bed_take("ACK");
    assert_non_null(strstr(bed_header(bed_take("BYE"), "Reason"), "keys-not-signed"));
    assert_true(bed_was_told("verified absent ;"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(own_certificate), TEST(out),          TEST(out_other_keys), TEST(in_valid),
        TEST(in_wrong),        TEST(in_missing),   TEST(in_late),        TEST(in_cancelled),
        TEST(in_left),         TEST(answer_valid), TEST(answer_wrong),
        TEST(change_unsigned), TEST(change_signed), TEST(change_wrong), TEST(change_of_unsigned),
        TEST(change_late), TEST(change_ended), TEST(change_cancelled), TEST(change_answered)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
