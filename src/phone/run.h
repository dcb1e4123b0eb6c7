/* A phone in a process of its own: what `sallyport phone` runs. The options are what the command
 * line says; the result is the exit status. */
#ifndef PHONE_RUN_H
#define PHONE_RUN_H

#include "keying/keying.h"
#include "phone/anchors.h"
#include "phone/out.h"
#include "phone/phone.h"
#include "phone/signer.h"
#include "phone/sound.h"

enum phone_exit {
    PHONE_OK = 0,             /* everything went as asked */
    PHONE_NOT_REGISTERED = 1, /* no registration, or no phone at all */
    PHONE_USAGE = 2,          /* the arguments make no sense, as with every command */
    PHONE_CALL_FAILED = 4,
    PHONE_MEDIA_MISSING =
        5, /* the call came about, but not the sound or the digits that were to come */
    PHONE_TEXT_FAILED =
        6 /* a message or a ping was not answered with a 2xx, or the expected one did not come */
};

/* What it is to do, in this order: register, send the message, ping, call or wait for calls, leave.
 * Times in milliseconds, 0: not. */
struct phone_script {
    struct str message, message_to; /* message_to empty: none */
    struct str ping;
    struct str call;
    unsigned answer; /* calls to be answered before it leaves */
    unsigned reject; /* a status: incoming calls are refused with it */
    bool register_only;
    uint64_t
        wait_ms; /* how long for the first incoming call, or an expected message; 0: for ever */
    uint64_t answer_after_ms;
    uint64_t duration_ms; /* of a call, from its answer; of the registration with register_only; 0:
                             till the other side hangs up */
    uint64_t ring_ms;     /* how long we let it ring before we give up */
    uint64_t cancel_after_ms, hold_after_ms, resume_after_ms, refer_after_ms;
    struct str dtmf, expect_dtmf;
    uint64_t dtmf_after_ms;
    struct str refer_to;
    struct str expect_text;
    bool expects_text;
    unsigned expect_status; /* the call is to fail with this */
};

struct phone_run {
    struct phone_config phone; /* tls, listener and local are filled in */
    struct phone_script script;
    struct sound_config sound;
    struct str codecs;
    struct keying_policy keying; /* its identity is filled in */
    bool json, trace, quiet;
    const char *ca, *cert, *key; /* PEM files; NULL: the system's anchors, no certificate of ours */
    struct phone_signer_args signer;    /* cert NULL: we sign nothing; now_s is filled in */
    struct phone_anchors_args anchors;  /* ca NULL: we verify nothing ourselves */
    int tls_min;                 /* 12 or 13; 0: 12 */
    const char *dns;             /* "127.0.0.1@5353"; NULL: the system's */
    struct addr bind;            /* UDP: where to; unset: any */
};

/* Blocks until it is done, or SIGINT or SIGTERM comes: then the call is ended and the binding
 * removed. */
int phone_run(struct phone_run *run);

#endif
