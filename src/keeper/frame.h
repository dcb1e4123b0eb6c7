/* What the daemon and its keeper say to each other: frames on a stream socket between two processes
 * of one machine. Neither side trusts the other: a frame that is not of this form ends the
 * connection.
 *
 *     uint32 length of what follows the head, big-endian   uint8 version   uint8 type   uint16 0
 *     SIGN    uint64 id, uint8 n, n bytes: the key's name, rest: "HEADER.PAYLOAD" of a PASSporT
 *     SIGNED  uint64 id, uint8 status, rest: the signature in base64url
 *     RELOAD  nothing: read the configuration anew
 *     STATE   uint64 number of keys, uint8 status, rest: text for people
 *     TLS     uint64 id, uint8 n, n bytes: the key's name, uint8 kind, uint16 scheme, rest: what a
 *             handshake signs (pki/signing.h)
 *     TLS_SIGNED  uint64 id, uint8 status, rest: the signature
 *     RFC4474 uint64 id, uint8 n, n bytes: the key's name, rest: a digest-string (RFC 4474 9)
 *     RFC4474_SIGNED  uint64 id, uint8 status, rest: the signature in base64
 *
 * Pure; slices over the caller's bytes. */
#ifndef KEEPER_FRAME_H
#define KEEPER_FRAME_H

#include "base/err.h"
#include "base/limits.h"
#include "base/sbuf.h"
#include "pki/signing.h"

#define KEEPER_VERSION 1u
#define KEEPER_HEAD 8u
#define KEEPER_ANSWER_MAX (17u + PKI_SIGNATURE_MAX) /* a SIGNED, TLS_SIGNED or RFC4474_SIGNED frame */
#define KEEPER_TEXT_MAX 512u   /* of a STATE frame */

enum keeper_type {
    KEEPER_SIGN = 1,
    KEEPER_SIGNED,
    KEEPER_RELOAD,
    KEEPER_STATE,
    KEEPER_TLS,
    KEEPER_TLS_SIGNED,
    KEEPER_RFC4474,
    KEEPER_RFC4474_SIGNED
};

enum keeper_status {
    KEEPER_DONE,
    KEEPER_REFUSED, /* this key does not say that; the keeper's log says why */
    KEEPER_LIMITED, /* more than its rate */
    KEEPER_NO_KEY,
    KEEPER_MALFORMED, /* not a PASSporT in its only form, nothing that TLS signs */
    KEEPER_FAILED,    /* memory, cryptography, token */
    KEEPER_STATUS_N
};
struct str keeper_status_text(enum keeper_status s);
int keeper_status_err(enum keeper_status s); /* 0, ERR_REFUSED, ERR_LIMIT, ... */

struct keeper_frame {
    enum keeper_type type;
    uint64_t id;               /* requests and their answers; STATE: number of keys */
    enum keeper_status status; /* answers, STATE */
    struct str name;           /* SIGN, TLS, RFC4474 */
    uint8_t kind;              /* TLS: enum pki_sign_kind */
    uint16_t scheme;           /* TLS */
    struct str body;           /* requests: input; answers: signature; STATE: text */
};

/* The first frame of `in`. ERR_AGAIN: it is not all there. ERR_SYNTAX, ERR_LIMIT: nothing after
 * this can be understood. *ret_n: its bytes. */
MUST_USE int keeper_frame_parse(struct str in, struct keeper_frame *ret, size_t *ret_n);
/* Overflows (all or nothing is the caller's to see to) if there is no room, or a part is longer
 * than frames may have. */
void keeper_frame_build(struct sbuf *b, const struct keeper_frame *f);
size_t keeper_frame_size(const struct keeper_frame *f);

#endif
