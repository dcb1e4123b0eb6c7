/* Does docs/security-status.md explain every code, with its clause, and none that is gone?
 * test_docs <the page>. Prints TAP. */
#include "policy/status.h"
#include <stdio.h>

static unsigned n, bad;

static void result(bool ok, const char *what, const char *code)
{
    printf("%sok %u - %s %s\n", ok ? "" : "not ", ++n, what, code);
    bad += !ok;
}

/* "| `code` | words | clause |", of the reasons and nothing else. */
static bool has_row(const char *page, const char *code, const char *clause)
{
    char start[128], end[128];
    const char *row, *eol;

    snprintf(start, sizeof(start), "\n| `%s` | ", code);
    snprintf(end, sizeof(end), " | %s |\n", clause);
    row = strstr(page, start);
    if (row == NULL)
        return false;
    eol = strchr(row + 1, '\n');
    return eol != NULL && strstr(row, end) != NULL && strstr(row, end) < eol;
}

static bool has_code(const char *page, const char *code)
{
    char mark[64];

    snprintf(mark, sizeof(mark), "`%s`", code);
    return strstr(page, mark) != NULL;
}

int main(int argc, char **argv)
{
    static char page[1u << 16];
    FILE *f = argc == 2 ? fopen(argv[1], "r") : NULL;
    const char *reasons;
    unsigned rows = 0;

    if (f == NULL) {
        fprintf(stderr, "usage: test_docs <docs/security-status.md>\n");
        return 2;
    }
    page[fread(page, 1, sizeof(page) - 1, f)] = '\0';
    fclose(f);
    reasons = strstr(page, "\n## Reasons");
    for (unsigned i = 0; i < POLICY_WHYS; i++) {
        const struct policy_why_info *w = policy_why_info((enum policy_why)i);
        result(reasons && has_row(reasons, w->code, w->clause), "reason", w->code);
    }
    for (const char *p = reasons; p && (p = strstr(p, "\n| `")) != NULL; p++)
        rows++;
    result(rows == POLICY_WHYS, "as many rows as", "reasons");
    for (unsigned i = 0; i < POLICY_LEVELS; i++)
        result(has_code(page, policy_level_code((enum policy_level)i)), "level",
               policy_level_code((enum policy_level)i));
    for (unsigned i = 0; i < POLICY_QUESTIONS; i++)
        result(strstr(page, policy_question_text((enum policy_question)i)) != NULL, "question",
               policy_question_code((enum policy_question)i));
    for (unsigned i = 0; i <= POLICY_BY_USERS; i++)
        result(has_code(page, policy_answer_code((enum policy_answer)i)), "answer",
               policy_answer_code((enum policy_answer)i));
    printf("1..%u\n", n);
    return bad ? 1 : 0;
}
