/* The phone's day (script.h): register, send, call or be called, hold, dial, hang up, leave; each
 * step told as an event, and at the end one status that says whether all of it went as asked.
 * Owner: run.c; thread: the phone's. */
#include "phone/script.h"
#include "phone/say.h"
#include "base/mem.h"
#include "base/wheel.h"

#define DIGITS_MAX 128u
#define LEAVE_MS 5000u /* for hanging up and unregistering, before it is done anyhow */

struct script {
    struct net *net;
    const struct phone_run *run;
    struct phone_out *out;
    struct phone *phone;
    void (*done)(void *arg, int status);
    void *arg;
    int status;
    bool is_up, is_leaving, is_done, was_interrupted;
    bool is_sending; /* a MESSAGE or OPTIONS of ours is under way */
    unsigned at_step;
    bool text_came;
    /* the call */
    phone_call_id call;
    phone_call_id old; /* a call that was transferred, until it is hung up */
    bool is_incoming, was_up, is_held, was_cancelled;
    uint64_t up_us;
    bool has_said; /* what was last said of the media's security */
    struct phone_media_security said;
    unsigned n_calls; /* that have ended */
    char digits[DIGITS_MAX];
    size_t n_digits;
    struct wheel_timer wait, answer, ring, duration, cancel, hold, resume, dial, refer, deadline;
};

static void step_next(struct script *s);
static void leave(struct script *s);

static void start(struct script *s, struct wheel_timer *t, uint64_t ms)
{
    wheel_start(s->net->wheel, t, ms);
}

static void stop(struct script *s, struct wheel_timer *t)
{
    wheel_cancel(s->net->wheel, t);
}

/* The first thing that goes wrong is the result. */
static void fail(struct script *s, int status)
{
    if (s->status == PHONE_OK)
        s->status = status;
}

static struct str why_text(const struct reason *why)
{
    return why == NULL ? STR("") : why->detail[0] ? str_z(why->detail) : str_z(why->code);
}

/* ---- what is known of the security ---- */

static void say_hop(struct script *s)
{
    const struct hop_facts *h = phone_hop(s->phone);
    const struct path *path = phone_path(s->phone);
    char text[ADDR_TEXT_MAX];
    if (path == NULL)
        return;
    struct str t = transport_text(path->transport), at = addr_text(&path->remote, text);
    bool secure = h != NULL && h->secure;
    struct str name = secure && h->server_name ? str_z(h->server_name) : STR_NULL;
    const struct log_field f[] = {
        LZ("leg", "signalling"),
        LS("transport", t),
        LS("server", at),
        LZ("version", secure ? h->tls_version : NULL),
        LZ("cipher", secure ? h->cipher : NULL),
        LB("forward_secret", secure && h->forward_secret),
        LB("verified", secure && h->peer_verified),
        LS("name", name),
        LS("digest", phone_digest(s->phone)),
        LB("server_knows_password", phone_server_proved_itself(s->phone))};
    struct str digest = phone_digest(s->phone);
    struct str login = digest.n ? STR("; logged in by digest with ") : STR("");
    if (secure)
        PHONE_SAY(s->out, "security", f, "signalling: %s with %s%s, server %s as %.*s%.*s%.*s",
                  h->tls_version, h->cipher, h->forward_secret ? " (forward secret)" : "",
                  h->peer_verified ? "verified" : "NOT verified", STR_FMT(name), STR_FMT(login),
                  STR_FMT(digest));
    else
        PHONE_SAY(s->out, "security", f,
                  "signalling: clear (%.*s); anybody on its way can read and change it%.*s%.*s",
                  STR_FMT(t), STR_FMT(login), STR_FMT(digest));
}

static bool is_same(const struct phone_media_security *a, const struct phone_media_security *b)
{
    return a->method == b->method && a->suite == b->suite && a->proof == b->proof &&
           a->attack == b->attack && a->is_encrypted == b->is_encrypted;
}

/* Once when the call is up, and again whenever more is known. */
static void say_media(struct script *s)
{
    struct phone_media *m = phone_call_media(s->phone, s->call);
    struct phone_media_security sec;
    bool is_private = phone_hop_is_private(s->phone);
    char text[512];
    if (m == NULL)
        return;
    s->run->phone.media->security(m, &sec);
    if (s->has_said && is_same(&s->said, &sec))
        return;
    s->has_said = true;
    s->said = sec;
    phone_media_sentence(&sec, is_private, text, sizeof(text));
    const struct log_field f[] = {LZ("leg", "media"),
                                  LZ("method", sec.method),
                                  LZ("suite", sec.suite),
                                  LB("encrypted", sec.is_encrypted),
                                  LB("authenticated", sec.is_authenticated),
                                  LB("forward_secret", sec.is_forward_secret),
                                  LB("proven", sec.is_proven),
                                  LZ("proof", sec.proof),
                                  LZ("exposed", sec.exposed),
                                  LZ("middle", sec.middle),
                                  LZ("sas", sec.sas),
                                  LB("interim", sec.is_interim),
                                  LZ("attack", sec.attack),
                                  LZ("identity", "claimed"),
                                  LZ("level", phone_media_level(&sec, is_private))};
    PHONE_SAY(s->out, "security", f, "media: %s", text);
}

/* ---- the end of everything ---- */

static void finished(struct script *s)
{
    struct wheel_timer *const timers[] = {&s->wait,   &s->answer,  &s->ring,   &s->duration,
                                          &s->cancel, &s->hold,    &s->resume, &s->dial,
                                          &s->refer,  &s->deadline};
    if (s->is_done)
        return;
    s->is_done = true;
    for (size_t i = 0; i < ARRAY_LEN(timers); i++)
        stop(s, timers[i]);
    if (s->run->script.expects_text && !s->text_came)
        fail(s, PHONE_TEXT_FAILED);
    const struct log_field f[] = {LI("status", s->status)};
    PHONE_SAY(s->out, "exit", f, "%s", s->status == PHONE_OK ? "done" : "done, but not as asked");
    s->done(s->arg, s->status);
}

static void on_deadline(struct wheel_timer *t)
{
    finished(CONTAINER_OF(t, struct script, deadline));
}

static void leave(struct script *s)
{
    if (s->is_leaving)
        return;
    s->is_leaving = true;
    start(s, &s->deadline, LEAVE_MS);
    if (s->call)
        phone_hang_up(s->phone, s->call); /* on_call_end goes on from here */
    else
        phone_leave(s->phone);
}

/* ---- registration ---- */

static void on_registered(void *arg, uint32_t expires_s)
{
    struct script *s = arg;
    const struct phone_config *cfg = &s->run->phone;
    char text[ADDR_TEXT_MAX] = "";
    const struct path *path = phone_path(s->phone);
    struct str at = path ? addr_text(&path->remote, text) : STR("");
    const struct log_field f[] = {LS("user", cfg->user), LS("domain", cfg->domain),
                                  LS("server", at), LU("expires", expires_s)};
    if (cfg->no_register)
        PHONE_SAY(s->out, "connected", f, "connected to %.*s, not registered", STR_FMT(at));
    else
        PHONE_SAY(s->out, "registered", f, "registered as %.*s@%.*s at %.*s for %u s",
                  STR_FMT(cfg->user), STR_FMT(cfg->domain), STR_FMT(at), expires_s);
    if (!cfg->no_register) /* else the handshake may still be under way */
        say_hop(s);
    if (!s->is_up) {
        s->is_up = true;
        step_next(s);
    }
}

static void on_unregistered(void *arg, unsigned status, const struct reason *why, bool final,
                            uint64_t again_ms)
{
    struct script *s = arg;
    bool ends =
        final || !s->is_up; /* who never was registered is told at once; who was, tries again */
    const struct log_field f[] = {LU("status", status),      LZ("reason", why->code),
                                  LZ("clause", why->clause), LZ("detail", why->detail),
                                  LB("final", ends),         LU("again_ms", ends ? 0 : again_ms)};
    if (ends)
        PHONE_SAY(s->out, "not-registered", f, "not registered: %.*s", STR_FMT(why_text(why)));
    else
        PHONE_SAY(s->out, "registration-lost", f, "registration lost: %.*s; next try in %llu s",
                  STR_FMT(why_text(why)), (unsigned long long)(again_ms / 1000));
    if (ends && !s->is_leaving) {
        fail(s, PHONE_NOT_REGISTERED);
        leave(s);
    }
}

static void on_left(void *arg)
{
    finished(arg);
}

/* ---- messages ---- */

static void on_sent(void *arg, unsigned status, const struct reason *why)
{
    struct script *s = arg;
    const struct log_field f[] = {LU("status", status), LS("detail", why_text(why))};
    PHONE_SAY(s->out, "sent", f, "answered with %u%s%.*s", status, why ? ": " : "",
              STR_FMT(why_text(why)));
    s->is_sending = false;
    if (status < 200 || status > 299)
        fail(s, PHONE_TEXT_FAILED);
    if (!s->is_leaving)
        step_next(s);
}

static void on_text(void *arg, struct str from, struct str text)
{
    struct script *s = arg;
    const struct phone_script *sc = &s->run->script;
    const struct log_field f[] = {LS("from", from), LS("text", text)};
    PHONE_SAY(s->out, "message", f, "message from %.*s: %.*s", STR_FMT(from), STR_FMT(text));
    if (!sc->expects_text || (sc->expect_text.n && !str_eq(text, sc->expect_text)))
        return;
    s->text_came = true;
    if (sc->call.n == 0 && !sc->answer && !sc->reject && s->call == 0)
        leave(s);
}

/* ---- the call ---- */

static void call_failed_to_start(struct script *s, int err)
{
    const struct reason *why = phone_call_why(s->phone);
    struct str text = why->code ? why_text(why) : str_z(err_text(err));
    const struct log_field f[] = {LU("status", 0), LZ("reason", why->code), LS("detail", text)};
    PHONE_SAY(s->out, "call-failed", f, "the call cannot be made: %.*s", STR_FMT(text));
    fail(s, PHONE_CALL_FAILED);
    leave(s);
}

static void call_begin(struct script *s)
{
    const struct phone_script *sc = &s->run->script;
    const struct log_field f[] = {LS("to", sc->call)};
    PHONE_SAY(s->out, "calling", f, "calling %.*s", STR_FMT(sc->call));
    s->is_incoming = false;
    int err = phone_call(s->phone, sc->call, &s->call);
    if (err) {
        call_failed_to_start(s, err);
        return;
    }
    if (sc->ring_ms)
        start(s, &s->ring, sc->ring_ms);
    if (sc->cancel_after_ms)
        start(s, &s->cancel, sc->cancel_after_ms);
}

static void on_incoming(void *arg, phone_call_id call, struct str from, struct str to)
{
    struct script *s = arg;
    const struct phone_script *sc = &s->run->script;
    const struct log_field f[] = {LS("from", from), LS("to", to)};
    PHONE_SAY(s->out, "incoming", f, "call from %.*s", STR_FMT(from));
    stop(s, &s->wait);
    s->call = call;
    s->is_incoming = true;
    s->was_up = s->is_held = s->was_cancelled = s->has_said = false;
    s->n_digits = 0;
    if (sc->reject)
        (void)!phone_refuse(s->phone, call, sc->reject);
    else if (!sc->answer)
        (void)!phone_refuse(s->phone, call, 480); /* nobody is there to answer it */
    else
        start(s, &s->answer, sc->answer_after_ms);
}

static void on_answer(struct wheel_timer *t)
{
    struct script *s = CONTAINER_OF(t, struct script, answer);
    (void)!phone_answer(s->phone, s->call);
}

static void on_status(void *arg, phone_call_id call, struct str value)
{
    struct script *s = arg;
    (void)call;
    say_status(s->out, value);
}

static void on_verified(void *arg, phone_call_id call, struct str who,
                        const struct identity_result *r)
{
    struct script *s = arg;
    (void)call;
    say_verified(s->out, who, r);
}

static void on_not_signed(void *arg, const struct reason *why)
{
    struct script *s = arg;
    say_not_signed(s->out, why);
}

static void on_ringing(void *arg, phone_call_id call, unsigned status)
{
    struct script *s = arg;
    const struct log_field f[] = {LU("status", status)};
    (void)call;
    PHONE_SAY(s->out, "ringing", f, status == 180 ? "it rings (%u)" : "under way (%u)", status);
}

static void on_offered_less(void *arg, phone_call_id call, unsigned status)
{
    struct script *s = arg;
    const struct log_field f[] = {LU("status", status)};
    (void)call;
    PHONE_SAY(s->out, "offered-less", f,
              "how we wanted to protect the sound was refused with %u; offering less", status);
}

static void on_call_up(void *arg, phone_call_id call)
{
    struct script *s = arg;
    const struct phone_script *sc = &s->run->script;
    struct phone_media_figures fig = {0};
    struct phone_media *m = phone_call_media(s->phone, call);
    char text[ADDR_TEXT_MAX] = "";
    if (call != s->call)
        return;
    s->was_up = true;
    s->up_us = net_now_us(s->net);
    if (m)
        s->run->phone.media->figures(m, &fig);
    struct str at = addr_is_set(&fig.remote) ? addr_text(&fig.remote, text) : STR("nowhere");
    const struct log_field f[] = {LZ("codec", fig.codec), LS("media", at)};
    PHONE_SAY(s->out, "answered", f, "the call is up, %s to %.*s",
              fig.codec ? fig.codec : "no audio", STR_FMT(at));
    say_media(s);
    stop(s, &s->ring);
    stop(s, &s->cancel);
    if (sc->duration_ms)
        start(s, &s->duration, sc->duration_ms);
    if (sc->hold_after_ms)
        start(s, &s->hold, sc->hold_after_ms);
    if (sc->resume_after_ms)
        start(s, &s->resume, sc->resume_after_ms);
    if (sc->dtmf.n)
        start(s, &s->dial, sc->dtmf_after_ms ? sc->dtmf_after_ms : 500);
    if (sc->refer_to.n)
        start(s, &s->refer, sc->refer_after_ms ? sc->refer_after_ms : 1000);
}

static void on_media(void *arg, phone_call_id call)
{
    struct script *s = arg;
    uint64_t ms = (net_now_us(s->net) - s->up_us) / 1000;
    const struct log_field f[] = {LU("after_ms", s->was_up ? ms : 0), LB("early", !s->was_up)};
    (void)call;
    PHONE_SAY(s->out, "media", f, "audio arrives%s", s->was_up ? "" : " before the answer");
}

static void on_security(void *arg, phone_call_id call)
{
    struct script *s = arg;
    if (call == s->call && s->was_up)
        say_media(s);
}

static void on_digit(void *arg, phone_call_id call, char digit)
{
    struct script *s = arg;
    const struct log_field f[] = {LS("digit", str_make(&digit, 1))};
    (void)call;
    PHONE_SAY(s->out, "dtmf", f, "digit %c", digit);
    if (s->n_digits < DIGITS_MAX)
        s->digits[s->n_digits++] = digit;
}

static void on_held(void *arg, phone_call_id call, bool by_them, bool is_held)
{
    struct script *s = arg;
    const struct log_field f[] = {LB("held", is_held), LZ("by", by_them ? "them" : "us")};
    (void)call;
    s->is_held = is_held;
    PHONE_SAY(s->out, "hold", f, is_held ? "held by %s" : "resumed by %s", by_them ? "them" : "us");
}

static void on_changed(void *arg, phone_call_id call, unsigned status)
{
    struct script *s = arg;
    const struct log_field f[] = {LU("status", status)};
    (void)call;
    PHONE_SAY(s->out, "changed", f, "our offer was answered with %u", status);
    if (status > 299)
        fail(s, PHONE_CALL_FAILED);
}

static void on_connected(void *arg, phone_call_id call, struct str who)
{
    struct script *s = arg;
    const struct log_field f[] = {LS("who", who)};
    (void)call;
    PHONE_SAY(s->out, "connected", f, "connected with %.*s", STR_FMT(who));
}

static void on_referred(void *arg, phone_call_id old, phone_call_id call)
{
    struct script *s = arg;
    const struct log_field f[] = {LU("call", call)};
    s->old = old;
    s->call = call;
    s->was_up = s->is_incoming = s->has_said = false;
    PHONE_SAY(s->out, "referred", f, "transferred: calling the new party (call %u)", call);
}

static void on_refer_done(void *arg, phone_call_id call, unsigned status)
{
    struct script *s = arg;
    const struct log_field f[] = {LU("status", status)};
    PHONE_SAY(s->out, "refer", f, "the transfer was answered with %u", status);
    if (status < 200 || status > 299)
        fail(s, PHONE_CALL_FAILED);
    phone_hang_up(s->phone, call);
}

/* Was there sound, and the right one? */
static void judge_media(struct script *s, const struct phone_media_figures *fig)
{
    const struct phone_run *run = s->run;
    const struct phone_script *sc = &run->script;
    uint64_t lasted_ms = (net_now_us(s->net) - s->up_us) / 1000;
    struct str got = str_make(s->digits, s->n_digits);
    if (fig->has_expected && !fig->is_heard) {
        fail(s, PHONE_MEDIA_MISSING);
    } else if (!run->phone.no_media && lasted_ms >= 1000 && fig->q.received == 0) {
        fail(s, PHONE_MEDIA_MISSING);
    }
    if (sc->expect_dtmf.n && !str_eq(got, sc->expect_dtmf))
        fail(s, PHONE_MEDIA_MISSING);
}

static void say_figures(struct script *s, const struct phone_media_figures *fig)
{
    const struct media_quality *q = &fig->q;
    const struct log_field f[] = {LU("sent", q->sent),
                                  LU("received", q->received),
                                  LI("lost", q->lost),
                                  LU("late", q->late),
                                  LU("concealed", q->concealed),
                                  LU("jitter_us", q->jitter_us),
                                  LU("rtt_us", q->rtt_us),
                                  LI("remote_lost", q->has_remote ? q->remote_lost : -1),
                                  LU("rtcp_sent", q->rtcp_sent),
                                  LU("rtcp_received", q->rtcp_received),
                                  LU("foreign", fig->foreign),
                                  LB("tone_expected", fig->has_expected),
                                  LB("tone_heard", fig->is_heard),
                                  LU("tone_ms", fig->tonal_ms),
                                  LU("sound_ms", fig->loud_ms)};
    PHONE_SAY(
        s->out, "quality", f,
        "audio: %llu packets sent, %llu received, %lld lost, jitter %u us, round trip %u us%s",
        (unsigned long long)q->sent, (unsigned long long)q->received, (long long)q->lost,
        q->jitter_us, q->rtt_us,
        !fig->has_expected ? ""
        : fig->is_heard    ? "; the expected tone was heard"
                           : "; the expected tone was NOT heard");
}

static void on_call_end(void *arg, phone_call_id call, unsigned status, const struct reason *why)
{
    struct script *s = arg;
    const struct phone_script *sc = &s->run->script;
    struct phone_media_figures fig = {0};
    struct phone_media *m = phone_call_media(s->phone, call);
    struct wheel_timer *const timers[] = {&s->answer, &s->ring,   &s->duration, &s->cancel,
                                          &s->hold,   &s->resume, &s->dial,     &s->refer};
    const struct log_field f[] = {
        LU("status", status), LZ("reason", why ? why->code : NULL), LS("detail", why_text(why)),
        LU("seconds", s->was_up ? (net_now_us(s->net) - s->up_us) / 1000000 : 0)};
    if (call == s->old) {
        s->old = 0;
        PHONE_SAY(s->out, "transferred", f, "the old party has hung up");
        return;
    }
    if (call != s->call)
        return;
    if (m)
        s->run->phone.media->figures(m, &fig);
    for (size_t i = 0; i < ARRAY_LEN(timers); i++)
        stop(s, timers[i]);
    if (status == 0)
        PHONE_SAY(s->out, "ended", f, "the call has ended");
    else
        PHONE_SAY(s->out, "ended", f, "the call has ended with %u%s%.*s", status, why ? ": " : "",
                  STR_FMT(why_text(why)));
    if (s->was_up && fig.codec)
        say_figures(s, &fig);
    s->call = s->old; /* a transfer that failed: the old party is still there */
    s->old = 0;
    if (s->call && !s->is_leaving)
        return;
    s->n_calls++;
    bool as_asked =
        sc->expect_status
            ? status == sc->expect_status
            : status == 0 || (s->was_cancelled && status == 487) ||
                  (s->is_incoming && (status == sc->reject || (status == 487 && !s->was_up)));
    if (!as_asked)
        fail(s, PHONE_CALL_FAILED);
    else if (s->was_up && !s->was_interrupted)
        judge_media(s, &fig);
    if (s->call)
        phone_hang_up(s->phone, s->call);
    else if (s->is_leaving)
        phone_leave(s->phone);
    else
        step_next(s);
}

/* ---- timers ---- */

static void on_wait(struct wheel_timer *t)
{
    struct script *s = CONTAINER_OF(t, struct script, wait);
    const struct log_field f[] = {LU("after_ms", s->run->script.wait_ms)};
    PHONE_SAY(s->out, "nothing", f, "nothing came in time");
    fail(s, s->run->script.expects_text ? PHONE_TEXT_FAILED : PHONE_CALL_FAILED);
    leave(s);
}

static void on_ring(struct wheel_timer *t)
{
    struct script *s = CONTAINER_OF(t, struct script, ring);
    fail(s, PHONE_CALL_FAILED);
    phone_hang_up(s->phone, s->call);
}

static void on_cancel(struct wheel_timer *t)
{
    struct script *s = CONTAINER_OF(t, struct script, cancel);
    const struct log_field f[] = {LU("call", s->call)};
    PHONE_SAY(s->out, "cancelling", f, "giving up the call");
    s->was_cancelled = true;
    phone_hang_up(s->phone, s->call);
}

static void on_duration(struct wheel_timer *t)
{
    struct script *s = CONTAINER_OF(t, struct script, duration);
    if (s->call == 0) {
        leave(s); /* the registration's */
        return;
    }
    if (phone_call_is_dialling(s->phone, s->call)) { /* digits are finished first */
        start(s, &s->duration, 100);
        return;
    }
    phone_hang_up(s->phone, s->call);
}

static void hold(struct script *s, bool on)
{
    const struct log_field f[] = {LB("held", on), LZ("by", "us")};
    int err = phone_hold(s->phone, s->call, on);
    if (err == ERR_AGAIN) {
        start(s, on ? &s->hold : &s->resume, 200);
        return;
    }
    if (err)
        fail(s, PHONE_CALL_FAILED);
    PHONE_SAY(s->out, "hold", f, on ? "holding the call" : "resuming the call");
}

static void on_hold(struct wheel_timer *t)
{
    hold(CONTAINER_OF(t, struct script, hold), true);
}

static void on_resume(struct wheel_timer *t)
{
    hold(CONTAINER_OF(t, struct script, resume), false);
}

static void on_dial(struct wheel_timer *t)
{
    struct script *s = CONTAINER_OF(t, struct script, dial);
    const struct log_field f[] = {LS("digits", s->run->script.dtmf)};
    int err = phone_dial(s->phone, s->call, s->run->script.dtmf);
    if (err) {
        PHONE_SAY(s->out, "dial-failed", f, "the digits cannot be sent: %s", err_text(err));
        fail(s, PHONE_MEDIA_MISSING);
    } else {
        PHONE_SAY(s->out, "dialling", f, "sending %.*s", STR_FMT(s->run->script.dtmf));
    }
}

static void on_refer(struct wheel_timer *t)
{
    struct script *s = CONTAINER_OF(t, struct script, refer);
    const struct log_field f[] = {LS("to", s->run->script.refer_to)};
    PHONE_SAY(s->out, "transferring", f, "transferring the call to %.*s",
              STR_FMT(s->run->script.refer_to));
    if (phone_refer(s->phone, s->call, s->run->script.refer_to) != 0)
        fail(s, PHONE_CALL_FAILED);
}

/* ---- steps ---- */

enum { STEP_MESSAGE, STEP_PING, STEP_CALL, STEP_ANSWER, STEP_STAY, STEP_END };

static bool send_step(struct script *s, int err)
{
    if (err == 0) {
        s->is_sending = true;
        return true;
    }
    const struct log_field f[] = {LU("status", 0), LZ("detail", err_text(err))};
    PHONE_SAY(s->out, "sent", f, "cannot be sent: %s", err_text(err));
    fail(s, PHONE_TEXT_FAILED);
    return false;
}

/* Begins a step; false: there is nothing to do in it. */
static bool step_begin(struct script *s, unsigned step)
{
    const struct phone_script *sc = &s->run->script;
    switch (step) {
    case STEP_MESSAGE:
        return sc->message_to.n &&
               send_step(s, phone_send_text(s->phone, sc->message_to, sc->message));
    case STEP_PING:
        return sc->ping.n && send_step(s, phone_ping(s->phone, sc->ping));
    case STEP_CALL:
        if (sc->call.n == 0)
            return false;
        call_begin(s);
        return true;
    case STEP_ANSWER:
        if ((!sc->answer && !sc->reject) || s->n_calls >= (sc->answer ? sc->answer : 1))
            return false;
        if (sc->wait_ms)
            start(s, &s->wait, sc->wait_ms);
        s->at_step = STEP_ANSWER; /* again for the next call */
        return true;
    case STEP_STAY:
        if (sc->expects_text && !s->text_came) {
            if (sc->wait_ms)
                start(s, &s->wait, sc->wait_ms);
            return true;
        }
        if (!sc->register_only || sc->duration_ms == 0)
            return false;
        start(s, &s->duration, sc->duration_ms);
        return true;
    default:
        return false;
    }
}

static void step_next(struct script *s)
{
    while (s->at_step < STEP_END && !s->is_leaving) {
        if (step_begin(s, s->at_step++))
            return;
    }
    leave(s);
}

/* ---- life ---- */

int script_new(struct net *net, const struct phone_run *run, struct phone_out *out,
               void (*done)(void *arg, int status), void *arg, struct script **ret)
{
    struct script *s = mem_zalloc(sizeof(*s));
    const struct phone_user user = {.arg = s,
                                    .on_registered = on_registered,
                                    .on_unregistered = on_unregistered,
                                    .on_left = on_left,
                                    .on_incoming = on_incoming,
                                    .on_ringing = on_ringing,
                                    .on_status = on_status,
                                    .on_verified = on_verified,
                                    .on_not_signed = on_not_signed,
                                    .on_offered_less = on_offered_less,
                                    .on_call_up = on_call_up,
                                    .on_call_end = on_call_end,
                                    .on_held = on_held,
                                    .on_referred = on_referred,
                                    .on_refer_done = on_refer_done,
                                    .on_changed = on_changed,
                                    .on_connected = on_connected,
                                    .on_digit = on_digit,
                                    .on_media = on_media,
                                    .on_security = on_security,
                                    .on_text = on_text,
                                    .on_sent = on_sent};
    *ret = NULL;
    if (s == NULL)
        return ERR_NOMEM;
    s->net = net;
    s->run = run;
    s->out = out;
    s->done = done;
    s->arg = arg;
    wheel_timer_init(&s->wait, on_wait);
    wheel_timer_init(&s->answer, on_answer);
    wheel_timer_init(&s->ring, on_ring);
    wheel_timer_init(&s->duration, on_duration);
    wheel_timer_init(&s->cancel, on_cancel);
    wheel_timer_init(&s->hold, on_hold);
    wheel_timer_init(&s->resume, on_resume);
    wheel_timer_init(&s->dial, on_dial);
    wheel_timer_init(&s->refer, on_refer);
    wheel_timer_init(&s->deadline, on_deadline);
    int err = phone_new(net, &run->phone, &user, out, &s->phone);
    if (err) {
        mem_free(s);
        return err;
    }
    *ret = s;
    return 0;
}

void script_free(struct script *s)
{
    if (s == NULL)
        return;
    s->is_done = true;
    phone_free(s->phone);
    struct wheel_timer *const timers[] = {&s->wait,   &s->answer,  &s->ring,   &s->duration,
                                          &s->cancel, &s->hold,    &s->resume, &s->dial,
                                          &s->refer,  &s->deadline};
    for (size_t i = 0; i < ARRAY_LEN(timers); i++)
        stop(s, timers[i]);
    mem_free(s);
}

struct phone *script_phone(struct script *s)
{
    return s->phone;
}

void script_begin(struct script *s)
{
    phone_start(s->phone);
}

void script_interrupt(struct script *s)
{
    if (s->was_interrupted) {
        finished(s);
        return;
    }
    s->was_interrupted = true;
    leave(s);
}
