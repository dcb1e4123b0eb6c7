/* The option rows with where they go in the snapshot: private to the room. */
#ifndef CONFIG_ROWS_PRIV_H
#define CONFIG_ROWS_PRIV_H

#include "config/config.h"

enum row_kind {
    ROW_TEXT,     /* struct str */
    ROW_FILE,     /* struct str, made absolute, must be readable */
    ROW_PATH,     /* struct str, made absolute, need not exist */
    ROW_URI,      /* struct str, sip: or sips: */
    ROW_LIST,     /* struct config_strs */
    ROW_NETS,     /* struct addr_net * and size_t right behind it */
    ROW_BOOL,     /* bool */
    ROW_U32,      /* unsigned or uint32_t */
    ROW_U64,      /* uint64_t */
    ROW_ADDR,     /* struct addr with port */
    ROW_ENUM      /* int, index into `choices` plus `min` */
};

struct row {
    enum row_kind kind;
    size_t offset;       /* in the struct of its section */
    const char *choices; /* ROW_ENUM: "a|b|c" */
    struct config_row doc;
};

enum row_section { SECTION_TOP, SECTION_LISTEN, SECTION_DOMAIN, SECTION_PEER, SECTION_IDENTITY, SECTION_EMERGENCY, SECTION_HEP, SECTION_MEDIA, SECTION_N };

extern const char *const row_sections[SECTION_N]; /* "", "listen", ... */
bool row_is_weak(const struct row *row, int value);
const struct row *rows_of(enum row_section s, size_t *ret_n);

#endif
