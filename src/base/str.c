/* Text slices (str.h): comparing, numbers, hex, base64 (RFC 4648 4, 5), UTF-8 (RFC 3629 4). Pure,
 * except that the hash key is drawn when the process starts; any thread. */
#include "base/str.h"
#include "base/base_priv.h"
#include "base/err.h"
#include <stdlib.h>
#include <sys/random.h>

/* --- Comparing --- */

/* Most words are written the same way. */
static bool word_eq_nocase(uint64_t a, uint64_t b)
{
    return a == b || word_lower(a) == word_lower(b);
}

bool str_eq_nocase(struct str a, struct str b)
{
    if (a.n != b.n)
        return false;
    size_t left = a.n;
    for (; left >= 8; left -= 8, a.p += 8, b.p += 8) {
        if (!word_eq_nocase(word_load(a.p), word_load(b.p)))
            return false;
    }
    return left == 0 || word_eq_nocase(word_load_tail(a.p, left), word_load_tail(b.p, left));
}

bool str_starts_nocase(struct str s, struct str pre)
{
    return s.n >= pre.n && str_eq_nocase((struct str){s.p, pre.n}, pre);
}

int str_cmp(struct str a, struct str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int d = n ? memcmp(a.p, b.p, n) : 0;
    return d ? d : (a.n > b.n) - (a.n < b.n);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim(struct str s)
{
    while (s.n && is_space(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n && is_space(s.p[s.n - 1]))
        s.n--;
    return s;
}

size_t str_find_char(struct str s, char c)
{
    const char *at = s.n ? memchr(s.p, c, s.n) : NULL;
    return at ? (size_t)(at - s.p) : s.n;
}

struct str str_cut(struct str s, char c, struct str *ret_head)
{
    size_t i = str_find_char(s, c);
    *ret_head = (struct str){s.p, i};
    return i == s.n ? STR_NULL : (struct str){s.p + i + 1, s.n - i - 1};
}

/* --- Numbers --- */

int str_to_u64(struct str s, uint64_t max, uint64_t *ret_value)
{
    uint64_t v = 0;
    bool is_over = false;
    if (s.n == 0)
        return ERR_SYNTAX;
    for (size_t i = 0; i < s.n; i++) {
        unsigned digit = (unsigned char)s.p[i] - (unsigned)'0';
        if (digit > 9)
            return ERR_SYNTAX;
        is_over = is_over || v > max / 10 || (v == max / 10 && digit > max % 10);
        if (!is_over)
            v = v * 10 + digit;
    }
    if (is_over)
        return ERR_LIMIT;
    *ret_value = v;
    return 0;
}

int str_to_u32(struct str s, uint32_t max, uint32_t *ret_value)
{
    uint64_t v;
    int err = str_to_u64(s, max, &v);
    if (err == 0)
        *ret_value = (uint32_t)v;
    return err;
}

int str_copy_z(char *dst, size_t cap, struct str s)
{
    if (cap == 0)
        return ERR_LIMIT;
    dst[0] = '\0';
    if (s.n >= cap)
        return ERR_LIMIT;
    if (s.n)
        memcpy(dst, s.p, s.n);
    dst[s.n] = '\0';
    return 0;
}

/* --- Hex --- */

void str_hex(char *dst, const void *src, size_t n)
{
    static const char digits[16] = "0123456789abcdef";
    const unsigned char *p = src;
    for (size_t i = 0; i < n; i++) {
        *dst++ = digits[p[i] >> 4];
        *dst++ = digits[p[i] & 15];
    }
    *dst = '\0';
}

/* The value of a digit and one more; 0: it is none. By table: digits of a hash follow no pattern that a branch could be predicted by. */
static const uint8_t hex_values[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16};

int str_unhex(void *dst, size_t n, struct str hex)
{
    unsigned char *p = dst;
    if (hex.n / 2 != n || hex.n % 2 != 0)
        return ERR_SYNTAX;
    for (size_t i = 0; i < n; i++) {
        unsigned high = hex_values[(unsigned char)hex.p[2 * i]],
                 low = hex_values[(unsigned char)hex.p[2 * i + 1]];
        if (high == 0 || low == 0)
            return ERR_SYNTAX;
        p[i] = (unsigned char)((high - 1) << 4 | (low - 1));
    }
    return 0;
}

/* --- base64 --- */

static const char base64_plain[64] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base64_url[64] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

int str_base64_encode(char *dst, size_t cap, const void *src, size_t n, bool url)
{
    const char *set = url ? base64_url : base64_plain;
    const unsigned char *p = src;
    if (n > SIZE_MAX / 2)
        return ERR_LIMIT;
    size_t rest = n % 3, tail = rest == 0 ? 0 : (url ? rest + 1 : 4);
    if (n / 3 * 4 + tail + 1 > cap)
        return ERR_LIMIT;
    for (; n >= 3; n -= 3, p += 3) {
        *dst++ = set[p[0] >> 2];
        *dst++ = set[(p[0] & 3) << 4 | p[1] >> 4];
        *dst++ = set[(p[1] & 15) << 2 | p[2] >> 6];
        *dst++ = set[p[2] & 63];
    }
    if (rest) {
        unsigned second = rest == 2 ? p[1] : 0;
        *dst++ = set[p[0] >> 2];
        *dst++ = set[(p[0] & 3u) << 4 | second >> 4];
        if (rest == 2)
            *dst++ = set[(second & 15) << 2];
        for (size_t i = rest + 1; i < tail; i++)
            *dst++ = '=';
    }
    *dst = '\0';
    return 0;
}

/* Values of the letters, one more than they are: 0 is no letter. */
#define BASE64_VALUES(c62, c63)                                                                    \
    {                                                                                              \
        ['A'] = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, \
        24, 25, 26, ['a'] = 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43,    \
        44, 45, 46, 47, 48, 49, 50, 51, 52, ['0'] = 53, 54, 55, 56, 57, 58, 59, 60, 61, 62,        \
        [c62] = 63, [c63] = 64                                                                     \
    }
static const uint8_t base64_plain_values[256] = BASE64_VALUES('+', '/');
static const uint8_t base64_url_values[256] = BASE64_VALUES('-', '_');

/* Four letters; ~0: not all of them are letters. */
static uint32_t base64_group(const uint8_t *values, const char *text)
{
    uint32_t a = values[(uint8_t)text[0]], b = values[(uint8_t)text[1]],
             c = values[(uint8_t)text[2]], d = values[(uint8_t)text[3]];

    return a && b && c && d ? (a - 1) << 18 | (b - 1) << 12 | (c - 1) << 6 | (d - 1) : ~0u;
}

/* RFC 4648 3.3: no characters outside the alphabet; 3.5: bits that pad the last byte must be zero.
 */
int str_base64_decode(void *dst, size_t cap, struct str text, bool url, size_t *ret_len)
{
    unsigned char *out = dst;
    size_t n = text.n, done = 0;
    if (!url) {
        if (n % 4 != 0)
            return ERR_SYNTAX;
        for (int i = 0; i < 2 && n && text.p[n - 1] == '='; i++)
            n--;
    }
    if (n % 4 == 1)
        return ERR_SYNTAX;
    size_t want = n / 4 * 3 + (n % 4 ? n % 4 - 1 : 0);
    if (want > cap)
        return ERR_LIMIT;
    const uint8_t *values = url ? base64_url_values : base64_plain_values;
    uint32_t bits = 0;
    size_t i = 0;
    for (; n - i >= 4; i += 4) {
        if ((bits = base64_group(values, text.p + i)) == ~0u)
            return ERR_SYNTAX;
        out[done++] = (unsigned char)(bits >> 16);
        out[done++] = (unsigned char)(bits >> 8);
        out[done++] = (unsigned char)bits;
    }
    bits = 0;
    if (i < n) { /* two or three letters are left: the last bytes, and bits that are none */
        char last[4] = {'A', 'A', 'A', 'A'};
        memcpy(last, text.p + i, n - i);
        if ((bits = base64_group(values, last)) == ~0u)
            return ERR_SYNTAX;
        for (size_t left = n - i; left > 1; left--) {
            out[done++] = (unsigned char)(bits >> 16);
            bits = bits << 8 & 0xffffff;
        }
    }
    if (bits != 0)
        return ERR_SYNTAX;
    *ret_len = done;
    return 0;
}

/* --- UTF-8 --- */

/* Length of the well-formed sequence at p (RFC 3629 4), 0 if there is none. */
static size_t utf8_sequence(const unsigned char *p, size_t n)
{
    unsigned char low = 0x80,
                  high = 0xbf; /* of the second byte: here overlong forms and surrogates fall out */
    size_t len;
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        len = 2;
    } else if (p[0] >= 0xe0 && p[0] <= 0xef) {
        len = 3;
        low = p[0] == 0xe0 ? 0xa0 : 0x80;
        high = p[0] == 0xed ? 0x9f : 0xbf;
    } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        len = 4;
        low = p[0] == 0xf0 ? 0x90 : 0x80;
        high = p[0] == 0xf4 ? 0x8f : 0xbf;
    } else {
        return 0;
    }
    if (len > n || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    return len;
}

size_t str_utf8_prefix(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    size_t i = 0;
    while (i < s.n) {
        while (s.n - i >= 8 && (word_load(s.p + i) & 0x8080808080808080u) == 0)
            i += 8;
        if (i == s.n)
            break;
        size_t len = utf8_sequence(p + i, s.n - i);
        if (len == 0)
            break;
        i += len;
    }
    return i;
}

size_t str_steers(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.p;

    if (s.n && (p[0] < 0x20 || p[0] == 0x7f))
        return 1;
    if (s.n >= 2 && ((p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f) || (p[0] == 0xd8 && p[1] == 0x9c)))
        return 2;
    if (s.n < 3 || p[0] != 0xe2)
        return 0;
    if (p[1] == 0x80 && (p[2] == 0x8e || p[2] == 0x8f || (p[2] >= 0xa8 && p[2] <= 0xae)))
        return 3;
    return p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9 ? 3 : 0;
}

bool str_is_utf8(struct str s)
{
    return str_utf8_prefix(s) == s.n;
}

/* --- Hash --- */

static uint64_t hash_key[2];

/* Before main, so that no lookup has to ask whether there is a key. */
AT_START static void hash_key_draw(void)
{
    if (getrandom(hash_key, sizeof(hash_key), 0) != (ssize_t)sizeof(hash_key))
        abort();
}

void str_hash_set_key(uint64_t k0, uint64_t k1)
{
    hash_key[0] = k0;
    hash_key[1] = k1;
}

uint64_t str_hash(struct str s)
{
    return sip_hash(hash_key, s.p, s.n, 1, 3, false);
}

uint64_t str_hash_nocase(struct str s)
{
    return sip_hash(hash_key, s.p, s.n, 1, 3, true);
}

void str_hash128(struct str s, uint64_t ret[2])
{
    struct sip_state state = sip_absorb(hash_key, s.p, s.n, 1, false, true);

    ret[0] = sip_finish(&state, 0xee, 3);
    state.v1 ^= 0xdd;
    ret[1] = sip_finish(&state, 0, 3);
}
