/* sallyport keeper: the process that has the private keys of identities. `sallyport run` starts it; what it is told on
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
};

static struct keeper_key_args args_of(const struct config_identity *d)
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
    };
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
        l->args[i] = args_of(&cfg->identities[i]);
        ret->has_tokens |= str_starts_nocase(cfg->identities[i].key, STR("pkcs11:"));
    }
    return 0;
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
