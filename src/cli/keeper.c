/* sallyport keeper: the process that has the private keys of identities, and with tls-keys = keeper those of TLS. `sallyport run` starts it; what it is told on
 * its command line is where the configuration is, and nothing else that it believes comes from there. */
#include "base/mem.h"
#include "cli/cli.h"
#include "config/config.h"
#include "keeper/process.h"
#include <stdlib.h>

struct keeper_load {
    const char *file;
    struct config *cfg; /* what the arguments point into */
    struct keeper_key_args args[LIMIT_KEEPER_KEYS];
    struct keeper_tls_args tls[LIMIT_KEEPER_TLS_KEYS];
};

static struct keeper_key_args args_of(const struct config *cfg, const struct config_identity *d)
{
    return (struct keeper_key_args){
        .name = d->name,
        .cert_file = d->certificate.p,
        .key = d->key.p,
        .url = d->url,
        .rate = d->rate,
        .prefixes = d->numbers.v,
        .n_prefixes = d->numbers.n,
        .allow_any_number = d->allow_any_number,
        .rfc4474_cert_file = d->rfc4474_certificate.n ? d->rfc4474_certificate.p : NULL,
        .rfc4474_key = d->rfc4474_key.p,
        .rfc4474_min_bits = cfg->rfc4474_rsa_bits,
    };
}

static int add_tls(struct keeper_load *l, struct keeper_setup *ret, const char *what, struct str name, struct str cert,
                   struct str key, struct reason *why)
{
    if (!cert.n)
        return 0;
    if (ret->n_tls == ARRAY_LEN(l->tls)) {
        reason_set(why, "keeper-config", NULL, 0, "more than %zu keys of TLS", ARRAY_LEN(l->tls));
        return ERR_LIMIT;
    }
    l->tls[ret->n_tls++] = (struct keeper_tls_args){
        .name = arena_fmt(l->cfg->arena, "%s \"%.*s\"", what, STR_FMT(name)),
        .cert_file = cert.p,
        .key = key.p,
        .as_server = what[0] == 'd',
    };
    ret->has_tokens |= str_starts_nocase(key, STR("pkcs11:"));
    return 0;
}

static int load_tls(struct keeper_load *l, struct keeper_setup *ret, struct reason *why)
{
    const struct config *cfg = l->cfg;
    size_t i;
    int err = 0;

    ret->tls = l->tls;
    ret->tls_rate = cfg->tls_keys_rate;
    for (i = 0; i < cfg->n_domains && err == 0; i++)
        err = add_tls(l, ret, "domain", cfg->domains[i].name, cfg->domains[i].certificate, cfg->domains[i].key, why);
    for (i = 0; i < cfg->n_peers && err == 0; i++)
        err = add_tls(l, ret, "peer", cfg->peers[i].name, cfg->peers[i].certificate, cfg->peers[i].key, why);
    return err;
}

/* Certificates and keys are checked as they are loaded; the rest of the configuration is the daemon's. */
static int load(void *arg, struct keeper_setup *ret, struct reason *why)
{
    struct keeper_load *l = arg;
    struct config *cfg;
    size_t i;

    if (config_load_places(l->file, &cfg) != 0) {
        reason_set(why, "keeper-config", NULL, 0, "%s cannot be read by the keeper", l->file);
        return ERR_IO;
    }
    if (cfg->n_identities > ARRAY_LEN(l->args)) {
        reason_set(why, "keeper-config", NULL, 0, "more than %zu identity sections", ARRAY_LEN(l->args));
        config_unref(cfg);
        return ERR_LIMIT;
    }
    config_unref(l->cfg);
    l->cfg = cfg;
    *ret = (struct keeper_setup){
        .keys = l->args,
        .n_keys = cfg->n_identities,
        .log_file = cfg->keeper_log.n ? cfg->keeper_log.p : NULL,
        .run_as = cfg->keeper_run_as.n ? cfg->keeper_run_as.p : NULL,
        .seccomp = CONFINE_ENFORCE,
    };
    if (cfg->seccomp == CONFINE_OFF)
        ret->seccomp = CONFINE_OFF;
    for (i = 0; i < cfg->n_identities; i++) {
        l->args[i] = args_of(cfg, &cfg->identities[i]);
        ret->has_tokens |= str_starts_nocase(cfg->identities[i].key, STR("pkcs11:")) ||
                           str_starts_nocase(cfg->identities[i].rfc4474_key, STR("pkcs11:"));
    }
    return cfg->tls_keys == CONFIG_TLS_KEYS_KEEPER ? load_tls(l, ret, why) : 0;
}

int cli_keeper(int argc, char **argv)
{
    struct cli_options o = {.config = CLI_CONFIG_FILE};
    struct keeper_load *l;
    struct keeper_process_args args = {.load = load};
    uint32_t workers;
    int err;

    if (cli_options(argc, argv, NULL, &o) != CLI_OK)
        return CLI_USAGE;
    if (argc - o.first != 1 || str_to_u32(str_z(argv[o.first]), KEEPER_CONNS_MAX - 1, &workers) != 0)
        return cli_usage(argv[0]);
    l = mem_zalloc(sizeof *l);
    if (!l) {
        cli_error("out of memory");
        return CLI_FAILED;
    }
    l->file = o.config;
    args.n_workers = workers;
    args.arg = l;
    err = keeper_process_run(&args);
    config_unref(l->cfg);
    mem_free(l);
    if (err == 0)
        return CLI_OK;
    cli_error("the keeper is started by `sallyport run`");
    return CLI_FAILED;
}
