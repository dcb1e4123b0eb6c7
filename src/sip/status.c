/* Methods and reason phrases: RFC 3261 7.1, 21, and the registry of response codes. Constant data,
 * any thread. */
#include "sip/msg.h"

static const struct str methods[SIP_METHOD_N] = {
    [SIP_INVITE] = {"INVITE", 6},   [SIP_ACK] = {"ACK", 3},
    [SIP_BYE] = {"BYE", 3},         [SIP_CANCEL] = {"CANCEL", 6},
    [SIP_OPTIONS] = {"OPTIONS", 7}, [SIP_REGISTER] = {"REGISTER", 8},
    [SIP_PRACK] = {"PRACK", 5},     [SIP_SUBSCRIBE] = {"SUBSCRIBE", 9},
    [SIP_NOTIFY] = {"NOTIFY", 6},   [SIP_PUBLISH] = {"PUBLISH", 7},
    [SIP_INFO] = {"INFO", 4},       [SIP_REFER] = {"REFER", 5},
    [SIP_MESSAGE] = {"MESSAGE", 7}, [SIP_UPDATE] = {"UPDATE", 6},
};

enum sip_method sip_method_parse(struct str s)
{
    if (s.n < 3)
        return SIP_METHOD_OTHER;
    for (unsigned i = 1; i < SIP_METHOD_N; i++) {
        if (methods[i].n == s.n && methods[i].p[0] == s.p[0] && memcmp(methods[i].p, s.p, s.n) == 0)
            return (enum sip_method)i;
    }
    return SIP_METHOD_OTHER;
}

struct str sip_method_text(enum sip_method m)
{
    return m < SIP_METHOD_N ? methods[m] : STR_NULL;
}

static const struct {
    unsigned status;
    struct str text;
} texts[] = {
    {100, {"Trying", 6}},
    {180, {"Ringing", 7}},
    {181, {"Call Is Being Forwarded", 23}},
    {182, {"Queued", 6}},
    {183, {"Session Progress", 16}},
    {199, {"Early Dialog Terminated", 23}},
    {200, {"OK", 2}},
    {202, {"Accepted", 8}},
    {204, {"No Notification", 15}},
    {300, {"Multiple Choices", 16}},
    {301, {"Moved Permanently", 17}},
    {302, {"Moved Temporarily", 17}},
    {305, {"Use Proxy", 9}},
    {380, {"Alternative Service", 19}},
    {400, {"Bad Request", 11}},
    {401, {"Unauthorized", 12}},
    {402, {"Payment Required", 16}},
    {403, {"Forbidden", 9}},
    {404, {"Not Found", 9}},
    {405, {"Method Not Allowed", 18}},
    {406, {"Not Acceptable", 14}},
    {407, {"Proxy Authentication Required", 29}},
    {408, {"Request Timeout", 15}},
    {410, {"Gone", 4}},
    {412, {"Conditional Request Failed", 26}},
    {413, {"Request Entity Too Large", 24}},
    {414, {"Request-URI Too Long", 20}},
    {415, {"Unsupported Media Type", 22}},
    {416, {"Unsupported URI Scheme", 22}},
    {417, {"Unknown Resource-Priority", 25}},
    {420, {"Bad Extension", 13}},
    {421, {"Extension Required", 18}},
    {422, {"Session Interval Too Small", 26}},
    {423, {"Interval Too Brief", 18}},
    {424, {"Bad Location Information", 24}},
    {425, {"Bad Alert Message", 17}},
    {428, {"Use Identity Header", 19}},
    {429, {"Provide Referrer Identity", 25}},
    {430, {"Flow Failed", 11}},
    {433, {"Anonymity Disallowed", 20}},
    {436, {"Bad Identity Info", 17}},
    {437, {"Unsupported Credential", 22}},
    {438, {"Invalid Identity Header", 23}},
    {439, {"First Hop Lacks Outbound Support", 32}},
    {440, {"Max-Breadth Exceeded", 20}},
    {469, {"Bad Info Package", 16}},
    {470, {"Consent Needed", 14}},
    {480, {"Temporarily Unavailable", 23}},
    {481, {"Call/Transaction Does Not Exist", 31}},
    {482, {"Loop Detected", 13}},
    {483, {"Too Many Hops", 13}},
    {484, {"Address Incomplete", 18}},
    {485, {"Ambiguous", 9}},
    {486, {"Busy Here", 9}},
    {487, {"Request Terminated", 18}},
    {488, {"Not Acceptable Here", 19}},
    {489, {"Bad Event", 9}},
    {491, {"Request Pending", 15}},
    {493, {"Undecipherable", 14}},
    {494, {"Security Agreement Required", 27}},
    {500, {"Server Internal Error", 21}},
    {501, {"Not Implemented", 15}},
    {502, {"Bad Gateway", 11}},
    {503, {"Service Unavailable", 19}},
    {504, {"Server Time-out", 15}},
    {505, {"Version Not Supported", 21}},
    {513, {"Message Too Large", 17}},
    {555, {"Push Notification Service Not Supported", 39}},
    {580, {"Precondition Failure", 20}},
    {600, {"Busy Everywhere", 15}},
    {603, {"Decline", 7}},
    {604, {"Does Not Exist Anywhere", 23}},
    {606, {"Not Acceptable", 14}},
    {607, {"Unwanted", 8}},
    {608, {"Rejected", 8}},
};

struct str sip_status_text(unsigned status)
{
    size_t lo = 0, hi = ARRAY_LEN(texts);
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (texts[mid].status == status)
            return texts[mid].text;
        if (texts[mid].status < status)
            lo = mid + 1;
        else
            hi = mid;
    }
    switch (status / 100) {
    case 1:
        return STR("Unknown Provisional");
    case 2:
        return STR("Unknown Success");
    case 3:
        return STR("Unknown Redirection");
    case 4:
        return STR("Unknown Request Failure");
    case 5:
        return STR("Unknown Server Failure");
    case 6:
        return STR("Unknown Global Failure");
    default:
        return STR("Unknown");
    }
}
