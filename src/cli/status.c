/* sallyport status and reload: questions to a running daemon over its control socket, its JSON shown as tables for people. */
#include "base/mem.h"
#include "cli/cli.h"
#include "config/config.h"
#include "console/console.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define COLUMNS_MAX 12
#define CELL_MAX 80 /* of a cell; longer ones are cut, --json has the whole */

/* ---- the question ---- */

/* The answer, parsed and as it came (*ret_text, for --json). */
static int daemon_ask(const char *file, struct str line, json_t **ret, char **ret_text)
{
    struct reason why = {0};
    struct config *cfg;
    json_t *error;
    int err;

    if (config_load_places(file, &cfg) != 0) {
        cli_error("%s cannot be read", file);
        return CLI_FAILED;
    }
    err = console_ask(cfg->control_socket.p, line, ret_text, &why);
    config_unref(cfg);
    if (err != 0) {
        if (err == ERR_CLOSED)
            cli_error("no daemon answers (%s); is it running with %s?", why.detail, file);
        else
            cli_error_reason("no answer", &why);
        return err == ERR_CLOSED ? CLI_NO_DAEMON : CLI_FAILED;
    }
    *ret = json_loads(*ret_text, JSON_ALLOW_NUL, NULL);
    error = json_object_get(*ret, "error");
    if (*ret && !error)
        return CLI_OK;
    cli_error("%s", error ? json_string_value(error) : "the daemon's answer cannot be understood");
    json_decref(*ret);
    free(*ret_text);
    return CLI_FAILED;
}

/* ---- text of values ---- */

static const char *text_of(const json_t *row, const char *key)
{
    const char *s = json_string_value(json_object_get(row, key));

    return s ? s : "";
}

static json_int_t number_of(const json_t *row, const char *key)
{
    return json_integer_value(json_object_get(row, key));
}

static bool is_set(const json_t *row, const char *key)
{
    return json_is_true(json_object_get(row, key));
}

static const char *duration(json_int_t s, char dst[32])
{
    if (s >= 86400)
        snprintf(dst, 32, "%lldd %lldh", (long long)(s / 86400), (long long)(s % 86400 / 3600));
    else if (s >= 3600)
        snprintf(dst, 32, "%lldh %lldm", (long long)(s / 3600), (long long)(s % 3600 / 60));
    else if (s >= 60)
        snprintf(dst, 32, "%lldm %llds", (long long)(s / 60), (long long)(s % 60));
    else
        snprintf(dst, 32, "%llds", (long long)s);
    return dst;
}

/* ---- tables ---- */

struct column {
    const char *title;
    const char *key;
    /* Text of the cell, if it is more than the text or number of `key`. */
    void (*cell)(const json_t *row, char dst[CELL_MAX]);
};

/* Nothing from the network steers the terminal. */
static void tame(char *s)
{
    struct str rest = str_z(s);
    char *to = s;
    size_t n;

    while (rest.n) {
        n = str_steers(rest);
        *to++ = n ? '?' : rest.p[0];
        n = n ? n : 1;
        rest = str_make(rest.p + n, rest.n - n);
    }
    *to = 0;
}

static void cell_text(const struct column *c, const json_t *row, char dst[CELL_MAX])
{
    const json_t *v = c->key ? json_object_get(row, c->key) : NULL;

    if (c->cell)
        c->cell(row, dst);
    else if (json_is_integer(v))
        snprintf(dst, CELL_MAX, "%lld", (long long)json_integer_value(v));
    else if (json_is_boolean(v))
        snprintf(dst, CELL_MAX, "%s", json_is_true(v) ? "yes" : "no");
    else
        snprintf(dst, CELL_MAX, "%s", json_is_string(v) ? json_string_value(v) : "");
    tame(dst);
    if (!*dst)
        snprintf(dst, CELL_MAX, "-");
}

/* How many columns a terminal gives to UTF-8 text, as well as one can tell without tables: one a character. */
static int width_of(const char *s)
{
    int n = 0;

    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static void print_cell(const char *text, int width, bool is_last)
{
    if (is_last)
        printf("%s\n", text);
    else
        printf("%s%*s  ", text, width - width_of(text), "");
}

static void print_table(const json_t *rows, const struct column *columns, size_t n)
{
    int width[COLUMNS_MAX];
    char cell[CELL_MAX];
    size_t i, c;

    for (c = 0; c < n; c++) {
        width[c] = width_of(columns[c].title);
        for (i = 0; i < json_array_size(rows); i++) {
            cell_text(&columns[c], json_array_get(rows, i), cell);
            if (width_of(cell) > width[c])
                width[c] = width_of(cell);
        }
    }
    for (c = 0; c < n; c++)
        print_cell(columns[c].title, width[c], c + 1 == n);
    for (i = 0; i < json_array_size(rows); i++)
        for (c = 0; c < n; c++) {
            cell_text(&columns[c], json_array_get(rows, i), cell);
            print_cell(cell, width[c], c + 1 == n);
        }
}

static void print_silent(const json_t *answer)
{
    if (number_of(answer, "workers_silent"))
        printf("%lld workers did not answer within a second; what they hold is missing here\n",
               (long long)number_of(answer, "workers_silent"));
}

static void print_rows(const json_t *answer, const struct column *columns, size_t n, const char *none)
{
    const json_t *rows = json_object_get(answer, "rows");

    print_silent(answer);
    if (!json_array_size(rows)) {
        puts(none);
        return;
    }
    print_table(rows, columns, n);
    if (number_of(answer, "total") > number_of(answer, "shown"))
        printf("... and %lld more; add a text that rows must have\n",
               (long long)(number_of(answer, "total") - number_of(answer, "shown")));
}

/* ---- registrations, flows, calls, configuration ---- */

static void cell_expires(const json_t *row, char dst[CELL_MAX])
{
    char t[32];

    snprintf(dst, CELL_MAX, "%s", duration(number_of(row, "expires_s"), t));
}

static void cell_from(const json_t *row, char dst[CELL_MAX])
{
    if (!is_set(row, "reachable"))
        snprintf(dst, CELL_MAX, "not reachable until it registers again");
    else
        snprintf(dst, CELL_MAX, "%s %s", text_of(row, "transport"), text_of(row, "remote"));
}

static void show_registrations(const json_t *answer)
{
    static const struct column columns[] = {
        {"USER", "aor", NULL},       {"FROM", NULL, cell_from},       {"SECURE", "secure", NULL},
        {"EXPIRES IN", NULL, cell_expires}, {"CONTACT", "contact", NULL}, {"PHONE", "user_agent", NULL},
    };

    print_rows(answer, columns, ARRAY_LEN(columns), "nobody is registered");
}

static void cell_whose(const json_t *row, char dst[CELL_MAX])
{
    if (*text_of(row, "user"))
        snprintf(dst, CELL_MAX, "%s", text_of(row, "user"));
    else if (*text_of(row, "peer"))
        snprintf(dst, CELL_MAX, "peer %s", text_of(row, "peer"));
    else
        snprintf(dst, CELL_MAX, "%s", is_set(row, "open") ? "" : "(not open)");
}

static void cell_tls(const json_t *row, char dst[CELL_MAX])
{
    snprintf(dst, CELL_MAX, "%s%s%s", text_of(row, "tls"), *text_of(row, "cipher") ? " " : "", text_of(row, "cipher"));
}

static void cell_age(const json_t *row, char dst[CELL_MAX])
{
    char t[32];

    snprintf(dst, CELL_MAX, "%s", duration(number_of(row, "age_s"), t));
}

static void show_flows(const json_t *answer)
{
    static const struct column columns[] = {
        {"REMOTE", "remote", NULL},  {"TRANSPORT", "transport", NULL}, {"WAY", "direction", NULL},
        {"WHOSE", NULL, cell_whose}, {"AGE", NULL, cell_age},          {"TLS", NULL, cell_tls},
    };

    print_rows(answer, columns, ARRAY_LEN(columns), "no connection is open");
}

static void cell_lasts(const json_t *row, char dst[CELL_MAX])
{
    char t[32];

    snprintf(dst, CELL_MAX, "%s %s", text_of(row, "state"), duration(number_of(row, "seconds"), t));
}

static void cell_caller(const json_t *row, char dst[CELL_MAX])
{
    if (is_set(row, "emergency"))
        snprintf(dst, CELL_MAX, "%s (emergency)", text_of(row, "from"));
    else
        snprintf(dst, CELL_MAX, "%s", *text_of(row, "caller") ? text_of(row, "caller") : text_of(row, "from"));
}

/* The lower of what caller and callee have. */
static void cell_level(const json_t *row, char dst[CELL_MAX])
{
    static const char *const levels[] = {"attacked", "open", "protected", "secure", "end-to-end"};
    const json_t *security = json_object_get(row, "security");
    const char *lowest = text_of(row, "level");
    size_t i, k, at = ARRAY_LEN(levels);

    for (i = 0; i < json_array_size(security); i++)
        for (k = 0; k < at; k++)
            if (strcmp(text_of(json_array_get(security, i), "level"), levels[k]) == 0) {
                lowest = levels[k];
                at = k;
            }
    snprintf(dst, CELL_MAX, "%s", lowest);
}

static void show_calls(const json_t *answer)
{
    static const struct column columns[] = {
        {"CALLER", NULL, cell_caller},   {"KNOWN BY", "authenticated", NULL}, {"OVER", "transport", NULL},
        {"CALLS", "target", NULL},       {"STATE", NULL, cell_lasts},         {"SECURITY", NULL, cell_level},
        {"CALL-ID", "call_id", NULL},
    };

    print_rows(answer, columns, ARRAY_LEN(columns), "no call is under way");
}

/* ---- one call ---- */

static void cell_keys(const json_t *row, char dst[CELL_MAX])
{
    const json_t *k = json_object_get(row, "keys");

    snprintf(dst, CELL_MAX, "%s%s%s", text_of(k, "method"), *text_of(k, "suite") ? " " : "", text_of(k, "suite"));
}

static void cell_known(const json_t *row, char dst[CELL_MAX])
{
    const json_t *k = json_object_get(row, "keys");

    snprintf(dst, CELL_MAX, "%s, %s", text_of(k, "known_to"), text_of(k, "proof"));
}

static void cell_packets(const json_t *row, char dst[CELL_MAX])
{
    const json_t *p = json_object_get(row, "packets");

    snprintf(dst, CELL_MAX, "%lld in, %lld out", (long long)number_of(p, "packets_in"), (long long)number_of(p, "packets_out"));
}

static void cell_quality(const json_t *row, char dst[CELL_MAX])
{
    const json_t *p = json_object_get(row, "packets");

    snprintf(dst, CELL_MAX, "%lld lost, %.1f ms jitter", (long long)number_of(p, "lost"), (double)number_of(p, "jitter_us") / 1000);
}

/* Its media come from another address than it has described (RFC 4961). */
static void show_elsewhere(const json_t *medium)
{
    const json_t *p = json_object_get(medium, "packets");
    const char *described = text_of(p, "described"), *remote = text_of(p, "remote"), *kind = text_of(medium, "kind");

    if (!*described)
        return;
    if (*text_of(p, "astray"))
        printf("  %s from %s was refused: described is %s\n", kind, text_of(p, "astray"), described);
    if (*text_of(p, "source"))
        printf("  %s comes from %s: described is %s\n", kind, text_of(p, "source"), described);
    else if (*remote && strcmp(described, remote) != 0)
        printf("  %s comes from %s, and goes there: described is %s\n", kind, remote, described);
}

static void show_leg(const json_t *leg)
{
    static const struct column columns[] = {{"MEDIUM", "kind", NULL},         {"KEYS", NULL, cell_keys},
                                            {"KNOWN TO", NULL, cell_known},   {"PACKETS", NULL, cell_packets},
                                            {"QUALITY", NULL, cell_quality}};
    const json_t *media = json_object_get(leg, "media");
    size_t i;

    printf("\n%s: %s, %s, signalling %s %s\n", text_of(leg, "side"), text_of(leg, "address"), text_of(leg, "identity"),
           is_set(leg, "hop_secure") ? "secured" : "in clear", text_of(leg, "hop_tls"));
    print_table(media, columns, ARRAY_LEN(columns));
    for (i = 0; i < json_array_size(media); i++)
        show_elsewhere(json_array_get(media, i));
}

static void show_security(const json_t *s)
{
    const json_t *reasons = json_object_get(s, "reasons");
    size_t i;

    printf("\ntowards the %s: %s%s\n", text_of(s, "towards"), text_of(s, "level"), is_set(s, "proven") ? "" : " (as agreed, not proven)");
    for (i = 0; i < json_array_size(reasons); i++)
        printf("  %s (%s)\n", text_of(json_array_get(reasons, i), "text"), text_of(json_array_get(reasons, i), "clause"));
}

/* The media of a call that pass through us; of others what offer and answer say is in its security. */
static void show_call(const json_t *answer)
{
    const json_t *rows = json_object_get(answer, "rows"), *row, *legs, *security;
    size_t i, k;

    show_calls(answer);
    for (i = 0; i < json_array_size(rows); i++) {
        row = json_array_get(rows, i);
        legs = json_object_get(row, "legs");
        security = json_object_get(row, "security");
        printf("\nmedia: %s\n", *text_of(row, "media") ? text_of(row, "media") : "direct");
        for (k = 0; k < json_array_size(legs); k++)
            show_leg(json_array_get(legs, k));
        for (k = 0; k < json_array_size(security); k++)
            show_security(json_array_get(security, k));
    }
}

static void cell_of(const json_t *row, char dst[CELL_MAX])
{
    snprintf(dst, CELL_MAX, "%s%s%s", text_of(row, "whose"), *text_of(row, "name") ? " " : "", text_of(row, "name"));
}

static void cell_state(const json_t *row, char dst[CELL_MAX])
{
    snprintf(dst, CELL_MAX, "%s%s%s%s", text_of(row, "state"), *text_of(row, "failure") ? " (" : "", text_of(row, "failure"),
             *text_of(row, "failure") ? ")" : "");
}

static void show_certificates(const json_t *answer)
{
    static const struct column columns[] = {{"OF", NULL, cell_of},      {"WHAT", "kind", NULL},   {"STATE", NULL, cell_state},
                                            {"UNTIL", "until", NULL}, {"FILE OR NAMES", "file", NULL}};

    print_rows(answer, columns, ARRAY_LEN(columns), "no certificate is in use");
}

static void cell_health(const json_t *row, char dst[CELL_MAX])
{
    char t[32] = "";
    time_t since = (time_t)number_of(row, "since");
    struct tm tm;

    if (number_of(row, "since") && gmtime_r(&since, &tm))
        strftime(t, sizeof t, " since %Y-%m-%dT%H:%M:%SZ", &tm);
    snprintf(dst, CELL_MAX, "%s%s%s%s%s", text_of(row, "health"), *text_of(row, "reason") ? " (" : "", text_of(row, "reason"),
             *text_of(row, "reason") ? ")" : "", t);
}

static void cell_registration(const json_t *row, char dst[CELL_MAX])
{
    snprintf(dst, CELL_MAX, "%s%s%s%s", text_of(row, "registration"), *text_of(row, "registration_reason") ? " (" : "",
             text_of(row, "registration_reason"), *text_of(row, "registration_reason") ? ")" : "");
}

static void cell_protection(const json_t *row, char dst[CELL_MAX])
{
    if (*text_of(row, "protected_by"))
        snprintf(dst, CELL_MAX, "%s until %s, says %s: %s", text_of(row, "protected_by"), text_of(row, "protected_until"),
                 text_of(row, "protected_says"), text_of(row, "protection"));
}

static void cell_calls(const json_t *row, char dst[CELL_MAX])
{
    const json_t *max = json_object_get(row, "max_calls");

    snprintf(dst, CELL_MAX, "%lld", (long long)json_integer_value(json_object_get(row, "calls")));
    if (max)
        snprintf(dst + strlen(dst), CELL_MAX - strlen(dst), " of %lld", (long long)json_integer_value(max));
}

static void show_peers(const json_t *answer)
{
    static const struct column columns[] = {{"PEER", "peer", NULL}, {"KIND", "kind", NULL}, {"HEALTH", NULL, cell_health},
                                            {"REGISTRATION", NULL, cell_registration}, {"CALLS", NULL, cell_calls},
                                            {"CHECKS", "checks", NULL}, {"FAILED", "checks_failed", NULL}, {"WHERE", "next_hop", NULL}, {"PROTECTED BY", NULL, cell_protection}};

    print_rows(answer, columns, ARRAY_LEN(columns), "there is no peer");
}

static void cell_option(const json_t *row, char dst[CELL_MAX])
{
    const char *section = text_of(row, "section");

    snprintf(dst, CELL_MAX, "%s%s%s%s%s", section, *text_of(row, "title") ? " " : "", text_of(row, "title"),
             *section ? ": " : "", text_of(row, "option"));
}

static void show_config(const json_t *answer)
{
    static const struct column columns[] = {{"OPTION", NULL, cell_option}, {"VALUE", "value", NULL}};

    print_rows(answer, columns, ARRAY_LEN(columns), "no option is in force");
}

/* ---- counters ---- */

/* Groups of numbers, one line each: "edge.requests 12". */
static void show_counters(const json_t *answer)
{
    const char *group, *name, *part;
    const json_t *values, *v, *p;

    print_silent(answer);
    json_object_foreach((json_t *)(uintptr_t)answer, group, values) {
        if (!json_is_object(values))
            continue;
        json_object_foreach((json_t *)(uintptr_t)values, name, v) {
            if (json_is_integer(v))
                printf("%s.%s %lld\n", group, name, (long long)json_integer_value(v));
            else if (json_is_boolean(v))
                printf("%s.%s %s\n", group, name, json_is_true(v) ? "yes" : "no");
            else if (json_is_object(v))
                json_object_foreach((json_t *)(uintptr_t)v, part, p)
                    printf("%s.%s.%s %lld\n", group, name, part, (long long)json_integer_value(p));
        }
    }
}

/* ---- summary ---- */

static void cell_certificate(const json_t *row, char dst[CELL_MAX])
{
    if (!is_set(row, "secure"))
        snprintf(dst, CELL_MAX, "in clear");
    else if (*text_of(row, "until"))
        snprintf(dst, CELL_MAX, "certificate until %s (%lld days)", text_of(row, "until"), (long long)number_of(row, "days_left"));
}

static void cell_line(const json_t *row, char dst[CELL_MAX])
{
    snprintf(dst, CELL_MAX, "  line %lld", (long long)number_of(row, "line"));
}

static void show_summary(const json_t *a)
{
    static const struct column listeners[] = {
        {"LISTENS ON", "listen", NULL}, {"SECURITY", NULL, cell_certificate}, {"FILE", "certificate", NULL}};
    static const struct column weak[] = {{"WEAKENED BY", NULL, cell_line}, {"OPTION", "option", NULL}, {"OF", "where", NULL}};
    const json_t *store = json_object_get(a, "store"), *keeper = json_object_get(a, "keeper");
    char t[32];

    printf("sallyport %s, up %s, %lld workers%s, %s\n", text_of(a, "version"), duration(number_of(a, "uptime_s"), t),
           (long long)number_of(a, "workers"), is_set(a, "stopping") ? ", stopping" : "", text_of(a, "configuration"));
    print_silent(a);
    printf("%lld of %lld users are registered, %lld contacts; %lld connections, %lld calls\n",
           (long long)number_of(a, "users_registered"), (long long)number_of(a, "users"),
           (long long)number_of(a, "registrations"), (long long)number_of(a, "flows"), (long long)number_of(a, "calls"));
    if (is_set(store, "writable"))
        printf("the store is written (%lld changes wait)\n", (long long)number_of(store, "queued"));
    else
        printf("THE STORE CANNOT BE WRITTEN: %s (%lld changes wait)\n", text_of(store, "last_error"),
               (long long)number_of(store, "queued"));
    if (keeper && strcmp(text_of(keeper, "state"), "up") != 0)
        printf("NOTHING IS SIGNED%s: %s\n", is_set(keeper, "tls") ? ", AND NO TLS CONNECTION IS MADE" : "",
               strcmp(text_of(keeper, "state"), "lost") == 0 ? "the keeper's parent has ended; restart the daemon"
                                                             : "the keeper has ended; its parent starts another");
    if (is_set(keeper, "alone"))
        printf("The keeper's parent has ended: when the keeper ends nothing will be signed; restart the daemon\n");
    if (number_of(a, "log_dropped"))
        printf("%lld log lines were lost\n", (long long)number_of(a, "log_dropped"));
    putchar('\n');
    print_table(json_object_get(a, "listeners"), listeners, ARRAY_LEN(listeners));
    putchar('\n');
    if (json_array_size(json_object_get(a, "weakenings")))
        print_table(json_object_get(a, "weakenings"), weak, ARRAY_LEN(weak));
    else
        puts("nothing is weakened by the configuration");
}

/* ---- the commands ---- */

static const struct view {
    const char *name;
    void (*show)(const json_t *answer);
    bool takes_text;
} views[] = {
    {"summary", show_summary, false},  {"registrations", show_registrations, true},
    {"flows", show_flows, true},       {"calls", show_calls, true},
    {"call", show_call, true},
    {"counters", show_counters, false}, {"config", show_config, false},
    {"certificates", show_certificates, false}, {"peers", show_peers, false},
};

static const struct view *view_find(const char *name)
{
    size_t i;

    for (i = 0; i < ARRAY_LEN(views); i++)
        if (strcmp(views[i].name, name) == 0)
            return &views[i];
    return NULL;
}

static const char *state_words(const char *state)
{
    static const char *const words[][2] = {{"trying", "is being set up"}, {"ringing", "rings"}, {"answered", "is under way"},
                                           {"ended", "has ended"}, {"failed", "came to nothing"}};
    size_t i;

    for (i = 0; i < ARRAY_LEN(words); i++)
        if (strcmp(words[i][0], state) == 0)
            return words[i][1];
    return "is in a state that this command does not know";
}

int cli_status(int argc, char **argv)
{
    static const char *const flags[] = {"json", NULL};
    struct cli_options o = {.config = CLI_CONFIG_FILE};
    const struct view *v = &views[0];
    char line[CONSOLE_LINE_MAX], *text = NULL;
    json_t *answer;
    int n, status;

    if (cli_options(argc, argv, flags, &o) != CLI_OK)
        return CLI_USAGE;
    if (o.first < argc && (v = view_find(argv[o.first])) == NULL) {
        cli_error("status: there is no view '%s'", argv[o.first]);
        return cli_usage(argv[0]);
    }
    if (argc - o.first > 2 || (argc - o.first == 2 && !v->takes_text))
        return cli_usage(argv[0]);
    n = snprintf(line, sizeof line, "status %s %s", v->name, argc - o.first == 2 ? argv[o.first + 1] : "");
    if ((status = daemon_ask(o.config, str_make(line, n < 0 ? 0 : (size_t)n), &answer, &text)) != CLI_OK)
        return status;
    if (o.flags)
        puts(text);
    else
        v->show(answer);
    json_decref(answer);
    free(text);
    return cli_flush();
}

int cli_explain(int argc, char **argv)
{
    static const char *const flags[] = {"json", NULL};
    struct cli_options o = {.config = CLI_CONFIG_FILE};
    char line[CONSOLE_LINE_MAX], *text = NULL;
    const json_t *rows, *row;
    json_t *answer;
    int n, status;
    size_t i;

    if (cli_options(argc, argv, flags, &o) != CLI_OK)
        return CLI_USAGE;
    if (argc - o.first != 1)
        return cli_usage(argv[0]);
    n = snprintf(line, sizeof line, "status explain %s", argv[o.first]);
    if ((status = daemon_ask(o.config, str_make(line, n < 0 ? 0 : (size_t)n), &answer, &text)) != CLI_OK)
        return status;
    rows = json_object_get(answer, "rows");
    if (o.flags)
        puts(text);
    else
        print_silent(answer);
    for (i = 0; i < json_array_size(rows); i++) {
        if (o.flags)
            continue;
        row = json_array_get(rows, i);
        printf("%sThis call %s.\n%s", i ? "\n" : "", state_words(text_of(row, "state")), text_of(row, "text"));
    }
    if (!i)
        cli_error("no call with that Call-ID is under way, nor among those that ended last");
    json_decref(answer);
    free(text);
    return i ? cli_flush() : CLI_FAILED;
}

int cli_reload(int argc, char **argv)
{
    struct cli_options o = {.config = CLI_CONFIG_FILE};
    const json_t *problems, *restart;
    json_t *answer;
    char *text;
    bool done;
    size_t i;
    int status;

    if (cli_options(argc, argv, NULL, &o) != CLI_OK)
        return CLI_USAGE;
    if (o.first != argc)
        return cli_usage(argv[0]);
    if ((status = daemon_ask(o.config, STR("reload"), &answer, &text)) != CLI_OK)
        return status;
    done = is_set(answer, "reloaded");
    problems = json_object_get(answer, "problems");
    restart = json_object_get(answer, "restart_needed");
    for (i = 0; i < json_array_size(problems); i++)
        fprintf(stderr, "%s\n", json_string_value(json_array_get(problems, i)));
    for (i = 0; i < json_array_size(restart); i++)
        printf("%s will change when the daemon is restarted\n", json_string_value(json_array_get(restart, i)));
    if (done)
        puts("the new configuration is in force");
    else
        cli_error("the old configuration stays in force");
    json_decref(answer);
    free(text);
    return done ? cli_flush() : CLI_FAILED;
}
