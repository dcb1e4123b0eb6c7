/* AES-CM and AES-GCM by Intel's library for short packets, where it is built in (-Dipsec-mb) and
 * the processor has AES and carry-less multiplication; elsewhere there is none of it here and
 * OpenSSL does the work.
 *
 * A schedule is constant while it is used, and belongs to one msrtp_cipher. The library's manager
 * is made once and shared by all threads: these calls keep nothing in it (but a code of zero for
 * "no error"). */
#include "base/secret.h"
#include "media/srtp_priv.h"

#ifdef SALLYPORT_IPSEC_MB
#define NO_COMPAT_IMB_API_053
#include <intel-ipsec-mb.h>
#include <pthread.h>

#define BLOCK 16                  /* bytes of a block, a round key, a power of the hash key */
#define CTR_SCHEDULE (BLOCK * 15) /* round keys of AES-256 */
#define POWERS 10                 /* of the hash key, for 20 ms of G.711 */

static IMB_MGR *mgr;
static size_t powers_at; /* where in a schedule the low powers of the hash key are */

static void mb_init(void)
{
    const uint64_t needed = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ;
    IMB_ARCH arch = IMB_ARCH_NONE;
    IMB_MGR *made = alloc_mb_mgr(0);

    if (made == NULL)
        return;
    init_mb_mgr_auto(made, &arch);
    if (arch != IMB_ARCH_NONE && arch != IMB_ARCH_NOAESNI && imb_get_errno(made) == 0 &&
        (made->features & needed) == needed)
        mgr = made;
    else
        free_mb_mgr(made);
    /* The highest power comes first: of 48 where sixteen blocks are worked off at a time, else
     * of 8. */
    powers_at = offsetof(struct gcm_key_data, ghash_keys);
    if (mgr != NULL && (mgr->features & IMB_CPUFLAGS_AVX512_T2) == IMB_CPUFLAGS_AVX512_T2)
        powers_at = sizeof(struct gcm_key_data) - POWERS * BLOCK;
}

bool msrtp_mb_is_there(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, mb_init);
    return mgr != NULL;
}

_Static_assert(sizeof(struct gcm_key_data) <= SRTP_MB_MAX, "room for a schedule");

size_t msrtp_mb_size(enum keying_cipher kind, unsigned key_len)
{
    return kind == KEYING_AES_GCM ? sizeof(struct gcm_key_data)
                                  : BLOCK * (size_t)(key_len / 4 + 7); /* round keys */
}

void msrtp_mb_warm(const void *mb, enum keying_cipher kind, unsigned key_len)
{
    msrtp_warm(mb, BLOCK * (size_t)(key_len / 4 + 7));
    if (kind == KEYING_AES_GCM)
        msrtp_warm((const uint8_t *)mb + powers_at, POWERS * BLOCK);
}

void msrtp_mb_set(void *mb, enum keying_cipher kind, const uint8_t *key, unsigned key_len)
{
    _Alignas(16) uint8_t
        for_decryption[CTR_SCHEDULE]; /* the library makes both; a stream cipher needs one */

    if (kind == KEYING_AES_GCM) {
        if (key_len == 32)
            IMB_AES256_GCM_PRE(mgr, key, mb);
        else
            IMB_AES128_GCM_PRE(mgr, key, mb);
        return;
    }
    if (key_len == 32)
        IMB_AES_KEYEXP_256(mgr, key, mb, for_decryption);
    else if (key_len == 24)
        IMB_AES_KEYEXP_192(mgr, key, mb, for_decryption);
    else
        IMB_AES_KEYEXP_128(mgr, key, mb, for_decryption);
    secret_wipe(for_decryption, sizeof(for_decryption));
}

void msrtp_mb_ctr(const void *mb, unsigned key_len, const uint8_t iv[16], uint8_t *p, size_t n)
{
    NO_AUTO_INIT IMB_JOB job;

    job.cipher_mode = IMB_CIPHER_CNTR;
    job.cipher_direction = IMB_DIR_ENCRYPT;
    job.enc_keys = mb;
    job.dec_keys = mb;
    job.key_len_in_bytes = key_len;
    job.iv = iv;
    job.iv_len_in_bytes = 16;
    job.src = p;
    job.dst = p;
    job.cipher_start_src_offset_in_bytes = 0;
    job.msg_len_to_cipher_in_bytes = n;
    IMB_SUBMIT_CIPHER_BURST_NOCHECK(mgr, &job, 1, IMB_CIPHER_CNTR, IMB_DIR_ENCRYPT, key_len);
}

void msrtp_mb_gcm(const void *mb, unsigned key_len, bool seal, const uint8_t iv[12],
                  const uint8_t *aad, size_t n_aad, uint8_t *p, size_t n, uint8_t tag[16])
{
    NO_AUTO_INIT struct gcm_context_data c;

    if (key_len == 32) {
        if (seal)
            IMB_AES256_GCM_ENC(mgr, mb, &c, p, p, n, iv, aad, n_aad, tag, 16);
        else
            IMB_AES256_GCM_DEC(mgr, mb, &c, p, p, n, iv, aad, n_aad, tag, 16);
    } else if (seal) {
        IMB_AES128_GCM_ENC(mgr, mb, &c, p, p, n, iv, aad, n_aad, tag, 16);
    } else {
        IMB_AES128_GCM_DEC(mgr, mb, &c, p, p, n, iv, aad, n_aad, tag, 16);
    }
}

#else

bool msrtp_mb_is_there(void)
{
    return false;
}

size_t msrtp_mb_size(enum keying_cipher kind, unsigned key_len)
{
    (void)kind;
    (void)key_len;
    return 0;
}

void msrtp_mb_warm(const void *mb, enum keying_cipher kind, unsigned key_len)
{
    (void)mb;
    (void)kind;
    (void)key_len;
}

void msrtp_mb_set(void *mb, enum keying_cipher kind, const uint8_t *key, unsigned key_len)
{
    (void)mb;
    (void)kind;
    (void)key;
    (void)key_len;
}

void msrtp_mb_ctr(const void *mb, unsigned key_len, const uint8_t iv[16], uint8_t *p, size_t n)
{
    (void)mb;
    (void)key_len;
    (void)iv;
    (void)p;
    (void)n;
}

void msrtp_mb_gcm(const void *mb, unsigned key_len, bool seal, const uint8_t iv[12],
                  const uint8_t *aad, size_t n_aad, uint8_t *p, size_t n, uint8_t tag[16])
{
    (void)mb;
    (void)key_len;
    (void)seal;
    (void)iv;
    (void)aad;
    (void)n_aad;
    (void)p;
    (void)n;
    (void)tag;
}

#endif
