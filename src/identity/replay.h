/* Which signatures were seen, so that one that was overheard cannot be used again while it is fresh
 * (RFC 8224 12.1, RFC 8225 10.1).
 *
 * A PASSporT names neither Call-ID nor method, so that equal claims alone prove nothing: an UPDATE
 * and a BYE of one dialog in one second have them. What is remembered is the signature's tag (over
 * what was signed and the half of the signature that nobody but the signer can vary: with (R, S)
 * also (R, -S) verifies), and with it the dialog it came in first (Call-ID, From tag) and its
 * requests (CSeq):
 *
 *   the tag is new                                    first use
 *   same Call-ID, From tag, CSeq; not answered yet    the same request by another way: a fork or
 *                                                     spiral (8224 6.2.3); counted
 *   the same, answered with an error that 8224 6.1.1  the one retry
 *   lets the signer repair
 *   the same, answered otherwise                      replay
 *   same Call-ID and From tag, another CSeq:
 *     within a dialog, whose sides others know        a later request of it; of many the last few are
 *                                                     remembered, and none before them
 *     outside, all before outside as well, and        the client's next try (RFC 3261 8.1.3.5, 22.2,
 *     answered with what it may mend                  21.4.26; 8.1.3.4 for redirections); counted
 *     outside, in any other case                      replay: who calls once does not call twice
 *   another Call-ID or From tag                       replay: cut and pasted
 *
 * A signer with deterministic signatures (RFC 6979) who signs two calls between the same two,
 * without media keys, in one second, signs the same thing twice and will be taken for a replay.
 *
 * Asked last, for signatures that hold, so that only those who can sign fill it. Bounded: at the
 * maximum the oldest is forgotten, as is what has become stale, and what is as old as the forgotten
 * is never taken for new, however far the clock is set back; nor is what was signed before a process
 * of ours that has ended may have seen it. One table serves all workers: inside is a lock, held for
 * one look. */
#ifndef IDENTITY_REPLAY_H
#define IDENTITY_REPLAY_H

#include "base/err.h"
#include "base/str.h"

struct identity_replay;

struct identity_tag {
    uint8_t bytes[16];
};

/* The request that a signature came in. */
struct identity_use {
    struct str call_id, from_tag;
    uint32_t cseq;
    bool is_for_dialog; /* one may serve for all of the dialog (RFC 3893 10): not counted */
    bool is_in_dialog;  /* it has a To tag; responses have */
};

/* `key`: random; tags and tables cannot be aimed at without it. */
MUST_USE struct identity_replay *identity_replay_new(size_t max, const uint8_t key[16]);
void identity_replay_free(struct identity_replay *r);
/* Whatever was signed before this time may have been used: another process had the table then. */
void identity_replay_forget(struct identity_replay *r, uint64_t before_s);
/* The clock was set, and so that time, which was taken from it, was another. */
void identity_replay_clock_set(struct identity_replay *r, int64_t by_s);
/* `fixed`: the part of the signature that only the signer determines. */
struct identity_tag identity_replay_tag(const struct identity_replay *r, struct str input,
                                        struct str fixed);

/* `issued_s`: the signed time; `until_s`: when it is stale anyway. 0: first use. ERR_EXISTS: the
 * same request again, as it may come. ERR_CONFLICT: a replay. ERR_TIMEOUT: as old as what was
 * forgotten, so nobody can tell. */
MUST_USE int identity_replay_check(struct identity_replay *r, const struct identity_tag *tag,
                                   const struct identity_use *use, uint64_t issued_s,
                                   uint64_t until_s, uint64_t now_s);
/* The final answer to the request was sent. After 428, 436, 437, 438, and 403 for a stale date, the
 * signer may try the same request once more; after these and some others its client the next one. */
void identity_replay_answered(struct identity_replay *r, const struct identity_tag *tag,
                              const struct identity_use *use, unsigned status);
size_t identity_replay_count(struct identity_replay *r);

#endif
