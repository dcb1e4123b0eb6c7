/* What RTP carries, heard from outside: how end-to-end tests know by content what passed a socket
 * of a program which cannot tell (sipp), and that our SRTP is SRTP to somebody else (libsrtp2). RFC
 * 3550, 3711, 4568 6.1, 5764 4.2, 7587. One thread.
 *
 *     rtp_ear hear PORT SECONDS FILE CODEC [SUITE KEY]
 *
 * listens on all interfaces to what is sent to that UDP port until it has had so much sound, or
 * nothing has come for five seconds, and writes a WAV file. CODEC: PCMU, PCMA, opus. SUITE as in
 * a=crypto; KEY: master key and salt in base64 or hex. Prints "packets N opened N refused N
 * sound-ms N". Status 0: there was sound, and with a key nothing was refused.
 *
 *     rtp_ear make FILE HZ SECONDS CODEC PT
 *
 * makes a capture file of RTP with that tone, for sipp's play_pcap_audio.
 *
 *     rtp_ear play PORT HOST PORT HZ SECONDS CODEC PT SUITE KEY
 *
 * sends that tone as SRTP from one port to another, in real time.
 */
#include "media/codec.h"
#include "media/rtp.h"
#include "media/tone.h"
#include "media/wav.h"
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <srtp2/srtp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SOUND_MAX (16000u * 120u)
#define KEY_MAX 64u
#define FRAME_MS 20u

static int usage(void)
{
    fprintf(stderr, "usage: rtp_ear hear PORT SECONDS FILE CODEC [SUITE KEY] | rtp_ear make FILE "
                    "HZ SECONDS CODEC PT\n");
    return 2;
}

static struct codec *codec_open(const char *name)
{
    const struct codec_info *info = codec_find(str_z(name));

    if (info == NULL)
        fprintf(stderr, "rtp_ear: no codec %s\n", name);
    return info != NULL ? codec_new(info) : NULL;
}

/* ---- keys ---- */

static int digit64(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;

    return at != NULL ? (int)(at - digits) : -1;
}

static size_t from_base64(const char *text, uint8_t *dst)
{
    uint32_t bits = 0;
    unsigned n_bits = 0;
    size_t n = 0;

    for (; digit64(*text) >= 0 && n < KEY_MAX; text++) {
        bits = bits << 6 | (uint32_t)digit64(*text);
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            dst[n++] = (uint8_t)(bits >> n_bits);
        }
    }
    return n;
}

static size_t from_hex(const char *text, uint8_t *dst)
{
    size_t n = 0;
    unsigned byte;

    for (; n < KEY_MAX && sscanf(text, "%2x", &byte) == 1 && text[1] != '\0'; text += 2)
        dst[n++] = (uint8_t)byte;
    return n;
}

static const struct suite {
    const char *name;
    void (*set)(srtp_crypto_policy_t *p);
    size_t n;
} suites[] = {
    {"AES_CM_128_HMAC_SHA1_80", srtp_crypto_policy_set_rtp_default, 30},
    {"AEAD_AES_128_GCM", srtp_crypto_policy_set_aes_gcm_128_16_auth, 28},
    {"AEAD_AES_256_GCM", srtp_crypto_policy_set_aes_gcm_256_16_auth, 44},
};

static srtp_t srtp_open(const char *suite, const char *key, bool is_out)
{
    static uint8_t bytes[KEY_MAX];
    srtp_policy_t policy = {.ssrc = {.type = is_out ? ssrc_any_outbound : ssrc_any_inbound},
                            .key = bytes,
                            .window_size = 128};
    srtp_t s = NULL;

    for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++) {
        if (strcmp(suite, suites[i].name) != 0)
            continue;
        suites[i].set(&policy.rtp);
        suites[i].set(&policy.rtcp);
        if (from_base64(key, bytes) != suites[i].n && from_hex(key, bytes) != suites[i].n) {
            fprintf(stderr, "rtp_ear: not a key of %s\n", suite);
            return NULL;
        }
        if (srtp_init() != srtp_err_status_ok || srtp_create(&s, &policy) != srtp_err_status_ok)
            fprintf(stderr, "rtp_ear: libsrtp2 refuses the key\n");
        return s;
    }
    fprintf(stderr, "rtp_ear: no suite %s\n", suite);
    return NULL;
}

static void srtp_close(srtp_t s)
{
    if (s == NULL)
        return;
    (void)srtp_dealloc(s);
    (void)srtp_shutdown();
}

/* ---- hearing ---- */

struct ear {
    struct codec *codec;
    srtp_t srtp; /* NULL: what comes is clear */
    unsigned port;
    int16_t *sound;
    size_t n_sound;
    unsigned packets, opened, refused;
    uint32_t ssrc;
    uint16_t last_seq;
};

/* An IP packet; its UDP payload if it goes to our port. */
static uint8_t *payload_of(const struct ear *e, uint8_t *p, size_t n, size_t *ret_n)
{
    size_t head = n >= 20 && p[0] >> 4 == 4 ? (size_t)(p[0] & 15) * 4 : 0;

    if (head < 20 || p[9] != IPPROTO_UDP || n < head + 8 ||
        (unsigned)(p[head + 2] << 8 | p[head + 3]) != e->port)
        return NULL;
    *ret_n = n - head - 8;
    return p + head + 8;
}

static void hear_rtp(struct ear *e, const uint8_t *p, size_t n)
{
    int16_t pcm[CODEC_DECODED_MAX];
    struct rtp_packet rtp;
    size_t got;

    if (rtp_parse(p, n, &rtp) != 0 ||
        (e->n_sound > 0 && rtp.ssrc == e->ssrc && rtp_seq_diff(rtp.seq, e->last_seq) <= 0) ||
        codec_decode(e->codec, rtp.payload, rtp.n_payload, pcm, &got) != 0 ||
        e->n_sound + got > SOUND_MAX)
        return;
    e->ssrc = rtp.ssrc;
    e->last_seq = rtp.seq;
    memcpy(e->sound + e->n_sound, pcm, got * sizeof(pcm[0]));
    e->n_sound += got;
}

static void hear(struct ear *e, uint8_t *p, size_t n)
{
    int len = (int)n;

    if (rtp_demux(p, n) != RTP_DEMUX_RTP)
        return;
    e->packets++;
    if (e->srtp != NULL) {
        srtp_err_status_t status = srtp_unprotect(e->srtp, p, &len);

        if (status != srtp_err_status_ok) {
            e->refused++;
            return;
        }
        e->opened++;
    }
    hear_rtp(e, p, (size_t)len);
}

static int sound_write(const struct ear *e, const char *path)
{
    unsigned rate = codec_info_of(e->codec)->rate;
    uint8_t head[WAV_HEADER_BYTES];
    FILE *f = fopen(path, "wb");
    bool ok;

    if (f == NULL)
        return -1;
    wav_header_build(head, rate, e->n_sound);
    ok = fwrite(head, sizeof(head), 1, f) == 1;
    for (size_t i = 0; i < e->n_sound; i++)
        ok = ok && fputc(e->sound[i] & 255, f) != EOF && fputc(e->sound[i] >> 8 & 255, f) != EOF;
    return fclose(f) == 0 && ok ? 0 : -1;
}

static int run_hear(int argc, char **argv)
{
    struct ear e = {.port = (unsigned)atoi(argv[2]), .codec = codec_open(argv[5])};
    int fd = socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_IP));
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    size_t want;
    uint8_t p[4096];
    bool ok;

    e.sound = calloc(SOUND_MAX, sizeof(e.sound[0]));
    if (fd < 0 || e.codec == NULL || e.sound == NULL) {
        perror("rtp_ear");
        return 2;
    }
    if (argc > 7 && (e.srtp = srtp_open(argv[6], argv[7], false)) == NULL)
        return 2;
    want = (size_t)(atof(argv[3]) * codec_info_of(e.codec)->rate);
    want = want > SOUND_MAX ? SOUND_MAX : want;
    printf("listens\n");
    fflush(stdout);
    for (time_t last = time(NULL); e.n_sound < want && time(NULL) < last + 5;) {
        struct sockaddr_ll from;
        ssize_t got = 0;
        uint8_t *rtp;
        size_t n;

        if (poll(&poll_fd, 1, 200) > 0)
            got =
                recvfrom(fd, p, sizeof(p), 0, (struct sockaddr *)&from, &(socklen_t){sizeof(from)});
        /* The loopback shows what leaves and what arrives. */
        rtp = got > 0 && from.sll_pkttype != PACKET_OUTGOING ? payload_of(&e, p, (size_t)got, &n)
                                                             : NULL;
        if (rtp != NULL) {
            last = time(NULL);
            hear(&e, rtp, n);
        }
    }
    printf("packets %u opened %u refused %u sound-ms %zu\n", e.packets, e.opened, e.refused,
           e.n_sound * 1000 / codec_info_of(e.codec)->rate);
    ok = sound_write(&e, argv[4]) == 0 && e.n_sound > 0 && e.refused == 0;
    codec_free(e.codec);
    srtp_close(e.srtp);
    free(e.sound);
    return ok ? 0 : 1;
}

/* ---- making ---- */

static void put32(FILE *f, uint32_t v) /* in our own order, as the file says by its first number */
{
    (void)!fwrite(&v, sizeof(v), 1, f);
}

/* Ethernet, IPv4 and UDP headers of no meaning: sipp takes what stands behind them. */
static void put_record(FILE *f, unsigned ms, const uint8_t *p, size_t n)
{
    uint8_t head[42] = {[12] = 8,   [14] = 0x45, [22] = 64,  [23] = IPPROTO_UDP,
                        [26] = 127, [29] = 1,    [30] = 127, [33] = 1};

    head[16] = (uint8_t)((n + 28) >> 8);
    head[17] = (uint8_t)(n + 28);
    head[34] = head[36] = 0x75;
    head[38] = (uint8_t)((n + 8) >> 8);
    head[39] = (uint8_t)(n + 8);
    put32(f, ms / 1000);
    put32(f, ms % 1000 * 1000);
    put32(f, (uint32_t)(n + sizeof(head)));
    put32(f, (uint32_t)(n + sizeof(head)));
    (void)!fwrite(head, sizeof(head), 1, f);
    (void)!fwrite(p, n, 1, f);
}

/* The i-th packet of a tone. */
struct voice {
    struct codec *codec;
    const struct codec_info *info;
    struct tone tone;
    uint8_t pt;
    unsigned n_frames, i;
};

static bool voice_open(struct voice *v, const char *hz, const char *seconds, const char *codec,
                       const char *pt)
{
    *v = (struct voice){.codec = codec_open(codec), .pt = (uint8_t)atoi(pt)};
    if (v->codec == NULL)
        return false;
    v->info = codec_info_of(v->codec);
    v->n_frames = (unsigned)(atof(seconds) * 1000 / FRAME_MS);
    tone_init(&v->tone, (unsigned)atoi(hz), v->info->rate, 12000);
    return true;
}

static size_t voice_next(struct voice *v, uint8_t *dst, size_t cap)
{
    int16_t pcm[CODEC_FRAME_MAX];
    uint8_t payload[1200];
    struct rtp_packet rtp = {.marker = v->i == 0,
                             .pt = v->pt,
                             .seq = (uint16_t)(1000 + v->i),
                             .ts = v->i * (v->info->clock / 1000 * FRAME_MS),
                             .ssrc = 0x51bb51bb,
                             .payload = payload};
    size_t n;

    tone_fill(&v->tone, pcm, v->info->rate / 1000 * FRAME_MS);
    if (codec_encode(v->codec, pcm, payload, sizeof(payload), &rtp.n_payload) != 0 ||
        rtp_build(dst, cap, &rtp, &n) != 0) {
        fprintf(stderr, "rtp_ear: a frame cannot be made\n");
        exit(2);
    }
    v->i++;
    return n;
}

static int run_make(char **argv)
{
    uint8_t packet[RTP_PACKET_MAX];
    struct voice v;
    FILE *f = fopen(argv[2], "wb");

    if (f == NULL || !voice_open(&v, argv[3], argv[4], argv[5], argv[6]))
        return 2;
    put32(f, 0xa1b2c3d4);
    put32(f, 4u << 16 | 2u); /* version 2.4 where we are little-endian, and sipp reads no version */
    put32(f, 0);
    put32(f, 0);
    put32(f, 65535);
    put32(f, 1); /* Ethernet */
    for (unsigned ms = 0; v.i < v.n_frames; ms += FRAME_MS)
        put_record(f, ms, packet, voice_next(&v, packet, sizeof(packet)));
    codec_free(v.codec);
    return fclose(f) == 0 ? 0 : 2;
}

static int run_play(char **argv)
{
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[4]))};
    srtp_t srtp = srtp_open(argv[9], argv[10], true);
    int fd = socket(AF_INET, SOCK_DGRAM, 0), on = 1;
    uint8_t packet[RTP_PACKET_MAX + SRTP_MAX_TRAILER_LEN];
    struct timespec at;
    struct voice v;

    if (srtp == NULL || !voice_open(&v, argv[5], argv[6], argv[7], argv[8]) ||
        inet_pton(AF_INET, argv[3], &to.sin_addr) != 1)
        return 2;
    from.sin_addr = to.sin_addr;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(fd, (struct sockaddr *)&from, sizeof(from)) != 0) {
        perror("rtp_ear");
        return 2;
    }
    clock_gettime(CLOCK_MONOTONIC, &at);
    while (v.i < v.n_frames) {
        int n = (int)voice_next(&v, packet, RTP_PACKET_MAX);

        if (srtp_protect(srtp, packet, &n) != srtp_err_status_ok)
            return 2;
        (void)!sendto(fd, packet, (size_t)n, 0, (struct sockaddr *)&to, sizeof(to));
        at.tv_nsec += FRAME_MS * 1000000;
        at.tv_sec += at.tv_nsec / 1000000000;
        at.tv_nsec %= 1000000000;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
    }
    codec_free(v.codec);
    srtp_close(srtp);
    return 0;
}

int main(int argc, char **argv)
{
    if ((argc == 6 || argc == 8) && strcmp(argv[1], "hear") == 0)
        return run_hear(argc, argv);
    if (argc == 7 && strcmp(argv[1], "make") == 0)
        return run_make(argv);
    if (argc == 11 && strcmp(argv[1], "play") == 0)
        return run_play(argv);
    return usage();
}
