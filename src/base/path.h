/* How a message came or where it goes: a value that net makes, sip transactions keep, and edge decides on. */
#ifndef BASE_PATH_H
#define BASE_PATH_H

#include "base/addr.h"
#include "base/buf.h"

enum transport { TRANSPORT_UDP, TRANSPORT_TCP, TRANSPORT_TLS, TRANSPORT_WS, TRANSPORT_WSS, TRANSPORT_N };

static inline bool transport_is_reliable(enum transport t)
{
    return t != TRANSPORT_UDP;
}
static inline bool transport_is_secure(enum transport t)
{
    return t == TRANSPORT_TLS || t == TRANSPORT_WSS;
}
/* "UDP", "TCP", "TLS", "WS", "WSS": the Via form (RFC 3261 25.1, RFC 7118 5). */
struct str transport_text(enum transport t);
/* From the Via or transport= form, any case; ERR_UNSUPPORTED for SCTP, DTLS-UDP and the like, ERR_SYNTAX if no token. */
MUST_USE int transport_parse(enum transport *ret, struct str text);
/* 5061 for TLS, 443 for WSS, 80 for WS, else 5060. */
uint16_t transport_default_port(enum transport t);

/* A flow (RFC 5626 2): a connection of one worker. 0 is "none" (datagrams, or not connected yet).
 * Bits 56..63 worker, 32..55 slot, 0..31 generation (never 0): a stale id never names another connection. */
typedef uint64_t flow_id;
static inline unsigned flow_worker(flow_id f)
{
    return (unsigned)(f >> 56);
}

struct path {
    enum transport transport;
    uint16_t listener;  /* which configured listener received it or sends it (index, the same in every worker) */
    flow_id flow;       /* the connection; 0 for UDP */
    struct addr local;  /* our side */
    struct addr remote; /* the other side */
};

/* What is known of a peer's certificate being revoked: nobody asked; somebody answered for each certificate of the chain, and it is
 * not; somebody should have answered and did not. */
enum cert_standing { CERT_UNCHECKED, CERT_GOOD, CERT_UNKNOWN };
/* What its extended key usage makes of a certificate that a client showed (RFC 5924 5): made for clients, or for SIP domains, or for
 * anything; made for servers alone; made for something else. */
enum cert_client_use { CERT_USE_CLIENT, CERT_USE_SERVER_ONLY, CERT_USE_OTHER };

/* What is known about the hop a flow stands for; owned by the flow, constant once the handshake is done. */
struct hop_facts {
    bool secure;                /* TLS or WSS */
    bool outgoing;              /* we connected */
    const char *tls_version;    /* "TLSv1.3"; NULL if clear */
    const char *cipher;         /* OpenSSL's name of the suite; NULL if clear */
    bool forward_secret;
    const char *server_name;    /* SNI asked for or sent, lower case; NULL if none */
    bool peer_cert;             /* the peer presented a certificate */
    bool peer_verified;         /* ... its chain holds, it is in force, and, where we connected, its name matches */
    enum cert_standing standing; /* of its certificate, where it is verified */
    enum cert_client_use client_use;
    size_t n_peer_names;        /* identities in it, RFC 5922 7.1: URI and DNS names, or the CN if there is neither */
    const struct str *peer_names; /* lower case; SIP URIs as the domain they name */
};

/* A message as received. `buf` holds exactly one message; whoever wants to keep it takes a reference. */
struct rx {
    struct path path;
    struct buf *buf;
    const struct hop_facts *hop; /* never NULL */
    uint64_t when_us;            /* monotonic */
};

#endif
