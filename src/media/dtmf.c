/* telephone-event (RFC 4733 2.3, 2.5). Pure; one thread. */
#include "media/dtmf.h"
#include <string.h>

static const char digits[] = "0123456789*#ABCD";

#define ENDS 3u    /* the last packet is sent three times (2.5.1.4) */
#define VOLUME 10u /* -10 dBm0 */

int dtmf_event_of(char c)
{
    if (c >= 'a' && c <= 'd')
        c = (char)(c - 32);
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

char dtmf_char_of(unsigned event)
{
    return event < sizeof(digits) - 1 ? digits[event] : '?';
}

int dtmf_dial(struct dtmf_sender *d, struct str text)
{
    if (d->at == d->n)
        d->at = d->n = 0;
    if (text.n > DTMF_QUEUE_MAX - d->n)
        return ERR_LIMIT;
    for (size_t i = 0; i < text.n; i++) {
        if (dtmf_event_of(text.p[i]) < 0)
            return ERR_SYNTAX;
    }
    for (size_t i = 0; i < text.n; i++)
        d->queue[d->n++] = (uint8_t)dtmf_event_of(text.p[i]);
    return 0;
}

bool dtmf_is_busy(const struct dtmf_sender *d)
{
    return d->at < d->n;
}

bool dtmf_frame(struct dtmf_sender *d, uint32_t ts, unsigned frame, unsigned rate,
                uint8_t payload[DTMF_PAYLOAD_BYTES], bool *ret_marker, uint32_t *ret_ts)
{
    if (d->pause) {
        d->pause = d->pause > frame ? d->pause - frame : 0;
        return false;
    }
    if (d->at == d->n)
        return false;
    *ret_marker = d->duration == 0;
    if (d->duration == 0)
        d->ts = ts;
    if (d->ends == 0)
        d->duration += frame;
    bool is_end = d->duration >= rate / 10;
    *ret_ts = d->ts; /* all packets of an event have the time of its beginning (2.2.1) */
    payload[0] = d->queue[d->at];
    payload[1] = (uint8_t)((is_end ? 0x80 : 0) | VOLUME);
    rtp_put16(payload + 2, d->duration);
    if (is_end && ++d->ends == ENDS) {
        d->at++;
        d->duration = d->ends = 0;
        d->pause = rate * 6 / 100;
    }
    return true;
}

bool dtmf_receive(struct dtmf_receiver *d, uint32_t ts, const uint8_t *payload, size_t n,
                  uint8_t *ret_event)
{
    if (n < DTMF_PAYLOAD_BYTES)
        return false;
    if (d->has && d->ts == ts && d->event == payload[0])
        return false;
    if (d->has && rtp_ts_diff(ts, d->ts) < 0) /* late packets of an event that is over */
        return false;
    d->has = true;
    d->ts = ts;
    d->event = payload[0];
    *ret_event = payload[0];
    return true;
}
