/* What the two halves of the scenario player share: player.c (the file, its variables, the edge and its surroundings) and
 * player_party.c (what a party sends and what it expects). */
#ifndef SCENARIO_PLAYER_H
#define SCENARIO_PLAYER_H

#include "base/err.h"
#include "edge/edge_worker.h"
#include "sim.h"
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#define LINES_MAX 4000
#define VARS_MAX 128

struct var {
    char name[64];
    char value[2048];
};

struct dialog { /* what a party knows of its one call at a time */
    char call_id[128], local_tag[64], remote_tag[128], remote_uri[512], local_uri[256], routes[4096], target[512];
    unsigned cseq;
    char last_request[16384]; /* as sent, for `again`, `auth`, `cancel` */
    char last_method[32];
    char invite[16384];
    unsigned invite_cseq;
};

struct player {
    const char *file;
    char *lines[LINES_MAX];
    unsigned n_lines, at;
    struct sim sim;
    struct edge edge;
    struct edge_worker *w;
    bool started;
    struct var vars[VARS_MAX];
    unsigned n_vars, n_users;
    struct dialog dialog[SIM_PARTIES];
    char password[SIM_PARTIES][64], login[SIM_PARTIES][64];
    char answered[SIM_PARTIES][2048]; /* the credentials it gave last */
    struct digest_ha1 ha1[SIM_PARTIES];
    char received[SIM_PARTIES][16384]; /* the last message each party took */
    char received_request[SIM_PARTIES][16384];
    struct { /* the last one of each method, for answers that come later */
        char method[16], text[16384];
    } received_method[SIM_PARTIES][8];
    char dir[64];
    char config[16384];
    unsigned serial;
    struct arena *scratch[8]; /* memory of the step that runs */
    bool is_trial;            /* a step that does not hold ends the trial, not the program */
    jmp_buf end_of_trial;
};

extern struct player P;

__attribute__((noreturn)) void fail(const char *fmt, ...) PRINTF_LIKE(1, 2);
struct arena *scratch_new(void);
void scratch_free(struct arena *a);
void var_set(const char *name, struct str value);
void expand(char *dst, size_t cap, const char *src); /* with its variables' values */
struct sim_party *party(const char *name);
void block(char *dst, size_t cap);                            /* the lines up to a single dot */
uint64_t duration(const char *t);                              /* in milliseconds */
void extra_lines(char *words_end, char *dst, size_t cap);     /* ... if the step's line ends with ':' */

/* player_identity.c */
void step_credential(char **word, unsigned n);
void step_passport(char **word, unsigned n);
void step_rfc4474(char **word, unsigned n, char *line_end);
void step_own(char **word, unsigned n);
void check_signed_by(const struct sip_msg *m, const char *name);
void step_signer(char **word, unsigned n);
void identity_signer_on(void);
void identity_none_left(void); /* nothing of them is held any more */
void identity_stop(void);

void identity_credentials_on(void); /* whoever has certificates is there */

/* player_smime.c */
struct edge_credentials;
struct pki_anchors *smime_anchors(struct edge_credentials *self);
void step_smime_user(char **word, unsigned n);
void step_smime(char **word, unsigned n);
void step_date(char **word, unsigned n);
void step_next_call(char **word, unsigned n);
void smime_stop(void);

/* player_media.c */
void step_media(char **word, unsigned n);
void step_ice_check(char **word, unsigned n);
void step_media_later(const char *time);

/* player_party.c */
unsigned party_index(const struct sim_party *p);
bool take(struct sim_party *p, char *dst, size_t cap); /* the next message that waits for it; false: none does */
const char *first_line(const char *text);
void step_party_verb(struct sim_party *p, char **word, unsigned n, char *line_end);

#endif
