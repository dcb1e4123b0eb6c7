/* See say.h. */
#include "phone/say.h"
#include "phone/status.h"

void say_status(struct phone_out *out, struct str value)
{
    struct phone_status st;
    char text[POLICY_WHYS * 64];
    struct sbuf b = sbuf_make(text, sizeof(text));
    if (phone_status_parse(value, &st) != 0)
        return;
    phone_status_words(&b, &st);
    const struct log_field f[] = {LZ("level", policy_level_code(st.level)),
                                  LZ("expected", policy_level_code(st.expected)),
                                  LB("proven", st.is_proven), LS("reasons", st.reasons)};
    PHONE_SAY(out, "status", f, "our edge says of the call: %.*s", STR_FMT(sbuf_get(&b)));
}

void say_verified(struct phone_out *out, struct str who, const struct identity_result *r)
{
    struct str verdict = identity_verdict_text(r->verdict);
    bool is_valid = r->verdict == IDENTITY_VALID;
    struct str by = is_valid ? identity_authority_text(r->authority) : STR("");
    const struct log_field f[] = {LS("verdict", verdict),
                                  LS("who", who),
                                  LS("by", by),
                                  LB("user", r->by_user),
                                  LB("keys", is_valid && r->keys_bound),
                                  LZ("reason", is_valid ? "" : r->why.code)};
    if (is_valid)
        PHONE_SAY(out, "verified", f, "signed by %s: %.*s%s",
                  r->by_user ? "the other user" : "its domain", STR_FMT(who),
                  r->keys_bound ? ", with the keys of the sound" : "");
    else if (r->verdict == IDENTITY_ABSENT)
        PHONE_SAY(out, "verified", f, "refused, since it is not signed: %s", r->why.detail);
    else
        PHONE_SAY(out, "verified", f, "a signature that is worth nothing (%.*s): %s",
                  STR_FMT(verdict), r->why.detail[0] ? r->why.detail : r->why.code);
}

void say_not_signed(struct phone_out *out, const struct reason *why)
{
    const struct log_field f[] = {LZ("reason", why->code), LZ("detail", why->detail)};
    PHONE_SAY(out, "not-signed", f, "what leaves is not signed by us: %s",
              why->detail[0] ? why->detail : why->code);
}
