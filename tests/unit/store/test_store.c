/* The store on real files: what is written comes back, nothing waits for the disk, one daemon has it,
 * and changes of users are seen. `test_store bench` measures. */
#include "store_help.h"

/* ---- tests ---- */

static void test_users(void **state)
{
    struct store *s = open_ok(false);
    struct arena *a = arena_new(1024, 4096);
    struct store_user u = user("sip:alice@example.com"), got;
    struct reason why = {0};
    struct seen seen = {0};
    struct stat st;

    (void)state;
    assert_non_null(a);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    check_err(store_get_user(s, a, u.aor, &got, &why), ERR_NOTFOUND);
    check_err(store_del_user(s, u.aor, &why), ERR_NOTFOUND);
    assert_string_equal(why.code, "user-unknown");
    check_err(store_put_user(s, &u, &why), 0);
    check_err(store_get_user(s, a, u.aor, &got, &why), 0);
    check_str(got.username, "alice");
    assert_int_equal(got.ha1_len[0], 0);
    assert_int_equal(got.ha1_len[1], 32);
    assert_memory_equal(got.ha1[2], u.ha1[2], 32);
    u.ha1_len[0] = 16;
    u.ha1[0][15] = 9;
    u.allow_md5 = u.disabled = true;
    u.realm = STR("other");
    check_err(store_put_user(s, &u, &why), 0);
    store_close(s);
    s = open_ok(false);
    check_err(store_each_user(s, see_user, &seen), 0);
    assert_int_equal(seen.n, 1);
    assert_string_equal(seen.texts, "sip:alice@example.com|alice|other");
    assert_int_equal(seen.user.ha1_len[0], 16);
    assert_int_equal(seen.user.ha1[0][15], 9);
    assert_true(seen.user.allow_md5 && seen.user.disabled);
    u = user("sip:bob@example.com");
    check_err(store_put_user(s, &u, &why), 0);
    seen = (struct seen){.stop_with = ERR_NOMEM};
    check_err(store_each_user(s, see_user, &seen), ERR_NOMEM);
    assert_int_equal(seen.n, 1);
    check_err(store_del_user(s, STR("sip:alice@example.com"), &why), 0);
    check_err(store_get_user(s, a, STR("sip:alice@example.com"), &got, &why), ERR_NOTFOUND);
    store_close(s);
    store_close(NULL);
    arena_free(a);
}

static void test_transaction(void **state)
{
    struct store *s = open_ok(false);
    struct store_user u = user("sip:a@b");
    struct reason why;

    (void)state;
    check_err(store_begin(s, &why), 0);
    check_err(store_put_user(s, &u, &why), 0);
    assert_int_equal(sql_number("SELECT count(*) FROM users"), 0);
    store_rollback(s);
    store_rollback(s);
    check_err(store_begin(s, &why), 0);
    check_err(store_put_user(s, &u, &why), 0);
    check_err(store_commit(s, &why), 0);
    check_err(store_commit(s, &why), ERR_IO);
    store_close(s);
    assert_int_equal(sql_number("SELECT count(*) FROM users"), 1);
}

static void test_bindings(void **state)
{
    struct store *s = open_ok(false);
    struct store_binding b = binding("sip:alice@example.com", "k1");
    struct seen seen = {0};

    (void)state;
    check_err(store_put_binding(s, &b), 0);
    store_close(s); /* writes it */
    s = open_ok(false);
    check_err(store_each_binding(s, see_binding, &seen), 0);
    assert_int_equal(seen.n, 1);
    assert_string_equal(seen.aor, "sip:alice@example.com");
    assert_string_equal(seen.key, "k1");
    assert_string_equal(
        seen.texts,
        "<sip:alice@192.0.2.1:5060>;methods=\"INVITE\"|<sip:edge.example.com;lr>|c1|urn:uuid:1|"
        "UDP 192.0.2.1:5060|192.0.2.1:5060|192.0.2.9:5060|phone\xc3\xa4 1.0");
    assert_true(seen.last.cseq == b.cseq && seen.last.q_milli == 700 && seen.last.reg_id == 2);
    assert_true(seen.last.expires_s == b.expires_s && seen.last.registered_s == b.registered_s);
    assert_true(seen.last.gruu_epoch == b.gruu_epoch && seen.last.transport == 4 &&
                seen.last.secure == 1);
    assert_true(seen.last.listener == 65535);
    /* same AOR and key: replaced; an empty text stays empty */
    b.path = b.instance = STR_NULL;
    b.cseq = 7;
    check_err(store_put_binding(s, &b), 0);
    b = binding("sip:alice@example.com", "k2");
    check_err(store_put_binding(s, &b), 0);
    b = binding("sip:bob@example.com", "k1");
    check_err(store_put_binding(s, &b), 0);
    check_err(store_del_binding(s, STR("sip:bob@example.com"), STR("k1")), 0);
    check_err(store_del_binding(s, STR("sip:nobody@example.com"), STR("k1")), 0);
    wait_for(health(s).queued == 0 && health(s).written > 0);
    wait_for(count_bindings(s) == 2);
    assert_int_equal(
        sql_number("SELECT cseq FROM bindings WHERE key='k1' AND path='' AND instance=''"), 7);
    store_close(s);
    /* whoever is removed takes his bindings along */
    s = open_ok(false);
    {
        struct store_user u = user("sip:alice@example.com");
        struct reason why;

        check_err(store_put_user(s, &u, &why), 0);
        check_err(store_del_user(s, u.aor, &why), 0);
    }
    assert_int_equal(count_bindings(s), 0);
    store_close(s);
}

/* Changes of one key replace each other while they wait: one row, the last value, however many
 * there were. */
/* Also where no daemon runs: what was registered by a password that is no longer good does not come back. */
static void test_rehashed(void **state)
{
    struct store *s = open_ok(false);
    struct store_user a = user("sip:a@b"), c = user("sip:c@b");
    struct store_binding of_a = binding("sip:a@b", "1"), of_c = binding("sip:c@b", "1");
    struct reason why;

    (void)state;
    check_err(store_put_user(s, &a, &why), 0);
    check_err(store_put_user(s, &c, &why), 0);
    check_err(store_put_binding(s, &of_a), 0);
    check_err(store_put_binding(s, &of_c), 0);
    wait_for(health(s).queued == 0);
    check_err(store_put_user(s, &a, &why), 0); /* as it was */
    assert_int_equal(count_bindings(s), 2);
    a.ha1[2][5] ^= 1;
    check_err(store_put_user(s, &a, &why), 0);
    assert_int_equal(count_bindings(s), 1);
    c.disabled = true;
    check_err(store_put_user(s, &c, &why), 0);
    assert_int_equal(count_bindings(s), 0);
    store_close(s);
}

/* The wall's clock is set: what is in the file goes along, and so does what waits and what comes. */
static void test_clock(void **state)
{
    struct store *s = open_ok(false);
    struct store_binding early = binding("sip:a@b", "early"), late = binding("sip:a@b", "late");

    (void)state;
    check_err(store_put_binding(s, &early), 0);
    wait_for(health(s).queued == 0);
    check_err(store_put_binding(s, &late), 0);
    store_clock_set(s, 7200);
    wait_for(health(s).queued == 0);
    assert_int_equal(sql_number("SELECT count(*) FROM bindings WHERE expires_s=2000007200 AND registered_s=2000006200"), 2);
    store_clock_set(s, -3600); /* nothing else to write */
    wait_for(health(s).queued == 0);
    assert_int_equal(sql_number("SELECT count(*) FROM bindings WHERE expires_s=1999996400"), 2);
    store_clock_set(s, -3000000000);
    check_err(store_put_binding(s, &late), 0);
    store_close(s);
    assert_int_equal(sql_number("SELECT sum(expires_s) + count(*) FROM bindings"), 2);
}

static void test_coalescing(void **state)
{
    struct store *s = open_ok(false);
    struct store_health h;

    (void)state;
    pthread_mutex_lock(&s->db_lock); /* the thread cannot write now */
    for (unsigned i = 1; i <= 10000; i++) {
        char key[16];
        struct store_binding b = binding("sip:a@b", key);

        snprintf(key, sizeof(key), "k%u", i % 10);
        b.key = str_z(key);
        b.cseq = i;
        check_err(i % 1000 == 3 ? store_del_binding(s, b.aor, b.key) : store_put_binding(s, &b), 0);
        if (i % 2000 == 0)
            usleep(300000); /* lets the thread take a batch and wait with it */
    }
    h = health(s);
    assert_true(h.queued <= 20); /* ten wait, and ten are in the thread's hands */
    pthread_mutex_unlock(&s->db_lock);
    store_close(s);
    assert_int_equal(sql_number("SELECT count(*) FROM bindings"), 10);
    assert_int_equal(sql_number("SELECT min(cseq) FROM bindings"), 9991);
}

static unsigned in_hand(struct store *s)
{
    unsigned n;

    pthread_mutex_lock(&s->queue_lock);
    n = s->in_hand;
    pthread_mutex_unlock(&s->queue_lock);
    return n;
}

/* A batch that could not be written does not come back over what is newer. */
static void test_newer_wins(void **state)
{
    struct store *s = open_ok(false);
    struct store_binding b = binding("sip:a@b", "k");

    (void)state;
    pthread_mutex_lock(&s->db_lock);
    b.cseq = 1;
    check_err(store_put_binding(s, &b), 0);
    wait_for(in_hand(s) == 1); /* it is in the thread's hands */
    b.cseq = 2;
    check_err(store_put_binding(s, &b), 0);
    s->read_only = true;
    pthread_mutex_unlock(&s->db_lock);
    wait_for(health(s).failed > 0);
    assert_int_equal(health(s).queued, 1);
    assert_int_equal(health(s).dropped, 0);
    pthread_mutex_lock(&s->db_lock);
    s->read_only = false;
    pthread_mutex_unlock(&s->db_lock);
    wait_for(health(s).written == 1);
    store_close(s);
    assert_int_equal(sql_number("SELECT cseq FROM bindings"), 2);
}

static void test_bounded(void **state)
{
    struct store *s = open_ok(false);
    struct store_binding b;
    char *big = malloc(1 << 20), key[16];
    unsigned n = 0;
    int err = 0;

    (void)state;
    assert_non_null(big);
    memset(big, 'x', 1 << 20);
    pthread_mutex_lock(&s->db_lock);
    b = binding("sip:a@b", "");
    b.contact = str_make(big, 1 << 20);
    /* one batch may be in the thread's hands */
    while (err == 0 && n < STORE_BATCH + 300) {
        snprintf(key, sizeof(key), "k%u", n++);
        b.key = str_z(key);
        err = store_put_binding(s, &b);
    }
    check_err(err, ERR_LIMIT);
    assert_true(health(s).dropped == 1);
    assert_true(s->queue_bytes <= STORE_QUEUE_BYTES);
    b.contact = STR("<sip:a@b>"); /* a smaller one in place of one that waits goes in */
    snprintf(key, sizeof(key), "k%u", n - 2);
    check_err(store_put_binding(s, &b), 0);
    /* the rest is thrown away: 256 MiB need not go to the disk in a test */
    pthread_mutex_lock(&s->queue_lock);
    while (!list_is_empty(&s->order)) {
        struct store_change *c = LIST_FIRST(&s->order, struct store_change, link);

        map_remove(&s->waiting, &c->node);
        list_remove(&c->link);
        s->queue_bytes -= c->bytes;
        s->health.queued--;
        free(c);
    }
    assert_int_equal(s->queue_bytes, 0);
    pthread_mutex_unlock(&s->queue_lock);
    pthread_mutex_unlock(&s->db_lock);
    store_close(s);
    free(big);
}

/* The store says it cannot write, keeps what waits, and writes it when it can. */
static void test_full(void **state)
{
    struct store *s = open_ok(false);
    struct store_binding b;
    struct reason why = {0};
    char sql_text[64];

    (void)state;
    pthread_mutex_lock(&s->db_lock);
    snprintf(sql_text, sizeof(sql_text), "PRAGMA max_page_count=%d", 12);
    check_err(db_exec(s, sql_text, &why), 0);
    pthread_mutex_unlock(&s->db_lock);
    for (int i = 0; i < 500; i++) {
        char key[16];

        snprintf(key, sizeof(key), "k%d", i);
        b = binding("sip:a@b", key);
        check_err(store_put_binding(s, &b), 0);
    }
    wait_for(!health(s).writable);
    assert_true(health(s).failed >= 1);
    assert_non_null(strstr(health(s).last_error, "full"));
    assert_int_equal(health(s).written, 0);
    wait_for(health(s).queued == 500);
    /* still takes changes, and reads */
    b = binding("sip:a@b", "late");
    check_err(store_put_binding(s, &b), 0);
    assert_int_equal(count_bindings(s), 0);
    pthread_mutex_lock(&s->db_lock);
    check_err(db_exec(s, "PRAGMA max_page_count=1000000", &why), 0);
    pthread_mutex_unlock(&s->db_lock);
    wait_for(health(s).writable && health(s).queued == 0);
    assert_int_equal(health(s).written, 501);
    assert_int_equal(health(s).dropped, 0);
    store_close(s);
    assert_int_equal(sql_number("SELECT count(*) FROM bindings"), 501);
}

/* Closing while nothing can be written: gives up after its five seconds, and the file is as before.
 */
static void test_close_when_full(void **state)
{
    struct store *s = open_ok(false);
    struct store_binding b = binding("sip:a@b", "k");
    struct reason why;
    char *big = calloc(1, 100000);
    uint64_t start;

    (void)state;
    assert_non_null(big);
    memset(big, 'x', 99999);
    b.user_agent = str_z(big);
    pthread_mutex_lock(&s->db_lock);
    check_err(db_exec(s, "PRAGMA max_page_count=12", &why), 0);
    pthread_mutex_unlock(&s->db_lock);
    check_err(store_put_binding(s, &b), 0);
    start = now_ms();
    store_close(s);
    assert_in_range(now_ms() - start, STORE_CLOSE_MS - 100, STORE_CLOSE_MS + 3000);
    free(big);
    assert_int_equal(sql_number("SELECT count(*) FROM bindings"), 0);
}
/* ---- one daemon a file ---- */

static void test_claim(void **state)
{
    struct store *s = open_ok(false), *other = open_ok(false), *cli;
    struct store_user u = user("sip:claimed@b");
    struct reason why = {0};
    char link[300], path[340];
    int status;

    (void)state;
    check_err(store_claim(s, &why), 0);
    check_err(store_claim(other, &why), ERR_EXISTS);
    assert_string_equal(why.code, "store-in-use");
    store_close(other); /* which must not end the first one's claim, nor its locks */
    other = open_ok(false);
    check_err(store_claim(other, &why), ERR_EXISTS);
    store_close(other);
    /* by another way to the same file, in another process */
    snprintf(link, sizeof(link), "%s.link", dir);
    assert_int_equal(symlink(dir, link), 0);
    snprintf(path, sizeof(path), "%s/store.db", link);
    pid_t pid = fork();
    if (pid == 0) {
        struct store *there;
        _exit(store_open(path, false, &there, &why) == 0 &&
                      store_claim(there, &why) == ERR_EXISTS
                  ? 0
                  : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    unlink(link);
    /* the command line needs none */
    cli = open_ok(false);
    check_err(store_put_user(cli, &u, &why), 0);
    store_close(cli);
    store_close(s);
    s = open_ok(false);
    check_err(store_claim(s, &why), 0);
    store_close(s);
}

/* ---- the watch ---- */

struct watched {
    pthread_mutex_t lock;
    unsigned n, n_deleted;
    char last[64];
    bool last_disabled;
    uint8_t last_ha1;
};

static void on_user(void *arg, const struct store_user *u, bool deleted)
{
    struct watched *w = arg;

    pthread_mutex_lock(&w->lock);
    w->n++;
    w->n_deleted += deleted;
    snprintf(w->last, sizeof(w->last), "%.*s", STR_FMT(u->aor));
    w->last_disabled = u->disabled;
    w->last_ha1 = deleted ? 0 : u->ha1[1][0];
    pthread_mutex_unlock(&w->lock);
}

static struct watched watched(struct watched *w)
{
    struct watched copy;

    pthread_mutex_lock(&w->lock);
    copy = *w;
    pthread_mutex_unlock(&w->lock);
    return copy;
}

static void test_watch(void **state)
{
    struct store *s = open_ok(false), *cli;
    struct watched w = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct store_user u = user("sip:before@b");
    struct reason why;
    struct seen seen = {0};
    uint64_t start;

    (void)state;
    cli = open_ok(false);
    check_err(store_put_user(cli, &u, &why), 0);
    check_err(store_each_user(s, see_user, &seen), 0);
    u = user("sip:between@b"); /* between loading and watching */
    check_err(store_put_user(cli, &u, &why), 0);
    check_err(store_watch_users(s, on_user, &w), 0);
    wait_for(watched(&w).n == 1);
    assert_string_equal(watched(&w).last, "sip:between@b");
    start = now_ms();
    u.disabled = true;
    u.ha1[1][0] = 77;
    check_err(store_put_user(cli, &u, &why), 0);
    wait_for(watched(&w).n == 2);
    assert_true(now_ms() - start <= 2000);
    assert_true(watched(&w).last_disabled);
    assert_int_equal(watched(&w).last_ha1, 77);
    check_err(store_del_user(cli, u.aor, &why), 0);
    wait_for(watched(&w).n == 3);
    assert_int_equal(watched(&w).n_deleted, 1);
    assert_string_equal(watched(&w).last, "sip:between@b");
    /* an administrator's own SQL counts as well; a change of key is one going and one coming */
    sql("UPDATE users SET aor='sip:after@b' WHERE aor='sip:before@b'");
    wait_for(watched(&w).n == 5);
    assert_int_equal(watched(&w).n_deleted, 2);
    assert_string_equal(watched(&w).last, "sip:after@b");
    /* nothing is handed on twice, and the log is cleared */
    usleep(1500000);
    assert_int_equal(watched(&w).n, 5);
    assert_int_equal(sql_number("SELECT count(*) FROM user_changes"), 0);
    check_err(store_watch_users(s, NULL, NULL), 0);
    check_err(store_del_user(cli, STR("sip:after@b"), &why), 0);
    usleep(1500000);
    assert_int_equal(watched(&w).n, 5);
    store_close(cli);
    store_close(s);
    /* what happened while nobody watched is not news after a start */
    s = open_ok(false);
    check_err(store_each_user(s, see_user, &seen), 0);
    check_err(store_watch_users(s, on_user, &w), 0);
    usleep(1500000);
    assert_int_equal(watched(&w).n, 5);
    store_close(s);
}
/* ---- many threads ---- */

struct writer {
    struct store *s;
    unsigned id;
};

static void *writer_main(void *arg)
{
    struct writer *w = arg;

    for (unsigned i = 0; i < 5000; i++) {
        char key[16];
        struct store_binding b = binding("sip:a@b", key);

        snprintf(key, sizeof(key), "k%u",
                 i % 50 + w->id * 25); /* half of them shared with the neighbour */
        b.key = str_z(key);
        if ((i % 7 == 3 ? store_del_binding(w->s, b.aor, b.key) : store_put_binding(w->s, &b)) != 0)
            return w;
    }
    return NULL;
}

static void test_threads(void **state)
{
    struct store *s = open_ok(false);
    struct writer w[4];
    pthread_t t[4];

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        w[i] = (struct writer){s, i};
        assert_int_equal(pthread_create(&t[i], NULL, writer_main, &w[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        void *failed;

        (void)count_bindings(s);
        pthread_join(t[i], &failed);
        assert_null(failed);
    }
    store_close(s);
    assert_int_equal(
        sql_number("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"), 0);
}
/* ---- figures ---- */

static void bench_fill(struct store *s, unsigned n)
{
    struct reason why;

    for (unsigned i = 0; i < n; i++) {
        char aor[64], key[64];
        struct store_user u;
        struct store_binding b;

        snprintf(aor, sizeof(aor), "sip:u%u@bench.test", i);
        u = user(aor);
        if (i % 10000 == 0 && ((i && store_commit(s, &why) != 0) || store_begin(s, &why) != 0))
            exit(1);
        if (store_put_user(s, &u, &why) != 0)
            exit(1);
        snprintf(key, sizeof(key), "sip:u%u@192.0.2.1:5060", i);
        b = binding(aor, key);
        if (store_put_binding(s, &b) != 0)
            exit(1);
    }
    if (store_commit(s, &why) != 0)
        exit(1);
}

static void bench(void)
{
    void *none = NULL;
    struct store *s;
    struct reason why;
    struct seen seen = {0};
    uint64_t start;
    struct timespec cpu;

    if (setup(&none) != 0 || store_open(file, false, &s, &why) != 0)
        exit(1);
    start = now_ms();
    bench_fill(s, 10000);
    printf("10,000 users put: %llu ms\n", (unsigned long long)(now_ms() - start));
    start = now_ms();
    bench_fill(s, 200000);
    printf("200,000 users put: %llu ms\n", (unsigned long long)(now_ms() - start));
    while (health(s).queued)
        usleep(10000);
    printf("... and as many bindings written behind: %llu ms\n",
           (unsigned long long)(now_ms() - start));
    store_close(s);
    if (store_open(file, false, &s, &why) != 0)
        exit(1);
    start = now_ms();
    if (store_each_user(s, see_user, &seen) != 0 || store_each_binding(s, see_binding, &seen) != 0)
        exit(1);
    printf("%zu rows read: %llu ms\n", seen.n, (unsigned long long)(now_ms() - start));
    /* what a registration pays for it */
    start = now_ms();
    for (unsigned i = 0; i < 500000; i++) {
        char aor[64];
        struct store_binding b;

        snprintf(aor, sizeof(aor), "sip:u%u@bench.test", i % 50000);
        b = binding(aor, "sip:u@192.0.2.1:5060");
        if (store_put_binding(s, &b) != 0)
            exit(1);
    }
    printf("queueing a change: %.0f ns\n", (double)(now_ms() - start) * 2.0);
    while (health(s).queued)
        usleep(10000);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    printf("%llu of 500,000 changes to 50,000 keys were written; CPU in all %.1f s\n",
           (unsigned long long)health(s).written, (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9);
    store_close(s);
    teardown(&none);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_users, setup, teardown),
        cmocka_unit_test_setup_teardown(test_transaction, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bindings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rehashed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clock, setup, teardown),
        cmocka_unit_test_setup_teardown(test_coalescing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_newer_wins, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_when_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_claim, setup, teardown),
        cmocka_unit_test_setup_teardown(test_watch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
    };

    if (argc > 1 && strcmp(argv[1], "bench") == 0) {
        bench();
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
