/* Texts for the result codes. */
#include "base/err.h"

const char *err_text(int code)
{
    switch (code) {
    case ERR_OK:
        return "ok";
    case ERR_NOMEM:
        return "no-memory";
    case ERR_INVALID:
        return "invalid";
    case ERR_SYNTAX:
        return "syntax";
    case ERR_LIMIT:
        return "limit";
    case ERR_NOTFOUND:
        return "not-found";
    case ERR_EXISTS:
        return "exists";
    case ERR_AGAIN:
        return "again";
    case ERR_CLOSED:
        return "closed";
    case ERR_TIMEOUT:
        return "timeout";
    case ERR_REFUSED:
        return "refused";
    case ERR_UNSUPPORTED:
        return "unsupported";
    case ERR_IO:
        return "io";
    case ERR_CRYPTO:
        return "crypto";
    case ERR_CONFLICT:
        return "conflict";
    default:
        return "unknown";
    }
}
