/* G.711: A-law and mu-law against 16-bit linear samples (ITU-T G.711; payload types 8 and 0 of RFC
 * 3551 4.5.14). Pure; any thread. */
#ifndef MEDIA_G711_H
#define MEDIA_G711_H

#include <stddef.h>
#include <stdint.h>

int16_t g711_alaw_decode(uint8_t c);
int16_t g711_ulaw_decode(uint8_t c);
uint8_t g711_alaw_encode(int16_t s);
uint8_t g711_ulaw_encode(int16_t s);

#endif
