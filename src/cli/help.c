/* sallyport help and version: texts and the manual page sallyport(8), made from the table of commands. */
#include "cli/cli.h"
#include <stdio.h>

static const struct {
    int status;
    const char *text;
} exits[] = {
    {CLI_OK, "Done."},
    {CLI_FAILED, "It could not be done; one line on standard error says why."},
    {CLI_USAGE, "The arguments make no sense."},
    {CLI_NO_DAEMON, "No daemon answers on the control socket."},
};

static int help_all(void)
{
    const struct cli_command *c;
    size_t i;

    printf("Sallyport " SALLYPORT_VERSION ", a secure SIP session edge\n\nusage: sallyport COMMAND [...]\n\n");
    for (i = 0; (c = cli_command_at(i)) != NULL; i++)
        printf("  %-9s %s\n", c->name, c->help);
    printf("\n-c FILE names the configuration, by default " CLI_CONFIG_FILE ".\n"
           "`sallyport help COMMAND` says more; see also sallyport(8) and sallyport.conf(5).\n");
    return cli_flush();
}

static int help_one(const struct cli_command *c)
{
    printf("usage: sallyport %s%s%s\n\n%s\n", c->name, *c->args ? " " : "", c->args, c->help);
    if (c->more)
        printf("\n%s\n", c->more);
    return cli_flush();
}

/* ---- the manual page ---- */

/* Text for roff: nothing of it is taken for a request or an escape. */
static void roff(const char *t)
{
    bool line_start = true;

    for (; *t; t++) {
        if (line_start && (*t == '.' || *t == '\''))
            fputs("\\&", stdout);
        if (*t == '\\')
            fputs("\\\\", stdout);
        else if (*t == '-')
            fputs("\\-", stdout);
        else if (*t == '\n')
            fputs("\n.IP\n", stdout);
        else
            putchar(*t);
        line_start = *t == '\n';
    }
    putchar('\n');
}

static void man_command(const struct cli_command *c)
{
    printf(".TP\n\\fB%s\\fR", c->name);
    if (*c->args)
        putchar(' ');
    roff(c->args);
    roff(c->help);
    if (c->more) {
        printf(".IP\n");
        roff(c->more);
    }
}

static int help_man(void)
{
    const struct cli_command *c;
    size_t i;

    printf(".TH SALLYPORT 8 \"\" \"sallyport " SALLYPORT_VERSION "\" \"System administration\"\n"
           ".SH NAME\nsallyport \\- secure SIP session edge: registrar, proxy and their command\n"
           ".SH SYNOPSIS\n\\fBsallyport\\fR \\fICOMMAND\\fR [...]\n"
           ".SH DESCRIPTION\nSallyport stands at the edge of an enterprise network. Phones register to it and call each other,\n"
           "partners and carriers through it; every request is authenticated, and every weakening of that is a line of\n"
           "the configuration that begins with \\fBallow\\-\\fR.\n"
           ".SH COMMANDS\nThe option \\fB\\-c\\fR \\fIFILE\\fR names the configuration file.\n");
    for (i = 0; (c = cli_command_at(i)) != NULL; i++)
        man_command(c);
    printf(".SH SIGNALS\n"
           ".TP\n\\fBSIGHUP\\fR\nThe daemon reads its configuration and certificates anew. If anything is wrong with them it says\n"
           "so in one line and goes on with what it had. Changed certificate files are noticed without a signal.\n"
           ".TP\n\\fBSIGTERM\\fR, \\fBSIGINT\\fR\nThe daemon takes no new calls, finishes what is under way, and ends. A second one ends\n"
           "it at once.\n"
           ".SH EXIT STATUS\n");
    for (i = 0; i < ARRAY_LEN(exits); i++) {
        printf(".TP\n%d\n", exits[i].status);
        roff(exits[i].text);
    }
    printf(".SH FILES\n"
           ".TP\n" CLI_CONFIG_FILE "\nThe configuration, see \\fBsallyport.conf\\fR(5).\n"
           ".TP\n/var/lib/sallyport\nThe state folder: store, keys of nonces and tokens, control socket.\n"
           ".SH SEE ALSO\n\\fBsallyport.conf\\fR(5)\n");
    return cli_flush();
}

int cli_help(int argc, char **argv)
{
    const struct cli_command *c;

    if (argc > 2)
        return cli_usage(argv[0]);
    if (argc < 2)
        return help_all();
    if (strcmp(argv[1], "--man") == 0)
        return help_man();
    c = cli_command_find(argv[1]);
    if (!c) {
        cli_error("there is no command '%s'; `sallyport help` lists them", argv[1]);
        return CLI_USAGE;
    }
    return help_one(c);
}

int cli_version(int argc, char **argv)
{
    (void)argv;
    if (argc > 1)
        return cli_usage("version");
    printf("sallyport " SALLYPORT_VERSION "\n");
    return cli_flush();
}
