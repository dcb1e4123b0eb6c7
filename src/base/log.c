/* The log (log.h): lines are made on the caller's thread, appended to one of two arrays under a
 * short lock, and written by one thread that swaps the arrays. The callers never wait for the disk
 * or the journal. Any thread. */
#include "base/log.h"
#include "base/base_priv.h"
#include "base/err.h"
#include "base/mem.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#define LOG_QUEUE_BYTES (512u << 10)
#define LOG_FIELDS_MAX 32u /* of log_reason: with the three it adds */

_Atomic(enum log_level) log_threshold = LOG_INFO;

static atomic_uint_fast64_t dropped;

/* Guards everything in here but `writing`, which the writer thread alone uses while it runs. */
static struct log_state {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    bool is_running, is_ending;
    char *filling, *writing; /* LOG_QUEUE_BYTES each */
    size_t n;                /* in filling */
    void (*sink)(void *arg, enum log_level level, struct str line);
    void *sink_arg;
} state = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

static _Thread_local bool is_in_sink;

static void drop(void)
{
    atomic_fetch_add_explicit(&dropped, 1, memory_order_relaxed);
}

uint64_t log_dropped(void)
{
    return atomic_load_explicit(&dropped, memory_order_relaxed);
}

/* Standard error may be a pipe whose reader is gone, or not blocking: neither may stop us. */
static bool write_all(const char *p, size_t n)
{
    while (n) {
        ssize_t did = write(STDERR_FILENO, p, n);
        if (did < 0 && errno == EINTR)
            continue;
        if (did < 0 && errno == EAGAIN) {
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
            continue;
        }
        if (did <= 0)
            return false;
        p += did;
        n -= (size_t)did;
    }
    return true;
}

static struct str time_now(char dst[LOG_TIME_MAX])
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return log_time_text(dst, now.tv_sec, now.tv_nsec);
}

/* The line ends in a newline. */
static void emit(enum log_level level, const char *line, size_t n)
{
    if (is_in_sink) {
        drop();
        return;
    }
    pthread_mutex_lock(&state.lock);
    if (state.sink) {
        is_in_sink = true;
        state.sink(state.sink_arg, level, str_make(line, n - 1));
        is_in_sink = false;
    } else if (!state.is_running) {
        if (!write_all(line, n))
            drop();
    } else if (n > LOG_QUEUE_BYTES - state.n) {
        drop();
    } else {
        memcpy(state.filling + state.n, line, n);
        if (state.n == 0)
            pthread_cond_signal(&state.wake);
        state.n += n;
    }
    pthread_mutex_unlock(&state.lock);
}

void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t n)
{
    char text[LOG_LINE_MAX], time[LOG_TIME_MAX];
    if (level < log_threshold)
        return;
    struct sbuf line = sbuf_make(text, sizeof(text) - 1);
    log_line_build(&line, time_now(time), level, event, fields, n);
    text[line.n] = '\n';
    emit(level, text, line.n + 1);
}

void log_reason(enum log_level level, const char *event, const struct reason *r,
                const struct log_field *fields, size_t n)
{
    struct log_field all[LOG_FIELDS_MAX];
    size_t k = 0;
    if (level < log_threshold)
        return;
    if (r->code)
        all[k++] = LZ("reason", r->code);
    if (r->clause)
        all[k++] = LZ("clause", r->clause);
    if (r->detail[0])
        all[k++] = LZ("detail", r->detail);
    for (size_t i = 0; i < n && k < LOG_FIELDS_MAX; i++)
        all[k++] = fields[i];
    log_write(level, event, all, k);
}

void log_set_sink(void (*sink)(void *arg, enum log_level level, struct str line), void *arg)
{
    pthread_mutex_lock(&state.lock);
    state.sink = sink;
    state.sink_arg = arg;
    pthread_mutex_unlock(&state.lock);
}

static void count_lines_dropped(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\n')
            drop();
    }
}

static void write_drops(uint64_t n)
{
    char text[256], time[LOG_TIME_MAX];
    struct log_field field = LU("lines", n);
    struct sbuf line = sbuf_make(text, sizeof(text) - 1);
    log_line_build(&line, time_now(time), LOG_WARN, "log-dropped", &field, 1);
    text[line.n] = '\n';
    write_all(text, line.n + 1);
}

static void *writer_run(void *arg)
{
    uint64_t told = log_dropped();
    (void)arg;
    pthread_mutex_lock(&state.lock);
    while (state.n || !state.is_ending) {
        if (!state.n) {
            pthread_cond_wait(&state.wake, &state.lock);
            continue;
        }
        char *full = state.filling;
        size_t n = state.n;
        state.filling = state.writing;
        state.writing = full;
        state.n = 0;
        pthread_mutex_unlock(&state.lock);
        uint64_t now = log_dropped();
        if (now != told)
            write_drops(now - told);
        told = now;
        if (!write_all(full, n))
            count_lines_dropped(full, n);
        pthread_mutex_lock(&state.lock);
    }
    pthread_mutex_unlock(&state.lock);
    return NULL;
}

/* The writer takes no signals: they are for the loop. */
static int writer_start(void)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int err = pthread_create(&state.thread, NULL, writer_run, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return err;
}

int log_start(void)
{
    int err = 0;
    pthread_mutex_lock(&state.lock);
    if (state.is_running) {
        err = ERR_EXISTS;
        goto out;
    }
    state.filling = mem_alloc(LOG_QUEUE_BYTES);
    state.writing = mem_alloc(LOG_QUEUE_BYTES);
    state.n = 0;
    state.is_ending = false;
    if (!state.filling || !state.writing || writer_start() != 0) {
        mem_free(state.filling);
        mem_free(state.writing);
        state.filling = state.writing = NULL;
        err = ERR_NOMEM;
        goto out;
    }
    state.is_running = true;
out:
    pthread_mutex_unlock(&state.lock);
    return err;
}

void log_stop(void)
{
    pthread_mutex_lock(&state.lock);
    bool was_running = state.is_running && !state.is_ending;
    if (was_running) {
        state.is_ending = true;
        pthread_cond_signal(&state.wake);
    }
    pthread_mutex_unlock(&state.lock);
    if (!was_running)
        return;
    pthread_join(state.thread, NULL);
    pthread_mutex_lock(&state.lock);
    if (state.n &&
        !write_all(state.filling, state.n)) /* lines that came after the writer's last look */
        count_lines_dropped(state.filling, state.n);
    state.n = 0;
    mem_free(state.filling);
    mem_free(state.writing);
    state.filling = state.writing = NULL;
    state.is_running = state.is_ending = false;
    pthread_mutex_unlock(&state.lock);
}
