/* sallyport cert: requests for certificates, certificates in words, and what the edge would make of
 * a peer's (TR/100 9). */
#include "base/err.h"
#include "base/log.h"
#include "cli/cli.h"
#include "config/config.h"
#include "edge/peers/tryout.h"
#include "pki/csr.h"
#include "pki/inspect.h"
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#define LIST_MAX 64

static const char name[] = "cert";

/* ---- request ---- */

struct request {
    struct str domains[LIST_MAX], tns[LIST_MAX], spcs[LIST_MAX];
    struct pki_csr_args args;
};

static bool take(struct str *list, size_t *n, const char *value)
{
    if (*n == LIST_MAX) {
        cli_error("cert request: more than %d of a kind", LIST_MAX);
        return false;
    }
    list[(*n)++] = str_z(value);
    return true;
}

static int request_options(int argc, char **argv, struct request *r)
{
    static const struct option all[] = {
        {"key", required_argument, NULL, 'k'},   {"out", required_argument, NULL, 'o'},
        {"tn", required_argument, NULL, 't'},    {"spc", required_argument, NULL, 's'},
        {"must-staple", no_argument, NULL, 'm'}, {0}};
    int c;
    bool ok = true;

    opterr = 0;
    optind = 0;
    while (ok && (c = getopt_long(argc, argv, ":", all, NULL)) != -1) {
        switch (c) {
        case 'k':
            r->args.key_file = optarg;
            break;
        case 'o':
            r->args.csr_file = optarg;
            break;
        case 't':
            ok = take(r->tns, &r->args.n_tns, optarg);
            break;
        case 's':
            ok = take(r->spcs, &r->args.n_spcs, optarg);
            break;
        case 'm':
            r->args.must_staple = true;
            break;
        default:
            cli_error("cert request: %s %s",
                      c == ':' ? "a value is missing behind" : "there is no option",
                      argv[optind - 1]);
            ok = false;
        }
    }
    while (ok && optind < argc)
        ok = take(r->domains, &r->args.n_domains, argv[optind++]);
    return ok ? CLI_OK : CLI_USAGE;
}

static int cert_request(int argc, char **argv)
{
    struct request r = {.args = {.domains = NULL}};
    struct reason why = {0};
    bool is_new;

    r.args.domains = r.domains;
    r.args.tns = r.tns;
    r.args.spcs = r.spcs;
    if (request_options(argc, argv, &r) != CLI_OK)
        return CLI_USAGE;
    if (!r.args.key_file || !r.args.csr_file ||
        r.args.n_domains + r.args.n_tns + r.args.n_spcs == 0)
        return cli_usage(name);
    if (pki_csr_make(&r.args, &is_new, &why) != 0) {
        cli_error_reason("cert request", &why);
        return CLI_FAILED;
    }
    printf("%s: %s\n%s: give it to the CA\n", r.args.key_file,
           is_new ? "a new key; keep it where nobody else can read it" : "the key that was there",
           r.args.csr_file);
    return cli_flush();
}

/* ---- inspect ---- */

static void say(void *arg, const char *label, struct str text)
{
    (void)arg;
    if (strcmp(label, "certificate") == 0)
        printf("certificate %.*s\n", STR_FMT(text));
    else
        printf("  %-12s %.*s\n", label, STR_FMT(text));
}

static int cert_inspect(int argc, char **argv)
{
    unsigned n = 0, all = 0;
    int i, status = CLI_OK;

    if (argc < 2)
        return cli_usage(name);
    for (i = 1; i < argc; i++) {
        struct reason why = {0};

        if (pki_inspect_file(argv[i], (int64_t)time(NULL), say, NULL, &n, &why) != 0) {
            cli_error_reason("cert inspect", &why);
            status = CLI_FAILED;
        }
        all += n;
    }
    if (status == CLI_OK && all)
        status = CLI_FAILED;
    return cli_flush() == CLI_OK ? status : CLI_FAILED;
}

/* ---- verify ---- */

struct verify {
    const char *config, *peer, *file;
    bool is_client;
};

static int verify_options(int argc, char **argv, struct verify *v)
{
    static const struct option all[] = {{"config", required_argument, NULL, 'c'},
                                        {"peer", required_argument, NULL, 'p'},
                                        {"as-client", no_argument, NULL, 'a'},
                                        {0}};
    int c;

    opterr = 0;
    optind = 0;
    while ((c = getopt_long(argc, argv, ":c:", all, NULL)) != -1) {
        if (c == 'c') {
            v->config = optarg;
        } else if (c == 'p') {
            v->peer = optarg;
        } else if (c == 'a') {
            v->is_client = true;
        } else {
            cli_error("cert verify: %s %s",
                      c == ':' ? "a value is missing behind" : "there is no option",
                      argv[optind - 1]);
            return CLI_USAGE;
        }
    }
    if (optind < argc)
        v->file = argv[optind++];
    return v->peer && optind == argc && (v->file || !v->is_client) ? CLI_OK : cli_usage(name);
}

static void print_if(const char *label, const char *text)
{
    if (*text)
        printf("  %-12s %s\n", label, text);
}

static int verify_print(const struct config_peer *p, const struct verify *v,
                        const struct edge_tryout *t, int err, const struct reason *why)
{
    printf("peer %s, %s\n", p->name.p, v->file ? v->file : "at its next hop");
    print_if("expected", t->expected);
    print_if("address", t->remote);
    if (*t->tls)
        printf("  %-12s %s, %s\n", "by", t->tls, t->cipher);
    print_if("names", t->names);
    if (err != 0) {
        printf("  %-12s %s\n  %-12s %s%s%s%s\n", "verdict", "refused", "because",
               why->detail[0] ? why->detail
               : why->code    ? why->code
                              : "?",
               why->clause ? " (" : "", why->clause ? why->clause : "", why->clause ? ")" : "");
        (void)cli_flush();
        return CLI_FAILED;
    }
    printf("  %-12s %s\n", "revocation",
           t->standing == CERT_GOOD      ? "known not to be revoked"
           : t->standing == CERT_UNKNOWN ? "not known"
                                         : "not looked at (revocation = off)");
    if (t->standing == CERT_UNKNOWN)
        print_if("because", t->doubt.detail);
    printf("  %-12s %s\n", "verdict",
           p->allow_unverified && !v->file ? "not checked (allow-unverified)" : "accepted");
    return cli_flush();
}

static int cert_verify(int argc, char **argv)
{
    struct verify v = {.config = CLI_CONFIG_FILE};
    const struct config_peer *p;
    struct edge_tryout t;
    struct reason why = {0};
    struct config *cfg;
    int err, status = verify_options(argc, argv, &v);

    if (status != CLI_OK)
        return status;
    if (cli_config_load(v.config, &cfg) != CLI_OK)
        return CLI_FAILED;
    if ((p = config_peer_find(cfg, str_z(v.peer))) == NULL) {
        cli_error("cert verify: there is no peer \"%s\"", v.peer);
        config_unref(cfg);
        return CLI_FAILED;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    log_threshold = LOG_ERROR; /* what is wrong is said below, once */
    err = v.file ? edge_try_file(cfg, p, v.file, v.is_client, &t, &why)
                 : edge_try_connect(cfg, p, &t, &why);
    status = verify_print(p, &v, &t, err, &why);
    config_unref(cfg);
    return status;
}

int cli_cert(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } parts[] = {{"request", cert_request}, {"inspect", cert_inspect}, {"verify", cert_verify}};
    size_t i;

    for (i = 0; argc > 1 && i < ARRAY_LEN(parts); i++)
        if (strcmp(argv[1], parts[i].name) == 0)
            return parts[i].run(argc - 1, argv + 1);
    return cli_usage(argv[0]);
}
