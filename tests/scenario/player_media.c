/* Media in scenarios. The media plane is dry (relay/dry.h): no socket is open, packets are put in,
 * and time of its own goes by when it is told to.
 *
 *   media ADDRESS:PORT N [rtcp]   N packets of RTP in clear come from there, to the end whose peer's
 *                                 description names this address; or of RTCP,
 *                                 from the next port
 *   media ADDRESS:PORT N from OTHER:PORT   ... from this other address
 *   ice-check ADDRESS:PORT OURS:ITS PASSWORD
 *                                 a check of ICE comes from there, to the agent of ours whose fragment and
 *                                 password a description has said, and nominates its pair
 *   media-later 130s              that much later nothing more has come
 */
#include "player.h"
#include "net/stun_wire.h"
#include "relay/dry.h"
#include <openssl/evp.h>
#include <openssl/hmac.h>

void step_media(char **word, unsigned n)
{
    static uint16_t seq;
    struct relay_end *e;
    unsigned count, i;
    struct addr from;
    bool is_rtcp = n == 4 && strcmp(word[3], "rtcp") == 0, is_other = n == 5 && strcmp(word[3], "from") == 0;

    if (n < 3 || n > 5 || (n > 3 && !is_rtcp && !is_other) || addr_parse_hostport(&from, str_z(word[1])) != 0 ||
        str_to_u32(str_z(word[2]), 100000, &count) != 0)
        fail("media ADDRESS:PORT N [rtcp | from OTHER:PORT]");
    if (!P.edge.relay || (e = relay_dry_find(P.edge.relay, &from)) == NULL)
        fail("no end has its peer at %s", word[1]);
    if (is_other && addr_parse_hostport(&from, str_z(word[4])) != 0)
        fail("%s is no address", word[4]);
    if (is_rtcp)
        addr_set_port(&from, (uint16_t)(addr_port(&from) + 1));
    for (i = 0; i < count; i++) {
        uint8_t p[RELAY_DRY_ROOM] = {0x80, 0};
        static const uint8_t rr[] = {0x80, 201, 0, 1, 0, 0, 0, 7}; /* a report of nothing (RFC 3550 6.4.2) */

        seq++;
        p[2] = (uint8_t)(seq >> 8);
        p[3] = (uint8_t)seq;
        p[11] = 7;
        if (is_rtcp)
            memcpy(p, rr, sizeof rr);
        relay_dry_in(e, is_rtcp ? KEYING_RTCP : KEYING_RTP, &from, p, is_rtcp ? sizeof rr : 172);
    }
    sim_advance(&P.sim, 1); /* what it tells arrives */
}

void step_ice_check(char **word, unsigned n)
{
    uint8_t p[RELAY_DRY_ROOM] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}; /* RFC 8489 5, RFC 8445 7.1 */
    static const char role[8] = "tiebreak", priority[4] = {0x6e, 0x7f, 0x1e, 0x7f};
    struct stun_out o = {.p = p, .n = 20, .cap = 512};
    struct relay_end *e;
    struct str ours;
    struct addr from;
    unsigned len = 0;
    uint8_t *mac;
    size_t covered;

    if (n != 4 || addr_parse_hostport(&from, str_z(word[1])) != 0)
        fail("ice-check ADDRESS:PORT OURS:ITS PASSWORD");
    (void)str_cut(str_z(word[2]), ':', &ours);
    if (!P.edge.relay || (e = relay_dry_find_agent(P.edge.relay, ours)) == NULL)
        fail("nobody of ours is %s", word[2]);
    memcpy(stun_out_attr(&o, STUN_USERNAME, strlen(word[2])), word[2], strlen(word[2]));
    memcpy(stun_out_attr(&o, STUN_PRIORITY, sizeof priority), priority, sizeof priority);
    memcpy(stun_out_attr(&o, STUN_ICE_CONTROLLING, sizeof role), role, sizeof role);
    (void)stun_out_attr(&o, STUN_USE_CANDIDATE, 0);
    covered = o.n; /* the header counts the attribute already: RFC 8489 14.5 */
    mac = stun_out_attr(&o, STUN_MESSAGE_INTEGRITY, 20);
    if (!mac || !HMAC(EVP_sha1(), word[3], (int)strlen(word[3]), p, covered, mac, &len))
        fail("no memory");
    stun_out_fingerprint(&o);
    relay_dry_in(e, KEYING_RTP, &from, p, o.n);
    sim_advance(&P.sim, 1); /* what it tells arrives */
}

void step_media_later(const char *time)
{
    if (!P.edge.relay)
        fail("there is no media plane");
    relay_dry_later(P.edge.relay, duration(time));
    sim_advance(&P.sim, 1); /* what it tells arrives */
}
