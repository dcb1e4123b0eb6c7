/* What the methods of key management have in common: policy, the attributes of a description, the
 * list of methods. Pure. */
#include "keying/keying.h"
#include "base/secret.h"

void keying_policy_init(struct keying_policy *policy)
{
    *policy = (struct keying_policy){
        .methods = {KEYING_DTLS, KEYING_SDES},
        .n_methods = 2,
        .suites = {KEYING_AES_256_GCM, KEYING_AES_128_GCM, KEYING_AES_256_CM_80,
                   KEYING_AES_128_CM_80},
        .n_suites = 4,
        .roc = KEYING_ROC_PROBE,
        .rtcp_tag = KEYING_RTCP_TAG_80,
        .sdes_is_interim = true,
        .sdes_n_keys = 1,
        .dtls_first_ms = 200,
        .handshake_ms = 30000,
    };
}

bool keying_policy_allows(const struct keying_policy *policy, enum keying_suite_id suite)
{
    for (size_t i = 0; i < policy->n_suites; i++) {
        if (policy->suites[i] == suite)
            return true;
    }
    return false;
}

void keying_said_done(struct keying_said *said)
{
    if (said->text.p != NULL)
        secret_wipe(said->text.p, said->text.cap);
    said->text.n = 0;
    said->n = 0;
}

void keying_said_add(struct keying_said *said, const char *name, struct str value)
{
    size_t at = said->text.n;

    sbuf_str(&said->text, value);
    if (said->text.overflow || said->n == KEYING_ATTRS_MAX) {
        said->overflow = true;
        return;
    }
    said->attr[said->n++] =
        (struct sdp_new_attr){str_z(name), str_make(said->text.p + at, value.n)};
}

const struct keying_method *keying_method_get(enum keying_method_id id)
{
    switch (id) {
    case KEYING_SDES:
        return &keying_sdes;
    case KEYING_DTLS:
        return &keying_dtls;
    case KEYING_MIKEY:
    case KEYING_ZRTP:
    case KEYING_CLEAR:
    case KEYING_METHODS:
        break;
    }
    return NULL;
}
