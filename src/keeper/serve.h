/* The keeper's side of one connection: requests in, answers out, each request in its log. Opens
 * nothing and waits for nothing: the process around it (keeper/process.h) reads and writes. One
 * thread. */
#ifndef KEEPER_SERVE_H
#define KEEPER_SERVE_H

#include "keeper/keys.h"
#include "keeper/tls_keys.h"

#define KEEPER_IN_BYTES (2 * LIMIT_KEEPER_FRAME)
#define KEEPER_OUT_BYTES 65536u

#define KEEPER_LOG_REFUSALS 100u /* lines a second */

/* Lines of JSON; what does not fit is counted. */
struct keeper_log {
    struct sbuf lines; /* over memory of the owner's; emptied by whoever writes it out */
    uint64_t lost;
    uint64_t second;    /* and how many lines of refusals it has had: */
    unsigned n_refused; /* whoever has taken over the daemon cannot fill the disk with them */
    char time[24];      /* of this turn, RFC 3339 */
};
void keeper_log_time(struct keeper_log *l, uint64_t now_s);

struct keeper_serving {
    struct keeper_keys *keys;
    struct keeper_tls_keys *tls; /* NULL: the daemon has them itself */
    struct arena *arena; /* for one request; reset after each */
    struct keeper_log *log;
    uint64_t now_s, now_ms;
    unsigned reload_asked; /* RELOADs since the last one was done */
};

struct keeper_conn {
    unsigned worker; /* who is at the other end, for the log */
    bool may_reload; /* the main thread's connection */
    size_t n_in;     /* bytes that wait to be understood */
    size_t n_out, n_written;
    bool is_behind; /* there are requests that have to wait for the next turn */
    char in[KEEPER_IN_BYTES];
    char out[KEEPER_OUT_BYTES];
};

/* Answers what is in c->in as far as answers fit into c->out: what is for identities first, since a
 * handshake's signature by RSA takes as long as a hundred of theirs; of handshakes then as many as
 * take no longer than one such signature, the others in the turns that follow (is_behind). ERR_SYNTAX, ERR_LIMIT: the other side
 * does not speak this; the connection is to be closed. */
MUST_USE int keeper_serve(struct keeper_serving *s, struct keeper_conn *c);

#endif
