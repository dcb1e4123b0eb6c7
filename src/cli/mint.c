/* sallyport mint: keys and certificates for an enterprise that has no CA yet (TR/100 9). */
#include "base/addr.h"
#include "base/err.h"
#include "cli/cli.h"
#include "pki/mint.h"
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define CA_DAYS 3650u
#define CERT_DAYS 397u
#define NAMES_MAX 32

struct files {
    char cert[4096], key[4096];
};

static int files_of(const char *folder, const char *name, struct files *ret)
{
    if ((size_t)snprintf(ret->cert, sizeof ret->cert, "%s/%s.crt", folder, name) < sizeof ret->cert &&
        (size_t)snprintf(ret->key, sizeof ret->key, "%s/%s.key", folder, name) < sizeof ret->key)
        return CLI_OK;
    cli_error("mint: %s: the name is too long", folder);
    return CLI_FAILED;
}

/* A CA that is there stays: without its key nothing that it signed can be renewed. */
static int mint_ca(const char *folder, const char *name)
{
    struct pki_mint_ca_args args = {.cn = str_z(name), .days = CA_DAYS};
    struct pki_mint_ca *ca;
    struct reason why = {0};
    struct files f;
    int err;

    if (files_of(folder, "ca", &f) != CLI_OK)
        return CLI_FAILED;
    if (access(f.cert, F_OK) == 0 || access(f.key, F_OK) == 0) {
        cli_error("mint: there is a CA in %s already; remove ca.crt and ca.key if it shall be no more", folder);
        return CLI_FAILED;
    }
    if ((err = pki_mint_ca_new(&args, &ca, &why)) == 0) {
        err = pki_mint_ca_save(ca, f.cert, f.key, &why);
        pki_mint_ca_free(ca);
    }
    if (err != 0) {
        cli_error_reason("mint", &why);
        return CLI_FAILED;
    }
    printf("%s: give it to all who shall trust this CA\n%s: keep it where nobody else can read it\n", f.cert, f.key);
    return cli_flush();
}

static bool is_file_name(const char *name)
{
    return *name && *name != '.' && !strchr(name, '/');
}

static int mint_cert(const char *folder, char **names, int n)
{
    struct str domains[NAMES_MAX];
    struct pki_mint_san addresses[NAMES_MAX];
    struct pki_mint_args args = {.domains = domains, .sans = addresses, .days = CERT_DAYS,
                                 .uses = PKI_MINT_SERVER | PKI_MINT_CLIENT | PKI_MINT_SIP};
    struct pki_mint_ca *ca;
    struct reason why = {0};
    struct files of_ca, f;
    struct addr a;
    int i, err;

    if (files_of(folder, "ca", &of_ca) != CLI_OK || files_of(folder, names[0], &f) != CLI_OK)
        return CLI_FAILED;
    for (i = 0; i < n; i++) {
        if (addr_parse(&a, str_z(names[i]), 0) == 0)
            addresses[args.n_sans++] = (struct pki_mint_san){PKI_MINT_IP, str_z(names[i])};
        else
            domains[args.n_domains++] = str_z(names[i]);
    }
    args.cert_file = f.cert;
    args.key_file = f.key;
    if ((err = pki_mint_ca_load(of_ca.cert, of_ca.key, &ca, &why)) == 0) {
        err = pki_mint_cert(ca, &args, &why);
        pki_mint_ca_free(ca);
    }
    if (err != 0) {
        cli_error_reason("mint", &why);
        return CLI_FAILED;
    }
    printf("%s\n%s\n", f.cert, f.key);
    return cli_flush();
}

int cli_mint(int argc, char **argv)
{
    static const char *const flags[] = {"ca", NULL};
    struct cli_options o = {.config = CLI_CONFIG_FILE};
    const char *folder;
    int n;

    if (cli_options(argc, argv, flags, &o) != CLI_OK)
        return CLI_USAGE;
    n = argc - o.first - 1;
    if (n < 1 || n > NAMES_MAX || (o.flags && n != 1))
        return cli_usage(argv[0]);
    folder = argv[o.first];
    if (mkdir(folder, 0700) != 0 && errno != EEXIST) {
        cli_error("mint: %s: %s", folder, strerror(errno));
        return CLI_FAILED;
    }
    if (o.flags)
        return mint_ca(folder, argv[o.first + 1]);
    if (!is_file_name(argv[o.first + 1])) {
        cli_error("mint: '%s' is no domain", argv[o.first + 1]);
        return CLI_USAGE;
    }
    return mint_cert(folder, argv + o.first + 1, n);
}
