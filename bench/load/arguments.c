/* The command line of sipload. One thread. */
#include "load.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static void usage(void)
{
    fputs(
        "usage: sipload call|register|options|connect|idle [option...]\n"
        "  --proto udp|tcp|tls        transport to the server (udp)\n"
        "  --server ADDRESS:PORT      (127.0.0.1:5060, for TLS 5061)\n"
        "  --uas ADDRESS:PORT         call: where the callee listens (127.0.0.1:17060, TLS 17061)\n"
        "  --cert FILE --key FILE     call over TLS: the callee's certificate\n"
        "  --domain NAME              (bench.test)\n"
        "  --links N                  sockets or connections to the server (1)\n"
        "  --bind PORT                bind the first link to this local port, the next to the "
        "next\n"
        "  --in-flight N              closed loop (64)\n"
        "  --rate N                   fixed offered rate, units a second\n"
        "  --warm S, --seconds S      warm-up and measured time (1, 3)\n"
        "  --once                     register each user, or call each callee, once, instead of by "
        "time\n"
        "  --users N --first-user N   users u0.. with passwords pw0.. (10000, 0)\n"
        "  --callee-users             call users uN of the domain, not calleeN\n"
        "  --from-domain NAME         call: of the caller (trunk.bench.test)\n"
        "  --identity numbers|expect|sign  call: telephone numbers call each other; and there must be\n"
        "                             an Identity at the callee; and it is signed here\n"
        "  --id-key FILE --id-url URL   ... by this key, whose certificate is found there\n"
        "  --algorithm md5|sha-256    register: the digest that is answered (md5)\n"
        "  --gather                   write what one turn sends on a connection at once\n"
        "  --lose PERCENT             UDP: throw away so many of the datagrams that arrive\n"
        "  --keep-nonce               register: go on with the nonce of the last challenge\n"
        "  --options-first            connect: an OPTIONS instead of a registration\n"
        "  --one-address              connect, idle: all from 127.0.0.1 instead of 200 loopback "
        "addresses\n"
        "  --phones N --hold S        idle: how many and how long they are watched (5000, 5)\n"
        "  --timeout MS               a unit that takes longer has failed (8000)\n"
        "  --pid PID                  measure this process and its descendants\n"
        "  --label TEXT               repeated in the result\n",
        stderr);
}

static bool address_scan(const char *text, struct sockaddr_in *ret_addr)
{
    char host[64];
    const char *colon = strrchr(text, ':');
    long port;

    if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
        return false;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    port = strtol(colon + 1, NULL, 10);
    *ret_addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    /* This program makes load: it talks to its own machine only. */
    return port > 0 && port < 65536 && inet_pton(AF_INET, host, &ret_addr->sin_addr) == 1 &&
           ntohl(ret_addr->sin_addr.s_addr) >> 24 == 127;
}

static const struct scenario *const scenarios[] = {
    &scenario_call, &scenario_register, &scenario_options, &scenario_connect, &scenario_idle};

enum {
    OPT_PROTO = 1,
    OPT_SERVER,
    OPT_UAS,
    OPT_CERT,
    OPT_KEY,
    OPT_DOMAIN,
    OPT_LINKS,
    OPT_BIND,
    OPT_IN_FLIGHT,
    OPT_RATE,
    OPT_WARM,
    OPT_SECONDS,
    OPT_ONCE,
    OPT_USERS,
    OPT_FIRST,
    OPT_CALLEES,
    OPT_FROM_DOMAIN,
    OPT_IDENTITY,
    OPT_ID_KEY,
    OPT_ID_URL,
    OPT_ALGORITHM,
    OPT_KEEP,
    OPT_GATHER,
    OPT_LOSE,
    OPT_OPTIONS_FIRST,
    OPT_ONE_ADDRESS,
    OPT_PHONES,
    OPT_HOLD,
    OPT_TIMEOUT,
    OPT_PID,
    OPT_LABEL
};

static const struct option long_options[] = {{"proto", 1, NULL, OPT_PROTO},
                                             {"server", 1, NULL, OPT_SERVER},
                                             {"uas", 1, NULL, OPT_UAS},
                                             {"cert", 1, NULL, OPT_CERT},
                                             {"key", 1, NULL, OPT_KEY},
                                             {"domain", 1, NULL, OPT_DOMAIN},
                                             {"links", 1, NULL, OPT_LINKS},
                                             {"bind", 1, NULL, OPT_BIND},
                                             {"in-flight", 1, NULL, OPT_IN_FLIGHT},
                                             {"rate", 1, NULL, OPT_RATE},
                                             {"warm", 1, NULL, OPT_WARM},
                                             {"seconds", 1, NULL, OPT_SECONDS},
                                             {"once", 0, NULL, OPT_ONCE},
                                             {"users", 1, NULL, OPT_USERS},
                                             {"first-user", 1, NULL, OPT_FIRST},
                                             {"callee-users", 0, NULL, OPT_CALLEES},
                                             {"from-domain", 1, NULL, OPT_FROM_DOMAIN},
                                             {"identity", 1, NULL, OPT_IDENTITY},
                                             {"id-key", 1, NULL, OPT_ID_KEY},
                                             {"id-url", 1, NULL, OPT_ID_URL},
                                             {"algorithm", 1, NULL, OPT_ALGORITHM},
                                             {"gather", 0, NULL, OPT_GATHER},
                                             {"lose", 1, NULL, OPT_LOSE},
                                             {"keep-nonce", 0, NULL, OPT_KEEP},
                                             {"options-first", 0, NULL, OPT_OPTIONS_FIRST},
                                             {"one-address", 0, NULL, OPT_ONE_ADDRESS},
                                             {"phones", 1, NULL, OPT_PHONES},
                                             {"hold", 1, NULL, OPT_HOLD},
                                             {"timeout", 1, NULL, OPT_TIMEOUT},
                                             {"pid", 1, NULL, OPT_PID},
                                             {"label", 1, NULL, OPT_LABEL},
                                             {NULL, 0, NULL, 0}};

static bool number_option(const char *text, unsigned long min, unsigned long max, unsigned *ret_n)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    *ret_n = (unsigned)n;
    return *text != '\0' && *end == '\0' && n >= min && n <= max;
}

static bool word_option(const char *text, const char *const *words, int *ret_index)
{
    for (int i = 0; words[i] != NULL; i++)
        if (strcmp(text, words[i]) == 0) {
            *ret_index = i;
            return true;
        }
    return false;
}

static bool option_take(struct options *o, int id, const char *arg)
{
    static const char *const protos[] = {"udp", "tcp", "tls", NULL};
    static const char *const kinds[] = {"md5", "sha-256", NULL};
    static const char *const identities[] = {"none", "numbers", "expect", "sign", NULL};
    unsigned n = 0;
    int index = 0;
    bool ok = true;

    switch (id) {
    case OPT_PROTO:
        ok = word_option(arg, protos, &index);
        o->proto = (enum proto)index;
        break;
    case OPT_ALGORITHM:
        ok = word_option(arg, kinds, &index);
        o->kind = (enum digest_kind)index;
        break;
    case OPT_IDENTITY:
        ok = word_option(arg, identities, &index);
        o->identity = (enum identity)index;
        break;
    case OPT_FROM_DOMAIN:
        o->from_domain = arg;
        ok = strlen(arg) < 64;
        break;
    case OPT_ID_KEY:
        o->id_key = arg;
        break;
    case OPT_ID_URL:
        o->id_url = arg;
        ok = strlen(arg) < 128;
        break;
    case OPT_SERVER:
        return address_scan(arg, &o->server);
    case OPT_UAS:
        return address_scan(arg, &o->uas);
    case OPT_CERT:
        o->cert = arg;
        break;
    case OPT_KEY:
        o->key = arg;
        break;
    case OPT_DOMAIN:
        o->domain = arg;
        ok = strlen(arg) < 64;
        break;
    case OPT_LABEL:
        o->label = arg;
        break;
    case OPT_LINKS:
        return number_option(arg, 1, 10000, &o->links);
    case OPT_IN_FLIGHT:
        return number_option(arg, 1, LOAD_SLOTS / 4, &o->in_flight);
    case OPT_RATE:
        return number_option(arg, 1, 1000000, &o->rate);
    case OPT_USERS:
        return number_option(arg, 1, 1000000, &o->users);
    case OPT_FIRST:
        return number_option(arg, 0, 1000000, &o->first_user);
    case OPT_PHONES:
        return number_option(arg, 1, 60000, &o->phones);
    case OPT_TIMEOUT:
        return number_option(arg, 10, 60000, &o->timeout_ms);
    case OPT_BIND:
        ok = number_option(arg, 1, 65535, &n);
        o->bind_port = (uint16_t)n;
        break;
    case OPT_PID:
        ok = number_option(arg, 1, 1u << 30, &n);
        o->pid = (int)n;
        break;
    case OPT_WARM:
        o->warm_s = strtod(arg, NULL);
        return o->warm_s >= 0 && o->warm_s <= 600;
    case OPT_SECONDS:
        o->seconds = strtod(arg, NULL);
        return o->seconds > 0 && o->seconds <= 3600;
    case OPT_HOLD:
        o->hold_s = strtod(arg, NULL);
        return o->hold_s > 0 && o->hold_s <= 3600;
    case OPT_ONCE:
        o->once = true;
        break;
    case OPT_CALLEES:
        o->callee_users = true;
        break;
    case OPT_LOSE:
        return number_option(arg, 0, 90, &o->lose_percent);
    case OPT_GATHER:
        o->gather = true;
        break;
    case OPT_KEEP:
        o->keep_nonce = true;
        break;
    case OPT_OPTIONS_FIRST:
        o->options_first = true;
        break;
    case OPT_ONE_ADDRESS:
        o->spread = false;
        break;
    default:
        return false;
    }
    return ok;
}

static bool options_fill(struct load *l, int argc, char **argv)
{
    struct options *o = &l->opt;
    int id;

    *o = (struct options){.label = "",
                          .domain = "bench.test",
                          .from_domain = "trunk.bench.test",
                          .in_flight = 64,
                          .users = 10000,
                          .phones = 5000,
                          .warm_s = 1,
                          .seconds = 3,
                          .hold_s = 5,
                          .timeout_ms = 8000,
                          .spread = true};
    while ((id = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (!option_take(o, id, optarg)) {
            fprintf(stderr, "sipload: bad option or value near '%s'\n", argv[optind - 1]);
            return false;
        }
    }
    if (optind + 1 != argc)
        return false;
    o->scenario = argv[optind];
    for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++)
        if (strcmp(o->scenario, scenarios[i]->name) == 0)
            l->scenario = scenarios[i];
    if (l->scenario == NULL)
        return false;
    bool own_links = l->scenario->ready != NULL;
    if (own_links && o->proto == PROTO_UDP)
        o->proto = PROTO_TLS;
    if (own_links)
        o->links = 0;
    else if (o->links == 0)
        o->links = 1;
    if (o->server.sin_port == 0)
        address_scan(o->proto == PROTO_TLS ? "127.0.0.1:5061" : "127.0.0.1:5060", &o->server);
    if (o->uas.sin_port == 0)
        address_scan(o->proto == PROTO_TLS ? "127.0.0.1:17061" : "127.0.0.1:17060", &o->uas);
    if (l->scenario == &scenario_call && o->proto == PROTO_TLS &&
        (o->cert == NULL || o->key == NULL)) {
        fprintf(stderr, "sipload: call over TLS needs --cert and --key for the callee\n");
        return false;
    }
    if (o->identity == IDENTITY_SIGN && (o->id_key == NULL || o->id_url == NULL)) {
        fprintf(stderr, "sipload: --identity sign needs --id-key and --id-url\n");
        return false;
    }
    return true;
}

bool options_scan(struct load *l, int argc, char **argv)
{
    if (options_fill(l, argc, argv))
        return true;
    usage();
    return false;
}
