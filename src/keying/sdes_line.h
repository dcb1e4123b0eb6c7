/* One a=crypto line: what it means, checked, and back to text. RFC 4568 6, 9. Pure. */
#ifndef KEYING_SDES_LINE_H
#define KEYING_SDES_LINE_H

#include "keying/keying.h"

#define SDES_NAME_MAX 32

struct sdes_line {
    uint32_t tag;
    char name[SDES_NAME_MAX]; /* the suite as the peer spells it: an answer repeats it */
    struct keying_keys keys;
};

/* The value of an a=crypto. Everything that RFC 4568 calls invalid, and everything that we do not
 * do, is refused: ERR_SYNTAX or ERR_UNSUPPORTED with the reason. Weakenings are left to the caller:
 * keys->unencrypted_rtp and the like. */
MUST_USE int sdes_line_parse(struct str value, struct sdes_line *ret, struct reason *why);
void sdes_line_build(struct sbuf *b, const struct sdes_line *line);
void sdes_line_wipe(struct sdes_line *line);

#endif
