/* A phone of our own: a client of the same rooms as the edge, for people at a command line, tests,
 * demonstrations and monitoring.
 *
 *   run.c      one phone in its own process: TLS context, a worker of net, the thread that waits
 * for the end script.c   what it is to do, from the command's options; the exit status phone.c
 * struct phone: what net and the transaction layer call; which requests are for us register.c the
 * registration: where to, which flow, refresh, what comes after a loss (RFC 3261 10.2, 5626 4)
 *   request.c  a request of ours until its final answer, challenges in between (RFC 3261 8.1, 22)
 *   auth.c     credentials per realm
 *   dialog.c   tags, targets, routes (RFC 3261 12)
 *   call.c     a call from INVITE to BYE: the machine and its table; call_out.c, call_in.c,
 * call_change.c: what it does signer.c  the user's own signature (RFC 8862); verify.c, anchors.c: those of others session.c  offers and answers of a call (RFC 3264) media.h    what a
 * call wants of its media; media_rtp.c is RTP, media_keys.c what protects it, media_codecs.c the
 * formats, media_words.c what is said of it, sound.c what is played and recorded out.c
 * events, as words or JSON lines
 *
 * A phone hears only what comes along the flow it registered on. It answers challenges for realms
 * it has credentials for, and for no others. Everything in it is owned by one worker's thread but
 * for the media's own thread (media_rtp.c). */
#ifndef PHONE_PHONE_H
#define PHONE_PHONE_H

#include "identity/digest_client.h"
#include "net/net.h"
#include "sip/tx.h"

struct phone;
struct phone_signer;    /* signer.h */
struct phone_verifier;  /* verify.h */
struct identity_result;
struct phone_media_ops; /* media.h */
struct phone_out;       /* out.h */

#define PHONE_LOGINS_MAX 8u

/* All slices are borrowed for the phone's life. */
struct phone_config {
    struct str user, domain; /* address of record */
    struct str display;      /* empty: none */
    struct digest_login logins[PHONE_LOGINS_MAX];
    unsigned n_logins;
    bool allow_md5; /* answers MD5 challenges */
    /* Where to: the server's host (empty: the domain by RFC 3263, TLS alone) and what its
     * certificate must name. */
    struct str server;
    uint16_t port;
    bool has_transport;
    enum transport transport;   /* UDP, TCP or TLS */
    struct str server_name;     /* empty: the server's name if it has one, else the domain */
    struct pki_tls_client *tls; /* needed unless UDP or TCP is asked for */
    uint16_t listener;          /* of net: 0 for UDP, NET_LISTENER_GONE for the others */
    struct addr local;          /* UDP: what is bound */
    bool no_register;           /* only the flow */
    struct str instance;        /* "urn:uuid:..." (RFC 5626 4.1); empty: a random one */
    uint32_t expires_s;         /* 0: 3600 */
    uint32_t retry_s;           /* base of the back-off, 0: 30 (RFC 5626 4.5) */
    uint32_t keepalive_s; /* 0: what the registrar says (Flow-Timer), else 120 for streams, 29 for
                             datagrams */
    struct str user_agent;
    struct phone_signer *signer; /* the user's own signature under calls and answers; NULL: none */
    struct phone_verifier *verifier; /* of others' signatures, without having to believe our edge */
    /* calls */
    bool no_100rel, no_timer;
    bool no_watch; /* of the status of calls (watch.c), where our edge offers it */
    bool no_media;              /* audio is offered and answered as inactive */
    uint32_t session_expires_s; /* 0: 1800 (RFC 4028 4) */
    bool follow_refer;
    unsigned max_calls; /* 0: 1; more INVITEs get 486 */
    const struct phone_media_ops *media;
    void *media_arg;
};

/* A call, as its user sees it; the number names it and is never used again. */
typedef uint32_t phone_call_id; /* 0: none */

struct phone_user {
    void *arg;
    /* The registration is up (first, or again), is lost and tried again after `again_ms`, or cannot
     * be had (final). `status`: of the response, 0 if there was none. */
    void (*on_registered)(void *arg, uint32_t expires_s);
    void (*on_unregistered)(void *arg, unsigned status, const struct reason *why, bool final,
                            uint64_t again_ms);
    void (*on_left)(void *arg); /* phone_leave is done */
    /* The user's own signature could not be put under a message, which leaves without. */
    void (*on_not_signed)(void *arg, const struct reason *why);
    /* What we have found ourselves of the signature of who calls, or has answered (verify.h). */
    void (*on_verified)(void *arg, phone_call_id call, struct str who,
                        const struct identity_result *r);
    void (*on_incoming)(void *arg, phone_call_id call, struct str from, struct str to);
    /* What our edge says of the call's security (X-Sallyport-Status, phone/status.h), whenever it says
     * something else: believed only where it came along our own connection, and that is TLS. */
    void (*on_status)(void *arg, phone_call_id call, struct str value);
    void (*on_ringing)(void *arg, phone_call_id call, unsigned status);
    /* What was offered for the sound was refused with this; less is offered now, as policy allows.
     */
    void (*on_offered_less)(void *arg, phone_call_id call, unsigned status);
    void (*on_call_up)(void *arg, phone_call_id call);
    /* status: 0 for an ordinary end, else the response (ours or theirs) or 408, 503 for time-outs
     * and transport. */
    void (*on_call_end)(void *arg, phone_call_id call, unsigned status, const struct reason *why);
    void (*on_held)(void *arg, phone_call_id call, bool by_them, bool is_held);
    void (*on_referred)(void *arg, phone_call_id old,
                        phone_call_id call); /* they asked for it, and we call */
    void (*on_refer_done)(void *arg, phone_call_id call,
                          unsigned status); /* what became of phone_refer */
    void (*on_changed)(void *arg, phone_call_id call,
                       unsigned status); /* an offer of ours in the call has its answer */
    /* The other side says that it is another than it was, or than was called (RFC 4916). */
    void (*on_connected)(void *arg, phone_call_id call, struct str who);
    void (*on_digit)(void *arg, phone_call_id call, char digit);
    void (*on_media)(void *arg, phone_call_id call);    /* the first packet of audio */
    void (*on_security)(void *arg, phone_call_id call); /* more is known of the media's keys */
    void (*on_text)(void *arg, struct str from, struct str text);
    void (*on_sent)(void *arg, unsigned status,
                    const struct reason *why); /* phone_send_text, phone_ping */
};

MUST_USE int phone_new(struct net *net, const struct phone_config *cfg,
                       const struct phone_user *user, struct phone_out *out, struct phone **ret);
void phone_free(struct phone *p); /* NULL is fine; nothing is sent */
/* What net calls: arg is the phone. */
void phone_net_user(struct phone *p, struct net_user *ret);

void phone_start(struct phone *p); /* connects and registers */
void phone_leave(struct phone *p); /* removes the binding, closes the flow; on_left follows */
bool phone_is_registered(const struct phone *p);
/* What is known of the flow; NULL if there is none. */
const struct hop_facts *phone_hop(const struct phone *p);
const struct path *phone_path(const struct phone *p);
/* By what digest the phone last logged in; empty: it was not asked to. */
struct str phone_digest(const struct phone *p);
/* Has the server shown that it knows our password (RFC 7616 3.5)? */
bool phone_server_proved_itself(const struct phone *p);

/* A URI without scheme gets "sip:", without host our domain. ERR_SYNTAX, ERR_UNSUPPORTED (its
 * scheme), ERR_LIMIT, ERR_NOMEM, ERR_CLOSED (no flow). */
MUST_USE int phone_call(struct phone *p, struct str uri, phone_call_id *ret);
/* Why the last one could not be made, where there is more to say than the code; no code: there is
 * not. */
const struct reason *phone_call_why(const struct phone *p);
/* The server is known by its certificate, and what goes to it is encrypted. */
bool phone_hop_is_private(const struct phone *p);
MUST_USE int phone_answer(struct phone *p,
                          phone_call_id call); /* ERR_NOTFOUND; ERR_INVALID: not ringing */
MUST_USE int phone_refuse(struct phone *p, phone_call_id call, unsigned status); /* the same */
void phone_hang_up(struct phone *p, phone_call_id call); /* CANCEL, BYE or 603, as it stands */
MUST_USE int phone_hold(struct phone *p, phone_call_id call,
                        bool hold); /* ERR_AGAIN: another offer is under way */
MUST_USE int phone_dial(struct phone *p, phone_call_id call, struct str digits);
MUST_USE int phone_refer(struct phone *p, phone_call_id call, struct str uri);
/* The media of a call, for its figures; NULL. */
struct phone_media *phone_call_media(struct phone *p, phone_call_id call);
bool phone_call_is_dialling(struct phone *p, phone_call_id call);

MUST_USE int phone_send_text(struct phone *p, struct str to, struct str text);
MUST_USE int phone_ping(struct phone *p, struct str to); /* OPTIONS */

#endif
