/* Text slices: pointer and length into somebody else's bytes. Pure; allocates nothing. */
#ifndef BASE_STR_H
#define BASE_STR_H

#include "base/attr.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *p;
    size_t n;
};

#define STR(lit) ((struct str){(lit), sizeof(lit) - 1}) /* string literals only */
#define STR_NULL ((struct str){NULL, 0})
#define STR_FMT(s) (int)(s).n, (s).p /* for "%.*s" */

static inline struct str str_make(const char *p, size_t n)
{
    return (struct str){p, n};
}
static inline struct str str_z(const char *z) /* NUL-terminated or NULL */
{
    return (struct str){z, z ? strlen(z) : 0};
}
static inline bool str_is_empty(struct str s)
{
    return s.n == 0;
}
static inline bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
bool str_eq_nocase(struct str a, struct str b);      /* ASCII case only */
bool str_starts_nocase(struct str s, struct str pre); /* ASCII case only */
int str_cmp(struct str a, struct str b);             /* bytewise; a prefix comes before the longer one */
struct str str_trim(struct str s);                   /* without SP, HTAB, CR, LF at both ends */
/* Index of the first c, or s.n if absent. */
size_t str_find_char(struct str s, char c);
/* Cuts s at the first c: *ret_head gets what is before it, the return value what is after it; without c the head is
 * the whole and the return value has p == NULL. */
struct str str_cut(struct str s, char c, struct str *ret_head);
/* Decimal digits only, the whole slice, no sign, no overflow: ERR_SYNTAX or ERR_LIMIT (value > max). */
MUST_USE int str_to_u64(struct str s, uint64_t max, uint64_t *ret_value);
MUST_USE int str_to_u32(struct str s, uint32_t max, uint32_t *ret_value);
/* Copies into a fixed array and terminates; ERR_LIMIT (and an empty dst) if it does not fit. */
MUST_USE int str_copy_z(char *dst, size_t cap, struct str s);
/* Lower-case hex. dst needs 2*n+1 bytes. */
void str_hex(char *dst, const void *src, size_t n);
/* 2*n hex digits of either case into n bytes; ERR_SYNTAX otherwise. */
MUST_USE int str_unhex(void *dst, size_t n, struct str hex);
/* base64 (RFC 4648 4) and base64url without padding (RFC 4648 5). Decoding is strict: no white space, no stray bits.
 * The number of bytes written is returned in *ret_len; ERR_LIMIT if cap is too small, ERR_SYNTAX if malformed.
 * Encoding terminates dst; 4*ceil(n/3)+1 bytes always suffice. */
MUST_USE int str_base64_encode(char *dst, size_t cap, const void *src, size_t n, bool url);
MUST_USE int str_base64_decode(void *dst, size_t cap, struct str text, bool url, size_t *ret_len);
/* ASCII lower case of one byte. */
static inline char str_lower(char c)
{
    return (c >= 'A' && c <= 'Z') ? (char)(c + 32) : c;
}
/* Is s well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms)? */
bool str_is_utf8(struct str s);
size_t str_utf8_prefix(struct str s); /* length of its longest well-formed beginning */
/* Bytes of the character that s begins with if it steers a terminal, or turns what stands beside it (C0, C1, DEL, Unicode's controls
 * of direction and of lines); 0: it does not. */
size_t str_steers(struct str s);
/* SipHash-1-3 under a key drawn when the process starts, so that outsiders cannot choose collisions. The values differ
 * from run to run: never store or send them. The nocase form folds ASCII case. */
uint64_t str_hash(struct str s);
uint64_t str_hash_nocase(struct str s);
/* 128 bits, for tables that compare nothing else. */
void str_hash128(struct str s, uint64_t ret[2]);
/* Fixes the key, for repeatable tests; before any table is filled. */
void str_hash_set_key(uint64_t k0, uint64_t k1);

#endif
