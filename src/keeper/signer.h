/* The daemon's side of the keeper: an identity_signer (identity/sign.h) and a pki_signer
 * (pki/signing.h, for handshakes) for each worker. Jobs go
 * out in frames on the worker's own connection, many at a time, and come back in order, handshakes in one of their own; nobody
 * waits.
 *
 * What is asked for while others are under way is gathered and goes with the next write, so that
 * under load one system call carries many requests. Where the keeper ends, what waits ends with
 * ERR_CLOSED, and so does what is asked for until the main thread attaches a new connection
 * (keeper/keeper.h): it is for the caller's policy whether a call then goes on unsigned. A job that
 * takes longer than LIMIT_KEEPER_MS gets ERR_TIMEOUT. A signer belongs to one thread. */
#ifndef KEEPER_SIGNER_H
#define KEEPER_SIGNER_H

#include "base/wheel.h"
#include "identity/sign.h"
#include "pki/signing.h"

struct net;
struct keeper_signer;

struct keeper_signer_args {
    struct net *net; /* watches the connection (net_watch); NULL: the caller does (below) */
    struct wheel *wheel;
    size_t max_waiting; /* 0: LIMIT_KEEPER_WAITING */
};

MUST_USE int keeper_signer_new(const struct keeper_signer_args *args, struct keeper_signer **ret);
void keeper_signer_free(struct keeper_signer *s); /* what waits gets ERR_CLOSED; NULL is fine */
/* For identity_sign_start; job->key is the name of an identity section. */
struct identity_signer *keeper_signer_base(struct keeper_signer *s);
struct pki_signer *keeper_signer_tls(struct keeper_signer *s);
/* A connection, which is taken over; what waits on the one before gets ERR_CLOSED. */
void keeper_signer_attach(struct keeper_signer *s, int fd);

struct keeper_signer_stats {
    uint64_t asked, signed_, refused, failed, timeouts, lost; /* lost: the connection ended */
};
void keeper_signer_stats(const struct keeper_signer *s, struct keeper_signer_stats *ret);

/* Without a net: -1 when there is no connection. */
int keeper_signer_fd(const struct keeper_signer *s);
bool keeper_signer_wants_write(const struct keeper_signer *s);
void keeper_signer_ready(struct keeper_signer *s);

#endif
