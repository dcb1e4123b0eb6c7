/*
 * Makes a WAV file of one tone, and tells whether a recording holds a tone and no other: how the end-to-end tests know
 * that each side of a call heard what the other played. No clause; used by shell scripts, one thread.
 *
 *   tone make FILE HZ SECONDS [RATE]     16 bit, mono
 *   tone check FILE HZ [ABSENT-HZ]       0 when HZ carries most of the sound's energy over at least one second
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TONE_PI 3.14159265358979323846
#define TONE_SAMPLES_MAX (48000u * 600u)

struct tone_sound {
    int16_t *samples;
    size_t count;
    unsigned rate;
};

static void put16(FILE *file, unsigned value)
{
    fputc((int)(value & 255), file);
    fputc((int)(value >> 8 & 255), file);
}

static void put32(FILE *file, unsigned value)
{
    put16(file, value & 65535);
    put16(file, value >> 16);
}

static int tone_make(const char *path, double hz, double seconds, unsigned rate)
{
    size_t count = (size_t)(seconds * rate);
    FILE *file;

    if (count == 0 || count > TONE_SAMPLES_MAX) {
        fprintf(stderr, "tone: that length is out of range\n");
        return 2;
    }
    file = fopen(path, "wb");
    if (!file) {
        perror(path);
        return 2;
    }
    fputs("RIFF", file);
    put32(file, (unsigned)(36 + 2 * count));
    fputs("WAVEfmt ", file);
    put32(file, 16);
    put16(file, 1);
    put16(file, 1);
    put32(file, rate);
    put32(file, rate * 2);
    put16(file, 2);
    put16(file, 16);
    fputs("data", file);
    put32(file, (unsigned)(2 * count));
    for (size_t i = 0; i < count; i++) {
        double at = 2 * TONE_PI * hz * (double)i / rate;

        put16(file, (uint16_t)(int16_t)lrint(12000 * sin(at)));
    }
    if (fclose(file) != 0) {
        perror(path);
        return 2;
    }
    return 0;
}

static unsigned get16(const unsigned char *at)
{
    return at[0] | (unsigned)at[1] << 8;
}

static unsigned get32(const unsigned char *at)
{
    return get16(at) | get16(at + 2) << 16;
}

/* A recorder that was killed leaves zero or all ones as lengths: then the data goes to the end of the file. */
static int tone_read(const char *path, struct tone_sound *ret_sound)
{
    unsigned char head[12], chunk[8], format[16], frame[16];
    unsigned channels = 0, bytes = 0;
    FILE *file = fopen(path, "rb");
    int result = 2;

    if (!file) {
        perror(path);
        return 2;
    }
    ret_sound->samples = NULL;
    ret_sound->count = 0;
    if (fread(head, 1, sizeof(head), file) != sizeof(head) || memcmp(head, "RIFF", 4) != 0 ||
        memcmp(head + 8, "WAVE", 4) != 0) {
        fprintf(stderr, "tone: %s is no WAV file\n", path);
        goto out;
    }
    while (fread(chunk, 1, sizeof(chunk), file) == sizeof(chunk)) {
        unsigned len = get32(chunk + 4);

        if (memcmp(chunk, "fmt ", 4) == 0 && len >= 16 && len < 4096) {
            if (fread(format, 1, 16, file) != 16 || fseek(file, (long)(len - 16), SEEK_CUR) != 0) {
                goto out;
            }
            channels = get16(format + 2);
            ret_sound->rate = get32(format + 4);
            bytes = get16(format + 12);
            if (get16(format + 14) != 16 || channels == 0 || bytes != 2 * channels || bytes > sizeof(frame)) {
                fprintf(stderr, "tone: %s: only 16 bit samples are read\n", path);
                goto out;
            }
        } else if (memcmp(chunk, "data", 4) == 0 && channels != 0) {
            ret_sound->samples = calloc(TONE_SAMPLES_MAX, sizeof(int16_t));
            if (!ret_sound->samples) {
                goto out;
            }
            while (ret_sound->count < TONE_SAMPLES_MAX && fread(frame, 1, bytes, file) == bytes) {
                ret_sound->samples[ret_sound->count++] = (int16_t)get16(frame);
            }
            result = 0;
            goto out;
        } else if (fseek(file, (long)(len + (len & 1)), SEEK_CUR) != 0) {
            goto out;
        }
    }
    fprintf(stderr, "tone: %s has no sound in it\n", path);
out:
    fclose(file);
    return result;
}

/* Goertzel: the share of the window's energy that lies at one frequency, 0 to 1. */
static double tone_share(const int16_t *samples, size_t count, double hz, unsigned rate, double *ret_energy)
{
    double turn = 2 * cos(2 * TONE_PI * hz / rate), before = 0, last = 0, energy = 0, power;

    for (size_t i = 0; i < count; i++) {
        double now = samples[i] + turn * last - before;

        before = last;
        last = now;
        energy += (double)samples[i] * samples[i];
    }
    power = before * before + last * last - turn * before * last;
    *ret_energy = energy / (double)count;
    return energy > 0 ? 2 * power / ((double)count * energy) : 0;
}

static int tone_check(const char *path, double hz, double absent_hz)
{
    struct tone_sound sound = {0};
    unsigned heard = 0, other = 0, loud = 0, windows = 0;
    int result = tone_read(path, &sound);

    if (result != 0) {
        return result;
    }
    if (sound.rate < 8000 || sound.rate > 48000) {
        fprintf(stderr, "tone: %s: a rate of %u\n", path, sound.rate);
        free(sound.samples);
        return 2;
    }
    /* Windows of 50 ms: G.711's noise is far below, a lost packet spoils one window only. */
    for (size_t at = 0, len = sound.rate / 20; at + len <= sound.count; at += len) {
        double energy, share = tone_share(sound.samples + at, len, hz, sound.rate, &energy), ignored;

        windows++;
        if (energy < 100 * 100) {
            continue;
        }
        loud++;
        heard += share > 0.8;
        if (absent_hz > 0) {
            other += tone_share(sound.samples + at, len, absent_hz, sound.rate, &ignored) > 0.5;
        }
    }
    printf("%s: %u windows of 50 ms, %u with sound, %u of %.0f Hz, %u of %.0f Hz\n", path, windows, loud, heard, hz,
           other, absent_hz);
    free(sound.samples);
    return heard >= 20 && heard * 10 >= loud * 8 && other == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc >= 5 && strcmp(argv[1], "make") == 0) {
        return tone_make(argv[2], atof(argv[3]), atof(argv[4]), argc > 5 ? (unsigned)atoi(argv[5]) : 8000);
    }
    if (argc >= 4 && strcmp(argv[1], "check") == 0) {
        return tone_check(argv[2], atof(argv[3]), argc > 4 ? atof(argv[4]) : 0);
    }
    fprintf(stderr, "usage: tone make FILE HZ SECONDS [RATE] | tone check FILE HZ [ABSENT-HZ]\n");
    return 2;
}
