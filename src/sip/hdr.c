/* The names of header fields: one table with compact forms and which of them are comma separated
 * lists. RFC 3261 7.3 and 20, and the RFCs that registered the others. Constant data, any thread.
 */
#include "sip/hdr.h"

#define LIST                                                                                       \
    1u /* #(value): several values, separated by commas or in several lines (RFC 3261 7.3.1) */
#define SINGLE 2u /* more than one line makes the message ambiguous: 400 (RFC 4475 3.3.8, 3.3.9)   \
                   */

#define NAME(lit)                                                                                  \
    {                                                                                              \
        (lit), sizeof(lit) - 1                                                                     \
    }

static const struct {
    struct str name;
    uint8_t flags;
} headers[SIP_H_N] = {
    [SIP_H_VIA] = {NAME("Via"), LIST},
    [SIP_H_FROM] = {NAME("From"), SINGLE},
    [SIP_H_TO] = {NAME("To"), SINGLE},
    [SIP_H_CALL_ID] = {NAME("Call-ID"), SINGLE},
    [SIP_H_CSEQ] = {NAME("CSeq"), SINGLE},
    [SIP_H_CONTACT] = {NAME("Contact"), LIST},
    [SIP_H_MAX_FORWARDS] = {NAME("Max-Forwards"), SINGLE},
    [SIP_H_ROUTE] = {NAME("Route"), LIST},
    [SIP_H_RECORD_ROUTE] = {NAME("Record-Route"), LIST},
    [SIP_H_CONTENT_LENGTH] = {NAME("Content-Length"), SINGLE},
    [SIP_H_CONTENT_TYPE] = {NAME("Content-Type"), SINGLE},
    [SIP_H_CONTENT_DISPOSITION] = {NAME("Content-Disposition"), 0},
    [SIP_H_CONTENT_ENCODING] = {NAME("Content-Encoding"), LIST},
    [SIP_H_EXPIRES] = {NAME("Expires"), 0},
    [SIP_H_MIN_EXPIRES] = {NAME("Min-Expires"), 0},
    [SIP_H_REQUIRE] = {NAME("Require"), LIST},
    [SIP_H_PROXY_REQUIRE] = {NAME("Proxy-Require"), LIST},
    [SIP_H_SUPPORTED] = {NAME("Supported"), LIST},
    [SIP_H_UNSUPPORTED] = {NAME("Unsupported"), LIST},
    [SIP_H_ALLOW] = {NAME("Allow"), LIST},
    [SIP_H_ACCEPT] = {NAME("Accept"), LIST},
    [SIP_H_AUTHORIZATION] = {NAME("Authorization"), 0},
    [SIP_H_PROXY_AUTHORIZATION] = {NAME("Proxy-Authorization"), 0},
    [SIP_H_WWW_AUTHENTICATE] = {NAME("WWW-Authenticate"), 0},
    [SIP_H_PROXY_AUTHENTICATE] = {NAME("Proxy-Authenticate"), 0},
    [SIP_H_AUTHENTICATION_INFO] = {NAME("Authentication-Info"), 0},
    [SIP_H_PROXY_AUTHENTICATION_INFO] = {NAME("Proxy-Authentication-Info"), 0},
    [SIP_H_PATH] = {NAME("Path"), LIST},
    [SIP_H_SERVICE_ROUTE] = {NAME("Service-Route"), LIST},
    [SIP_H_FLOW_TIMER] = {NAME("Flow-Timer"), 0},
    [SIP_H_DATE] = {NAME("Date"), 0},
    [SIP_H_WARNING] = {NAME("Warning"), LIST},
    [SIP_H_RETRY_AFTER] = {NAME("Retry-After"), 0},
    [SIP_H_TIMESTAMP] = {NAME("Timestamp"), 0},
    [SIP_H_USER_AGENT] = {NAME("User-Agent"), 0},
    [SIP_H_SERVER] = {NAME("Server"), 0},
    [SIP_H_SUBJECT] = {NAME("Subject"), 0},
    [SIP_H_PRIORITY] = {NAME("Priority"), 0},
    [SIP_H_REPLY_TO] = {NAME("Reply-To"), 0},
    [SIP_H_IDENTITY] = {NAME("Identity"), 0},
    [SIP_H_IDENTITY_INFO] = {NAME("Identity-Info"), 0},
    [SIP_H_P_ASSERTED_IDENTITY] = {NAME("P-Asserted-Identity"), LIST},
    [SIP_H_P_PREFERRED_IDENTITY] = {NAME("P-Preferred-Identity"), LIST},
    [SIP_H_PRIVACY] = {NAME("Privacy"), 0},
    [SIP_H_REFER_TO] = {NAME("Refer-To"), 0},
    [SIP_H_REFERRED_BY] = {NAME("Referred-By"), 0},
    [SIP_H_REPLACES] = {NAME("Replaces"), 0},
    [SIP_H_JOIN] = {NAME("Join"), 0},
    [SIP_H_EVENT] = {NAME("Event"), 0},
    [SIP_H_SUBSCRIPTION_STATE] = {NAME("Subscription-State"), 0},
    [SIP_H_ALLOW_EVENTS] = {NAME("Allow-Events"), LIST},
    [SIP_H_SESSION_EXPIRES] = {NAME("Session-Expires"), 0},
    [SIP_H_MIN_SE] = {NAME("Min-SE"), 0},
    [SIP_H_RACK] = {NAME("RAck"), 0},
    [SIP_H_RSEQ] = {NAME("RSeq"), 0},
    [SIP_H_MAX_BREADTH] = {NAME("Max-Breadth"), 0},
    [SIP_H_REASON] = {NAME("Reason"), LIST},
    [SIP_H_HISTORY_INFO] = {NAME("History-Info"), LIST},
    [SIP_H_DIVERSION] = {NAME("Diversion"), LIST},
    [SIP_H_CALL_INFO] = {NAME("Call-Info"), LIST},
    [SIP_H_ALERT_INFO] = {NAME("Alert-Info"), LIST},
    [SIP_H_GEOLOCATION] = {NAME("Geolocation"), LIST},
    [SIP_H_GEOLOCATION_ROUTING] = {NAME("Geolocation-Routing"), 0},
    [SIP_H_RESOURCE_PRIORITY] = {NAME("Resource-Priority"), LIST},
    [SIP_H_P_ACCESS_NETWORK_INFO] = {NAME("P-Access-Network-Info"), LIST},
    [SIP_H_P_ASSOCIATED_URI] = {NAME("P-Associated-URI"), LIST},
    [SIP_H_P_CHARGING_VECTOR] = {NAME("P-Charging-Vector"), 0},
    [SIP_H_P_CALLED_PARTY_ID] = {NAME("P-Called-Party-ID"), 0},
    [SIP_H_P_PRIVATE_NETWORK_INDICATION] = {NAME("P-Private-Network-Indication"), 0},
    [SIP_H_SECURITY_CLIENT] = {NAME("Security-Client"), LIST},
    [SIP_H_SECURITY_SERVER] = {NAME("Security-Server"), LIST},
    [SIP_H_SECURITY_VERIFY] = {NAME("Security-Verify"), LIST},
    [SIP_H_ACCEPT_CONTACT] = {NAME("Accept-Contact"), LIST},
    [SIP_H_REJECT_CONTACT] = {NAME("Reject-Contact"), LIST},
    [SIP_H_REQUEST_DISPOSITION] = {NAME("Request-Disposition"), LIST},
    [SIP_H_ERROR_INFO] = {NAME("Error-Info"), LIST},
    [SIP_H_MIME_VERSION] = {NAME("MIME-Version"), 0},
    [SIP_H_ORGANIZATION] = {NAME("Organization"), 0},
    [SIP_H_USER_TO_USER] = {NAME("User-to-User"), LIST},
    [SIP_H_SIP_ETAG] = {NAME("SIP-ETag"), 0},
    [SIP_H_SIP_IF_MATCH] = {NAME("SIP-If-Match"), 0},
    [SIP_H_IN_REPLY_TO] = {NAME("In-Reply-To"), LIST},
    [SIP_H_X_SALLYPORT_STATUS] = {NAME("X-Sallyport-Status"), 0},
};

/* RFC 3261 7.3.3, and those registered since: RFC 3515, 3841, 3892, 4028, 4474, 6665. */
static const uint8_t compact[26] = {
    ['a' - 'a'] = SIP_H_ACCEPT_CONTACT,
    ['b' - 'a'] = SIP_H_REFERRED_BY,
    ['c' - 'a'] = SIP_H_CONTENT_TYPE,
    ['d' - 'a'] = SIP_H_REQUEST_DISPOSITION,
    ['e' - 'a'] = SIP_H_CONTENT_ENCODING,
    ['f' - 'a'] = SIP_H_FROM,
    ['i' - 'a'] = SIP_H_CALL_ID,
    ['j' - 'a'] = SIP_H_REJECT_CONTACT,
    ['k' - 'a'] = SIP_H_SUPPORTED,
    ['l' - 'a'] = SIP_H_CONTENT_LENGTH,
    ['m' - 'a'] = SIP_H_CONTACT,
    ['n' - 'a'] = SIP_H_IDENTITY_INFO,
    ['o' - 'a'] = SIP_H_EVENT,
    ['r' - 'a'] = SIP_H_REFER_TO,
    ['s' - 'a'] = SIP_H_SUBJECT,
    ['t' - 'a'] = SIP_H_TO,
    ['u' - 'a'] = SIP_H_ALLOW_EVENTS,
    ['v' - 'a'] = SIP_H_VIA,
    ['x' - 'a'] = SIP_H_SESSION_EXPIRES,
    ['y' - 'a'] = SIP_H_IDENTITY,
};

/* Length, first, middle and last letter of each name differ from those of every other. The
 * multipliers were chosen so that no two names share a slot: a new name that collides does not
 * compile (an initialiser would be overridden). */
#define SLOT(len, first, middle, last) (((len)*10u + (first)*8u + (middle)*19u + (last)) & 511u)

static const uint8_t slots[512] = {
    [SLOT(3, 'v', 'i', 'a')] = SIP_H_VIA,
    [SLOT(4, 'f', 'o', 'm')] = SIP_H_FROM,
    [SLOT(2, 't', 'o', 'o')] = SIP_H_TO,
    [SLOT(7, 'c', 'l', 'd')] = SIP_H_CALL_ID,
    [SLOT(4, 'c', 'e', 'q')] = SIP_H_CSEQ,
    [SLOT(7, 'c', 't', 't')] = SIP_H_CONTACT,
    [SLOT(12, 'm', 'r', 's')] = SIP_H_MAX_FORWARDS,
    [SLOT(5, 'r', 'u', 'e')] = SIP_H_ROUTE,
    [SLOT(12, 'r', '-', 'e')] = SIP_H_RECORD_ROUTE,
    [SLOT(14, 'c', '-', 'h')] = SIP_H_CONTENT_LENGTH,
    [SLOT(12, 'c', 't', 'e')] = SIP_H_CONTENT_TYPE,
    [SLOT(19, 'c', 'i', 'n')] = SIP_H_CONTENT_DISPOSITION,
    [SLOT(16, 'c', 'e', 'g')] = SIP_H_CONTENT_ENCODING,
    [SLOT(7, 'e', 'i', 's')] = SIP_H_EXPIRES,
    [SLOT(11, 'm', 'x', 's')] = SIP_H_MIN_EXPIRES,
    [SLOT(7, 'r', 'u', 'e')] = SIP_H_REQUIRE,
    [SLOT(13, 'p', 'r', 'e')] = SIP_H_PROXY_REQUIRE,
    [SLOT(9, 's', 'o', 'd')] = SIP_H_SUPPORTED,
    [SLOT(11, 'u', 'p', 'd')] = SIP_H_UNSUPPORTED,
    [SLOT(5, 'a', 'l', 'w')] = SIP_H_ALLOW,
    [SLOT(6, 'a', 'e', 't')] = SIP_H_ACCEPT,
    [SLOT(13, 'a', 'i', 'n')] = SIP_H_AUTHORIZATION,
    [SLOT(19, 'p', 'h', 'n')] = SIP_H_PROXY_AUTHORIZATION,
    [SLOT(16, 'w', 'e', 'e')] = SIP_H_WWW_AUTHENTICATE,
    [SLOT(18, 'p', 'h', 'e')] = SIP_H_PROXY_AUTHENTICATE,
    [SLOT(19, 'a', 'a', 'o')] = SIP_H_AUTHENTICATION_INFO,
    [SLOT(25, 'p', 't', 'o')] = SIP_H_PROXY_AUTHENTICATION_INFO,
    [SLOT(4, 'p', 't', 'h')] = SIP_H_PATH,
    [SLOT(13, 's', 'e', 'e')] = SIP_H_SERVICE_ROUTE,
    [SLOT(10, 'f', 't', 'r')] = SIP_H_FLOW_TIMER,
    [SLOT(4, 'd', 't', 'e')] = SIP_H_DATE,
    [SLOT(7, 'w', 'n', 'g')] = SIP_H_WARNING,
    [SLOT(11, 'r', '-', 'r')] = SIP_H_RETRY_AFTER,
    [SLOT(9, 't', 's', 'p')] = SIP_H_TIMESTAMP,
    [SLOT(10, 'u', 'a', 't')] = SIP_H_USER_AGENT,
    [SLOT(6, 's', 'v', 'r')] = SIP_H_SERVER,
    [SLOT(7, 's', 'j', 't')] = SIP_H_SUBJECT,
    [SLOT(8, 'p', 'r', 'y')] = SIP_H_PRIORITY,
    [SLOT(8, 'r', 'y', 'o')] = SIP_H_REPLY_TO,
    [SLOT(8, 'i', 't', 'y')] = SIP_H_IDENTITY,
    [SLOT(13, 'i', 't', 'o')] = SIP_H_IDENTITY_INFO,
    [SLOT(19, 'p', 'd', 'y')] = SIP_H_P_ASSERTED_IDENTITY,
    [SLOT(20, 'p', 'd', 'y')] = SIP_H_P_PREFERRED_IDENTITY,
    [SLOT(7, 'p', 'v', 'y')] = SIP_H_PRIVACY,
    [SLOT(8, 'r', 'r', 'o')] = SIP_H_REFER_TO,
    [SLOT(11, 'r', 'r', 'y')] = SIP_H_REFERRED_BY,
    [SLOT(8, 'r', 'a', 's')] = SIP_H_REPLACES,
    [SLOT(4, 'j', 'i', 'n')] = SIP_H_JOIN,
    [SLOT(5, 'e', 'e', 't')] = SIP_H_EVENT,
    [SLOT(18, 's', 'i', 'e')] = SIP_H_SUBSCRIPTION_STATE,
    [SLOT(12, 'a', 'e', 's')] = SIP_H_ALLOW_EVENTS,
    [SLOT(15, 's', '-', 's')] = SIP_H_SESSION_EXPIRES,
    [SLOT(6, 'm', '-', 'e')] = SIP_H_MIN_SE,
    [SLOT(4, 'r', 'c', 'k')] = SIP_H_RACK,
    [SLOT(4, 'r', 'e', 'q')] = SIP_H_RSEQ,
    [SLOT(11, 'm', 'r', 'h')] = SIP_H_MAX_BREADTH,
    [SLOT(6, 'r', 's', 'n')] = SIP_H_REASON,
    [SLOT(12, 'h', 'y', 'o')] = SIP_H_HISTORY_INFO,
    [SLOT(9, 'd', 'r', 'n')] = SIP_H_DIVERSION,
    [SLOT(9, 'c', '-', 'o')] = SIP_H_CALL_INFO,
    [SLOT(10, 'a', '-', 'o')] = SIP_H_ALERT_INFO,
    [SLOT(11, 'g', 'c', 'n')] = SIP_H_GEOLOCATION,
    [SLOT(19, 'g', 'o', 'g')] = SIP_H_GEOLOCATION_ROUTING,
    [SLOT(17, 'r', '-', 'y')] = SIP_H_RESOURCE_PRIORITY,
    [SLOT(21, 'p', 'e', 'o')] = SIP_H_P_ACCESS_NETWORK_INFO,
    [SLOT(16, 'p', 'a', 'i')] = SIP_H_P_ASSOCIATED_URI,
    [SLOT(17, 'p', 'n', 'r')] = SIP_H_P_CHARGING_VECTOR,
    [SLOT(17, 'p', '-', 'd')] = SIP_H_P_CALLED_PARTY_ID,
    [SLOT(28, 'p', 'o', 'n')] = SIP_H_P_PRIVATE_NETWORK_INDICATION,
    [SLOT(15, 's', 'y', 't')] = SIP_H_SECURITY_CLIENT,
    [SLOT(15, 's', 'y', 'r')] = SIP_H_SECURITY_SERVER,
    [SLOT(15, 's', 'y', 'y')] = SIP_H_SECURITY_VERIFY,
    [SLOT(14, 'a', 'c', 't')] = SIP_H_ACCEPT_CONTACT,
    [SLOT(14, 'r', 'c', 't')] = SIP_H_REJECT_CONTACT,
    [SLOT(19, 'r', 'i', 'n')] = SIP_H_REQUEST_DISPOSITION,
    [SLOT(10, 'e', '-', 'o')] = SIP_H_ERROR_INFO,
    [SLOT(12, 'm', 'e', 'n')] = SIP_H_MIME_VERSION,
    [SLOT(12, 'o', 'z', 'n')] = SIP_H_ORGANIZATION,
    [SLOT(12, 'u', 'o', 'r')] = SIP_H_USER_TO_USER,
    [SLOT(8, 's', 'e', 'g')] = SIP_H_SIP_ETAG,
    [SLOT(12, 's', '-', 'h')] = SIP_H_SIP_IF_MATCH,
    [SLOT(11, 'i', 'p', 'o')] = SIP_H_IN_REPLY_TO,
    [SLOT(18, 'x', 'r', 's')] = SIP_H_X_SALLYPORT_STATUS,
};

enum sip_hdr_id sip_hdr_parse(struct str name)
{
    if (name.n == 0)
        return SIP_H_OTHER;
    if (name.n == 1) {
        unsigned letter = (unsigned)(unsigned char)(name.p[0] | 0x20) - 'a';
        return letter < 26 ? (enum sip_hdr_id)compact[letter] : SIP_H_OTHER;
    }
    const unsigned char *p = (const unsigned char *)name.p;
    unsigned slot =
        SLOT((unsigned)name.n, p[0] | 0x20u, p[name.n / 2] | 0x20u, p[name.n - 1] | 0x20u);
    unsigned id = slots[slot];
    /* most are written as the RFCs do */
    return str_eq(headers[id].name, name) || str_eq_nocase(headers[id].name, name)
               ? (enum sip_hdr_id)id
               : SIP_H_OTHER;
}

struct str sip_hdr_text(enum sip_hdr_id id)
{
    return id < SIP_H_N ? headers[id].name : STR_NULL;
}

bool sip_hdr_is_list(enum sip_hdr_id id)
{
    return (headers[id].flags & LIST) != 0;
}

bool sip_hdr_is_single(enum sip_hdr_id id)
{
    return (headers[id].flags & SINGLE) != 0;
}
