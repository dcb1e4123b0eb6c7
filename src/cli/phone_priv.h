/* Between phone.c, which has the options of `sallyport phone`, and phone_values.c, which reads what
 * is given for them. */
#ifndef CLI_PHONE_PRIV_H
#define CLI_PHONE_PRIV_H

#include "cli/cli.h"
#include "phone/run.h"

#define SECONDS_MAX 86400u

/* What the command line asks for; its texts are the command line's. */
struct phone_input {
    struct phone_run run;
    char *wav; /* bytes that slices point into */
    const char *auth_user, *realm;
    struct secret password;
    bool has_password, has_answer, allows_clear;
    unsigned calls;
    char login_text[PHONE_LOGINS_MAX][512];
    struct addr_net nets[8];
};

/* Says so; CLI_USAGE. */
int phone_arg_wrong(const char *name, const char *value, const char *what);
/* "2", "0.5": milliseconds. ERR_SYNTAX, as below. */
MUST_USE int phone_arg_seconds(const char *text, uint64_t *ret_ms);
MUST_USE int phone_arg_number(const char *text, uint32_t least, uint32_t most, uint32_t *ret);
/* The value of one option into what it is for: CLI_OK, or CLI_USAGE, and it has been said why. */
int phone_arg_password(const char *file, struct secret *ret);
int phone_arg_env(const char *name, struct secret *ret);
int phone_arg_login(struct phone_input *in, const char *value);
int phone_arg_user(struct phone_input *in, const char *value);
int phone_arg_server(struct phone_input *in, const char *value);
int phone_arg_bind(struct phone_input *in, const char *value);
int phone_arg_play(struct phone_input *in, const char *value);
int phone_arg_media(struct phone_input *in, const char *value);
int phone_arg_suites(struct phone_input *in, const char *value);
int phone_arg_tls_min(struct phone_input *in, const char *value);
int phone_arg_user_url(struct phone_input *in, const char *value);
int phone_arg_fetch_from(struct phone_input *in, const char *value);

#endif
