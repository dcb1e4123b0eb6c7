/* sallyport phone: the options of our own phone (src/phone), one row each. */
#include "base/err.h"
#include "base/mem.h"
#include "cli/phone_priv.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#define HANDSHAKE_MS 10000u /* people hang up after less */

enum option_id {
    O_USER = 256,
    O_DISPLAY,
    O_AUTH_USER,
    O_PASSWORD_FILE,
    O_PASSWORD_ENV,
    O_REALM,
    O_LOGIN,
    O_ALLOW_MD5,
    O_SERVER,
    O_SERVER_NAME,
    O_CA,
    O_CERT,
    O_KEY,
    O_USER_CERT,
    O_USER_KEY,
    O_USER_URL,
    O_IDENTITY_CA,
    O_FETCH_CA,
    O_FETCH_FROM,
    O_TLS_MIN,
    O_DNS,
    O_BIND,
    O_NO_REGISTER,
    O_INSTANCE,
    O_EXPIRES,
    O_RETRY,
    O_KEEPALIVE,
    O_REGISTER_ONLY,
    O_CALL,
    O_ANSWER,
    O_CALLS,
    O_ANSWER_AFTER,
    O_REJECT,
    O_WAIT,
    O_RING,
    O_CANCEL_AFTER,
    O_DURATION,
    O_HOLD_AFTER,
    O_RESUME_AFTER,
    O_REFER_TO,
    O_REFER_AFTER,
    O_FOLLOW_REFER,
    O_EXPECT_STATUS,
    O_MEDIA,
    O_SUITES,
    O_BEST_EFFORT,
    O_ALLOW_CLEAR_MEDIA,
    O_CODEC,
    O_PLAY,
    O_RECORD,
    O_EXPECT_TONE,
    O_DTMF,
    O_DTMF_AFTER,
    O_EXPECT_DTMF,
    O_MESSAGE,
    O_TO,
    O_EXPECT_MESSAGE,
    O_PING,
    O_SESSION,
    O_NO_100REL,
    O_NO_TIMER,
    O_NO_WATCH,
    O_JSON,
    O_QUIET,
    O_TRACE,
    O_HELP
};

static const struct row {
    const char *name, *value; /* value: NULL: a flag */
    enum option_id id;
    const char *sentence;
} rows[] = {
    {"user", "USER@DOMAIN", O_USER, "who we are"},
    {"display", "TEXT", O_DISPLAY, "the name beside it"},
    {"password-file", "FILE", O_PASSWORD_FILE, "the password is the first line of this file"},
    {"password-env", "VARIABLE", O_PASSWORD_ENV, "the password is in the environment"},
    {"auth-user", "NAME", O_AUTH_USER, "the name to log in with, if it is not USER"},
    {"realm", "TEXT", O_REALM, "the realm the password is for, if it is not DOMAIN"},
    {"login", "REALM:USER:FILE", O_LOGIN, "credentials for a further realm; may be repeated"},
    {"allow-md5", NULL, O_ALLOW_MD5, "answer challenges that offer nothing better than MD5"},
    {"server", "[tls:|tcp:|udp:]HOST[:PORT]", O_SERVER,
     "where to; by default DOMAIN is looked up, for TLS alone"},
    {"server-name", "NAME", O_SERVER_NAME,
     "what the server's certificate must name; by default HOST, or DOMAIN if that is an address"},
    {"ca", "FILE", O_CA, "trust the server by these CA certificates; by default by the system's"},
    {"cert", "FILE", O_CERT, "a certificate of our own, for servers that ask"},
    {"key", "FILE", O_KEY, "its key"},
    {"user-cert", "FILE", O_USER_CERT,
     "a certificate that names us (URI:sip:USER@DOMAIN): calls and answers are signed by it (RFC 8862)"},
    {"user-key", "FILE", O_USER_KEY, "its key"},
    {"user-cert-url", "URL", O_USER_URL, "where others find that certificate (https)"},
    {"identity-ca", "FILE", O_IDENTITY_CA,
     "verify ourselves who calls or answers, by certificates under these CA certificates"},
    {"fetch-ca", "FILE", O_FETCH_CA,
     "whose servers certificates are fetched from; by default the system's CA certificates"},
    {"allow-fetch-from", "NET[,NET]", O_FETCH_FROM,
     "private addresses that certificates may be fetched from"},
    {"tls-min", "1.2|1.3", O_TLS_MIN, "the least TLS version; default 1.2"},
    {"dns", "ADDRESS@PORT", O_DNS, "ask this name server"},
    {"bind", "ADDRESS[:PORT]", O_BIND, "UDP: our own address"},
    {"no-register", NULL, O_NO_REGISTER, "do not register, only connect"},
    {"instance", "URN", O_INSTANCE, "the same after each start (RFC 5626); default a random one"},
    {"expires", "SECONDS", O_EXPIRES, "of the registration; default 3600"},
    {"retry", "SECONDS", O_RETRY,
     "how long to wait after a registration was lost, doubled each time; default 30"},
    {"keepalive", "SECONDS", O_KEEPALIVE, "instead of what the registrar says"},
    {"register-only", NULL, O_REGISTER_ONLY, "register, stay for --duration, unregister"},
    {"call", "URI", O_CALL, "call somebody"},
    {"answer", NULL, O_ANSWER, "answer a call"},
    {"calls", "N", O_CALLS, "with --answer: so many, one after the other; default 1"},
    {"answer-after", "SECONDS", O_ANSWER_AFTER, "let it ring so long first"},
    {"reject", "STATUS", O_REJECT, "refuse a call with this status"},
    {"wait", "SECONDS", O_WAIT, "wait so long for a call or message; by default for ever"},
    {"ring", "SECONDS", O_RING, "with --call: give up after so long; default 60"},
    {"cancel-after", "SECONDS", O_CANCEL_AFTER, "with --call: cancel, and that is as asked"},
    {"duration", "SECONDS", O_DURATION,
     "hang up after so long; by default when the other side does"},
    {"hold-after", "SECONDS", O_HOLD_AFTER, "put the call on hold"},
    {"resume-after", "SECONDS", O_RESUME_AFTER, "take it off hold"},
    {"refer-to", "URI", O_REFER_TO, "transfer the call"},
    {"refer-after", "SECONDS", O_REFER_AFTER, "after so long; default 1"},
    {"follow-refer", NULL, O_FOLLOW_REFER,
     "let the other side transfer us; otherwise it is declined"},
    {"expect-status", "STATUS", O_EXPECT_STATUS, "the call is to be refused with this status"},
    {"media", "METHOD[,METHOD]|none", O_MEDIA,
     "how keys for the sound are agreed, the preferred first: dtls, sdes, clear; default dtls,sdes; "
     "none: the call has no sound"},
    {"suites", "NAME[,NAME]", O_SUITES,
     "SRTP suites as in SDP (AEAD_AES_256_GCM, AES_CM_128_HMAC_SHA1_80, ...), the preferred first"},
    {"best-effort", NULL, O_BEST_EFFORT,
     "offer keys, and take clear sound from those who have none (OSRTP, RFC 8643)"},
    {"allow-clear-media", NULL, O_ALLOW_CLEAR_MEDIA,
     "calls without any keys, where there is no other way; anybody on their way can listen"},
    {"codec", "NAME[,NAME]", O_CODEC,
     "codecs in the order to offer them: PCMA, PCMU, opus where built in"},
    {"play", "tone:HZ|FILE", O_PLAY,
     "what the other side hears: a tone, or a WAV file (8 or 16 kHz, 16 bits, mono)"},
    {"record", "FILE", O_RECORD, "write what we hear to a WAV file"},
    {"expect-tone", "HZ", O_EXPECT_TONE, "what we hear must be this tone"},
    {"dtmf", "DIGITS", O_DTMF, "send digits (RFC 4733)"},
    {"dtmf-after", "SECONDS", O_DTMF_AFTER, "after so long; default half a second"},
    {"expect-dtmf", "DIGITS", O_EXPECT_DTMF, "these digits must come"},
    {"message", "TEXT", O_MESSAGE, "send a text message"},
    {"to", "URI", O_TO, "to whom"},
    {"expect-message", "TEXT", O_EXPECT_MESSAGE, "wait for this message; for any if TEXT is empty"},
    {"ping", "URI", O_PING, "send OPTIONS"},
    {"session-expires", "SECONDS", O_SESSION, "session timer (RFC 4028); default 1800"},
    {"no-100rel", NULL, O_NO_100REL, "no reliable provisional responses (RFC 3262)"},
    {"no-timer", NULL, O_NO_TIMER, "no session timer"},
    {"no-watch", NULL, O_NO_WATCH, "do not ask our edge to tell us when the status of a call changes"},
    {"json", NULL, O_JSON, "events as JSON, one a line"},
    {"quiet", NULL, O_QUIET, "no events"},
    {"trace", NULL, O_TRACE, "show messages on standard error, credentials and keys masked"},
    {"help", NULL, O_HELP, "show this"},
};

static int usage(void)
{
    printf("usage: sallyport phone --user USER@DOMAIN [OPTION...]\n\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", rows[i].name, rows[i].value ? " " : "",
                 rows[i].value ? rows[i].value : "");
        printf("  %-40s %s\n", left, rows[i].sentence);
    }
    return cli_flush();
}

/* ---- options by kind ---- */

static int set_time(struct phone_input *in, const struct row *r, const char *v)
{
    struct phone_script *sc = &in->run.script;
    static const struct {
        enum option_id id;
        size_t at;
    } times[] = {
        {O_ANSWER_AFTER, offsetof(struct phone_script, answer_after_ms)},
        {O_WAIT, offsetof(struct phone_script, wait_ms)},
        {O_RING, offsetof(struct phone_script, ring_ms)},
        {O_CANCEL_AFTER, offsetof(struct phone_script, cancel_after_ms)},
        {O_DURATION, offsetof(struct phone_script, duration_ms)},
        {O_HOLD_AFTER, offsetof(struct phone_script, hold_after_ms)},
        {O_RESUME_AFTER, offsetof(struct phone_script, resume_after_ms)},
        {O_REFER_AFTER, offsetof(struct phone_script, refer_after_ms)},
        {O_DTMF_AFTER, offsetof(struct phone_script, dtmf_after_ms)},
    };

    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        uint64_t ms;

        if (times[i].id != r->id)
            continue;
        if (phone_arg_seconds(v, &ms) != 0)
            return phone_arg_wrong(r->name, v, "not a number of seconds");
        memcpy((char *)sc + times[i].at, &ms, sizeof ms);
        return CLI_OK;
    }
    return -1;
}

static int set_number(struct phone_input *in, const struct row *r, const char *v)
{
    struct phone_config *cfg = &in->run.phone;
    struct phone_script *sc = &in->run.script;
    uint32_t *to = NULL, least = 1, most = SECONDS_MAX;

    switch (r->id) {
    case O_EXPIRES:
        to = &cfg->expires_s;
        break;
    case O_RETRY:
        to = &cfg->retry_s;
        break;
    case O_KEEPALIVE:
        to = &cfg->keepalive_s;
        break;
    case O_SESSION:
        to = &cfg->session_expires_s;
        least = 90; /* RFC 4028 4 */
        break;
    case O_CALLS:
        to = &in->calls;
        break;
    case O_REJECT:
        to = &sc->reject;
        least = 300;
        most = 699;
        break;
    case O_EXPECT_STATUS:
        to = &sc->expect_status;
        least = 300;
        most = 699;
        break;
    case O_EXPECT_TONE:
        to = &in->run.sound.expect_hz;
        least = 50;
        most = 3800;
        break;
    default:
        return -1;
    }
    return phone_arg_number(v, least, most, to) == 0 ? CLI_OK
                                                     : phone_arg_wrong(r->name, v, "out of range");
}

static int set_text(struct phone_input *in, const struct row *r, const char *v)
{
    struct phone_config *cfg = &in->run.phone;
    struct phone_script *sc = &in->run.script;

    switch (r->id) {
    case O_DISPLAY:
        cfg->display = str_z(v);
        return CLI_OK;
    case O_AUTH_USER:
        in->auth_user = v;
        return CLI_OK;
    case O_REALM:
        in->realm = v;
        return CLI_OK;
    case O_SERVER_NAME:
        cfg->server_name = str_z(v);
        return CLI_OK;
    case O_CA:
        in->run.ca = v;
        return CLI_OK;
    case O_CERT:
        in->run.cert = v;
        return CLI_OK;
    case O_KEY:
        in->run.key = v;
        return CLI_OK;
    case O_USER_CERT:
        in->run.signer.cert = v;
        return CLI_OK;
    case O_USER_KEY:
        in->run.signer.key = v;
        return CLI_OK;
    case O_IDENTITY_CA:
        in->run.anchors.ca = v;
        return CLI_OK;
    case O_FETCH_CA:
        in->run.anchors.fetch_ca = v;
        return CLI_OK;
    case O_DNS:
        in->run.dns = v;
        return CLI_OK;
    case O_INSTANCE:
        cfg->instance = str_z(v);
        return CLI_OK;
    case O_CALL:
        sc->call = str_z(v);
        return CLI_OK;
    case O_REFER_TO:
        sc->refer_to = str_z(v);
        return CLI_OK;
    case O_CODEC:
        in->run.codecs = str_z(v);
        return CLI_OK;
    case O_RECORD:
        in->run.sound.record = v;
        return CLI_OK;
    case O_DTMF:
        sc->dtmf = str_z(v);
        return CLI_OK;
    case O_EXPECT_DTMF:
        sc->expect_dtmf = str_z(v);
        return CLI_OK;
    case O_MESSAGE:
        sc->message = str_z(v);
        return CLI_OK;
    case O_TO:
        sc->message_to = str_z(v);
        return CLI_OK;
    case O_EXPECT_MESSAGE:
        sc->expect_text = str_z(v);
        sc->expects_text = true;
        return CLI_OK;
    case O_PING:
        sc->ping = str_z(v);
        return CLI_OK;
    default:
        return -1;
    }
}

static int set_flag(struct phone_input *in, const struct row *r)
{
    struct phone_config *cfg = &in->run.phone;
    bool *to;

    switch (r->id) {
    case O_ALLOW_MD5:
        to = &cfg->allow_md5;
        break;
    case O_NO_REGISTER:
        to = &cfg->no_register;
        break;
    case O_REGISTER_ONLY:
        to = &in->run.script.register_only;
        break;
    case O_ANSWER:
        to = &in->has_answer;
        break;
    case O_FOLLOW_REFER:
        to = &cfg->follow_refer;
        break;
    case O_NO_100REL:
        to = &cfg->no_100rel;
        break;
    case O_NO_TIMER:
        to = &cfg->no_timer;
        break;
    case O_NO_WATCH:
        to = &cfg->no_watch;
        break;
    case O_BEST_EFFORT:
        to = &in->run.keying.best_effort;
        break;
    case O_ALLOW_CLEAR_MEDIA:
        to = &in->allows_clear;
        break;
    case O_JSON:
        to = &in->run.json;
        break;
    case O_QUIET:
        to = &in->run.quiet;
        break;
    case O_TRACE:
        to = &in->run.trace;
        break;
    default:
        return -1;
    }
    *to = true;
    return CLI_OK;
}

static int set_other(struct phone_input *in, const struct row *r, const char *v)
{
    switch (r->id) {
    case O_USER:
        return phone_arg_user(in, v);
    case O_PASSWORD_FILE:
        in->has_password = true;
        return phone_arg_password(v, &in->password);
    case O_PASSWORD_ENV:
        in->has_password = true;
        return phone_arg_env(v, &in->password);
    case O_LOGIN:
        return phone_arg_login(in, v);
    case O_SERVER:
        return phone_arg_server(in, v);
    case O_BIND:
        return phone_arg_bind(in, v);
    case O_TLS_MIN:
        return phone_arg_tls_min(in, v);
    case O_MEDIA:
        return phone_arg_media(in, v);
    case O_SUITES:
        return phone_arg_suites(in, v);
    case O_USER_URL:
        return phone_arg_user_url(in, v);
    case O_FETCH_FROM:
        return phone_arg_fetch_from(in, v);
    case O_PLAY:
        return phone_arg_play(in, v);
    default:
        return CLI_USAGE;
    }
}

static int set(struct phone_input *in, const struct row *r, const char *v)
{
    int status = v ? set_time(in, r, v) : set_flag(in, r);

    if (status < 0)
        status = set_number(in, r, v);
    if (status < 0)
        status = set_text(in, r, v);
    return status < 0 ? set_other(in, r, v) : status;
}

/* ---- the whole ---- */

static int parse(int argc, char **argv, struct phone_input *in, bool *ret_help)
{
    struct option all[ARRAY_LEN(rows) + 1] = {{0}};
    int c;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        all[i] = (struct option){rows[i].name, rows[i].value ? required_argument : no_argument,
                                 NULL, (int)rows[i].id};
    *ret_help = false;
    opterr = 0;
    optind = 0; /* begin anew: glibc */
    while ((c = getopt_long(argc, argv, ":", all, NULL)) != -1) {
        const struct row *r = NULL;

        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
            if ((int)rows[i].id == c)
                r = &rows[i];
        if (!r) {
            cli_error("phone: %s %s; `sallyport phone --help` lists the options",
                      c == ':' ? "a value is missing behind" : "there is no option",
                      argv[optind - 1]);
            return CLI_USAGE;
        }
        if (r->id == O_HELP) {
            *ret_help = true;
            return CLI_OK;
        }
        if (set(in, r, optarg) != CLI_OK)
            return CLI_USAGE;
    }
    if (optind < argc) {
        cli_error("phone: '%s' belongs to no option", argv[optind]);
        return CLI_USAGE;
    }
    return CLI_OK;
}

static bool has_method(const struct keying_policy *policy, enum keying_method_id id)
{
    for (size_t i = 0; i < policy->n_methods; i++) {
        if (policy->methods[i] == id)
            return true;
    }
    return false;
}

static int refuse(const char *what)
{
    cli_error("phone: %s", what);
    return CLI_USAGE;
}

/* What must go together, and defaults that depend on others. */
static int complete(struct phone_input *in)
{
    struct phone_config *cfg = &in->run.phone;
    struct phone_script *sc = &in->run.script;

    if (cfg->user.n == 0)
        return refuse("--user USER@DOMAIN is needed");
    if (sc->message.n && sc->message_to.n == 0)
        return refuse("--message needs --to");
    if (sc->message_to.n && sc->message.n == 0)
        return refuse("--to needs --message");
    if (sc->call.n && (in->has_answer || sc->reject))
        return refuse("a phone calls (--call) or is called (--answer, --reject), not both");
    if (in->has_answer && sc->reject)
        return refuse("a call is answered (--answer) or refused (--reject)");
    if (!in->run.cert != !in->run.key)
        return refuse("--cert and --key go together");
    if (!in->run.signer.cert != !in->run.signer.key ||
        !in->run.signer.cert != !in->run.signer.url.n)
        return refuse("--user-cert, --user-key and --user-cert-url go together");
    if (!in->run.anchors.ca && (in->run.anchors.fetch_ca || in->run.anchors.n_allowed))
        return refuse("--fetch-ca and --allow-fetch-from go with --identity-ca");
    if (addr_is_set(&in->run.bind) && !(cfg->has_transport && cfg->transport == TRANSPORT_UDP))
        return refuse("--bind is for --server udp:...");
    if (!sc->call.n && !in->has_answer && !sc->reject && !sc->message_to.n && !sc->ping.n &&
        !sc->expects_text)
        sc->register_only = true;
    if (in->calls && !in->has_answer)
        return refuse("--calls goes with --answer");
    if (has_method(&in->run.keying, KEYING_CLEAR) && !in->allows_clear)
        return refuse("--media clear needs --allow-clear-media");
    if (in->allows_clear && !has_method(&in->run.keying, KEYING_CLEAR))
        in->run.keying.methods[in->run.keying.n_methods++] = KEYING_CLEAR;
    sc->answer = in->has_answer ? (in->calls ? in->calls : 1) : 0;
    if (sc->call.n && !sc->ring_ms)
        sc->ring_ms = 60000;
    if (in->has_password) {
        struct digest_login *l = &cfg->logins[cfg->n_logins++];

        l->realm = in->realm ? str_z(in->realm) : cfg->domain;
        l->user = in->auth_user ? str_z(in->auth_user) : cfg->user;
        l->password = in->password;
    }
    cfg->user_agent = STR("sallyport-phone/" SALLYPORT_VERSION);
    return CLI_OK;
}

int cli_phone(int argc, char **argv)
{
    struct phone_input *in = mem_zalloc(sizeof *in);
    bool help = false;
    int status = CLI_FAILED;

    if (!in) {
        cli_error("phone: out of memory");
        return CLI_FAILED;
    }
    keying_policy_init(&in->run.keying);
    in->run.keying.handshake_ms = HANDSHAKE_MS;
    status = parse(argc, argv, in, &help);
    if (status == CLI_OK && help)
        status = usage();
    else if (status == CLI_OK && (status = complete(in)) == CLI_OK)
        status = phone_run(&in->run);
    mem_free(in->wav);
    secret_wipe(in, sizeof *in);
    mem_free(in);
    return status;
}
