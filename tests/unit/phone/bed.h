/* A phone on the simulated net, a server that is the test itself, and media that only notes what it
 * is told. */
#ifndef TESTS_UNIT_PHONE_BED_H
#define TESTS_UNIT_PHONE_BED_H

#include "check.h"

#include "phone/phone_priv.h"
#include "sim.h"

#define BED_LOG 8192

struct bed {
    struct sim sim;
    struct sim_party *server;
    struct phone_config cfg;
    struct phone_out out;
    struct phone *phone;
    struct arena *arena; /* of the messages the test reads */
    char log[BED_LOG];   /* what the phone told: "registered 3600;ringing 180;..." */
    phone_call_id call;  /* the last one told of */
    /* media */
    unsigned n_open, n_agreed;
    enum sdp_dir dir;
    char remote[256]; /* the other side's last description, cut */
    int agree_error, open_error, answer_error, check_error;
    unsigned branch, n_rollback, n_settled, ways_left;
    bool has_failed, has_print; /* a fingerprint in our descriptions */
    bool is_dialling;
    char dialled[32];
    struct phone_media_user media_user;
};

extern struct bed bed;

int bed_setup(void **state); /* phone made, not started */
int bed_teardown(void **state);
void bed_start(void);    /* made anew with bed.cfg as the test has changed it, and started */
void bed_register(void); /* ... and registered, with a challenge by SHA-256 */

/* The next message from the phone, which must be this request (or response: a status as text);
 * NULL: anything. */
struct sip_msg *bed_take(const char *method);
void bed_nothing(void); /* none is waiting */
bool bed_has(void);
/* Answers a request of the phone's: extra header lines "Name: value\n..." (NULL: none), a body
 * (NULL: none). The To tag is "srv". */
void bed_reply(const struct sip_msg *m, unsigned status, const char *extra, const char *body);
void bed_reply_tag(const struct sip_msg *m, unsigned status, const char *tag, const char *extra,
                   const char *body);
/* Delivers text ('\n' becomes CRLF) as it is. */
void bed_deliver(const char *text);
/* A request to the phone: %s of the Request-URI is its contact. `to_tag` may be NULL. Further
 * header lines and body as above. */
void bed_request(const char *method, unsigned cseq, const char *branch, const char *to_tag,
                 const char *extra, const char *body);
/* The same from the side of a call the phone made: its Call-ID and tags. */
void bed_in_dialog(const struct sip_msg *invite, const char *method, unsigned cseq,
                   const char *branch, const char *extra, const char *body);
void bed_wait(uint64_t ms);
const char *bed_header(const struct sip_msg *m, const char *name); /* "" if absent */
void bed_told(const char *expected); /* exactly this since the last look */
bool bed_was_told(const char *part);
/* The challenge of the server, and a check that credentials answer it for this password. */
#define BED_CHALLENGE                                                                              \
    "WWW-Authenticate: Digest realm=\"example.com\", nonce=\"n1\", algorithm=SHA-256, "            \
    "qop=\"auth\"\n"
bool bed_knows(const struct sip_msg *m, const char *header, const char *password);

/* A net that takes everything and says nothing, without memory of its own: for running out of
 * memory. */
void bed_net_null(struct net *ret);

#define SDP                                                                                        \
    "v=0\no=- 1 1 IN IP4 192.0.2.9\ns=-\nc=IN IP4 192.0.2.9\nt=0 0\nm=audio 4000 RTP/AVP 8\n"

#endif
