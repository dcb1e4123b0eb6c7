/* Every limit that a remote party can push against. Sizes in bytes, times in milliseconds. */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

/* Messages */
#define LIMIT_BUF_BYTES (1u << 20)        /* the largest single buffer of any kind */
#define LIMIT_MSG_BYTES 65535u            /* a SIP message, header and body (also UDP's own limit) */
#define LIMIT_MSG_HEADER_BYTES 49152u     /* start line and header fields together */
#define LIMIT_MSG_HEADERS 256u            /* header field lines in a message */
#define LIMIT_MSG_VALUES 128u             /* comma separated values in one header, all lines together */
#define LIMIT_MSG_ARENA_BYTES (512u << 10) /* what parsing and answering one message may allocate */
#define LIMIT_URI_BYTES 4096u
#define LIMIT_URI_PARAMS 32u
#define LIMIT_VIAS 70u           /* hops; RFC 3261 16.6 step 3 starts Max-Forwards at 70 */
#define LIMIT_BODY_PARTS 16u     /* parts of one multipart body, nesting counted in */
#define LIMIT_MULTIPART_DEPTH 4u /* nesting of multipart bodies */

/* S/MIME (RFC 5652, RFC 8551) */
#define LIMIT_CMS_BYTES 32768u   /* one signature, or what is inside of one */
#define LIMIT_CMS_ELEMENTS 2048u /* ASN.1 elements in it */
#define LIMIT_CMS_DEPTH 24u      /* their nesting; a certificate's names are at 9 */
#define LIMIT_CMS_DIGESTS 4u     /* digest algorithms that it announces */
#define LIMIT_SMIME_LAYERS 2u    /* S/MIME bodies of one message that are looked at */
#define LIMIT_SMIME_RATE 200u    /* signatures that a worker verifies in a second */
#define LIMIT_SMIME_SEEN 131072u  /* signed bodies remembered, all workers', while they are fresh */
#define LIMIT_SMIME_AGE_S 3600u  /* how old, or ahead, a signed body may be (RFC 3893 10, RFC 3261 23.4.2) */

/* Clocks */
#define LIMIT_CLOCK_STEP_S 5 /* a wall's clock that is set by more than that is told of */

/* Session descriptions */
#define LIMIT_SDP_BYTES LIMIT_MSG_BYTES
#define LIMIT_SDP_LINES 2048u
#define LIMIT_SDP_MEDIA 32u
#define LIMIT_SDP_FORMATS 128u /* of one m= line; payload types have 7 bits */

/* Streams */
#define LIMIT_STREAM_RECV_BYTES 65536u     /* bytes of one incomplete message on a connection */
#define LIMIT_STREAM_SEND_BYTES (1u << 20) /* bytes waiting to be written on one connection */
#define LIMIT_HANDSHAKE_MS 10000u
#define LIMIT_SLOW_MESSAGE_MS 10000u /* from the first byte of a message to its last */
#define LIMIT_IDLE_MS 900000u        /* a connection without a registration or traffic */
#define LIMIT_UNAUTH_IDLE_MS 30000u  /* a connection that never sent a valid message */
#define LIMIT_CONNECT_MS 8000u
#define LIMIT_SEND_STALL_MS 30000u   /* a connection that takes nothing of what is queued for it */
#define LIMIT_CONNS_WORKER 200000u
#define LIMIT_CONNS_SOURCE 1000u     /* connections of one source address (configurable) */
#define LIMIT_HANDSHAKES_WORKER 2000u /* handshakes under way at once */
#define LIMIT_POSTS_WORKER 262144u    /* messages from other threads that wait for a worker */

/* Transactions and forking */
#define LIMIT_TRANSACTIONS_WORKER 1000000u
#define LIMIT_FORK_BRANCHES 16u
#define LIMIT_MAX_BREADTH 60u /* RFC 5393 5.3.3.1 */
#define LIMIT_REDIRECTS 8u
#define LIMIT_TARGETS 32u
#define LIMIT_PEER_STATES 1024u           /* peers whose health is kept */
#define LIMIT_PEER_CHOICE 8u             /* peers for one destination that are tried in turn */

/* Authentication */
#define LIMIT_DIGEST_PARAMS 32u         /* parameters of one challenge or of one set of credentials */
#define LIMIT_DIGEST_VALUE_BYTES 1024u  /* each of their values; the uri may have LIMIT_URI_BYTES */

/* Media */
#define LIMIT_SRTP_KEYS 4u        /* master keys of one direction at a time, told apart by their MKI */
#define LIMIT_SRTP_SSRCS 64u      /* sources in one direction of one RTP session, under one run of keys */
#define LIMIT_SRTP_SSRCS_TOLD 8u  /* those whose rollover counter key management tells */
#define LIMIT_KEYING_SECTIONS 32u     /* m= lines of a leg that may have keys */
#define LIMIT_DTLS_HELLO_BYTES 8192u /* a ClientHello; today's have up to 1.8 KiB */
#define LIMIT_DTLS_HELLOS 4u         /* ClientHellos in pieces, in one medium */
#define LIMIT_DTLS_CANDIDATES 4u     /* handshakes of different sources at a time, on one path of a medium */
#define LIMIT_DTLS_ATTEMPTS 32u      /* handshakes on one path between two descriptions */
#define LIMIT_DTLS_QUEUE 64u         /* datagrams of one medium that wait to be sent */
#define LIMIT_RELAY_CALLS 100000u    /* calls with media through us */
#define LIMIT_ANCHORS_KEPT 1000u     /* calls of a worker that are over and are kept for the numbers of a transfer */
#define LIMIT_CALL_LEGS 200u         /* sides of negotiations of one of them: branches, forks of forks */
#define LIMIT_CALL_LATE 16u          /* answers to one of them that come too late and are hung up on */
#define LIMIT_RELAY_ENDS 256u        /* ends of one call: media times legs and branches */
#define LIMIT_RELAY_KEYS_QUEUE 64u   /* packets of key management of one leg that wait for the pool */
#define LIMIT_RELAY_PACKET 2048u     /* a longer datagram on a media port is dropped */
#define LIMIT_RELAY_LATCH_MS 5000u   /* after a description: the time in which clear media may show another address */
#define LIMIT_RELAY_MOVE_MS 2000u    /* silence after which authentic media may come from, and go to, another address */
#define LIMIT_RELAY_KEYS_RATE 200u   /* packets of key management that one end takes in a second */
#define LIMIT_RELAY_WAITING 256u     /* keys and packets to be sent, for one call, that wait for its worker */
#define LIMIT_ICE_CANDIDATES 32u     /* of the peer's in one m= section that are looked at */
#define LIMIT_ICE_SOURCES 8u         /* addresses that checks for one component come from */
#define LIMIT_SRTP_PROBES 1000u   /* packets tried with another rollover counter after keys are installed */

/* Signed identity (RFC 8224) */
#define LIMIT_ANSWERS 8u                   /* of one request: those that wait to be signed or judged, and those whose signature is kept */
#define LIMIT_IDENTITY_HEADERS 12u         /* Identity values of one message that are looked at */
#define LIMIT_IDENTITY_TOKENS 16u          /* the PASSporTs in them, those inside of others counted */
#define LIMIT_IDENTITY_NESTING 4u          /* "opt" in "opt" (RFC 8946 6) */
#define LIMIT_IDENTITY_VALUE_BYTES 16384u  /* one Identity value */
#define LIMIT_IDENTITY_URL_BYTES 1024u     /* of a certificate */
#define LIMIT_IDENTITY_KEYS 64u            /* fingerprints in "mky", and in the SDP */
#define LIMIT_IDENTITY_DESTS 16u           /* identities in "dest" */
#define LIMIT_IDENTITY_NUMBER 32u          /* characters of a canonical number; E.164 has 15 */
#define LIMIT_IDENTITY_SEEN 131072u        /* signatures remembered while they are fresh */
#define LIMIT_IDENTITY_USES 4u             /* requests with one signature that are remembered */
#define LIMIT_JSON_BYTES 16384u            /* JSON that strangers signed */
#define LIMIT_JSON_DEPTH 8u
#define LIMIT_JSON_NODES 512u
#define LIMIT_JSON_MEMBERS 64u             /* of one object */

/* Facts of a call's security status */
#define LIMIT_POLICY_PARTIES 32u           /* caller, callee, recorders, members of a conference */
#define LIMIT_POLICY_HOPS 8u               /* hops of ours, of one party */
#define LIMIT_POLICY_MEDIA LIMIT_SDP_MEDIA /* of one party */
#define LIMIT_FACTS_MEDIA 8u               /* m= lines of a call whose facts are kept */
#define LIMIT_CALLS_TOLD 256u              /* calls that have ended and can still be explained, a worker */
#define LIMIT_POLICY_TEXT 256u             /* bytes that are kept of an address or a name */

/* Certificates that speak for telephone numbers (RFC 8226) */
#define LIMIT_TNAUTH_BYTES 65536u
#define LIMIT_TNAUTH_ENTRIES 4096u
#define LIMIT_CLAIM_RULES 64u              /* names, and values of each, in a certificate */

/* Public keys of others: what a signature costs to check is theirs to choose */
#define LIMIT_RSA_BITS 4096u
#define LIMIT_RSA_EXPONENT_BITS 64u

/* Revocation (RFC 5280 5, RFC 6960) */
#define LIMIT_OCSP_BYTES 65536u       /* an answer, stapled or fetched */
#define LIMIT_OCSP_ANSWERS 64u        /* certificates that one answer is about */
#define LIMIT_CRL_BYTES (64u << 20)   /* a file of CRLs */
#define LIMIT_STATUS_ENTRIES 4096u    /* certificates whose status is remembered */
#define LIMIT_OCSP_WAITING 256u       /* questions to responders that wait, or are under way */
#define LIMIT_OCSP_AT_ONCE 8u
#define LIMIT_OCSP_PATIENCE_MS 2000u  /* how long a signature waits for what is said of its certificate, once */
#define LIMIT_STATUS_LOOK_MS 60000u   /* between two looks at what is said of a certificate in use */
#define LIMIT_OCSP_MS 10000u          /* one of them, name lookup and all */

/* Subscriptions of phones to the status of their calls, a worker; and of one user */
#define LIMIT_STATUS_SUBS 16384u
#define LIMIT_STATUS_SUBS_USER 8u

/* Certificates of users that we serve, for phones that sign themselves */
#define LIMIT_USER_CERTS 192u

/* The keeper of private keys, and what it is asked */
#define LIMIT_KEEPER_KEYS 64u
#define LIMIT_KEEPER_TLS_KEYS 512u
#define LIMIT_KEEPER_NAME 64u           /* bytes of a key's name */
#define LIMIT_KEEPER_FRAME 32768u       /* one request or answer */
#define LIMIT_KEEPER_WAITING 4096u      /* signatures that one worker waits for */
#define LIMIT_KEEPER_MS 2000u           /* for one of them */
#define LIMIT_SIGNING_WORKER 64u        /* handshakes of one worker that wait for the keeper at once; each has a stack */
#define LIMIT_SIGNING_STACK (256u << 10)

/* What is fetched from places that strangers name */
#define LIMIT_CERT_CHAIN_BYTES 65536u
#define LIMIT_HTTPS_BYTES 65536u
#define LIMIT_HTTPS_REDIRECTS 3u
#define LIMIT_HTTPS_MS 5000u            /* redirects and waiting for a turn counted in */
#define LIMIT_HTTPS_RUNNING 64u         /* transfers at once */
#define LIMIT_HTTPS_RUNNING_HOST 4u     /* ... from one host */
#define LIMIT_HTTPS_ASKED 4096u         /* addresses that are waited for */
#define LIMIT_HTTPS_WAITERS 65536u      /* ... and those who wait */
#define LIMIT_HTTPS_CACHED 4096u        /* answers kept, good and bad */
#define LIMIT_HTTPS_CACHED_BYTES (32u << 20)
#define LIMIT_HTTPS_FRESH_MIN_S 60u     /* a good answer is kept at least, and at most, so long */
#define LIMIT_HTTPS_FRESH_MAX_S 86400u
#define LIMIT_HTTPS_BAD_S 30u           /* a bad one */
#define LIMIT_CREDENTIALS 2048u         /* of others, made ready, in one worker */

/* Registrar */
#define LIMIT_CONTACTS_AOR 10u
#define LIMIT_FLOWS_CONTACT 8u
#define LIMIT_CONTACT_BYTES 1024u /* of a contact's URI; its parameters may have as many again */
#define LIMIT_PATH_BYTES 2048u    /* all Path values of a registration */
#define LIMIT_INSTANCE_BYTES 256u
#define LIMIT_CALL_ID_BYTES 512u /* of a registration */
#define LIMIT_USER_AGENT_BYTES 64u /* what is kept of it */
#define LIMIT_EXPIRES_MIN_S 60u
#define LIMIT_EXPIRES_MAX_S 7200u

/* Names and lookups */
#define LIMIT_DNS_MS 5000u
#define LIMIT_DNS_RECORDS 32u
#define LIMIT_DNS_WAITING 10000u

/* Configuration */
#define LIMIT_CONFIG_BYTES (4u << 20)

#endif
