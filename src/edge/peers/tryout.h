/* What the edge would make of a peer's certificate, found out without an edge: by connecting to the
 * peer's next hop as the edge does (RFC 3263, the context and the name of the stanza, RFC
 * 5922 7.3), or from a file. Blocks. For `sallyport cert verify`. */
#ifndef EDGE_PEERS_TRYOUT_H
#define EDGE_PEERS_TRYOUT_H

#include "base/path.h"
#include "base/reason.h"
#include "config/config.h"

struct edge_tryout {
    char
        expected[256]; /* the name that must be in it; empty: one of certificate-names or domains */
    char remote[ADDR_TEXT_MAX], tls[16], cipher[64]; /* connected: to where, by what */
    char names[256];                                 /* the identities in the certificate */
    enum cert_standing standing;
    struct reason doubt; /* CERT_UNKNOWN: why */
};

/* Asks responders, too, and waits for their answers. ERR_REFUSED, ERR_NOTFOUND and why. */
MUST_USE int edge_try_connect(const struct config *cfg, const struct config_peer *p,
                              struct edge_tryout *ret, struct reason *why);
/* As a server that we connect to, or, with is_client, as one that connects to us. */
MUST_USE int edge_try_file(const struct config *cfg, const struct config_peer *p, const char *file,
                           bool is_client, struct edge_tryout *ret, struct reason *why);

#endif
