/* Checks the record of keys before it is used, and wipes it after. RFC 3711 8.2, RFC 4568 6. Pure.
 */
#include "keying/keys.h"
#include "base/err.h"
#include "base/secret.h"

static int check_key(const struct keying_keys *keys, size_t i)
{
    const struct keying_key *key = &keys->key[i];

    if (key->max_rtp > keys->suite->max_rtp || key->max_rtcp > keys->suite->max_rtcp)
        return ERR_INVALID;
    if (key->mki_len > KEYING_MKI_MAX || key->mki_len != keys->key[0].mki_len ||
        (keys->n > 1 && key->mki_len == 0))
        return ERR_INVALID;
    for (size_t j = 0; j < i; j++) {
        const struct keying_key *other = &keys->key[j];

        if (memcmp(key->mki, other->mki, key->mki_len) == 0 ||
            (secret_bytes_eq(key->key, other->key, keys->suite->key_len) &&
             secret_bytes_eq(key->salt, other->salt, keys->suite->salt_len)))
            return ERR_INVALID;
    }
    return 0;
}

int keying_keys_check(const struct keying_keys *keys)
{
    int err = 0;

    if (keys->suite == NULL || keys->n == 0 || keys->n > LIMIT_SRTP_KEYS ||
        keys->n_ssrcs > LIMIT_SRTP_SSRCS_TOLD || keys->kdr > KEYING_KDR_MAX)
        return ERR_INVALID;
    if (keys->suite->cipher == KEYING_AES_GCM &&
        (keys->unencrypted_rtp || keys->unauthenticated_rtp))
        return ERR_INVALID;
    for (size_t i = 0; i < keys->n && err == 0; i++)
        err = check_key(keys, i);
    return err;
}

void keying_keys_wipe(struct keying_keys *keys)
{
    secret_wipe(keys, sizeof(*keys));
}
