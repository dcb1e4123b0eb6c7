/* Inside the edge: what its files share. See edge.h for the way of a message. */
#ifndef EDGE_EDGE_PRIV_H
#define EDGE_EDGE_PRIV_H

#include "base/limits.h"
#include "base/map.h"
#include "config/config.h"
#include "edge/edge.h"
#include "location/location.h"
#include "identity/digest.h"
#include "net/net.h"
#include "net/worker.h"
#include "pki/tls.h"
#include "relay/relay.h"
#include "sip/edit.h"
#include "sip/tx.h"
#include "store/store.h"
#include <pthread.h>

#define EDGE_WORKERS_MAX 64
#define EDGE_LISTENERS_MAX 32

/* Keys of the process, kept in state-dir/keys (mode 0600) so that tokens outlive a restart. */
struct edge_keys {
    struct digest_nonce_key nonce;
    uint8_t token[32]; /* Record-Route and flow tokens (token.c) */
    uint8_t gruu[LOCATION_GRUU_KEY_BYTES]; /* temporary GRUUs (location.c) */
    uint64_t hash[2];  /* base/str.h's hash key */
};

/* The certificate of a listener, for status and warnings (main thread). */
struct edge_cert {
    int64_t not_after; /* seconds since 1970 */
    char file[256];    /* the one that ends first; empty: no certificate */
};

struct relay_keyring;
struct peer_states;
struct edge_health;
struct edge_trunks;
struct digest_login;
struct anchors;
struct anchor_policies;

struct edge {
    struct config *cfg; /* main thread's reference; workers hold their own */
    struct location *loc;
    struct store *store;
    struct edge_keys keys;
    struct net_group *group; /* NULL under the scenario player */
    unsigned n_workers;
    struct edge_worker *workers[EDGE_WORKERS_MAX];
    struct edge_credentials *credentials;  /* edge/identity/service.h; NULL: no anchors for signed identities */
    struct identity_replay *identity_seen; /* all workers' */
    struct identity_replay *smime_seen; /* apart: what is good for an hour would keep what is good for a minute from being forgotten */
    struct keeper_link *keeper; /* who has the keys of identities; NULL: none */
    struct relay *relay;            /* the media plane (anchor/plane.c); NULL: none, no call is anchored */
    struct relay_keyring *keyring;
    pthread_mutex_t plane_lock; /* of what its threads post to the group, which ends before them */
    bool plane_is_mute;
    struct relay_address relay_at[RELAY_ADDRESSES_MAX];
    size_t n_relay_at;
    struct peer_states *peers; /* peers.h */
    struct status_watched *watched; /* status/events.h */
    struct edge_tap *tap; /* HEP mirror (tap.c); NULL: none */
    struct edge_cert certs[EDGE_LISTENERS_MAX]; /* by listener of cfg */
    struct edge_certs *certificates; /* certs.c; NULL under the scenario player */
    uint64_t started_s;    /* steady */
    int64_t clock_ahead_s; /* worker 0: the wall's clock, of the steady one, when it was last looked at */
    unsigned users_changed; /* worker 0: account_changes, as of the last look */
    unsigned clock_sets;   /* atomic: how many times the wall's was set */
    bool draining; /* atomic */
    bool is_starting; /* atomic: not all workers and listeners are there, nothing is sent of our own accord */
};

/* Who sent a request, how we know, and what that is worth (TR/100 6.3, 7.2.3). */
enum principal_kind { PRINCIPAL_NONE, PRINCIPAL_USER, PRINCIPAL_PEER, PRINCIPAL_DOMAIN };
enum principal_how {
    AUTH_NONE,        /* not at all: emergency calls, ACK and CANCEL that matched */
    AUTH_DIGEST,      /* this request carried a right answer */
    AUTH_FLOW,        /* the TLS flow was bound to the user by an authenticated REGISTER, and the domain allows that to count */
    AUTH_CERTIFICATE, /* mutual TLS, name checked (RFC 5922) */
    AUTH_SOURCE       /* allow-sources: the address alone */
};
struct principal {
    enum principal_kind kind;
    enum principal_how how;
    struct str name; /* AOR of the user, name of the peer, or the domain without a stanza whose name its certificate has */
    enum digest_algo algo; /* AUTH_DIGEST */
    const struct config_peer *peer; /* of a user: the subscriber whose account it is (subscriber.h) */
};
static inline uint64_t principal_id(const struct principal *p); /* names it in tokens; below */

/* One side of a dialog as sealed in Record-Route (token.c): who it is and where its flow is. */
struct token_side {
    enum principal_kind kind;
    uint64_t who;      /* principal_id; 0: not known (who called for help) */
    bool md5;          /* user: challenged with MD5 alone */
    uint32_t domain, instance; /* user: hashes of the domain's name and of +sip.instance, 0: none */
    bool has_path;
    struct path path;  /* the flow, or the datagram address it came from; no path: by the remaining route set */
};
struct dialog_token {
    unsigned worker;        /* whose call table has it */
    uint32_t call_slot, call_gen; /* calls.c; 0/0: none */
    uint32_t anchor_slot, anchor_gen; /* anchor.c; 0/0: the call is proxied */
    uint32_t caller_tag;    /* hash of the From tag of the dialog-forming request: tells the direction */
    uint32_t caller_from, callee_from; /* edge_from_hash of its From and To: who each side says it is, unless it says so anew (RFC 4916) */
    bool emergency;         /* nothing stops it */
    bool is_no_call;        /* SUBSCRIBE or REFER has made it */
    bool is_spaced;         /* the caller's numbers leave with room between them (token_cseq) ... */
    uint32_t first_cseq;    /* ... from this one on */
    struct token_side caller, callee;
};
/* A carrier that challenges a request within a dialog gets it again with the next number (RFC 3261 22.2), and the caller knows nothing of
 * that one: of a dialog that is not an anchored call each of its numbers leaves as the first of TOKEN_CSEQ_ROOM, which may have gaps
 * (12.2.2), the same whenever it is asked. ERR_LIMIT: there are no more (8.1.1.5). */
#define TOKEN_CSEQ_ROOM 8u
MUST_USE int token_cseq(const struct dialog_token *t, uint32_t in, unsigned n_again, uint32_t *ret);
/* Of user and host alone, since many write the rest of From in another way each time; 0: it cannot be read. */
uint32_t edge_from_hash(struct arena *a, struct str uri);
#define TOKEN_TEXT_MAX 240
/* base64url text for the user part of a Record-Route URI. Bound to the Call-ID: useless in another dialog. */
MUST_USE int token_dialog_seal(const struct edge_keys *k, const struct dialog_token *t, struct str call_id,
                               char ret[TOKEN_TEXT_MAX]);
MUST_USE int token_dialog_open(const struct edge_keys *k, struct str text, struct str call_id, struct dialog_token *ret);
/* RFC 5626 5.2: the flow of a registration in a Path URI, and who registered. Not bound to a call. */
MUST_USE int token_flow_seal(const struct edge_keys *k, const struct token_side *s, char ret[TOKEN_TEXT_MAX]);
MUST_USE int token_flow_open(const struct edge_keys *k, struct str text, struct token_side *ret);

/* Counters of a worker, written by it, read by anybody (relaxed). */
enum edge_counter {
    EC_REQUESTS, EC_RESPONSES, EC_PARSE_DROPPED, EC_BAD_REQUESTS, EC_CHALLENGES, EC_AUTH_OK, EC_AUTH_FAILED, EC_AUTH_STALE,
    EC_AUTH_REPLAY, EC_GUESSES_SLOWED, EC_REGISTERS_OK, EC_REGISTERS_REFUSED, EC_CALLS_STARTED, EC_CALLS_ANSWERED,
    EC_CALLS_ENDED, EC_CALLS_FAILED, EC_FORWARDED, EC_LOOPS, EC_TOKENS_FORGED, EC_OVERLOAD_503, EC_EMERGENCY, EC_STRAYS,
    EC_HANDOVERS, EC_HANDOVERS_LOST, EC_GARBAGE, EC_TOO_LARGE, EC_TAP_SENT, EC_TAP_DROPPED,
    EC_IDENTITY_VALID, EC_IDENTITY_ABSENT, EC_IDENTITY_UNVERIFIABLE, EC_IDENTITY_STALE, EC_IDENTITY_BROKEN,
    EC_IDENTITY_CONTRADICTED, EC_IDENTITY_SIGNED, EC_IDENTITY_UNSIGNED,
    EC_SMIME_NAMES, EC_SMIME_SIGNED, EC_SMIME_ENCRYPTED, EC_SMIME_UNVERIFIABLE, EC_SMIME_STALE, EC_SMIME_BROKEN,
    EC_SMIME_CONTRADICTED,
    EC_LEVEL_ATTACKED, EC_LEVEL_OPEN, EC_LEVEL_PROTECTED, EC_LEVEL_SECURE, EC_LEVEL_END_TO_END, /* as in enum policy_level */
    EC_STATUS_REFUSED, EC_ATTACKS, EC_N
};

/* What a flow's connection is known for: net's flow_user. Freed in on_flow_closed. */
struct edge_flow {
    struct str user;   /* AOR bound by an authenticated REGISTER on this flow; empty: none */
    uint64_t version;  /* account_version of it when it proved itself: another password is another proof */
    const char *peer;  /* name of the peer whose requests came by it; NULL */
    uint32_t instance; /* hash of the +sip.instance it registered, 0: none */
    bool registered;   /* the location service knows this flow */
    char text[256];    /* storage of `user` */
    char trunk[64];     /* name of the peer whose account was registered along it; empty: none */
    char peer_text[64]; /* ... and of `peer` */
};

/* certs.c: what certificates rest on, and their status. */
struct edge_certs;
struct edge_snapshot;
struct json_t;
MUST_USE int edge_certs_new(const struct config *cfg, struct edge_certs **ret, struct reason *why);
void edge_certs_free(struct edge_certs *c); /* NULL is fine; no worker runs any more */
struct pki_statuses *edge_certs_statuses(const struct edge_certs *c);
/* A configuration is in force: its files are watched from now on, and what is stapled is fetched. */
void edge_certs_loaded(struct edge_certs *c, const struct config *cfg, const struct net_listener *ls, const struct edge_snapshot *snap);
struct json_t *edge_certs_json(const struct edge_certs *c); /* rows; NULL on no memory */
/* Each file once. */
void edge_certs_each_end(const struct edge_certs *c, void (*fn)(void *arg, const char *kind, struct str file, int64_t not_after), void *arg);

struct identity_own_set;
/* snapshot.c: a configuration with what is made of it, as long as a request needs it. */
struct edge_snapshot {
    unsigned refs;
    struct config *cfg;
    struct pki_tls_client *tls_any;   /* domains without a peer stanza: the system's anchors, our first domain's certificate */
    struct pki_tls_client **tls_peer; /* by index in the configuration */
    const struct identity_own *own;   /* what we sign by (edge/identity/service.h) */
    size_t n_own;
    struct identity_own_set *own_set; /* what has them */
    struct anchor_policies *media;    /* of domains and peers */
    struct digest_login *logins;      /* of trunks, by index of the peer (trunk.h) */
};
/* Takes its own references. statuses may be NULL. */
MUST_USE int snapshot_new(struct config *cfg, struct pki_statuses *statuses, struct edge_snapshot **ret, struct reason *why);
/* The client context for a peer, NULL: for anybody; as a snapshot has it. */
MUST_USE int snapshot_peer_tls(const struct config *cfg, const struct config_peer *p, struct pki_statuses *statuses, bool remote_keys,
                               struct pki_tls_client **ret, struct reason *why);
struct edge_snapshot *snapshot_ref(struct edge_snapshot *s);
void snapshot_unref(struct edge_snapshot *s); /* NULL is fine */
/* The client context for a peer of this snapshot; NULL: for anybody. */
struct pki_tls_client *snapshot_tls(const struct edge_snapshot *s, const struct config_peer *p);

/* Who the sender of a request that another worker read is by its certificate: that worker has the connection, and has looked. */
struct gate_vouch {
    bool is_handed;
    bool as_domain; /* by the anchors for domains without a stanza */
    uint64_t peer;  /* principal_id; 0: no peer */
    uint64_t trunk; /* ... of the one whose account was registered along the connection */
    uint64_t user;  /* ... of the user whose registration it carries; 0: none */
};

struct identity_signer; /* identity/sign.h */
struct keeper_signer;   /* keeper/signer.h */
struct certs_worker;    /* fetch/certs.h */
struct fetch_stats;     /* fetch/fetch.h */
struct edge_worker {
    struct edge *edge;
    struct net *net;
    unsigned id;
    struct edge_snapshot *snap; /* in force */
    struct config *cfg;         /* its configuration */
    struct sip_txl *txl;
    struct digest_replay *replay;
    struct identity_signer *signer; /* who has the keys; NULL: nobody, nothing is signed */
    struct edge_guard *guard;     /* guessers and overload (gate.c) */
    struct edge_calls *calls;     /* calls.c */
    struct status_events *status_events;
    struct anchors *anchors;      /* calls whose media pass through us (anchor.h) */
    struct security_told *told;   /* calls that have ended (security.h) */
    struct list proxies;          /* proxy.c's contexts */
    struct list own_requests;     /* own_request.c */
    struct edge_trunks *trunks;   /* trunk.c */
    struct list trunks_left;      /* ... taken out by a reload, and not gone yet */
    struct edge_health *health;   /* worker 0: checks of peers (health.h) */
    struct list hang_ups;         /* hang_up.c: BYEs of ours that are being signed */
    struct list acks;             /* ack.c: those whose next hop is being looked up */
    struct wheel_timer sweep;     /* worker 0: registrations that expired */
    bool listeners_are_first; /* since the start: every number of one that was kept is right */
    struct str sent_by[EDGE_LISTENERS_MAX]; /* per listener: "host[:port]" for Via and the like */
    char sent_by_text[EDGE_LISTENERS_MAX][ADDR_TEXT_MAX];
    struct keeper_signer *keeper; /* keeper.c's */
    struct certs_worker *certs;   /* credentials.c's */
    char date[40]; /* Date (RFC 3261 20.17) of this second */
    size_t date_n;
    uint64_t date_s;
    uint64_t smime_s;             /* smime.c: this second, and what has been verified in it */
    unsigned smime_n;
    struct gate_vouch vouch;      /* of the message that is just read */
    uint64_t counters[EC_N];
    uint64_t responses_by_class[7];
};
static inline void edge_count(struct edge_worker *w, enum edge_counter c)
{
    __atomic_store_n(&w->counters[c], w->counters[c] + 1, __ATOMIC_RELAXED);
}

/* One request on its way through the edge; in the arena of the message, gone with it. */
struct edge_req {
    struct edge_worker *w;
    struct edge_snapshot *snap; /* what it is judged and routed by, whatever is in force later */
    const struct config *cfg;
    struct sip_stx *tx;  /* NULL for ACK */
    struct sip_msg *m;
    struct rx rx;        /* hop is valid until the callback returns; copy what is needed later */
    bool hop_secure, hop_peer_verified;
    struct gate_vouch handed;
    struct sip_uri ruri; /* after 16.4 route preprocessing */
    struct str uri;      /* its text */
    const struct config_domain *domain; /* of the (effective) request-URI; NULL: not ours */
    struct principal who;
    struct str asserts;  /* the address that we vouch for, where it is not the sender's own (subscriber.h); empty: none */
    bool is_screened;    /* ... and it stands in for what the sender says */
    bool is_forwarded;   /* a user of ours answers for where it goes (allow-forwarding) */
    bool from_changed, to_changed; /* in what left (trunk_names.c): answers show what came */
    struct { /* gate_claimed: whom it says to be from; parsed once */
        bool is_read, is_uri;
        struct sip_uri uri;
        const struct config_domain *domain; /* of ours; NULL: another's */
        struct str aor; /* empty: not made yet */
        struct account_warm warm;
    } claimed;
    struct str auth_info; /* Authentication-Info for a 2xx of our own (login.c); empty: none */
    bool has_token;      /* a valid dialog token was in the topmost Route (or request-URI) that named us */
    struct dialog_token token;
    bool from_caller;    /* in-dialog: direction */
    unsigned routes_used; /* how many top Route values named us and are taken off (16.4) */
    unsigned n_routes;   /* Route values in all */
    struct str next_route; /* the first Route value that does not name us; empty: none */
    bool next_is_sips, sips_route; /* it is; it is, or one that names us is */
    uint64_t account_version; /* of who answered the challenge, where a flow may count for it */
    bool strict_route;   /* 16.4: a strict router put our URI into the request-URI; the last Route value is the target */
    bool has_flow_path;  /* a flow token of ours was in a Route (RFC 5626 5.3) */
    struct token_side flow_side;
    bool bad_token;      /* a Route named us with a user part that is no token of ours */
    bool to_us;          /* ends here whatever the request-URI says (Max-Forwards 0) */
    bool to_psap;        /* for the emergency service: routed by configuration */
    bool emergency;      /* ... and stopped by nothing */
    bool for_us;         /* ends at this server: as registrar or UAS */
    bool is_own;         /* of ours, within a call that passes through us (anchor/own.c): nobody has sent it */
    struct identity_vouch *vouch; /* what its signatures say (edge/identity/service.h); NULL: there are none, or nobody asked */
    struct identity_verification *verification; /* under way */
    struct smime_vouch *smime; /* what its body says, signed (smime.h); NULL: nothing, or nobody asked */
    unsigned retry_after_s; /* for edge_refuse; 0: what the configuration says */
    unsigned max_breadth; /* RFC 5393 5.3.3, as received or the default */
    uint64_t loop_hash;  /* request_loop_hash's; 0: not asked for yet */
};

/* Answers and forgets. `why` gives status, phrase detail (Warning 399 or Reason where useful) and the log line. */
void edge_refuse(struct edge_req *r, const struct reason *why);
void edge_reply(struct edge_req *r, unsigned status);
/* The value of a Warning header that carries a reason to whoever reads the trace (RFC 3261 20.43). */
void edge_warning(struct sbuf *b, unsigned warn_code, const char *code, const char *clause);
/* ... and with which number; what Retry-After says in a 503. */
unsigned edge_warn_code(const char *code);
unsigned edge_retry_after(const struct edge_req *r);
/* A To tag that a repetition of the request gets again without anything being kept (RFC 3261 8.2.7). */
struct str edge_stateless_tag(const struct edge_req *r);

/* request.c: entry from the transaction layer. */
void request_receive(struct edge_worker *w, struct sip_stx *tx, struct sip_stx *invite, struct sip_msg *m,
                     const struct rx *rx);
void request_ack(struct edge_worker *w, struct sip_msg *m, const struct rx *rx);

/* gate.c: decides who sends this and whether it may (TR/100 7.2.3, 6.3). 0: go on, r->who is set. ERR_REFUSED: it has been
 * answered (401, 407, 403, 503 ...). Challenges 401 for requests to ourselves as registrar or UAS, 407 as proxy. */
MUST_USE int gate_admit(struct edge_req *r);
/* ACK and CANCEL are never challenged: is an ACK from a side of the dialog, as far as token, flow and source tell? */
bool gate_ack_ok(struct edge_req *r);
/* What the connection of a message proves of its sender, for the worker that it is handed over to. */
void gate_vouch(struct edge_worker *w, const struct rx *rx, struct gate_vouch *ret);
/* The peer that the certificate, or the address alone, says a request is from; NULL: none. */
/* May the peer name this address as one of its own (TR/100 7.5.3)? `local`: where its message came in; NULL: not known. */
bool gate_peer_speaks_for(const struct config *cfg, const struct config_peer *p, const struct sip_uri *u, const struct addr *local);
const struct config_peer *gate_peer(const struct edge_req *r, enum principal_how *ret_how);
MUST_USE int gate_start(struct edge_worker *w);
void gate_stop(struct edge_worker *w);

/* login.c: the digest answer of a user of this domain (RFC 3261 22, RFC 7616, RFC 8760). 0: r->who is set; ERR_REFUSED: challenged or
 * refused. `md5`: this user is known to be one that MD5 alone is asked of. */
MUST_USE int login_user(struct edge_req *r, const struct config_domain *d, bool md5);
/* Does an ACK repeat credentials that this user (principal_id) gave for an INVITE from this flow or source? */
bool login_ack(struct edge_req *r, const struct config_domain *d, uint64_t who);
/* Are these credentials for a realm of ours, and done with when a request leaves (22.3)? */
bool login_is_ours(const struct edge_req *r, struct str credentials);

/* flows.c */
struct edge_flow *flow_find(const struct edge_req *r); /* of the connection that the request came by; NULL: nothing is known */
struct edge_flow *flow_get_by_id(struct edge_worker *w, flow_id flow); /* of this worker; NULL: none, or no memory */
struct edge_flow *flow_get(const struct edge_req *r);  /* makes it; NULL: no connection of this worker, or no memory */
void flow_bind(struct edge_flow *f, struct str aor, struct str instance); /* the user whose it is; empty: nobody's any more */
/* A request of a peer was admitted: its connection is known as the peer's, and may be used to reach it (RFC 5923). */
void flow_note_peer(const struct edge_req *r);
void flows_of_changed(void *edge_worker, void *arg); /* closes those of users who have another password now, or are no more */

/* registrar.c: REGISTER to one of our domains (RFC 3261 10.3, 5626 6, 5627, 3327, 3608). Answers. */
void registrar_handle(struct edge_req *r);
/* own.c: requests to ourselves: OPTIONS (11.2), others 405, 404, 501 ... Answers. */
void own_handle(struct edge_req *r);

/* route.c: where may it go (16.5)? */
struct edge_target {
    struct str uri;        /* the new Request-URI */
    struct str route;      /* values to push as Route, comma separated; empty: none (Path of the binding, next hop of a peer) */
    bool has_path;
    struct path path;      /* known already: the flow or datagram address of a binding or a dialog side */
    struct str next_hop;   /* else: the URI to locate (RFC 3263): first route, or uri */
    unsigned q_milli;      /* groups of equal q are tried in parallel, lower ones after them */
    struct str group;      /* instance: at most one target of a group at a time (RFC 5626 6); empty: none */
    const struct config_peer *peer; /* NULL: an own user, or a domain without a peer stanza */
    struct str aor;        /* own user; empty otherwise */
    bool to_user;          /* a registered contact: no more proxies of ours behind it */
    bool is_flow_side;     /* it is the flow that a token of ours in a Route names (RFC 5626 5.3) */
    bool allow_clear;      /* may be reached in clear, whatever the peer's stanza says */
    bool is_one_of;        /* others of its group may do the same: they are tried when it does not answer in time */
    bool emergency;        /* ... and must be reached somehow: TLS first, then without (RFC 6881) */
};
struct edge_targets {
    struct edge_target *v[LIMIT_TARGETS];
    size_t n;
};
/* 0: targets are set. ERR_REFUSED: `why` says what to answer (404, 480, 416, 403 ...). */
MUST_USE int route_targets(struct edge_req *r, struct edge_targets *ret, struct reason *why);

/* One Contact of a 3xx of `by` as a target for the same request (16.5, 16.7 step 4), if its sender (or, by allow-forwarding, the user
 * of ours who says so) might have asked for it itself and the
 * scheme does not change between sip and sips (RFC 5630 5.3); NULL otherwise. In the request's arena. */
struct edge_target *route_redirect(struct edge_req *r, const struct edge_target *by, struct str contact);

/* proxy.c: forwards statefully to the targets (16.6 to 16.10); ack.c: an ACK statelessly. Answers or lets answers pass. */
void proxy_forward(struct edge_req *r, const struct edge_targets *targets);
/* Refuses what cannot be forwarded; where its sender has to be judged first, after that (identity_is_judged_first). */
void proxy_cannot(struct edge_req *r, const struct reason *why);
void proxy_cancel(struct edge_worker *w, struct sip_stx *invite, struct sip_msg *cancel);
void proxy_ack(struct edge_req *r, const struct edge_target *target);
void proxy_worker_stop(struct edge_worker *w); /* before the transaction layer goes */
void ack_worker_stop(struct edge_worker *w);
void proxy_stx_gone(void *upper); /* the server transaction's last state: what sip_stx_set_upper stored */
bool proxy_is_under_way(const struct edge_req *r); /* the same request, by another branch (RFC 3261 8.2.2.2) */

/* forward.c: our own URI as others reach the listener of a path, in <>; `token` as its user part, may be empty. */
void forward_own_uri(struct sbuf *b, const struct edge_worker *w, const struct path *p, struct str token, bool sips,
                     struct str params);

/* listeners.c: which of our listeners a path is of. */

/* One in whose name we send: same transport and address family, one that reaches the target. -1: none */
int listener_for(const struct edge_worker *w, enum transport t, const struct addr *remote);
/* Any can name a stream that we dial, since replies and further requests come back on it. */
int listener_for_stream(const struct edge_worker *w, enum transport t, const struct addr *remote);
/* The one in force that a path is of, or the best to name where that is gone: path.listener may be from before a reload. */
unsigned listener_of(const struct edge_worker *w, const struct path *p);
struct str listener_sent_by(const struct edge_worker *w, const struct path *p);
void listeners_set(struct edge_worker *w, const struct config *before); /* w->cfg is in force, instead of `before` (NULL: the first) */

/* hop.c: from a target to paths to try in turn, connections included. */
struct hop;
typedef void (*hop_fn)(void *arg, const struct path *path, const struct reason *why); /* path NULL: nothing (more) to try */
/* Finds the first path; `fn` is called later, or at once when no lookup is needed (then *ret_hop is already set). */
MUST_USE int hop_start(const struct edge_req *r, struct arena *a, const struct edge_target *t, bool sips, hop_fn fn, void *arg,
                       struct hop **ret_hop);
/* For what has no state of its own, a target without a path: `fn` is called at once, or the result is ERR_AGAIN because a name must be
 * looked up, or an error, and it is not called. */
MUST_USE int hop_try(const struct edge_req *r, struct arena *a, const struct edge_target *t, bool sips, hop_fn fn, void *arg);
/* The name that its certificate must carry. p may be NULL. */
struct str hop_expected_name(const struct config_peer *p, struct str host);
/* The URI of a target's next hop: a bare one, or the first of a list of Route values. */
MUST_USE int hop_uri(struct str next_hop, struct sip_uri *ret);
void hop_next(struct hop *h); /* RFC 3263 4.3: that one failed, find the next one */
void hop_failed(const struct hop *h); /* the path it gave last got no answer: later requests try others first */
void hop_cancel(struct hop *h); /* NULL is fine */
/* The same address by TCP, for a message that is too large for UDP (RFC 3261 18.1.1). ERR_NOTFOUND. */
MUST_USE int hop_stream_instead(struct hop *h, const struct path *udp, struct path *ret);
#define EDGE_UDP_MAX 1300u /* RFC 3261 18.1.1, path MTU not known */

/* calls.c: the calls of this worker, from INVITE to BYE. Facts only; nothing depends on it to route. */
MUST_USE int calls_start(struct edge_worker *w);
void calls_stop(struct edge_worker *w);
/* May this call begin (max-calls, of all and of peers)? Targets that are full are taken out. Emergency calls always may. ERR_LIMIT: `why`
 * says what to answer. */
MUST_USE int calls_admit(const struct edge_req *r, struct edge_targets *ts, struct reason *why);
/* It begins, and counts at the peer that calls. ERR_LIMIT, ERR_NOMEM: it must not, `why`. Where the table is full, and nothing has to
 * be counted, it goes on without a record: *ret_gen stays 0. */
MUST_USE int calls_begin(struct edge_req *r, uint32_t *ret_slot, uint32_t *ret_gen, struct reason *why);
/* A branch of it is about to go to this peer (NULL: to none), where the call counts once, until its branches are over there without an
 * answer, or it ends itself. *ret: for calls_peer_over, NULL: nothing is counted. ERR_LIMIT: the peer is full. ERR_NOMEM. */
struct peer_state;
MUST_USE int calls_peer_begin(struct edge_worker *w, uint32_t slot, uint32_t gen, const struct config_peer *peer, bool emergency,
                              struct peer_state **ret);
void calls_peer_over(struct edge_worker *w, uint32_t slot, uint32_t gen, const struct peer_state *at, bool has_answered);
/* Media of the call pass through us. On its own worker. */
void calls_anchor(struct edge_worker *w, uint32_t slot, uint32_t gen, uint32_t anchor_slot, uint32_t anchor_gen);
/* Its record, and the facts in it (facts.h); NULL: gone, or another worker's. */
struct call_info;
struct facts_call;
const struct call_info *calls_find(const struct edge_worker *w, uint32_t slot, uint32_t gen);
struct facts_call *calls_facts(const struct edge_worker *w, uint32_t slot, uint32_t gen);
/* A response to `method` passed; `dialog`: which one of the call, by the hash of the callee's tag, 0: all there are; session_s: its
 * Session-Expires, 0 if none. Other workers' calls are told by message. */
void calls_event(struct edge_worker *w, uint32_t slot, uint32_t gen, unsigned status, enum sip_method method,
                 uint32_t dialog, uint32_t session_s);

/* tap.c: every message in and out, for the HEP mirror; one pointer is looked at when it is off. */
void tap_message_send(struct edge_worker *w, bool out, const struct path *p, struct str bytes);
static inline void tap_message(struct edge_worker *w, bool out, const struct path *p, struct str bytes)
{
    if (UNLIKELY(w->edge->tap != NULL))
        tap_message_send(w, out, p, bytes);
}

static inline uint64_t principal_id(const struct principal *p)
{
    uint64_t h = p->kind == PRINCIPAL_DOMAIN ? str_hash_nocase(p->name) : str_hash(p->name);

    return p->kind == PRINCIPAL_NONE ? 0 : h ^ (uint64_t)p->kind;
}

/* --- keeper.c --- */
/* What the identity sections of a configuration say we sign by. Belongs to the thread of its worker. */
/* pages.c: the certificates that others fetch from us; NULL: none. */
struct net_pages;
MUST_USE int pages_make(const struct config *cfg, struct net_pages **ret, struct reason *why);
MUST_USE int identity_own_load(const struct config *cfg, struct edge_snapshot *s, struct reason *why);
void identity_own_unload(struct edge_snapshot *s);
void keeper_worker_stop(struct edge_worker *w);

/* --- credentials.c: e->credentials, if there are anchors for identities --- */
MUST_USE int credentials_start(struct edge *e, const struct config *cfg, struct reason *why);
struct certs_change; /* fetch/certs.h: to be discarded there, or committed */
MUST_USE int credentials_prepare(struct edge *e, const struct config *cfg, struct certs_change **ret, struct reason *why);
void credentials_commit(struct edge *e, struct certs_change *change);
void credentials_stop(struct edge *e); /* nothing is fetched any more; before the workers end */
void credentials_free(struct edge *e); /* after it */
MUST_USE int credentials_worker_start(struct edge_worker *w);
void credentials_worker_stop(struct edge_worker *w);
bool credentials_stats(const struct edge *e, struct fetch_stats *ret); /* false: nothing is fetched */

#endif
