/* The sample file and the manual page, made from the option rows. */
#include "base/sbuf.h"
#include "config/rows.h"

const struct config_row *config_rows(size_t *ret_n)
{
    static struct config_row all[256];
    static size_t n_all;
    size_t n, i;
    unsigned s;

    if (!n_all)
        for (s = 0; s < SECTION_N; s++) {
            const struct row *v = rows_of((enum row_section)s, &n);

            for (i = 0; i < n && n_all < ARRAY_LEN(all); i++)
                all[n_all++] = v[i].doc;
        }
    *ret_n = n_all;
    return all;
}

static const char *const example_titles[SECTION_N] = {"", "tls:192.0.2.1:5061", "example.com", "partner", "example.com", "", "", ""};

static void sample_row(const struct row *r, const char *indent, void (*line)(void *, struct str), void *arg)
{
    char text[1024];
    struct sbuf b = sbuf_make(text, sizeof text);
    bool quote = r->kind == ROW_TEXT || r->kind == ROW_FILE || r->kind == ROW_PATH || r->kind == ROW_URI || r->kind == ROW_ADDR;

    sbuf_fmt(&b, "%s# %s", indent, r->doc.sentence);
    if (r->doc.clause)
        sbuf_fmt(&b, " (%s)", r->doc.clause);
    line(arg, sbuf_get(&b));
    b = sbuf_make(text, sizeof text);
    if (r->kind == ROW_LIST || r->kind == ROW_NETS)
        sbuf_fmt(&b, "%s# %s = { }", indent, r->doc.name);
    else
        sbuf_fmt(&b, quote ? "%s# %s = \"%s\"" : "%s# %s = %s", indent, r->doc.name, r->doc.def);
    line(arg, sbuf_get(&b));
}

void config_write_sample(void (*line)(void *arg, struct str line), void *arg)
{
    char text[256];
    unsigned s;
    size_t n, i;

    line(arg, STR("# Every option with its default. An empty configuration is the strictest; what begins with allow- weakens it."));
    for (s = 0; s < SECTION_N; s++) {
        const struct row *v = rows_of((enum row_section)s, &n);
        struct sbuf b = sbuf_make(text, sizeof text);

        if (s) {
            line(arg, STR(""));
            if (*example_titles[s])
                sbuf_fmt(&b, "# %s \"%s\" {", row_sections[s], example_titles[s]);
            else
                sbuf_fmt(&b, "# %s {", row_sections[s]);
            line(arg, sbuf_get(&b));
        }
        for (i = 0; i < n; i++)
            sample_row(&v[i], s ? "    " : "", line, arg);
        if (s)
            line(arg, STR("# }"));
    }
}

static void man_text(struct sbuf *b, const char *t)
{
    if (*t == '.' || *t == '\'') /* no request, though it may begin a line */
        sbuf_lit(b, "\\&");
    for (; *t; t++) {
        if (*t == '\\' || *t == '-')
            sbuf_char(b, '\\');
        sbuf_char(b, *t);
    }
}

static void man_row(const struct row *r, void (*line)(void *, struct str), void *arg)
{
    char text[1024];
    struct sbuf b = sbuf_make(text, sizeof text);

    line(arg, STR(".TP"));
    sbuf_lit(&b, "\\fB");
    man_text(&b, r->doc.name);
    sbuf_lit(&b, "\\fR = \\fI");
    man_text(&b, r->doc.type);
    sbuf_lit(&b, "\\fR");
    line(arg, sbuf_get(&b));
    b = sbuf_make(text, sizeof text);
    man_text(&b, r->doc.sentence);
    if (r->doc.def[0]) {
        sbuf_lit(&b, " Default: ");
        man_text(&b, r->doc.def);
        if (r->doc.unit)
            sbuf_fmt(&b, " %s", r->doc.unit);
        sbuf_char(&b, '.');
    }
    if (r->doc.max)
        sbuf_fmt(&b, " Range: %ld to %ld%s%s.", r->kind == ROW_ENUM ? 0 : r->doc.min, r->doc.max, r->doc.unit ? " " : "",
                 r->doc.unit ? r->doc.unit : "");
    if (r->doc.clause)
        sbuf_fmt(&b, " (%s)", r->doc.clause);
    if (!r->doc.reloadable)
        sbuf_lit(&b, " Needs a restart to change.");
    line(arg, sbuf_get(&b));
}

void config_write_man(void (*line)(void *arg, struct str line), void *arg)
{
    static const char *const head[] = {
        ".TH SALLYPORT.CONF 5 \"\" \"sallyport\" \"File formats\"", ".SH NAME", "sallyport.conf \\- configuration of sallyport(8)",
        ".SH DESCRIPTION", "Values are \\fBname = value\\fR; sections are \\fBname \"title\" { ... }\\fR; lists are in braces; # begins a comment.",
        "An empty configuration is the strictest. Options that begin with \\fBallow\\-\\fR weaken it; those in force are logged at",
        "start and shown by \\fBsallyport status\\fR. \\fBsallyport check\\fR reads a file as the daemon would and says what is wrong.",
        "A running daemon reads the file anew on SIGHUP and keeps the old one if the new one has a problem.", ".SH OPTIONS"};
    char text[256];
    unsigned s;
    size_t n, i;

    for (i = 0; i < ARRAY_LEN(head); i++)
        line(arg, str_z(head[i]));
    for (s = 0; s < SECTION_N; s++) {
        const struct row *v = rows_of((enum row_section)s, &n);
        struct sbuf b = sbuf_make(text, sizeof text);

        if (s) {
            if (*example_titles[s])
                sbuf_fmt(&b, ".SS %s \"%s\" { }", row_sections[s], example_titles[s]);
            else
                sbuf_fmt(&b, ".SS %s { }", row_sections[s]);
            line(arg, sbuf_get(&b));
        }
        for (i = 0; i < n; i++)
            man_row(&v[i], line, arg);
    }
    line(arg, STR(".SH SEE ALSO"));
    line(arg, STR("sallyport(8)"));
}
