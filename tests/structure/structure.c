/* The shape of the sources: structure <project root>. Complains, and fails, about
 * - an #include of a room that the including room may not know (the table `rooms`), or one not
 * written "room/file.h",
 * - a cycle of rooms, and a room that the table does not have,
 * - a private header (*_priv.h) included from another room,
 * - functions nobody calls (the table `banned`), and what a pure room does not do (clock, sockets,
 * randomness, log). Comments and literals do not count. One thread, no limits: its input is our
 * own. */
#include <ctype.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Lowest first. pki stands beside base, for TLS contexts are made from its certificates. */
static const struct room {
    const char *name;
    const char *may; /* rooms it may include, besides itself */
} rooms[] = {
    {"base", ""},
    {"pki", "base"},
    {"net", "base pki"},
    {"sip", "base"},
    {"sdp", "base"},
    {"identity", "base pki"},
    {"keeper", "base pki net identity"},
    {"fetch", "base pki identity"},
    {"keying", "base pki sdp"},
    {"media", "base sdp keying"},
    {"relay", "base net sdp keying media"},
    {"policy", "base pki sdp identity keying media"},
    {"evidence", "base"},
    {"store", "base"},
    {"location", "base net sip identity store"},
    {"config", "base pki net sip sdp identity keeper fetch keying media relay policy evidence store"},
    {"edge",
     "base pki net sip sdp identity keeper fetch keying media relay policy evidence store location config"},
    {"phone",
     "base pki net sip sdp identity keeper fetch keying media relay policy evidence store location config edge"},
    {"console",
     "base pki net sip sdp identity keeper fetch keying media relay policy evidence store location config edge phone"},
    {"cli",
     "base pki net sip sdp identity keeper fetch keying media relay policy evidence store location config edge phone console"},
};
#define N_ROOMS ARRAY_LEN(rooms)

/* Calls that are refused: in the rooms of `in` (NULL: in all), but not in the files whose path ends
 * in `except`. */
#define PURE "sip sdp identity keying policy"
static const struct banned {
    const char *name, *in, *except, *instead;
} banned[] = {
    {"strcpy", NULL, NULL, "str_copy_z"},
    {"stpcpy", NULL, NULL, "str_copy_z"},
    {"strncpy", NULL, NULL, "str_copy_z"},
    {"strcat", NULL, NULL, "sbuf"},
    {"strncat", NULL, NULL, "sbuf"},
    {"sprintf", NULL, NULL, "sbuf_fmt or snprintf"},
    {"vsprintf", NULL, NULL, "vsnprintf"},
    {"gets", NULL, NULL, "fgets"},
    {"strtok", NULL, NULL, "str_cut"},
    {"strtok_r", NULL, NULL, "str_cut"},
    {"atoi", NULL, NULL, "str_to_u32"},
    {"atol", NULL, NULL, "str_to_u64"},
    {"atoll", NULL, NULL, "str_to_u64"},
    {"atof", NULL, NULL, "a parser that can fail"},
    {"sscanf", NULL, NULL, "str_to_u64 and str_cut"},
    {"vsscanf", NULL, NULL, "str_to_u64 and str_cut"},
    {"fscanf", NULL, NULL, "str_to_u64 and str_cut"},
    {"scanf", NULL, NULL, "str_to_u64 and str_cut"},
    {"rand", NULL, NULL, "rand_u64 of base/rand.h"},
    {"srand", NULL, NULL, "rand_u64 of base/rand.h"},
    {"random", NULL, NULL, "rand_u64 of base/rand.h"},
    {"drand48", NULL, NULL, "rand_u64 of base/rand.h"},
    {"alloca", NULL, NULL, "an arena or an array with a limit"},
    {"system", NULL, NULL, "posix_spawn"},
    {"popen", NULL, NULL, "posix_spawn"},
    {"tmpnam", NULL, NULL, "mkstemp"},
    {"mktemp", NULL, NULL, "mkstemp"},
    {"gmtime", NULL, NULL, "gmtime_r"},
    {"localtime", NULL, NULL, "localtime_r"},
    {"ctime", NULL, NULL, "strftime"},
    {"asctime", NULL, NULL, "strftime"},
    {"inet_ntoa", NULL, NULL, "addr_text"},
    {"gethostbyname", NULL, NULL, "net/dns.h"},
    {"malloc", NULL, "src/base/mem.h", "mem_alloc"},
    {"calloc", NULL, "src/base/mem.h", "mem_zalloc"},
    {"realloc", NULL, "src/base/mem.h", "mem_realloc"},
    {"aligned_alloc", NULL, "src/base/mem.h", "mem_alloc_aligned"},
    {"strdup", NULL, NULL, "arena_str or mem_alloc"},
    {"strndup", NULL, NULL, "arena_str or mem_alloc"},
    {"asprintf", NULL, NULL, "arena_fmt or sbuf_fmt"},
    {"vasprintf", NULL, NULL, "arena_fmt or sbuf_fmt"},
    {"time", PURE " media config", NULL, "a time the caller passes in"},
    {"gettimeofday", PURE " media config", NULL, "a time the caller passes in"},
    {"clock_gettime", PURE, NULL, "a time the caller passes in"},
    {"getrandom", PURE, NULL, "a struct rand_source the caller passes in"},
    {"RAND_bytes", PURE, NULL, "a struct rand_source the caller passes in"},
    {"RAND_priv_bytes", PURE, NULL, "a struct rand_source the caller passes in"},
    {"rand_system_init", PURE, NULL, "a struct rand_source the caller passes in"},
    {"socket", PURE, NULL, "edge, which has sockets"},
    {"getaddrinfo", PURE, NULL, "edge, which has sockets"},
    {"LOG", PURE, NULL, "a struct reason"},
    {"log_write", PURE, NULL, "a struct reason"},
    {"log_reason", PURE, NULL, "a struct reason"},
};

static unsigned n_wrong, n_files;
static bool edges[N_ROOMS][N_ROOMS];
static size_t root_len;

static void wrong(const char *path, unsigned line, const char *what, const char *name,
                  const char *more)
{
    fprintf(stderr, "%s:%u: %s %s%s%s\n", path + root_len, line, what, name, *more ? ": " : "",
            more);
    n_wrong++;
}

static bool has_word(const char *list, const char *word, size_t n)
{
    for (const char *at = list; *at; at += strspn(at, " ")) {
        size_t len = strcspn(at, " ");
        if (len == n && strncmp(at, word, n) == 0)
            return true;
        at += len;
    }
    return false;
}

static int room_find(const char *name, size_t n)
{
    for (size_t i = 0; i < N_ROOMS; i++) {
        if (strlen(rooms[i].name) == n && strncmp(rooms[i].name, name, n) == 0)
            return (int)i;
    }
    return -1;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n >= k && strcmp(s + n - k, end) == 0;
}

static char *file_read(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0) {
        perror(path);
        exit(2);
    }
    size_t n = (size_t)ftell(f);
    char *text = malloc(n + 1);
    rewind(f);
    if (!text || fread(text, 1, n, f) != n) {
        perror(path);
        exit(2);
    }
    text[n] = '\0';
    fclose(f);
    return text;
}

/* Overwrites comments and what is inside of literals with spaces; lines stay where they are. */
static void blank(char *p)
{
    enum { CODE, LINE, BLOCK, QUOTED } mode = CODE;
    char quote = 0;
    for (; *p; p++) {
        if (mode == CODE && p[0] == '/' && (p[1] == '/' || p[1] == '*')) {
            mode = p[1] == '/' ? LINE : BLOCK;
            p[0] = p[1] = ' ';
            p++;
        } else if (mode == CODE && (*p == '"' || *p == '\'')) {
            mode = QUOTED;
            quote = *p;
        } else if (mode == BLOCK && p[0] == '*' && p[1] == '/') {
            mode = CODE;
            p[0] = p[1] = ' ';
            p++;
        } else if (*p == '\n') {
            if (mode != BLOCK)
                mode = CODE;
        } else if (mode == QUOTED && *p == quote) {
            mode = CODE;
        } else if (mode == QUOTED && p[0] == '\\' && p[1]) {
            *p++ = ' ';
            if (*p != '\n')
                *p = ' ';
        } else if (mode != CODE) {
            *p = ' ';
        }
    }
}

/* `target` is what stands between the quotes, n bytes. `room` is -1 in tests, which may include any
 * room. */
static void check_include(const char *path, unsigned line, const char *own, const char *target,
                          size_t n)
{
    char name[256];
    size_t len = strcspn(target, "/\">");
    snprintf(name, sizeof(name), "%.*s", (int)n, target);
    int from = own ? room_find(own, strlen(own)) : -1, to = len < n ? room_find(target, len) : -1;
    bool is_source = strncmp(path + root_len, "src/", 4) == 0;
    if (to < 0) {
        if (is_source)
            wrong(path, line, "includes", name,
                  "write \"room/file.h\", and name the room in tests/structure");
        return;
    }
    if (ends_with(name, "_priv.h") && to != from)
        wrong(path, line, "includes", name, "private to its room");
    if (!is_source || from < 0 || from == to)
        return;
    edges[from][to] = true;
    if (!has_word(rooms[from].may, target, len))
        wrong(path, line, "includes", name, "this room may not know that one");
}

static void check_call(const char *path, unsigned line, const char *own, const char *name, size_t n)
{
    for (size_t i = 0; i < ARRAY_LEN(banned); i++) {
        const struct banned *b = &banned[i];
        if (strlen(b->name) != n || strncmp(b->name, name, n) != 0)
            continue;
        if ((b->in && !has_word(b->in, own, strlen(own))) ||
            (b->except && ends_with(path, b->except)))
            continue;
        wrong(path, line, "calls", b->name, b->instead);
    }
}

/* Is the name that ends before `next` called, and not a member of something? */
static bool is_call(const char *text, const char *name, const char *next)
{
    next += strspn(next, " \t");
    if (*next != '(')
        return false;
    while (name > text && (name[-1] == ' ' || name[-1] == '\t'))
        name--;
    return !(name > text && name[-1] == '.') &&
           !(name > text + 1 && name[-2] == '-' && name[-1] == '>');
}

static void check_text(const char *path, const char *own, const char *original, const char *text)
{
    unsigned line = 1;
    bool is_source = strncmp(path + root_len, "src/", 4) == 0;
    for (const char *p = text; *p;) {
        if (*p == '\n') {
            line++;
            p++;
        } else if (*p == '#') {
            p += 1 + strspn(p + 1, " \t");
            if (strncmp(p, "include", 7) != 0)
                continue;
            p += 7 + strspn(p + 7, " \t");
            const char *target = original + (p - text) + 1;
            if (*p == '"')
                check_include(path, line, own, target, strcspn(target, "\"\n"));
            else if (*p == '<' && room_find(target, strcspn(target, "/>\n")) >= 0 &&
                     target[strcspn(target, "/>\n")] == '/')
                wrong(path, line, "includes with <>", "a room", "write \"room/file.h\"");
            p += strcspn(p, "\n");
        } else if (isalpha((unsigned char)*p) || *p == '_') {
            const char *name = p;
            while (isalnum((unsigned char)*p) || *p == '_')
                p++;
            if (is_source && is_call(text, name, p))
                check_call(path, line, own, name, (size_t)(p - name));
        } else if (isdigit((unsigned char)*p)) {
            while (isalnum((unsigned char)*p) || *p == '_')
                p++;
        } else {
            p++;
        }
    }
}

/* src/<room>/... and tests/unit/<room>/... belong to a room; other tests to none. */
static int visit(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    char own[64] = "";
    const char *local = path + root_len;
    (void)st;
    (void)ftw;
    if (type != FTW_F || !(ends_with(path, ".c") || ends_with(path, ".h")))
        return 0;
    size_t skip = strncmp(local, "src/", 4) == 0           ? 4
                  : strncmp(local, "tests/unit/", 11) == 0 ? 11
                                                           : 0;
    size_t len = skip ? strcspn(local + skip, "/") : 0;
    if (skip && local[skip + len] == '/')
        snprintf(own, sizeof(own), "%.*s", (int)len, local + skip);
    if (skip == 4 && room_find(own, strlen(own)) < 0) {
        wrong(path, 1, "is in no room:", own, "name it in tests/structure");
        return 0;
    }
    char *original = file_read(path), *text = strdup(original);
    if (!text)
        exit(2);
    blank(text);
    check_text(path, own, original, text);
    free(text);
    free(original);
    n_files++;
    return 0;
}

/* Takes away rooms with nothing left above or nothing left below; what stays is in a cycle, or
 * between two. */
static void check_cycles(void)
{
    bool is_gone[N_ROOMS] = {false}, has_changed = true;
    while (has_changed) {
        has_changed = false;
        for (size_t i = 0; i < N_ROOMS; i++) {
            bool goes = false, comes = false;
            for (size_t k = 0; k < N_ROOMS && !is_gone[i]; k++) {
                goes = goes || (edges[i][k] && !is_gone[k]);
                comes = comes || (edges[k][i] && !is_gone[k]);
            }
            if (!is_gone[i] && !(goes && comes))
                is_gone[i] = has_changed = true;
        }
    }
    for (size_t i = 0; i < N_ROOMS; i++) {
        for (size_t k = 0; k < N_ROOMS; k++) {
            if (edges[i][k] && !is_gone[i] && !is_gone[k]) {
                fprintf(stderr, "src/%s includes src/%s: part of a cycle\n", rooms[i].name,
                        rooms[k].name);
                n_wrong++;
            }
        }
    }
}

int main(int argc, char **argv)
{
    char path[4096];
    if (argc != 2) {
        fprintf(stderr, "usage: structure <project root>\n");
        return 2;
    }
    root_len = strlen(argv[1]) + 1;
    snprintf(path, sizeof(path), "%s/src", argv[1]);
    if (nftw(path, visit, 16, FTW_PHYS) != 0) {
        perror(path);
        return 2;
    }
    snprintf(path, sizeof(path), "%s/tests", argv[1]);
    nftw(path, visit, 16, FTW_PHYS); /* a tree without tests is fine here */
    check_cycles();
    printf("%u files, %u complaints\n", n_files, n_wrong);
    return n_wrong || !n_files ? 1 : 0;
}
