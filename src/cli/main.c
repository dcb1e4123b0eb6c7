/* The command `sallyport` and the table of its subcommands. */
#include "cli/cli.h"
#include "config/config.h"
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const struct cli_command commands[] = {
    {"run", cli_run, "[-c FILE]", "Runs the edge until SIGTERM or SIGINT; logs to standard error.",
     "It stays in the foreground: systemd (or a shell) is its parent, and is told when it is ready if it asks (NOTIFY_SOCKET).\n"
     "SIGHUP reads the configuration and the certificates anew. Changed certificate files are noticed by themselves."},
    {"check", cli_check, "[-c FILE] [--sample | --man]",
     "Reads a configuration as the daemon would and says what is wrong with it.",
     "Each problem is one line with file, line, and what would be right. Certificates and keys are read too.\n"
     "--sample writes a configuration with every option and its default, --man the manual page of the format."},
    {"status", cli_status, "[registrations|flows|calls|call ID|peers|certificates|counters|config] [TEXT] [--json] [-c FILE]",
     "Shows what a running edge does; only rows that have TEXT, if it is given.",
     "Without a view: listeners and how long their certificates last, weakenings in force, numbers of users, connections, calls.\n"
     "registrations: who is registered, from where, how. flows: open connections, whose they are, TLS version and suite.\n"
     "calls: calls under way, how the caller was authenticated, and the security status (the lower of both sides'). call ID: one, with what\n"
     "is known of its media and why its status is no better, for each side. peers: which answer their checks, and which not. certificates: every file that TLS rests on, until when, and what OCSP responders said. counters: everything that is counted. config: every option in force.\n"
     "--json prints what the daemon says, one line, for scripts. Lists end at 10,000 rows and say how many there are."},
    {"explain", cli_explain, "CALL-ID [--json] [-c FILE]",
     "Tells in plain words how secure a call is, for caller and callee, and what would make it better.",
     "Who they are and how that is known, which hops the signalling crossed, how the media are protected; of calls under way, and of\n"
     "those that ended last. Exit status 1 if there is no such call."},
    {"reload", cli_reload, "[-c FILE]", "Makes a running edge read its configuration anew, and says whether it did.",
     "Does what SIGHUP does, but waits for the result: problems are printed, and the exit status is 0 only if the new\n"
     "configuration is in force."},
    {"mint", cli_mint, "--ca FOLDER NAME | FOLDER DOMAIN [DOMAIN|ADDRESS...]",
     "Makes a CA, or a certificate signed by it, for those who have no CA.",
     "--ca makes FOLDER/ca.crt and FOLDER/ca.key, good for ten years. Without it, FOLDER/DOMAIN.crt and FOLDER/DOMAIN.key are made\n"
     "(anew, if they are there) for the SIP domains and addresses given, signed by the CA in FOLDER, good for 397 days."},
    {"cert", cli_cert,
     "request --key FILE --out FILE [--must-staple] [DOMAIN...] [--tn NUMBER|FIRST-LAST]... [--spc CODE]... | inspect FILE... | verify "
     "--peer NAME [CERTIFICATE [--as-client]] [-c FILE]",
     "Asks for certificates, says what is in them, and what the edge would make of a peer's.",
     "request makes a certification request for SIP domains (each as URI sip:DOMAIN and as DNS name, for servers, clients and SIP\n"
     "domains), or, with --tn and --spc, for those who sign calls from telephone numbers (TN Authorization List). The key is made if it\n"
     "is not there. --must-staple asks that nobody takes the certificate without an OCSP answer from us.\n"
     "inspect says which domains and numbers a certificate speaks for, until when, what it may be used for, how one would learn that it\n"
     "is revoked, and what is wrong with it. Exit status 1 if something is.\n"
     "verify connects to the next hop of a peer as the edge would, or takes a file, as of a server or, with --as-client, as of one that\n"
     "connects to us. It waits for OCSP responders, and says whether the certificate is accepted, or why not (exit status 1)."},
    {"user", cli_user,
     "add|passwd|del|disable|enable USER@DOMAIN | list [DOMAIN] | import FILE [-c FILE] [--allow-md5] [--allow-weak-password]",
     "Says who may log in. A running edge sees it within two seconds.",
     "The password is asked for, or read from the first line of standard input; only hashes of it are kept. Passwords that can be\n"
     "guessed are refused, unless --allow-weak-password or the domain's allow-weak-passwords takes them. --allow-md5 is for phones\n"
     "that know no SHA-256: they are challenged with MD5 and nothing else, and the domain must have allow-md5.\n"
     "import takes a CSV file (- for standard input) with the first line user,domain,password,options; options may be allow-md5. Users\n"
     "who exist are replaced. If a line is wrong, nothing is imported. disable locks a user out and keeps the password for enable."},
    {"phone", cli_phone, "--user USER@DOMAIN [--call URI | --answer] [OPTION...]",
     "A phone for the command line: registers, calls, answers, plays and records sound, sends messages.",
     "`sallyport phone --help` lists all options. The server is verified by its certificate, and a password is used for its own realm\n"
     "alone. What happens is told on standard output, with --json for programs.\n"
     "Exit status: 0 everything went as asked; 1 not registered; 2 the arguments make no sense; 4 the call failed; 5 the sound or the\n"
     "digits that were to come did not; 6 a message was not answered, or the expected one did not come."},
    {"keeper", cli_keeper, "[-c FILE] WORKERS", "Keeps the private keys of identities; `sallyport run` starts it, people do not.",
     "It signs what it can read and judge by the certificate of the key, never bytes, and writes a line of JSON for each request."},
    {"help", cli_help, "[COMMAND | --man]", "Says what the commands do; --man writes this manual page.", NULL},
    {"version", cli_version, "", "Prints the version.", NULL},
};

const struct cli_command *cli_command_at(size_t i)
{
    return i < ARRAY_LEN(commands) ? &commands[i] : NULL;
}

const struct cli_command *cli_command_find(const char *name)
{
    size_t i;

    for (i = 0; i < ARRAY_LEN(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

/* ---- what commands share ---- */

void cli_error(const char *fmt, ...)
{
    va_list ap;

    fflush(stdout);
    fputs("sallyport: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

void cli_error_reason(const char *what, const struct reason *why)
{
    cli_error("%s: %s", what, why->detail[0] ? why->detail : why->code ? why->code : "unknown cause");
}

int cli_usage(const char *name)
{
    const struct cli_command *c = cli_command_find(name);

    fprintf(stderr, "usage: sallyport %s%s%s\n", name, c && *c->args ? " " : "", c ? c->args : "");
    return CLI_USAGE;
}

int cli_flush(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return CLI_OK;
    cli_error("standard output: %s", strerror(errno));
    return CLI_FAILED;
}

int cli_options(int argc, char **argv, const char *const *flags, struct cli_options *ret)
{
    struct option all[16] = {{"config", required_argument, NULL, 'c'}};
    size_t n;
    int c;

    for (n = 0; flags && flags[n] && n + 2 < ARRAY_LEN(all); n++)
        all[n + 1] = (struct option){flags[n], no_argument, NULL, 256 + (int)n};
    ret->flags = 0;
    opterr = 0;
    optind = 0; /* begin anew: glibc */
    while ((c = getopt_long(argc, argv, ":c:", all, NULL)) != -1) {
        if (c == 'c') {
            ret->config = optarg;
        } else if (c >= 256) {
            ret->flags |= 1u << (c - 256);
        } else {
            cli_error("%s: %s %s", argv[0], c == ':' ? "a value is missing behind" : "there is no option", argv[optind - 1]);
            return cli_usage(argv[0]);
        }
    }
    ret->first = optind;
    return CLI_OK;
}

void cli_config_problem(void *arg, struct str line)
{
    (void)arg;
    fprintf(stderr, "%.*s\n", STR_FMT(line));
}

int cli_config_load(const char *file, struct config **ret)
{
    return config_load(file, cli_config_problem, NULL, ret) == 0 ? CLI_OK : CLI_FAILED;
}

int main(int argc, char **argv)
{
    const struct cli_command *c;
    const char *name = argc > 1 ? argv[1] : NULL;

    if (!name) {
        fputs("usage: sallyport COMMAND [...]; `sallyport help` lists the commands\n", stderr);
        return CLI_USAGE;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
        name = "version";
    c = cli_command_find(name);
    if (!c) {
        cli_error("there is no command '%s'; `sallyport help` lists them", name);
        return CLI_USAGE;
    }
    if (argc == 3 && c->run != cli_phone && (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0)) {
        char *help[] = {argv[2], argv[1], NULL};

        return cli_help(2, help);
    }
    return c->run(argc - 1, argv + 1);
}
