/* Nanoseconds for reading, editing and building one message, best of several rounds: what a change
 * to src/sip costs or saves. No peer to compare with; the figures are for one core of this machine.
 * Usage: micro_msg [rounds [name]] */
#include "base/addr.h"
#include "base/arena.h"
#include "base/limits.h"
#include "sip/edit.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define REPEAT 20000

static const char invite_text[] =
    "INVITE sip:+4930123456@edge.example.com;user=phone SIP/2.0\r\n"
    "Via: SIP/2.0/TLS 192.0.2.17:50612;branch=z9hG4bK-524287-1---5a1f0b3c9d2e4f60;rport\r\n"
    "Max-Forwards: 70\r\n"
    "Route: <sip:edge.example.com:5061;transport=tls;lr>\r\n"
    "Contact: "
    "<sip:alice@192.0.2.17:50612;transport=tls;ob>;+sip.instance=\"<urn:uuid:0f0d3b1a-2c3d-4e5f>"
    "\"\r\n"
    "To: <sip:+4930123456@edge.example.com;user=phone>\r\n"
    "From: \"Alice Liddell\" <sip:alice@edge.example.com>;tag=8d2f4b61\r\n"
    "Call-ID: 81f5c6b2e9d04a7f9a3b5c1d2e3f4a5b\r\n"
    "CSeq: 2 INVITE\r\n"
    "Allow: INVITE, ACK, CANCEL, BYE, NOTIFY, REFER, MESSAGE, OPTIONS, INFO, UPDATE, PRACK\r\n"
    "Supported: replaces, timer, outbound, path, gruu\r\n"
    "User-Agent: Example Phone 4.2\r\n"
    "Content-Length: 0\r\n"
    "\r\n";

static struct arena *arena;
static struct sip_msg *invite;
static struct addr source;
static unsigned failures;

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void run_parse(void)
{
    struct sip_msg *m;
    arena_reset(arena);
    failures += sip_msg_parse(arena, STR(invite_text), &m, NULL) != 0;
}

static void run_uri(void)
{
    struct sip_uri u;
    failures += sip_uri_parse(STR("sip:alice@192.0.2.17:50612;transport=tls;ob"), &u) != 0;
}

static void run_uri_eq(void)
{
    static struct sip_uri a, b;
    if (a.scheme == SIP_SCHEME_OTHER) {
        failures += sip_uri_parse(STR("sip:alice@192.0.2.17:50612;transport=tls;ob"), &a) != 0;
        failures += sip_uri_parse(STR("sip:%61lice@192.0.2.17:50612;ob;transport=TLS"), &b) != 0;
    }
    failures += !sip_uri_eq(&a, &b);
}

static void run_via(void)
{
    struct sip_via v;
    failures +=
        sip_via_parse(
            STR("SIP/2.0/TLS 192.0.2.17:50612;branch=z9hG4bK-524287-1---5a1f0b3c9d2e4f60;rport"),
            &v) != 0;
}

static void run_addr(void)
{
    struct sip_addr a;
    failures +=
        sip_addr_parse(STR("\"Alice Liddell\" <sip:alice@edge.example.com>;tag=8d2f4b61"), &a) != 0;
}

/* What a proxy does to a request (RFC 3261 16.6). */
static void run_edit(void)
{
    struct buf *out = NULL;
    static struct arena *scratch;
    if (scratch == NULL)
        scratch = arena_new(8192, LIMIT_MSG_ARENA_BYTES);
    arena_reset(scratch);
    struct sip_edit *e = sip_edit_new(scratch, invite);
    sip_edit_ruri(e, STR("sip:+4930123456@198.51.100.7:40112;transport=tls;ob"));
    sip_edit_via_received(e, invite, &source);
    sip_edit_add_first(e, SIP_H_VIA,
                       STR("SIP/2.0/TLS edge.example.com:5061;branch=z9hG4bK0100000a3b7c9d1e5f"));
    sip_edit_add_first(e, SIP_H_RECORD_ROUTE,
                       STR("<sip:edge.example.com:5061;transport=tls;lr;f=8a7b6c5d4e3f2a1b>"));
    sip_edit_set(e, SIP_H_MAX_FORWARDS, STR("69"));
    sip_edit_remove_value(e, SIP_H_ROUTE, 0);
    failures += sip_edit_build(e, &out) != 0;
    buf_unref(out);
}

static void run_response(void)
{
    struct buf *out = NULL;
    struct sip_response r = {.status = 100, .via_received = &source};
    failures += sip_response_build(invite, &r, &out) != 0;
    buf_unref(out);
}

static void run_cancel(void)
{
    struct buf *out = NULL;
    failures += sip_cancel_build(invite, STR_NULL, &out) != 0;
    buf_unref(out);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } benches[] = {
        {"parse INVITE", run_parse},    {"uri parse", run_uri},   {"uri equal", run_uri_eq},
        {"via parse", run_via},         {"addr parse", run_addr}, {"edit + build", run_edit},
        {"100 response", run_response}, {"CANCEL", run_cancel},
    };
    long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 15;
    struct arena *keep = arena_new(8192, LIMIT_MSG_ARENA_BYTES);
    arena = arena_new(8192, LIMIT_MSG_ARENA_BYTES);
    if (!keep || !arena || sip_msg_parse(keep, STR(invite_text), &invite, NULL) != 0 ||
        invite->defect.sip_status || addr_parse(&source, STR("203.0.113.9"), 1042) != 0)
        return 1;
    printf("%zu bytes, %u header lines\n", invite->bytes.n, invite->n_hdrs);
    for (size_t i = 0; i < sizeof(benches) / sizeof(benches[0]); i++) {
        if (argc > 2 && strcmp(argv[2], benches[i].name) != 0)
            continue;
        double best = 1e18;
        for (long r = 0; r < rounds; r++) {
            double start = now_ns();
            for (int k = 0; k < REPEAT; k++)
                benches[i].run();
            double t = (now_ns() - start) / REPEAT;
            best = t < best ? t : best;
        }
        printf("%-14s %8.0f ns\n", benches[i].name, best);
    }
    return failures != 0;
}
