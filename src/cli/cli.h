/* The command `sallyport`: a table of subcommands (main.c), each a function of its own file. Adding one is writing its function
 * and a row; help and the manual page come from the rows. Everything here runs on the main thread of its process. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/attr.h"
#include "base/reason.h"
#include "base/str.h"

struct config;

#define CLI_CONFIG_FILE "/etc/sallyport/sallyport.conf"

/* Exit status, the same for every command; in the manual page from cli_exits. */
enum cli_exit {
    CLI_OK,
    CLI_FAILED,   /* what was asked for could not be done; one line on standard error says why */
    CLI_USAGE,    /* the arguments make no sense */
    CLI_NO_DAEMON /* no daemon answers on the control socket */
};

struct cli_command {
    const char *name;
    int (*run)(int argc, char **argv); /* argv[0] is the command's name; returns an enum cli_exit */
    const char *args;                  /* synopsis behind the name */
    const char *help;                  /* one sentence */
    const char *more;                  /* further paragraphs for `help COMMAND` and the manual, newline between them; or NULL */
};
const struct cli_command *cli_command_find(const char *name); /* NULL if there is none */
const struct cli_command *cli_command_at(size_t i);           /* NULL behind the last */

/* One line "sallyport: ..." on standard error. */
void cli_error(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* The same, from a reason: "what: detail". */
void cli_error_reason(const char *what, const struct reason *why);
/* "usage: sallyport NAME ARGS" on standard error; returns CLI_USAGE. */
int cli_usage(const char *name);
/* Standard output has taken everything? Says so if not. CLI_OK or CLI_FAILED. */
int cli_flush(void);

/* Options of a command: -c FILE is always among them. `flags` are names of further options without a value ("json"); the found
 * ones set bit i of *ret_flags. Options may stand anywhere; what is left over is in argv[*ret_first] to argv[argc - 1].
 * CLI_USAGE after having said what is wrong. */
struct cli_options {
    const char *config; /* in: the default */
    unsigned flags;
    int first; /* of the arguments that are no options */
};
MUST_USE int cli_options(int argc, char **argv, const char *const *flags, struct cli_options *ret);

/* Reads the configuration; problems go to standard error, a line each. CLI_OK or CLI_FAILED. */
MUST_USE int cli_config_load(const char *file, struct config **ret);
void cli_config_problem(void *unused, struct str line); /* to standard error */

/* What to say where the ports for media are more than the descriptors that this process may have (a
 * quarter of which is kept for signalling); false: they are not. */
#define CLI_LIMIT_TEXT 200
bool cli_descriptors_short(const struct config *c, char ret[CLI_LIMIT_TEXT]);

int cli_cert(int argc, char **argv);
int cli_check(int argc, char **argv);
int cli_explain(int argc, char **argv);
int cli_help(int argc, char **argv);
int cli_keeper(int argc, char **argv);
int cli_mint(int argc, char **argv);
int cli_phone(int argc, char **argv);
int cli_reload(int argc, char **argv);
int cli_run(int argc, char **argv);
int cli_status(int argc, char **argv);
int cli_user(int argc, char **argv);
int cli_version(int argc, char **argv);

#endif
