/* Transport names (path.h): RFC 3261 25.1 transport, RFC 7118 5 for WS and WSS. Pure; any thread.
 */
#include "base/path.h"
#include "base/err.h"

static const struct {
    struct str text;
    uint16_t port;
} transports[TRANSPORT_N] = {
    [TRANSPORT_UDP] = {{"UDP", 3}, 5060}, [TRANSPORT_TCP] = {{"TCP", 3}, 5060},
    [TRANSPORT_TLS] = {{"TLS", 3}, 5061}, [TRANSPORT_WS] = {{"WS", 2}, 80},
    [TRANSPORT_WSS] = {{"WSS", 3}, 443},
};

struct str transport_text(enum transport t)
{
    return (unsigned)t < TRANSPORT_N ? transports[t].text : STR("UNKNOWN");
}

uint16_t transport_default_port(enum transport t)
{
    return (unsigned)t < TRANSPORT_N ? transports[t].port : 5060;
}

/* RFC 3261 25.1 token */
static bool is_token(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i], low = str_lower(c);
        if (!((low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') ||
              (c && strchr("-.!%*_+`'~", c))))
            return false;
    }
    return s.n > 0;
}

int transport_parse(enum transport *ret, struct str text)
{
    for (unsigned t = 0; t < TRANSPORT_N; t++) {
        if (str_eq_nocase(text, transports[t].text)) {
            *ret = (enum transport)t;
            return 0;
        }
    }
    return is_token(text) ? ERR_UNSUPPORTED : ERR_SYNTAX;
}
