/* Messages of a server that means no good, to a phone that has registered and made a call: cut at
 * lines "%%%", delivered one after the other, a second apart. Randomness is fixed, so that seeds
 * can name the phone's own tags. "@" at the beginning of a piece answers or rings: "@a" answers a
 * call, "@h" hangs up, "@o" holds, "@r" transfers. */
#include "base/mem.h"
#include "phone/media.h"
#include "phone/out.h"
#include "phone/phone.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* ---- a net and media of nothing ---- */

static struct addr here, there;
static phone_call_id last;

static int net_send_(struct net *net, const struct path *to, struct buf *msg)
{
    (void)net;
    (void)to;
    (void)msg;
    return 0;
}

static int net_connect_(struct net *net, const struct net_connect_args *args, flow_id *ret_flow,
                        struct path *ret_path)
{
    (void)net;
    *ret_flow = 7;
    *ret_path = (struct path){
        .transport = args->transport, .flow = 7, .local = here, .remote = args->remote};
    return 0;
}

static void net_close_(struct net *net, flow_id flow, enum net_close_why why)
{
    (void)net;
    (void)flow;
    (void)why;
}

static void net_set_idle_(struct net *net, flow_id flow, uint64_t ms)
{
    (void)net;
    (void)flow;
    (void)ms;
}

static const struct hop_facts *net_facts_(struct net *net, flow_id flow)
{
    static const struct hop_facts facts = {.outgoing = true};
    (void)net;
    (void)flow;
    return &facts;
}

static const struct net_ops ops = {.send = net_send_,
                                   .connect = net_connect_,
                                   .close = net_close_,
                                   .facts = net_facts_,
                                   .set_idle = net_set_idle_};

static const struct sdp_codec pcma = {{"PCMA", 4}, 8000, 1, 8, {NULL, 0}};

static int media_open(void *arg, const struct addr *local, struct rand_source *rand,
                      const struct phone_media_user *user, struct phone_media **ret,
                      struct reason *why)
{
    (void)arg;
    (void)local;
    (void)rand;
    (void)user;
    (void)why;
    *ret = mem_alloc(1);
    return *ret ? 0 : ERR_NOMEM;
}

static void media_close(struct phone_media *m)
{
    mem_free(m);
}

static int media_offer(struct phone_media *m, struct arena *a, bool is_hop_private,
                       struct sdp_new_media *ret, struct reason *why)
{
    (void)m;
    (void)a;
    (void)is_hop_private;
    (void)why;
    *ret = (struct sdp_new_media){.kind = STR("audio"),
                                  .proto = STR("RTP/AVP"),
                                  .port = 7000,
                                  .codecs = &pcma,
                                  .n_codecs = 1};
    return 0;
}

static int media_answer(struct phone_media *m, struct arena *a, const struct sdp *offer, int media,
                        bool is_hop_private, struct sdp_new_media *ret, struct reason *why)
{
    (void)m;
    (void)a;
    (void)is_hop_private;
    (void)why;
    if (offer->media[media].kind != SDP_AUDIO)
        return ERR_UNSUPPORTED;
    ret->port = 7000;
    ret->fmts = STR_NULL;
    ret->codecs = &pcma;
    ret->n_codecs = 1;
    return 0;
}

static int media_check(struct phone_media *m, const struct sdp *offer, int media,
                       bool is_hop_private, struct reason *why)
{
    (void)m;
    (void)is_hop_private;
    (void)why;
    return offer->media[media].kind == SDP_AUDIO ? 0 : ERR_UNSUPPORTED;
}

static int media_agreed(struct phone_media *m, const struct phone_media_exchange *x,
                        struct reason *why)
{
    struct sdp_target t;
    (void)m;
    (void)why;
    return sdp_media_target(x->remote, x->media, false, &t) == 0 ? 0 : ERR_UNSUPPORTED;
}

static void media_nothing(struct phone_media *m)
{
    (void)m;
}

static bool media_next_way(struct phone_media *m)
{
    (void)m;
    return true;
}

static bool media_failure(struct phone_media *m, struct reason *ret)
{
    (void)m;
    (void)ret;
    return false;
}

static const struct phone_media_ops media_ops = {.open = media_open,
                                                 .close = media_close,
                                                 .offer = media_offer,
                                                 .answer = media_answer,
                                                 .check = media_check,
                                                 .agreed = media_agreed,
                                                 .rollback = media_nothing,
                                                 .settled = media_nothing,
                                                 .next_way = media_next_way,
                                                 .failure = media_failure};

static void on_incoming(void *arg, phone_call_id call, struct str from, struct str to)
{
    (void)arg;
    (void)from;
    (void)to;
    last = call;
}

/* ---- the pieces ---- */

static void order(struct phone *p, char what)
{
    if (what == 'a')
        (void)!phone_answer(p, last);
    else if (what == 'h')
        phone_hang_up(p, last);
    else if (what == 'o')
        (void)!phone_hold(p, last, true);
    else if (what == 'r')
        (void)!phone_refer(p, last, STR("carol"));
}

static void deliver(struct phone *p, struct net_user *user, struct str piece)
{
    static const struct hop_facts hop = {.outgoing = true};
    if (piece.n == 2 && piece.p[0] == '@') {
        order(p, piece.p[1]);
        return;
    }
    struct buf *b = buf_copy(piece);
    const struct path *path = phone_path(p);
    if (b != NULL && path != NULL) {
        struct rx rx = {.path = *path, .buf = b, .hop = &hop};
        user->on_message(user->arg, &rx);
    }
    buf_unref(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct net net = {.ops = &ops, .n_workers = 1, .wheel = wheel_new(0)};
    struct phone_config cfg = {.user = STR("alice"),
                               .domain = STR("example.com"),
                               .server = STR("192.0.2.1"),
                               .has_transport = true,
                               .transport = TRANSPORT_TCP,
                               .media = &media_ops,
                               .no_register = true,
                               .follow_refer = true,
                               .max_calls = 3,
                               .n_logins = 1};
    struct phone_user u = {.on_incoming = on_incoming};
    struct phone_out out = {0};
    struct net_user user;
    struct phone *p;
    cfg.logins[0].realm = STR("example.com");
    cfg.logins[0].user = STR("alice");
    if (net.wheel == NULL || addr_parse_hostport(&here, STR("192.0.2.50:5062")) != 0 ||
        addr_parse_hostport(&there, STR("192.0.2.1:5060")) != 0 ||
        secret_set(&cfg.logins[0].password, "secret", 6) != 0)
        return 0;
    rand_fixed_init(&net.rand, 42);
    if (phone_new(&net, &cfg, &u, &out, &p) != 0) {
        wheel_free(net.wheel);
        return 0;
    }
    phone_net_user(p, &user);
    phone_start(p);
    if (phone_call(p, STR("bob"), &last) != 0)
        abort();
    uint64_t now = 0;
    struct str rest = str_make((const char *)data, n);
    while (rest.n) {
        const char *cut = memmem(rest.p, rest.n, "%%%", 3);
        size_t len = cut ? (size_t)(cut - rest.p) : rest.n;
        deliver(p, &user, str_make(rest.p, len));
        rest = cut ? str_make(cut + 3, rest.n - len - 3) : STR_NULL;
        wheel_advance(net.wheel, now += 1000);
    }
    wheel_advance(net.wheel, now + 40000);
    phone_leave(p);
    phone_free(p);
    wheel_free(net.wheel);
    return 0;
}
