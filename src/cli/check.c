/* sallyport check: the configuration read as the daemon would read it; also the sample and the manual page of the format, which
 * come from the option rows. */
#include "cli/cli.h"
#include "cli/run_priv.h"
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static void on_line(void *arg, struct str line)
{
    (void)arg;
    printf("%.*s\n", STR_FMT(line));
}

/* What is weaker than it could be, so that nobody has to look for it. */
static void weakenings(const struct config *c)
{
    size_t i;

    for (i = 0; i < c->n_allow; i++) {
        const struct config_allow *a = &c->allow[i];

        printf("%s:%u: weakened: %.*s%s%.*s\n", c->file.p, a->line, STR_FMT(a->where), a->where.n ? ": " : "",
               STR_FMT(a->option));
    }
}

bool cli_descriptors_short(const struct config *c, char ret[CLI_LIMIT_TEXT])
{
    uint64_t ports = config_media_sockets(&c->media), wanted = (ports * 4 + 2) / 3;
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_max == RLIM_INFINITY || r.rlim_max >= wanted)
        return false;
    (void)snprintf(ret, CLI_LIMIT_TEXT,
                   "media have %" PRIu64 " ports, but may have %" PRIu64 " descriptors open: the limit of this process is %" PRIu64
                   ", and should be %" PRIu64 " (LimitNOFILE=)",
                   ports, (uint64_t)(r.rlim_max - r.rlim_max / 4), (uint64_t)r.rlim_max, wanted);
    return true;
}

static bool puts_keys_in(const struct config_media_side *m)
{
    return m->mode == CONFIG_MEDIA_PROTECT || m->mode == CONFIG_MEDIA_CLEAR_INSIDE;
}

static void diversion_lost(const struct config *c, const char *kind, struct str name)
{
    printf("%s: warning: %s \"%.*s\": its media option puts keys of ours into calls; signed calls of other domains that users of ours "
           "forward (allow-forwarding) lose their signature then, and get no \"div\"; media = relay keeps both\n",
           c->file.p, kind, STR_FMT(name));
}

/* RFC 8946 4.1 and our own media do not go together: the original's keys are not those that leave. */
static void diversions(const struct config *c)
{
    bool may_forward = false;
    size_t i;

    for (i = 0; i < c->n_domains; i++) {
        may_forward |= c->domains[i].allow_forwarding;
        if (c->domains[i].allow_forwarding && puts_keys_in(&c->domains[i].media))
            diversion_lost(c, "domain", c->domains[i].name);
    }
    for (i = 0; i < c->n_peers && may_forward; i++)
        if (puts_keys_in(&c->peers[i].media))
            diversion_lost(c, "peer", c->peers[i].name);
}

/* Reloads are done as that user. */
static void readable(const struct config *c)
{
    if (access(c->file.p, R_OK) != 0)
        printf("%s: warning: the daemon's user cannot read this file: it starts, and cannot reload\n", c->file.p);
}

int cli_check(int argc, char **argv)
{
    static const char *const flags[] = {"sample", "man", NULL};
    struct cli_options o = {.config = CLI_CONFIG_FILE};
    char text[CLI_LIMIT_TEXT];
    struct config *c;

    if (cli_options(argc, argv, flags, &o) != CLI_OK)
        return CLI_USAGE;
    if (o.first != argc || o.flags == 3)
        return cli_usage(argv[0]);
    if (o.flags) {
        if (o.flags & 1)
            config_write_sample(on_line, NULL);
        else
            config_write_man(on_line, NULL);
        return cli_flush();
    }
    if (config_check(o.config, become_to_check, cli_config_problem, NULL, &c) != 0)
        return CLI_FAILED;
    readable(c);
    weakenings(c);
    diversions(c);
    if (cli_descriptors_short(c, text))
        printf("%s: warning: %s\n", c->file.p, text);
    printf("%s: no problem found\n", c->file.p);
    config_unref(c);
    return cli_flush();
}
