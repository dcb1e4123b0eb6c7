/* What the files of the media load generator share. It shares no code with what it measures. */
#ifndef BENCH_MEDIA_RTPLOAD_H
#define BENCH_MEDIA_RTPLOAD_H

#include <netinet/in.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- srtp.c: RFC 3711, RFC 7714 for one key and one SSRC ---- */

enum suite { SUITE_RTP, SUITE_CM80, SUITE_GCM, SUITE_DTLS };
struct crypto {
    enum suite suite;
    uint8_t key[16], salt[14]; /* master */
    uint8_t session_salt[14];
    EVP_CIPHER_CTX *cipher;
    EVP_MD_CTX *inner, *outer, *work;
};
const char *suite_name(enum suite s); /* as in SDP */
bool suite_of(const char *text, enum suite *ret);
size_t suite_key_bytes(enum suite s); /* key and salt */
void crypto_init(struct crypto *c, enum suite suite, const uint8_t *key_salt, bool is_sender);
void crypto_done(struct crypto *c);
/* In place; there is room for 16 more. The new length; 0: it is not authentic. `roc` is that of the
 * packet. */
size_t crypto_seal(struct crypto *c, uint8_t *p, size_t n, uint32_t roc);
size_t crypto_open(struct crypto *c, uint8_t *p, size_t n, uint32_t roc);

/* ---- control.c: calls, at rtpengine (ng protocol), at one of ours (lines of text), through an
 * edge (SIP) ---- */

struct side {
    enum suite suite;
    struct sockaddr_in at; /* where the generator is */
    uint8_t key[30];       /* what the generator sends with */
    /* what comes back */
    struct sockaddr_in to;
    uint8_t their_key[30];
    char fingerprint[128]; /* DTLS: ours */
};
enum control_kind { CONTROL_LINES, CONTROL_NG, CONTROL_SIP };
struct control {
    int fd;
    enum control_kind kind;
    unsigned n;
};
bool control_open(struct control *c, const char *host, uint16_t port, enum control_kind kind);
bool control_call(struct control *c, unsigned id, struct side *a, struct side *b);
bool control_end(struct control *c, unsigned id);
/* A side's description; what the server's says to it. */
void control_sdp(char *out, size_t cap, const struct side *s, unsigned tag, bool is_offer);
bool control_sdp_read(const char *text, struct side *s, unsigned *ret_tag);

/* ---- sip.c ---- */

bool sip_open(uint16_t port); /* once for all threads */
bool sip_call(unsigned id, struct side *a, struct side *b);
bool sip_end(unsigned id);

/* ---- dtls.c: the generator as DTLS client ---- */

bool dtls_init(char fingerprint[128]);
/* Keys by a handshake over this socket, blocking. */
bool dtls_handshake(int fd, const struct sockaddr_in *to, uint8_t ours[30], uint8_t theirs[30]);

#endif
