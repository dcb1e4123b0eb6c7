/* Reading, editing and building with every allocation failing in turn. */
#include "msg_help.h"

#include "oom.h"
#include "sip/edit.h"

static const char *data_folder;

static void whole_way(struct str bytes)
{
    struct arena *a =
        arena_new(256, LIMIT_MSG_ARENA_BYTES); /* small: so that it has to grow often */
    struct sip_msg *m = NULL;
    struct reason why;
    struct buf *out = NULL;
    if (a == NULL)
        return;
    int err = sip_msg_parse(a, bytes, &m, &why);
    if (err) {
        assert_null(m);
        arena_free(a);
        return;
    }
    struct str s;
    (void)!sip_uri_aor(a, &m->uri, &s);
    (void)!sip_uri_number(a, &m->uri, &s);
    (void)!sip_unescape(a, m->uri.user, &s);
    (void)!sip_unquote(a, m->from.display, &s);
    struct sip_edit *e = sip_edit_new(a, m);
    if (e != NULL) {
        for (unsigned i = 0; i < 40; i++)
            sip_edit_add_last(e, SIP_H_SUPPORTED, STR("a, b"));
        sip_edit_add_first(e, SIP_H_VIA, STR("SIP/2.0/UDP x"));
        sip_edit_replace_value(e, SIP_H_VIA, 0, STR("SIP/2.0/UDP y"));
        sip_edit_body(e, STR("a/b"), STR("xyz"));
        if (sip_edit_build(e, &out) == 0) { /* if it says so, it is whole */
            struct arena *b = arena_new(4096, LIMIT_MSG_ARENA_BYTES);
            struct sip_msg *n = NULL;
            if (b != NULL && sip_msg_parse(b, buf_str(out), &n, NULL) == 0) {
                check_str(n->body, "xyz");
                assert_true(sip_msg_has_token(n, SIP_H_SUPPORTED, STR("b")));
            }
            arena_free(b);
        } else {
            assert_null(out);
        }
        buf_unref(out);
    }
    struct sip_response r = {.status = 200};
    if (m->is_request && sip_response_build(m, &r, &out) == 0)
        buf_unref(out);
    arena_free(a);
    buf_pool_done(); /* the next run allocates again */
}

static void test_oom(void **state)
{
    (void)state;
    static const char *const files[] = {"wsinv.dat", "longreq.dat", "mpart01.dat", "badinv01.dat",
                                        "noreason.dat"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        char name[64];
        snprintf(name, sizeof(name), "rfc4475/%s", files[i]);
        struct str bytes = file_read(data_folder, name);
        OOM_SWEEP(200, { whole_way(bytes); });
    }
}

int main(int argc, char **argv)
{
    data_folder = argc > 1 ? argv[1] : ".";
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_oom)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
