/* Handshakes whose private key is in another process (pki/signing.h): they run on a stack of their
 * own, which is left while the signature is asked for, so that the worker goes on with others.
 * OpenSSL knows nothing of it: to it the provider's signature just takes a while. Meanwhile nobody
 * touches the SSL object, and nothing is read from the connection.
 *
 * There are LIMIT_SIGNING_WORKER such stacks, made when they are first needed. Who comes when all
 * are in use, or before the keeper's connection is there at the start, is not read from until its
 * turn, or until its time is over. What was asked when the connection ends is not waited for: the
 * handshake is told that there is no signature, and fails on its own stack.
 *
 * Owner: the worker. Thread: its own. */
#include "pki/signing.h"
#include "base/err.h"
#include "base/fiber.h"
#include "base/mem.h"
#include "net/net_priv.h"
#include "pki/tls.h"
#include <openssl/err.h>
#include <openssl/ssl.h>

struct signing {
    struct list node; /* of the worker's spare ones */
    struct fiber *fiber;
    struct conn *c;
    int result; /* of SSL_do_handshake */
    struct pki_signing asking;
    struct pki_sign_job job; /* its texts are OpenSSL's, and live while it waits */
    bool is_asked;
    int err; /* the answer: */
    size_t n;
    uint8_t signature[PKI_SIGNATURE_MAX];
};

/* --- stacks --- */

static struct signing *signing_new(struct worker *w)
{
    struct signing *s = w->n_signing < LIMIT_SIGNING_WORKER ? mem_zalloc(sizeof(*s)) : NULL;

    if (!s || fiber_new(LIMIT_SIGNING_STACK, &s->fiber) != 0) {
        mem_free(s);
        return NULL;
    }
    list_init(&s->node);
    w->n_signing++;
    return s;
}

/* A spare one, which stays where it is; NULL: all are in use. */
static struct signing *spare(struct worker *w)
{
    struct signing *s;

    if (list_is_empty(&w->signing_spare) && (s = signing_new(w)) != NULL)
        list_append(&w->signing_spare, &s->node);
    return LIST_FIRST(&w->signing_spare, struct signing, node);
}

static void release(struct signing *s)
{
    struct worker *w = s->c->w;

    s->c->signing = NULL;
    s->c = NULL;
    list_prepend(&w->signing_spare, &s->node); /* whose pages are warm */
}

void signing_done(struct worker *w)
{
    struct signing *s;

    while ((s = LIST_FIRST(&w->signing_spare, struct signing, node)) != NULL) {
        list_remove(&s->node);
        fiber_free(s->fiber);
        mem_free(s);
        w->n_signing--;
    }
}

bool signing_may_start(struct conn *c)
{
    if (!pki_ssl_asks(c->ssl) || (c->w->net.tls_signer && spare(c->w)))
        return true;
    if (list_is_empty(&c->signing_node))
        list_append(&c->w->signing_waiting, &c->signing_node);
    conn_watch(c);
    return false;
}

/* Those that wait for stacks, or at the start for somebody to ask, get their turn. */
void signing_wake(struct worker *w)
{
    if (!w->net.tls_signer || !spare(w))
        return;
    for (unsigned i = 0; i < LIMIT_SIGNING_WORKER && !list_is_empty(&w->signing_waiting); i++) {
        struct conn *c = CONTAINER_OF(w->signing_waiting.next, struct conn, signing_node);

        list_remove(&c->signing_node);
        if (c->state == CONN_HANDSHAKE)
            conn_watch(c);
    }
}

/* --- the handshake --- */

static int wait_for(struct pki_signing *asking, const struct pki_sign_request *r,
                    uint8_t ret[PKI_SIGNATURE_MAX], size_t *ret_n)
{
    struct signing *s = CONTAINER_OF(asking, struct signing, asking);

    s->job.request = *r;
    fiber_pause(s->fiber);
    if (s->err == 0)
        memcpy(ret, s->signature, s->n);
    *ret_n = s->n;
    return s->err;
}

static void handshake(void *arg)
{
    struct signing *s = arg;

    s->result = SSL_do_handshake(s->c->ssl);
}

static void on_answer(struct pki_sign_job *job, int err, struct str signature);

/* What came behind the message that is answered now is kept with the connection. */
static int ask(struct signing *s)
{
    struct conn *c = s->c;
    struct worker *w = c->w;
    struct pki_signer *signer = w->net.tls_signer;
    int err;

    if (!signer)
        return ERR_CLOSED;
    if (w->rd.n && !(c->in = buf_copy(w->rd)))
        return ERR_NOMEM;
    s->job.done = on_answer;
    s->job.arg = s;
    if ((err = signer->start(signer, &s->job)) == 0) {
        s->is_asked = true;
        w->rd = STR_NULL;
        return 0;
    }
    buf_unref(c->in);
    c->in = NULL;
    return err;
}

/* false: it waits for an answer. */
static bool run(struct signing *s, bool is_first, bool may_ask)
{
    bool done;

    for (;;) {
        pki_signing_set(&s->asking);
        ERR_clear_error();
        done = is_first ? fiber_start(s->fiber, handshake, s) : fiber_resume(s->fiber);
        pki_signing_set(NULL);
        if (done)
            return true;
        is_first = false;
        s->n = 0;
        s->err = may_ask ? ask(s) : ERR_CLOSED;
        if (s->err == 0)
            return false;
    }
}

static void stepped(struct signing *s)
{
    struct conn *c = s->c;
    int result = s->result, err = s->err;
    struct reason why;

    if (s->n)
        STAT_ADD(c->w, tls_signed, 1);
    if (err) {
        STAT_ADD(c->w, tls_not_signed, 1);
        reason_set(&why, "tls-key", "TR/100 6.2", 0, "the keeper of the private key: %s",
                   err_text(err));
    }
    release(s);
    tls_stepped(c, result, err ? &why : NULL);
}

void signing_step(struct conn *c)
{
    struct signing *s = spare(c->w);

    if (!s) { /* who reads has asked first */
        struct reason why;

        reason_set(&why, "tls-key", NULL, 0, "too many handshakes");
        tls_stepped(c, -1, &why);
        return;
    }
    list_remove(&s->node);
    s->c = c;
    c->signing = s;
    s->err = 0;
    s->n = 0;
    s->asking = (struct pki_signing){.is_client = c->is_outgoing, .wait = wait_for, .ssl = c->ssl};
    if (run(s, true, true)) {
        stepped(s);
    } else {
        tls_write_out(c);
        conn_watch(c);
    }
}

static void on_answer(struct pki_sign_job *job, int err, struct str signature)
{
    struct signing *s = job->arg;
    struct conn *c = s->c;
    struct worker *w = c->w;
    struct buf *rest = c->in;

    s->is_asked = false;
    s->err = err == 0 && signature.n > sizeof(s->signature) ? ERR_LIMIT : err;
    s->n = s->err == 0 ? signature.n : 0;
    memcpy(s->signature, signature.p ? signature.p : "", s->n);
    if (c->state != CONN_HANDSHAKE) /* it ends, and with it what is on that stack (signing_abort) */
        return;
    c->in = NULL;
    w->rd = rest ? buf_str(rest) : STR_NULL;
    if (run(s, false, true)) {
        stepped(s);
        tls_read(c);
    }
    tls_write_out(c);
    conn_watch(c);
    w->rd = STR_NULL;
    buf_unref(rest);
}

void signing_abort(struct conn *c)
{
    struct signing *s = c->signing;
    struct worker *w = c->w;

    list_remove(&c->signing_node);
    if (!s)
        return;
    if (s->is_asked)
        w->net.tls_signer->cancel(w->net.tls_signer, &s->job);
    s->is_asked = false;
    s->err = ERR_CLOSED;
    s->n = 0;
    w->rd = STR_NULL;
    (void)run(s, false, false);
    w->wire_n = 0; /* its alert: there is nobody to tell */
    release(s);
}
