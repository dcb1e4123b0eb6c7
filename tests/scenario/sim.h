/* The simulated implementation of net.h: no sockets, virtual time, a fixed random source. Parties of a scenario are addresses; what
 * the edge sends to one is kept in its queue until the scenario looks at it or lets it be lost. */
#ifndef SCENARIO_SIM_H
#define SCENARIO_SIM_H

#include "base/fault.h"
#include "config/config.h"
#include "net/worker.h"

#define SIM_PARTIES 16
#define SIM_QUEUE 256

struct sim_msg {
    struct buf *buf;
    uint64_t at_ms;
};

struct sim_party {
    char name[32];
    enum transport transport;
    struct addr addr;
    uint16_t listener;  /* NET_LISTENER_GONE once a reload has removed it */
    struct addr local;  /* ... what it was, then */
    bool dialled;       /* the edge connects to it; else it connects to the edge */
    bool is_opening;    /* by the edge: nothing is known of the hop before it has said something */
    flow_id flow;       /* 0: none open */
    bool refuses;       /* connections to it fail */
    bool is_tls12;      /* speaks nothing newer */
    bool is_foreign_ca; /* the CA of its certificate is another peer's: it may connect, and vouches for none of its names */
    bool silent;        /* datagrams to it get an ICMP error */
    struct hop_facts hop;
    struct str cert_names[4];
    char cert_text[256];
    void *flow_user;
    struct addr alias;  /* RFC 5923: where it can be found, as net_alias says */
    unsigned lose;      /* so many of the next messages to it are lost */
    struct sim_msg queue[SIM_QUEUE];
    unsigned head, n;
};

struct sim_dns { /* one scripted result of net_locate */
    char host[128];
    struct net_target v[8];
    size_t n;
    bool dead; /* never answers within the time limit: dns-timeout */
};

struct sim {
    struct net net;
    uint64_t now_ms, wall0_s;
    int64_t wall_jump_s; /* by how much the wall's clock has been set since */
    struct sim_party party[SIM_PARTIES];
    unsigned n_parties;
    struct sim_dns dns[16];
    unsigned n_dns;
    struct list later; /* what happens when the current call has returned */
    struct list unanswered; /* lookups that nobody answers */
    struct locator *locator; /* only its memory of targets that failed */
    uint32_t gen;
    uint64_t next_id;
    struct addr listener_addr[32];
    enum transport listener_transport[32];
    unsigned n_listeners;
    /* Allocations failing in turn: only those of the edge, never those of the player. */
    bool has_faults, has_fired;
    size_t fault_at, fault_n;
};

/* Around every call into the edge; what the simulated net does in between is not counted. */
void sim_faults_on(struct sim *s);
void sim_faults_off(struct sim *s);

MUST_USE int sim_init(struct sim *s);
void sim_done(struct sim *s);
struct sim_party *sim_find(struct sim *s, const char *name);
/* Delivers bytes from a party to the edge and runs what follows at this moment. */
void sim_deliver(struct sim *s, struct sim_party *p, struct str bytes);
void sim_open(struct sim *s, struct sim_party *p);  /* the party connects (TCP, TLS, WS, WSS) */
void sim_close(struct sim *s, struct sim_party *p); /* ... and goes */
void sim_advance(struct sim *s, uint64_t ms);
/* As net does it: connections outlive their listener. */
void sim_relisten(struct sim *s, const struct config_listen *v, size_t n);
void sim_settle(struct sim *s); /* runs what was put off, without moving the clock */

#endif
