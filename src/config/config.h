/* Configuration: one readable file, read into one immutable, reference-counted snapshot. A reload builds a new snapshot and,
 * only if every check holds, puts it in force; until then the old one stays (edge/edge.h).
 *
 * The syntax is libconfuse's: `name = value`, `section "title" { ... }`, lists in { }. Every option is one row of the tables in
 * rows.c (name, type, default, unit, range, reloadable, clause, one sentence); from these rows come the checks, `sallyport
 * check`, the sample (`sallyport check --sample`) and the manual page. An empty configuration is the strictest; every weakening
 * is an option that begins with `allow-`, and all that are in force are listed in config.allow.
 *
 * Strings live in the snapshot's arena; `struct str` members are also NUL-terminated. File names are absolute (relative ones are
 * taken from the configuration file's folder). */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "base/addr.h"
#include "base/arena.h"
#include "base/log.h"
#include "base/path.h"
#include "base/reason.h"
#include "identity/canon.h"

/* A list of strings. */
struct config_strs {
    const struct str *v;
    size_t n;
};

/* What is wanted of the media of a side: a domain's users, or a peer. The stronger of the two sides' wishes counts. */
enum config_media_mode { CONFIG_MEDIA_DIRECT, CONFIG_MEDIA_RELAY, CONFIG_MEDIA_PROTECT, CONFIG_MEDIA_CLEAR_INSIDE };
struct config_media_side {
    int mode;                 /* enum config_media_mode */
    struct config_strs keys;  /* methods of key management, the preferred first: "dtls", "sdes"; empty: both */
    struct config_strs suites; /* names as in SDP, the preferred first; empty: those of full strength */
    bool allow_clear;         /* calls with it may have media without keys */
    bool best_effort;         /* keys are offered in the clear profile (RFC 8643) */
    struct str sdes_until;    /* "2027-12-31": after that day SDES is used no more; empty: no end */
    uint32_t sdes_lifetime;   /* packets that our keys in SDP say to be good for, as a power of 2; 0: nothing is said */
    bool sdes_mki;            /* what has an MKI is answered with one */
    uint32_t sdes_mki_length; /* of our own keys in SDP, bytes; 0: they have none */
    uint32_t sdes_keys;       /* so many in each line */
    bool allow_unencrypted, allow_unauthenticated; /* session parameters of SDES that weaken */
    bool allow_sha1;          /* fingerprints by SHA-1 alone */
    bool nat;                 /* its media may come from another address than its signalling says */
    bool asymmetric;          /* it sends media by other ports than it receives them at */
    int srtcp_tag;            /* 80 | 32 | detect: of the suites with a tag of 32 bits */
    int roc;                  /* keep | reset | probe */
    bool allow_unseen_forks;  /* keys in SDP stay when a call is answered, unless a fork behind was seen */
};

/* What a domain of ours, or a peer, asks of the security status of calls with it (TR/100 10). */
struct config_status {
    int require;     /* the least: enum policy_level; open: nothing */
    int on_attack;   /* enum policy_on_attack */
};

enum config_tls_keys { CONFIG_TLS_KEYS_DAEMON, CONFIG_TLS_KEYS_KEEPER };

struct config_listen { /* listen "tls:192.0.2.1:5061" { ... } */
    enum transport transport;
    struct addr addr;
    struct str title;
    struct str advertise;     /* host[:port] for Via, Record-Route and Path where it is not addr (behind NAT, a DNS name) */
    int client_cert;          /* enum pki_client_cert: none | ask | require */
    struct str client_ca;     /* anchors of those who may connect with a certificate; empty: the `ca` of all peers (tls: only) */
    int client_revocation;    /* enum pki_revocation: off | soft | hard, for those who connect with a certificate */
    struct str client_crl;    /* CRLs for them */
    int tls_min;              /* 12 or 13 */
    struct str ciphers;       /* TLS 1.2 list; empty: ECDHE with AEAD */
    bool allow_clear;         /* udp, tcp, ws: without it a clear listener is refused by the check */
    unsigned max_conns_source;
    uint64_t idle_s;
    struct str ws_origins;
};

struct config_domain { /* domain "example.com" { ... } */
    struct str name;          /* lower case; also the digest realm unless `realm` says otherwise */
    struct str realm;
    struct config_strs aliases; /* other host names and addresses that mean this domain. Those of listeners mean the
                               * first domain without being named here: request_domain in edge/request.c */
    struct str certificate, key; /* PEM files; with tls-keys = keeper the key may be a pkcs11: URI */
    struct str unknown_users; /* name of the peer that gets requests for users this domain does not have; empty: 404 */
    bool allow_md5;           /* MD5 users may exist at all */
    bool allow_clear_digest;  /* digest over clear UDP, TCP or WS */
    bool allow_flow_auth;     /* a TLS flow on which its user registered counts for that user's further requests */
    bool allow_weak_passwords;
    unsigned nonce_lifetime_s;
    uint32_t expires_min_s, expires_max_s, expires_default_s;
    unsigned max_contacts;
    unsigned flow_timer_s;    /* Flow-Timer given to outbound clients (RFC 5626 4.4); 0: none */
    bool service_route;       /* phones are told to send their requests through us (RFC 3608) */
    struct canon_dial dial;   /* how numbers are dialled here: what is signed and compared is a number of E.164 */
    struct config_strs accept_callers; /* domains, addresses, numbers that its users may be called by; empty: any */
    struct config_strs refuse_callers;
    bool allow_forwarding;    /* its users forward calls of foreign callers as if they called themselves */
    bool sips_only;           /* users of the domain are reached by secure hops only (refuses clear bindings for calls) */
    bool status_header;       /* its phones are told the status of their calls: X-Sallyport-Status */
    bool status_call_info;    /* ... by the Call-Info that Cisco's know */
    bool status_prefix;       /* ... by "[secure] " before the caller's name */
    struct config_status status;
    struct config_media_side media;
};

enum config_verify { CONFIG_VERIFY_PREFER, CONFIG_VERIFY_REQUIRE, CONFIG_VERIFY_TOLERATE, CONFIG_VERIFY_STRIP };
enum config_sign { CONFIG_SIGN_BASE, CONFIG_SIGN_SHAKEN, CONFIG_SIGN_NONE, CONFIG_SIGN_RFC4474, CONFIG_SIGN_BOTH };
/* CONFIG_IMS is known, and refused by the checks. */
enum config_peer_kind { CONFIG_PEERING, CONFIG_SUBSCRIPTION, CONFIG_GATEWAY, CONFIG_SITE, CONFIG_SERVER, CONFIG_IMS };

/* Callers of a subscriber that have none of its numbers. */
enum config_foreign { CONFIG_FOREIGN_REFUSE, CONFIG_FOREIGN_REPLACE };

/* Rules of their own for traffic of a peer's private network (RFC 7316; TR/100 recommendation 1). 0: as for its other traffic; else one more
 * than the value of the member that they stand for, but `require`, which is that value. */
struct config_private {
    int require, on_attack, verify, sign;
};
enum config_carries { CONFIG_CARRIES_ANY, CONFIG_CARRIES_PRIVATE, CONFIG_CARRIES_PUBLIC };

enum config_protection { CONFIG_PROTECTED_NO, CONFIG_PROTECTED_IPSEC, CONFIG_PROTECTED_VPN, CONFIG_PROTECTED_LOCK, CONFIG_PROTECTED_8021X };

struct config_peer { /* peer "carrier" { ... } */
    struct str name;
    enum config_peer_kind kind;
    struct config_strs domains;  /* request-URI domains that go to it; "*" for all others */
    struct str next_hop;         /* sip: or sips: URI; empty: RFC 3263 on the domain itself */
    struct str next_hop_secure;  /* used instead for requests that came by TLS or WSS, or are for sips; empty: next_hop */
    struct addr_net *sources;    /* allow-source: requests from here are this peer's without a certificate */
    size_t n_sources;
    struct config_strs certificate_names; /* names of which one must be in the peer's certificate (RFC 5922) */
    struct config_strs identities; /* domains it may speak for in From, and no tel: then; empty: any but ours */
    struct str ca;               /* anchors for it, both ways: no other CA vouches for its names. Empty: where it connects, those of
                                  * the listener's client_ca; else the system's */
    struct str certificate, key; /* what we show it; empty: our domain's */
    int revocation;              /* enum pki_revocation, both ways */
    struct str crl;              /* CRLs of the CAs under its anchors */
    int client_usage;            /* enum pki_client_usage, where it connects to us */
    int tls_min;
    struct str ciphers;
    bool allow_clear;            /* sip over UDP or TCP to and from it */
    bool allow_unverified;       /* its certificate is not checked */
    bool allow_last_hop_exception; /* RFC 3261's sips last-hop exception, RFC 5630 3.1.3 */
    bool allow_relay;            /* may send requests for any destination through us, not only for our domains */
    /* its hop is protected below SIP (TR/100 7.2.2): declared here, by whom and until when */
    int protected_by;            /* enum config_protection */
    struct str protected_until, protected_says;
    int hops_beyond;             /* 1: those behind it are encrypted, by agreement (TR/100 7.3) */
    struct config_private private; /* what else holds for its traffic of that */
    int carries;                 /* enum config_carries */
    struct str private_network;  /* domain of the private network whose traffic it carries (RFC 7316); empty: none */
    /* kind subscription: an account of ours with it */
    struct str trunk_user, password_file;
    struct str registrar;        /* domain that is registered with; empty: its first one */
    struct str auth_realm;       /* what its challenges are for; empty: the same */
    unsigned register_expires_s;
    struct str from_user;        /* who of our callers has no number is to it; empty: callers stay who they are */
    bool bulk_numbers;           /* one registration for all numbers (RFC 6140) */
    bool allow_md5;              /* its MD5 challenges are answered */
    /* ... or an account of its with us: we are the carrier, `numbers` are its own */
    struct str account;          /* user of ours, "trunk-7@carrier.example"; empty: none */
    int foreign_callers;         /* enum config_foreign */
    struct str main_number;      /* "+49301230" */
    unsigned max_calls;          /* 0: no limit */
    unsigned max_requests;       /* new ones a second; 0: no limit */
    struct config_strs numbers;  /* beginnings of numbers that go to it: "+4930" of E.164, "00" as dialled */
    unsigned priority, weight;   /* among several for one destination (RFC 2782) */
    unsigned check_interval_s;   /* 0: it is not asked whether it is there */
    enum config_verify verify_identity; /* what is done with Identity headers of its requests (RFC 8224 6.2) */
    enum config_sign sign_identity;
    bool sign_diversions;        /* signed requests that our users forward to it get a "div" (RFC 8946) */
    bool require_diversion_proof; /* its requests that are signed for others than they go to are refused without */
    enum config_verify verify_answers; /* ... of its responses: who was reached (RFC 9970) */
    bool sign_answers;
    bool allow_rfc4474;          /* signatures of RFC 4474, with SHA-1, count where there is no other, and may be made */
    bool allow_provider_identity; /* a service provider's code is authority enough for a number (RFC 8226 9) */
    bool rewrites_embedded;      /* "john_example1.com@its.domain" is john@example1.com via its.domain (TR/100 7.5.3) */
    bool rewrites_numbers;       /* numbers at its domains are of somewhere else */
    bool allow_asserted_identity; /* what it asserts is believed (RFC 3325) */
    bool assert_identity;        /* it is told whom we have authenticated, and keeps it private as we do */
    struct config_strs set_to; /* "Name: value": headers that requests to it get */
    struct config_strs remove_from, remove_to; /* names of headers that what it sends, and what it gets, loses */
    struct config_status status;
    struct config_media_side media;
};

struct config_identity { /* identity "example.com" { ... }: a key of the keeper's, and its certificate */
    struct str name;             /* the domain of ours for whose users it signs */
    struct str certificate;      /* PEM: leaf, then issuers */
    struct str key;              /* PEM file or pkcs11: URI; opened by the keeper alone */
    struct str url;              /* where others fetch the certificate: x5u */
    struct str rfc4474_certificate, rfc4474_key, rfc4474_url; /* the same with RSA, for who speaks nothing newer; empty: none */
    struct config_strs numbers;  /* number prefixes it may speak for besides what the certificate says */
    unsigned rate;               /* signatures a second */
    bool allow_any_number;       /* its provider code is authority enough */
};

struct config_emergency { /* emergency { ... } */
    struct str peer;           /* who takes urn:service:sos calls; empty: 503 with a log line */
    struct config_strs urns;   /* further URNs and dial strings that mean it ("112", "911") */
};

struct config_hep { /* hep { ... } */
    bool allow_mirror;         /* needed to mirror at all */
    struct addr collector;     /* UDP */
    uint32_t capture_id;
    struct str password;
    bool allow_secrets;        /* keys, credentials and bodies unredacted */
};

#define CONFIG_MEDIA_ADDRESSES_MAX 8u
struct config_media { /* media { ... } */
    struct config_strs address; /* local addresses for media, each with " advertise ADDRESS" of how others reach it; empty: none */
    struct str ports;           /* "30000-39999" */
    unsigned workers;           /* media threads; 0: one a core */
    unsigned wait_us;           /* how long packets may gather on a busy worker */
    unsigned silence_s;         /* a call without media for so long is ended; 0: never */
    unsigned one_sided_s;       /* ... without any of one side, its RTCP neither; 0: never */
    /* How fast a side may send: per second and section, in packets and kbit. 0: no limit */
    unsigned audio_packets, audio_kbit, video_packets, video_kbit;
};
/* The range; false: it is none. */
bool config_ports_parse(struct str text, uint16_t *ret_min, uint16_t *ret_max);
/* How many sockets media have when all ports are in use. */
uint64_t config_media_sockets(const struct config_media *m);
/* "192.0.2.1" or "10.0.0.1 advertise 192.0.2.1" */
bool config_media_address_parse(struct str text, struct addr *ret_local, struct addr *ret_advertised);
/* "2027-12-31": the first second after that day, since 1970; false: it is no date. */
bool config_date_parse(struct str text, uint64_t *ret_s);

struct config_allow { /* one weakening that is in force */
    struct str where; /* "listen udp:127.0.0.1:5060" */
    struct str option; /* "allow-clear", "revocation = off" */
    unsigned line;
};

struct config {
    unsigned refs; /* atomic */
    struct arena *arena;
    struct str file;
    struct str state_dir;       /* store, control socket, nonce and token keys */
    struct str store_file;      /* default state_dir/sallyport.db */
    struct str control_socket;  /* default state_dir/control */
    struct str run_as;          /* user to become after binding; empty: stay */
    unsigned workers;           /* 0: one per core */
    unsigned batch_wait_us;     /* how long messages may gather under load */
    enum log_level log_level;
    struct str server_header;   /* Server / User-Agent text; empty: none */
    struct addr metrics;        /* Prometheus listener; unset: none */
    bool has_metrics;
    struct config_strs user_certificates; /* of users who sign themselves: files, served at /users/USER@DOMAIN.pem */
    struct str identity_crl;    /* CRLs of every CA under them; empty: revocation is not checked */
    struct str identity_ca;     /* anchors for the certificates of signed identities; empty: none can be verified */
    int identity_revocation;    /* enum pki_revocation; with CRLs at least hard */
    uint32_t identity_freshness_s;
    unsigned rfc4474_rsa_bits;  /* keys of signatures with SHA-1 have as many at least */
    bool verify_smime;          /* signed bodies are looked at */
    struct str fetch_ca;        /* anchors for the servers that certificates are fetched from; empty: the system's */
    struct addr_net *fetch_from; /* special-purpose addresses that may be fetched from all the same */
    size_t n_fetch_from;
    struct str keeper_run_as;   /* user of the keeper; empty: the one that started the daemon */
    struct str keeper_log;      /* file; empty: standard error */
    int seccomp;                /* enum confine_mode */
    int tls_keys;               /* enum config_tls_keys: who has the keys of domains and peers */
    uint32_t tls_keys_rate;     /* signatures a second and key that the keeper makes with them; 0: no limit */
    struct str dns_server;      /* "127.0.0.1@5353"; empty: the system's */
    unsigned expiry_warn_days;
    /* overload: new requests are answered with 503 and Retry-After above these (0: built-in limit) */
    unsigned max_transactions, max_calls, overload_retry_s;
    unsigned guess_limit;       /* failed logins of a source before its requests are slowed */
    unsigned timer_c_s, call_max_s;
    struct config_listen *listens;
    size_t n_listens;
    struct config_domain *domains;
    size_t n_domains;
    struct config_peer *peers;
    size_t n_peers;
    struct config_identity *identities;
    size_t n_identities;
    struct config_emergency emergency;
    struct config_hep hep;
    struct config_media media;
    struct config_allow *allow;
    size_t n_allow;
};

/* Reads and checks the file. On failure *ret is NULL and each problem has been given to `problem` as one line
 * "file:line: what is wrong; what would be right". Certificate and key files are checked to be readable, fitting and in force. */
MUST_USE int config_load(const char *file, void (*problem)(void *arg, struct str line), void *arg, struct config **ret);
/* As config_load, and everything else that can be known before a start. `become` is called once the file has been read: it makes the
 * process the user that the daemon will be, as whom all files but those of the keeper are looked at. */
MUST_USE int config_check(const char *file, void (*become)(const struct config *c), void (*problem)(void *arg, struct str line), void *arg,
                          struct config **ret);
/* For commands that look for a running daemon (control_socket, state_dir): what can be understood of the file, with nothing checked
 * and no other file opened, since the daemon may run by an earlier, better state of it. ERR_IO: it cannot be read. */
MUST_USE int config_load_places(const char *file, struct config **ret);
/* As config_load, from memory (tests, fuzzing); relative files are taken from the current folder and not opened. */
MUST_USE int config_parse(struct str text, void (*problem)(void *arg, struct str line), void *arg, struct config **ret);
struct config *config_ref(struct config *c);
void config_unref(struct config *c); /* any thread */

const struct config_domain *config_domain_find(const struct config *c, struct str host); /* by name or alias alone; NULL */
/* Is its hop declared to be protected below SIP, now? And may signalling with it go in clear, for that reason or by allow-clear? */
bool config_peer_is_protected(const struct config_peer *p, uint64_t now_s);
bool config_peer_may_clear(const struct config_peer *p, uint64_t now_s);
const struct config_peer *config_peer_find(const struct config *c, struct str name);
/* What differs between two snapshots but cannot be changed while running (workers, state-dir ...): text for the log; n. */
size_t config_not_reloadable(const struct config *before, const struct config *after, struct str *ret, size_t cap);

/* The option rows, for the manual and the sample. */
struct config_row {
    const char *section; /* "" for the top */
    const char *name;
    const char *type;    /* "text", "number", "yes/no", "list", "file", "address", "one of a|b|c" */
    const char *def;     /* printed default */
    const char *unit;
    long min, max;
    bool reloadable;
    const char *clause;
    const char *sentence;
};
const struct config_row *config_rows(size_t *ret_n);
/* What is in force, option by option; secrets are not shown. The texts live during the call. */
struct config_value {
    const struct config_row *row;
    struct str title; /* of the section; empty if it has none */
    struct str value;
};
void config_each_value(const struct config *c, void (*fn)(void *arg, const struct config_value *v), void *arg);
void config_write_sample(void (*line)(void *arg, struct str line), void *arg);
void config_write_man(void (*line)(void *arg, struct str line), void *arg); /* roff of sallyport.conf(5) */

#endif
