/* The numbers in Prometheus' text format (version 0.0.4): every family with HELP and TYPE, labels from fixed sets only, or from the
 * configuration. Counters are those since the start of the process. Main thread. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sbuf.h"
#include "edge/peers/limits.h"
#include "edge/peers/peers.h"
#include "edge/status/status_priv.h"
#include "fetch/fetch.h"
#include "keeper/link.h"
#include <stdlib.h>
#include <time.h>

#define METRICS_MAX (256u << 10)

enum kind { COUNTER, GAUGE };

static void family(struct sbuf *b, enum kind kind, const char *name, const char *help)
{
    sbuf_fmt(b, "# HELP sallyport_%s %s\n# TYPE sallyport_%s %s\n", name, help, name, kind == COUNTER ? "counter" : "gauge");
}

static void sample(struct sbuf *b, const char *name, const char *label, struct str value, uint64_t v)
{
    size_t i;

    sbuf_fmt(b, "sallyport_%s", name);
    if (label) {
        sbuf_fmt(b, "{%s=\"", label);
        for (i = 0; i < value.n; i++) {
            if (value.p[i] == '"' || value.p[i] == '\\')
                sbuf_char(b, '\\');
            sbuf_char(b, value.p[i] == '\n' ? ' ' : value.p[i]);
        }
        sbuf_lit(b, "\"}");
    }
    sbuf_char(b, ' ');
    sbuf_u64(b, v);
    sbuf_char(b, '\n');
}

static void one(struct sbuf *b, enum kind kind, const char *name, const char *help, uint64_t v)
{
    family(b, kind, name, help);
    sample(b, name, NULL, STR_NULL, v);
}

/* A family with one sample a row: label value and number. */
struct labelled {
    const char *value;
    uint64_t v;
};
static void many(struct sbuf *b, enum kind kind, const char *name, const char *help, const char *label,
                 const struct labelled *rows, size_t n)
{
    size_t i;

    family(b, kind, name, help);
    for (i = 0; i < n; i++)
        sample(b, name, label, str_z(rows[i].value), rows[i].v);
}
#define MANY(b, kind, name, help, label, ...)                                                                         \
    do {                                                                                                              \
        const struct labelled rows_[] = {__VA_ARGS__};                                                                \
        many((b), (kind), (name), (help), (label), rows_, ARRAY_LEN(rows_));                                          \
    } while (0)

static void by_transport(struct sbuf *b, enum kind kind, const char *name, const char *help, const uint64_t v[TRANSPORT_N])
{
    static const char *const names[TRANSPORT_N] = {
        [TRANSPORT_UDP] = "udp", [TRANSPORT_TCP] = "tcp", [TRANSPORT_TLS] = "tls", [TRANSPORT_WS] = "ws", [TRANSPORT_WSS] = "wss"};
    unsigned i;

    family(b, kind, name, help);
    for (i = 0; i < TRANSPORT_N; i++)
        sample(b, name, "transport", str_z(names[i]), v[i]);
}

static void on_end(void *arg, const char *kind, struct str file, int64_t not_after)
{
    (void)kind;
    sample(arg, "tls_file_expiry_seconds", "file", file, (uint64_t)not_after);
}

static void put_process(struct sbuf *b, const struct edge *e, const struct edge_numbers *n)
{
    size_t i;
    bool any = false;

    family(b, GAUGE, "build_info", "The version that runs; always 1.");
    sample(b, "build_info", "version", STR(SALLYPORT_VERSION), 1);
    one(b, GAUGE, "start_time_seconds", "When the process started, in seconds since 1970.", clock_wall_of(e->started_s));
    one(b, GAUGE, "workers", "Signalling threads.", e->n_workers);
    one(b, GAUGE, "workers_silent", "Signalling threads that did not answer within a second.", n->silent);
    one(b, GAUGE, "weakenings", "Options that begin with allow- and are in force.", e->cfg->n_allow);
    one(b, COUNTER, "log_lines_dropped_total", "Log lines lost because they came faster than they could be written.",
        log_dropped());
    for (i = 0; i < e->cfg->n_listens && i < ARRAY_LEN(e->certs); i++) {
        if (!e->certs[i].file[0])
            continue;
        if (!any)
            family(b, GAUGE, "certificate_expiry_seconds", "When the certificate of a listener ends, in seconds since 1970.");
        any = true;
        sample(b, "certificate_expiry_seconds", "listen", e->cfg->listens[i].title, (uint64_t)e->certs[i].not_after);
    }
    if (any) {
        family(b, GAUGE, "tls_file_expiry_seconds",
               "When the first certificate of a file (or its first CRL) ends, in seconds since 1970: own, anchors, CRLs.");
        edge_certs_each_end(e->certificates, on_end, b);
    }
}

static void put_edge(struct sbuf *b, const struct edge_numbers *n)
{
    const uint64_t *c = n->counters, *r = n->responses;

    one(b, COUNTER, "requests_total", "Requests received.", c[EC_REQUESTS]);
    one(b, COUNTER, "responses_received_total", "Responses received.", c[EC_RESPONSES]);
    MANY(b, COUNTER, "responses_total", "Responses sent, by class.", "class", {"1xx", r[1]}, {"2xx", r[2]}, {"3xx", r[3]},
         {"4xx", r[4]}, {"5xx", r[5]}, {"6xx", r[6]});
    one(b, COUNTER, "clock_sets_total", "How many times the wall's clock was set by more than some seconds.", n->clock_sets);
    one(b, COUNTER, "forwarded_total", "Requests sent on.", c[EC_FORWARDED]);
    MANY(b, COUNTER, "dropped_total", "What was received and not acted upon, by reason.", "reason",
         {"not_parsed", c[EC_PARSE_DROPPED]}, {"malformed", c[EC_BAD_REQUESTS]}, {"loop", c[EC_LOOPS]},
         {"stray_response", c[EC_STRAYS]}, {"garbled_stream", c[EC_GARBAGE]}, {"too_large", c[EC_TOO_LARGE]},
         {"forged_token", c[EC_TOKENS_FORGED]}, {"overload", c[EC_OVERLOAD_503]});
    MANY(b, COUNTER, "authentications_total", "Digest authentication, by result.", "result", {"ok", c[EC_AUTH_OK]},
         {"challenged", c[EC_CHALLENGES]}, {"failed", c[EC_AUTH_FAILED]}, {"stale", c[EC_AUTH_STALE]},
         {"replayed", c[EC_AUTH_REPLAY]}, {"slowed", c[EC_GUESSES_SLOWED]});
    MANY(b, COUNTER, "registers_total", "REGISTER requests for our domains, by result.", "result", {"ok", c[EC_REGISTERS_OK]},
         {"refused", c[EC_REGISTERS_REFUSED]});
    MANY(b, COUNTER, "calls_total", "Calls, by what became of them.", "event", {"started", c[EC_CALLS_STARTED]},
         {"answered", c[EC_CALLS_ANSWERED]}, {"ended", c[EC_CALLS_ENDED]}, {"failed", c[EC_CALLS_FAILED]});
    MANY(b, COUNTER, "calls_by_level_total", "Answered calls that have ended, by security status (the lower of both sides).", "level",
         {"attacked", c[EC_LEVEL_ATTACKED]}, {"open", c[EC_LEVEL_OPEN]}, {"protected", c[EC_LEVEL_PROTECTED]},
         {"secure", c[EC_LEVEL_SECURE]}, {"end-to-end", c[EC_LEVEL_END_TO_END]});
    one(b, COUNTER, "calls_refused_by_status_total", "Calls refused by require-status or on-attack.", c[EC_STATUS_REFUSED]);
    one(b, COUNTER, "attacks_total", "Calls of which something signed or fingerprinted was contradicted.", c[EC_ATTACKS]);
    MANY(b, COUNTER, "identities_total", "Signed identities of requests, by verdict (RFC 8224 6.2).", "verdict",
         {"valid", c[EC_IDENTITY_VALID]}, {"absent", c[EC_IDENTITY_ABSENT]}, {"unverifiable", c[EC_IDENTITY_UNVERIFIABLE]},
         {"stale", c[EC_IDENTITY_STALE]}, {"broken", c[EC_IDENTITY_BROKEN]}, {"contradicted", c[EC_IDENTITY_CONTRADICTED]});
    MANY(b, COUNTER, "smime_total", "Signed and encrypted bodies of requests and answers, by verdict (RFC 3261 23, RFC 3893).", "verdict",
         {"names", c[EC_SMIME_NAMES]}, {"signed", c[EC_SMIME_SIGNED]}, {"encrypted", c[EC_SMIME_ENCRYPTED]},
         {"unverifiable", c[EC_SMIME_UNVERIFIABLE]}, {"stale", c[EC_SMIME_STALE]}, {"broken", c[EC_SMIME_BROKEN]},
         {"contradicted", c[EC_SMIME_CONTRADICTED]});
    MANY(b, COUNTER, "signatures_total", "Requests for other domains that were to be signed, by result.", "result",
         {"signed", c[EC_IDENTITY_SIGNED]}, {"not_signed", c[EC_IDENTITY_UNSIGNED]});
    one(b, COUNTER, "emergency_requests_total", "Requests for emergency services.", c[EC_EMERGENCY]);
    MANY(b, COUNTER, "handovers_total", "Messages that one worker read for another, by result.", "result",
         {"taken", c[EC_HANDOVERS]}, {"no_room", c[EC_HANDOVERS_LOST]});
    MANY(b, COUNTER, "mirrored_total", "Messages for the HEP collector, by result.", "result", {"sent", c[EC_TAP_SENT]},
         {"dropped", c[EC_TAP_DROPPED]});
}

/* What a silent worker holds is not known: then the families are absent, which is better than wrong. */
static void put_asked(struct sbuf *b, const struct edge_numbers *n)
{
    const struct sip_txl_stats *t = &n->tx;

    if (n->silent)
        return;
    one(b, GAUGE, "calls", "Calls under way.", n->calls);
    MANY(b, GAUGE, "transactions_open", "Transactions without final response.", "side", {"server", t->stx_open},
         {"client", t->ctx_open});
    MANY(b, GAUGE, "transactions_kept", "Transactions in memory.", "side", {"server", t->stx_now}, {"client", t->ctx_now});
    MANY(b, COUNTER, "transactions_total", "Transactions begun.", "side", {"server", t->stx_made}, {"client", t->ctx_made});
    MANY(b, COUNTER, "retransmissions_total", "Messages repeated.", "direction", {"in", t->retransmits_in},
         {"out", t->retransmits_out});
    MANY(b, COUNTER, "transactions_failed_total", "Client transactions without final response.", "reason",
         {"timeout", t->timeouts}, {"transport", t->transport_errors});
}

static void put_net(struct sbuf *b, const struct net_stats *n)
{
    by_transport(b, COUNTER, "messages_received_total", "SIP messages received.", n->msgs_in);
    by_transport(b, COUNTER, "messages_sent_total", "SIP messages sent.", n->msgs_out);
    by_transport(b, COUNTER, "received_bytes_total", "Bytes received.", n->bytes_in);
    by_transport(b, COUNTER, "sent_bytes_total", "Bytes sent.", n->bytes_out);
    by_transport(b, GAUGE, "connections", "Open connections.", n->conns_open);
    by_transport(b, COUNTER, "connections_accepted_total", "Connections accepted.", n->conns_accepted);
    by_transport(b, COUNTER, "connections_made_total", "Connections made by us.", n->conns_dialled);
    MANY(b, COUNTER, "connections_refused_total", "Connections closed at once.", "reason",
         {"source_limit", n->conns_refused_source}, {"full", n->conns_refused_full});
    MANY(b, COUNTER, "connections_closed_total", "Connections closed by us.", "reason", {"slow", n->conns_closed_slow},
         {"idle", n->conns_closed_idle}, {"queue_full", n->send_queue_overflows}, {"garbage", n->garbage});
    one(b, COUNTER, "tls_handshakes_failed_total", "TLS handshakes that did not succeed.", n->handshakes_failed);
    one(b, GAUGE, "tls_handshakes", "TLS handshakes under way.", n->handshakes_now);
    MANY(b, COUNTER, "tls_signatures_total", "Signatures that handshakes asked the keeper for, by result.", "result",
         {"signed", n->tls_signed}, {"failed", n->tls_not_signed});
    one(b, COUNTER, "datagrams_dropped_total", "Datagrams lost in front of us or behind us.", n->datagrams_dropped);
    one(b, COUNTER, "keepalives_total", "Keep-alives answered.", n->keepalives);
    one(b, COUNTER, "posts_dropped_total", "Messages between workers lost because a queue was full.", n->posts_dropped);
    one(b, COUNTER, "pages_total", "Pages given to plain GET requests on wss and ws listeners.", n->pages);
    MANY(b, COUNTER, "dns_total", "Lookups, by result.", "result", {"asked", n->dns_queries}, {"failed", n->dns_failures});
}

static void put_location(struct sbuf *b, const struct edge_numbers *n)
{
    const struct location_stats *l = &n->location;

    one(b, GAUGE, "users", "Users who may log in.", l->users);
    one(b, GAUGE, "users_registered", "Users with at least one registration.", l->aors_bound);
    by_transport(b, GAUGE, "registrations", "Contacts registered now.", l->by_transport);
    one(b, GAUGE, "registrations_secure", "Contacts registered over TLS or WSS.", l->secure);
    MANY(b, COUNTER, "registration_changes_total", "Changes of registrations.", "event", {"added", l->added},
         {"refreshed", l->refreshed}, {"removed", l->removed}, {"expired", l->expired}, {"flow_lost", l->flows_lost},
         {"out_of_order", l->conflicts}, {"over_limit", l->limits});
    one(b, GAUGE, "store_writable", "1 while the store can be written.", n->store.writable);
    one(b, GAUGE, "store_queued", "Changes that wait to be written.", n->store.queued);
    MANY(b, COUNTER, "store_changes_total", "Changes given to the store, by result.", "result", {"written", n->store.written},
         {"failed", n->store.failed}, {"dropped", n->store.dropped}, {"refused", l->store_refused});
}

static void put_refused(struct sbuf *b, struct edge *e)
{
    bool any = false;
    size_t i;

    for (i = 0; i < e->cfg->n_peers; i++) {
        const struct config_peer *p = &e->cfg->peers[i];
        const struct peer_state *at = p->max_requests ? peer_state_get(e, p) : NULL;
        struct peer_state s;

        if (!at)
            continue;
        peer_state_read(at, &s);
        if (!any)
            family(b, COUNTER, "peer_requests_refused_total", "Requests of a peer that were more than its max-requests.");
        any = true;
        sample(b, "peer_requests_refused_total", "peer", p->name, s.refused);
    }
}

static void put_peers(struct sbuf *b, struct edge *e)
{
    bool any = false;
    size_t i;

    for (i = 0; i < e->cfg->n_peers; i++) {
        if (!e->cfg->peers[i].check_interval_s)
            continue;
        if (!any)
            family(b, GAUGE, "peer_up", "0 while a peer does not answer its checks.");
        any = true;
        sample(b, "peer_up", "peer", e->cfg->peers[i].name, !peer_is_down(e, &e->cfg->peers[i]));
    }
    if (!e->cfg->n_peers)
        return;
    family(b, GAUGE, "peer_calls", "Calls under way with a peer.");
    for (i = 0; i < e->cfg->n_peers; i++)
        sample(b, "peer_calls", "peer", e->cfg->peers[i].name, peer_calls(e, &e->cfg->peers[i]));
    put_refused(b, e);
}

static void put_keys(struct sbuf *b, const struct edge *e)
{
    struct keeper_link_stats k;
    struct fetch_stats f;

    if (e->keeper) {
        keeper_link_stats(e->keeper, &k);
        one(b, GAUGE, "keeper_up", "1 while the process that has identity keys can sign.", k.is_up);
        one(b, GAUGE, "keeper_lost", "1 when it would not be started anew, for its parent has ended.", k.is_lost);
        one(b, GAUGE, "keeper_keys", "Keys that it has.", k.keys);
        one(b, COUNTER, "keeper_ended_total", "How often it ended and was started anew.", k.ended);
    }
    if (credentials_stats(e, &f)) {
        MANY(b, COUNTER, "fetches_total", "Certificates of others asked for, by what came of it.", "result", {"asked", f.asked},
             {"cached", f.hits}, {"transfer", f.transfers}, {"redirect", f.redirects}, {"failed", f.failed},
             {"refused", f.refused}, {"timeout", f.timeouts}, {"evicted", f.evicted});
        one(b, GAUGE, "fetches_running", "Transfers under way.", f.running);
        one(b, GAUGE, "fetch_cache_entries", "Answers kept.", f.cached);
        one(b, GAUGE, "fetch_cache_bytes", "Their size.", f.cached_bytes);
    }
}

/* The media plane, if calls are anchored at all. */
static void put_media(struct sbuf *b, const struct edge *e)
{
    struct labelled drops[RELAY_DROP_N], refused[RELAY_REFUSALS];
    struct relay_stats st;
    unsigned i;

    if (!e->relay)
        return;
    relay_stats(e->relay, &st);
    one(b, GAUGE, "media_calls", "Calls whose media pass through us.", st.calls);
    one(b, GAUGE, "media_ends", "Media of their legs and branches.", st.ends);
    MANY(b, GAUGE, "media_ports", "Port pairs for media.", "state", {"used", st.ports_used}, {"free", st.ports_free});
    one(b, GAUGE, "media_sockets", "Descriptors that media have open.", st.sockets);
    for (i = 0; i < RELAY_REFUSALS; i++)
        refused[i] = (struct labelled){relay_refusal_text((enum relay_refusal)i), st.refused[i]};
    many(b, COUNTER, "media_refused_total", "Media for which there was no port.", "reason", refused,
         RELAY_REFUSALS);
    MANY(b, COUNTER, "media_packets_total", "Media packets accepted, and sent on.", "direction", {"in", st.in_packets},
         {"out", st.out_packets});
    MANY(b, COUNTER, "media_bytes_total", "Their bytes.", "direction", {"in", st.in_bytes}, {"out", st.out_bytes});
    for (i = 0; i < RELAY_DROP_N; i++)
        drops[i] = (struct labelled){relay_drop_text((enum relay_drop)i), st.dropped[i]};
    many(b, COUNTER, "media_dropped_total", "Media packets not passed on.", "reason", drops, RELAY_DROP_N);
    MANY(b, COUNTER, "media_elsewhere_total", "Peers whose media come from another address than they describe.", "then",
         {"followed", st.followed}, {"refused", st.astray});
    one(b, COUNTER, "media_wakeups_total", "Turns of media threads.", st.wakeups);
}

char *edge_metrics_text(struct edge *e)
{
    struct edge_numbers n;
    struct sbuf b;
    char *text;

    if (edge_numbers_get(e, &n) != 0 || (text = mem_alloc(METRICS_MAX)) == NULL)
        return NULL;
    b = sbuf_make(text, METRICS_MAX);
    put_process(&b, e, &n);
    put_edge(&b, &n);
    put_asked(&b, &n);
    put_net(&b, &n.net);
    put_location(&b, &n);
    put_peers(&b, e);
    put_keys(&b, e);
    put_media(&b, e);
    sbuf_char(&b, 0);
    if (!b.overflow)
        return text;
    mem_free(text);
    return NULL;
}
