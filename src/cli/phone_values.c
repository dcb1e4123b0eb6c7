/* sallyport phone: values of options that are more than a text, a number or a flag: addresses,
 * passwords in files, lists of methods, sound. */
#include "base/err.h"
#include "base/mem.h"
#include "cli/phone_priv.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define WAV_BYTES_MAX (64u << 20)

int phone_arg_wrong(const char *name, const char *value, const char *what)
{
    cli_error("phone: --%s %s: %s", name, value ? value : "", what);
    return CLI_USAGE;
}

/* "2", "0.5": milliseconds. */
int phone_arg_seconds(const char *text, uint64_t *ret_ms)
{
    struct str whole, part = str_cut(str_z(text), '.', &whole);
    uint32_t s = 0, f = 0;

    if (str_to_u32(whole, SECONDS_MAX, &s) != 0 ||
        (part.p && (part.n > 3 || str_to_u32(part, 999, &f) != 0)))
        return ERR_SYNTAX;
    for (size_t n = part.n; part.p && n < 3; n++)
        f *= 10;
    *ret_ms = (uint64_t)s * 1000 + f;
    return 0;
}

int phone_arg_number(const char *text, uint32_t least, uint32_t most, uint32_t *ret)
{
    return str_to_u32(str_z(text), most, ret) == 0 && *ret >= least ? 0 : ERR_SYNTAX;
}

int phone_arg_password(const char *file, struct secret *ret)
{
    char line[SECRET_MAX + 2];
    FILE *f = fopen(file, "re");
    size_t n;

    if (!f) {
        cli_error("phone: %s: %s", file, strerror(errno));
        return CLI_USAGE;
    }
    setvbuf(f, NULL, _IONBF, 0); /* no copy in a buffer that nobody wipes */
    bool ok = fgets(line, sizeof line, f) != NULL;
    fclose(f);
    n = ok ? strcspn(line, "\r\n") : 0;
    ok = ok && n > 0 && secret_set(ret, line, n) == 0;
    secret_wipe(line, sizeof line);
    if (!ok)
        cli_error("phone: %s: there is no password of 1 to %u bytes in its first line", file,
                  SECRET_MAX);
    return ok ? CLI_OK : CLI_USAGE;
}

int phone_arg_env(const char *name, struct secret *ret)
{
    const char *v = getenv(name);

    if (v && *v && secret_set(ret, v, strlen(v)) == 0)
        return CLI_OK;
    cli_error("phone: there is no password of 1 to %u bytes in $%s", SECRET_MAX, name);
    return CLI_USAGE;
}

/* REALM:USER:FILE; realms may have colons, the other two may not. */
int phone_arg_login(struct phone_input *in, const char *value)
{
    struct phone_config *cfg = &in->run.phone;
    char *text, *user, *file;

    if (cfg->n_logins + 1 >= PHONE_LOGINS_MAX) /* one is the user's own */
        return phone_arg_wrong("login", value, "too many");
    text = in->login_text[cfg->n_logins];
    if (str_copy_z(text, sizeof in->login_text[0], str_z(value)) != 0 ||
        !(file = strrchr(text, ':')))
        return phone_arg_wrong("login", value, "not REALM:USER:FILE");
    *file++ = '\0';
    if (!(user = strrchr(text, ':')))
        return phone_arg_wrong("login", value, "not REALM:USER:FILE");
    *user++ = '\0';
    cfg->logins[cfg->n_logins] = (struct digest_login){.realm = str_z(text), .user = str_z(user)};
    if (phone_arg_password(file, &cfg->logins[cfg->n_logins].password) != CLI_OK)
        return CLI_USAGE;
    cfg->n_logins++;
    return CLI_OK;
}

int phone_arg_user(struct phone_input *in, const char *value)
{
    struct phone_config *cfg = &in->run.phone;
    struct str s = str_z(value);

    if (str_starts_nocase(s, STR("sip:")))
        s = str_make(s.p + 4, s.n - 4);
    cfg->domain = str_cut(s, '@', &cfg->user);
    if (cfg->user.n == 0 || cfg->domain.n == 0 || str_find_char(cfg->domain, '@') < cfg->domain.n)
        return phone_arg_wrong("user", value, "not USER@DOMAIN");
    return CLI_OK;
}

/* [transport:]host[:port]; IPv6 in brackets, so that its colons are none. */
int phone_arg_server(struct phone_input *in, const char *value)
{
    struct phone_config *cfg = &in->run.phone;
    struct str s = str_z(value), head, tail;
    uint32_t port;

    tail = str_cut(s, ':', &head);
    if (tail.p && transport_parse(&cfg->transport, head) == 0) {
        if (cfg->transport > TRANSPORT_TLS)
            return phone_arg_wrong("server", value, "this phone speaks tls, tcp and udp");
        cfg->has_transport = true;
        s = tail;
    }
    if (s.n && s.p[0] == '[') {
        tail = str_cut(str_make(s.p + 1, s.n - 1), ']', &cfg->server);
        if (!tail.p || (tail.n && tail.p[0] != ':'))
            return phone_arg_wrong("server", value, "not [transport:]host[:port]");
        tail = tail.n ? str_make(tail.p + 1, tail.n - 1) : STR_NULL;
    } else {
        tail = str_cut(s, ':', &cfg->server);
    }
    if (cfg->server.n == 0 || (tail.p && (str_to_u32(tail, 65535, &port) != 0 || port == 0)))
        return phone_arg_wrong("server", value, "not [transport:]host[:port]");
    cfg->port = tail.p ? (uint16_t)port : 0;
    return CLI_OK;
}

int phone_arg_bind(struct phone_input *in, const char *value)
{
    if (addr_parse_hostport(&in->run.bind, str_z(value)) == 0 ||
        addr_parse(&in->run.bind, str_z(value), 0) == 0)
        return CLI_OK;
    return phone_arg_wrong("bind", value, "not an address");
}

static int load_wav(struct phone_input *in, const char *file)
{
    FILE *f = fopen(file, "rbe");
    long n;

    if (!f || fseek(f, 0, SEEK_END) != 0 || (n = ftell(f)) < 0 ||
        (unsigned long)n > WAV_BYTES_MAX) {
        cli_error("phone: %s: %s", file, f ? "too large" : strerror(errno));
        if (f)
            fclose(f);
        return CLI_USAGE;
    }
    rewind(f);
    mem_free(in->wav);
    in->wav = mem_alloc((size_t)n);
    bool ok = in->wav && fread(in->wav, 1, (size_t)n, f) == (size_t)n;
    fclose(f);
    if (!ok) {
        cli_error("phone: %s: cannot be read", file);
        return CLI_USAGE;
    }
    in->run.sound.wav = str_make(in->wav, (size_t)n);
    return CLI_OK;
}

int phone_arg_play(struct phone_input *in, const char *value)
{
    if (strncmp(value, "tone:", 5) != 0)
        return load_wav(in, value);
    if (phone_arg_number(value + 5, 50, 3800, &in->run.sound.tone_hz) != 0)
        return phone_arg_wrong("play", value, "a tone has 50 to 3800 Hz");
    return CLI_OK;
}

/* A list of methods, or none. Clear ones need --allow-clear-media: complete() looks. */
int phone_arg_media(struct phone_input *in, const char *value)
{
    static const struct {
        const char *name;
        enum keying_method_id id;
    } methods[] = {{"dtls", KEYING_DTLS}, {"sdes", KEYING_SDES}, {"clear", KEYING_CLEAR}};
    struct keying_policy *policy = &in->run.keying;
    struct str rest = str_z(value), name;

    if (strcmp(value, "none") == 0) {
        in->run.phone.no_media = true;
        return CLI_OK;
    }
    policy->n_methods = 0;
    while (rest.n) {
        size_t before = policy->n_methods;

        rest = str_cut(rest, ',', &name);
        for (size_t i = 0; i < ARRAY_LEN(methods) && before < ARRAY_LEN(methods); i++) {
            if (str_eq(name, str_z(methods[i].name)))
                policy->methods[policy->n_methods++] = (uint8_t)methods[i].id;
        }
        if (policy->n_methods == before)
            return phone_arg_wrong("media", value,
                                   "not a list of dtls, sdes and clear, and not none");
    }
    return policy->n_methods ? CLI_OK : phone_arg_wrong("media", value, "an empty list");
}

int phone_arg_suites(struct phone_input *in, const char *value)
{
    struct keying_policy *policy = &in->run.keying;
    struct str rest = str_z(value), name;

    policy->n_suites = 0;
    while (rest.n) {
        const struct keying_suite *suite;

        rest = str_cut(rest, ',', &name);
        suite = keying_suite_find(name);
        if (suite == NULL || suite->cipher == KEYING_NULL || policy->n_suites == KEYING_SUITES)
            return phone_arg_wrong("suites", value, "not a list of SRTP suites that encrypt");
        policy->suites[policy->n_suites++] = (uint8_t)suite->id;
    }
    return policy->n_suites ? CLI_OK : phone_arg_wrong("suites", value, "an empty list");
}

int phone_arg_tls_min(struct phone_input *in, const char *value)
{
    if (strcmp(value, "1.2") == 0)
        in->run.tls_min = 12;
    else if (strcmp(value, "1.3") == 0)
        in->run.tls_min = 13;
    else
        return phone_arg_wrong("tls-min", value, "1.2 or 1.3");
    return CLI_OK;
}

int phone_arg_user_url(struct phone_input *in, const char *value)
{
    struct str url = str_z(value);

    if (!str_starts_nocase(url, STR("https://")) || url.n > LIMIT_IDENTITY_URL_BYTES ||
        strpbrk(value, " <>\"") != NULL)
        return phone_arg_wrong("user-cert-url", value, "not an https URL");
    in->run.signer.url = url;
    return CLI_OK;
}

int phone_arg_fetch_from(struct phone_input *in, const char *value)
{
    struct str rest = str_z(value), one;

    while (rest.n) {
        rest = str_cut(rest, ',', &one);
        if (in->run.anchors.n_allowed == ARRAY_LEN(in->nets) ||
            addr_net_parse(&in->nets[in->run.anchors.n_allowed], one) != 0)
            return phone_arg_wrong("allow-fetch-from", value,
                                   "not a list of addresses or networks");
        in->run.anchors.n_allowed++;
    }
    in->run.anchors.allowed = in->nets;
    return CLI_OK;
}
