/* Session keys from master keys: the AES-CM generator. RFC 3711 4.3, with AES-192 and AES-256 RFC
 * 6188 3, for GCM RFC 7714
 * 11. Pure. */
#include "base/err.h"
#include "media/srtp_priv.h"

#define KDF_MAX 128 /* more than any key asked for; the tests derive 94 bytes (RFC 3711 B.3) */

EVP_CIPHER_CTX *msrtp_kdf_new(const uint8_t *master_key, unsigned key_len)
{
    const EVP_CIPHER *aes = key_len == 32   ? EVP_aes_256_ctr()
                            : key_len == 24 ? EVP_aes_192_ctr()
                                            : EVP_aes_128_ctr();
    EVP_CIPHER_CTX *prf = EVP_CIPHER_CTX_new();

    if (prf != NULL && EVP_EncryptInit_ex(prf, aes, NULL, master_key, NULL) == 1)
        return prf;
    EVP_CIPHER_CTX_free(prf);
    return NULL;
}

bool msrtp_kdf(EVP_CIPHER_CTX *prf, const uint8_t *master_salt, unsigned salt_len, unsigned label,
               uint64_t r, uint8_t *dst, size_t n)
{
    static const uint8_t zeros[KDF_MAX];
    /* x * 2^16 with x = (label || r) XOR master_salt. RFC 3711 4.3.1 aligns them to the right; a
     * salt of 96 bits is aligned as if two zero bytes followed it, which is what every
     * implementation of RFC 7714 does. SRTCP's index counts as 48 bits too: with 32, as 4.3.2
     * reads, label and salt would not meet where they do everywhere else. */
    uint8_t iv[16] = {0};
    int len = 0;

    memcpy(iv, master_salt, salt_len);
    iv[7] ^= (uint8_t)label;
    msrtp_xor32(iv + 8, (uint32_t)(r >> 16));
    iv[12] ^= (uint8_t)(r >> 8);
    iv[13] ^= (uint8_t)r;
    return n <= KDF_MAX && EVP_EncryptInit_ex(prf, NULL, NULL, NULL, iv) == 1 &&
           EVP_EncryptUpdate(prf, dst, &len, zeros, (int)n) == 1 && len == (int)n;
}
