/* Comma separated values (csv.h). */
#include "cli/csv.h"
#include "base/secret.h"

void csv_start(struct csv *c, struct str text)
{
    const struct str bom = {"\xef\xbb\xbf", 3}; /* what spreadsheets put in front */

    c->rest = text;
    if (text.n >= bom.n && memcmp(text.p, bom.p, bom.n) == 0)
        c->rest = str_make(text.p + bom.n, text.n - bom.n);
    c->line = 0;
    c->next_line = 1;
}

void csv_done(struct csv *c)
{
    secret_wipe(c->text, sizeof(c->text));
}

/* Takes one byte off the input. */
static char take(struct csv *c)
{
    char ch = c->rest.p[0];

    c->rest.p++;
    c->rest.n--;
    if (ch == '\n')
        c->next_line++;
    return ch;
}

static bool at_line_end(const struct csv *c)
{
    return c->rest.n == 0 || c->rest.p[0] == '\n' ||
           (c->rest.p[0] == '\r' && (c->rest.n == 1 || c->rest.p[1] == '\n'));
}

static void skip_line(struct csv *c)
{
    while (c->rest.n && take(c) != '\n')
        ;
}

/* One field into text from *at on. */
static int read_field(struct csv *c, size_t *at, struct str *ret)
{
    size_t start = *at;
    bool is_quoted = c->rest.n && c->rest.p[0] == '"';

    if (is_quoted)
        (void)take(c);
    for (;;) {
        if (is_quoted ? c->rest.n == 0 : at_line_end(c) || c->rest.p[0] == ',')
            break;
        if (c->rest.p[0] == '"') {
            if (!is_quoted)
                return ERR_SYNTAX;
            (void)take(c);
            if (c->rest.n == 0 || c->rest.p[0] != '"') { /* two stand for one */
                *ret = str_make(c->text + start, *at - start);
                return at_line_end(c) || c->rest.p[0] == ',' ? 0 : ERR_SYNTAX;
            }
        }
        if (*at == sizeof(c->text))
            return ERR_LIMIT;
        c->text[(*at)++] = take(c);
    }
    *ret = str_make(c->text + start, *at - start);
    return is_quoted ? ERR_SYNTAX : 0;
}

int csv_next(struct csv *c, struct csv_record *ret)
{
    size_t at = 0;
    int err;

    ret->n = 0;
    while (c->rest.n && at_line_end(c))
        skip_line(c);
    c->line = c->next_line;
    if (c->rest.n == 0)
        return ERR_CLOSED;
    for (;;) {
        err = ret->n == CSV_FIELDS_MAX ? ERR_LIMIT : read_field(c, &at, &ret->field[ret->n]);
        if (err)
            break;
        ret->n++;
        if (at_line_end(c))
            break;
        (void)take(c); /* the comma */
    }
    skip_line(c);
    return err;
}
