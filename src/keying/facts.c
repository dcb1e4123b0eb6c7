/* Facts as text, and the least of several. TR/100 10. Pure. */
#include "keying/facts.h"
#include "base/attr.h"

const char *keying_method_text(enum keying_method_id id)
{
    static const char *const texts[KEYING_METHODS] = {"clear", "sdes", "mikey", "dtls-srtp",
                                                      "zrtp"};

    return (unsigned)id < KEYING_METHODS ? texts[id] : "?";
}

const char *keying_known_to_text(enum keying_known_to v)
{
    static const char *const texts[] = {"anybody", "every signalling hop",
                                        "holders of a shared secret", "nobody else"};

    return (unsigned)v < ARRAY_LEN(texts) ? texts[v] : "?";
}

const char *keying_middle_text(enum keying_middle v)
{
    static const char *const texts[] = {"not excluded", "excluded if the SDP is unchanged",
                                        "excluded if the strings are compared", "excluded"};

    return (unsigned)v < ARRAY_LEN(texts) ? texts[v] : "?";
}

const char *keying_proof_text(enum keying_proof v)
{
    static const char *const texts[] = {"none", "negotiated", "handshake", "media"};

    return (unsigned)v < ARRAY_LEN(texts) ? texts[v] : "?";
}

/* The table of suites is ordered by preference; no suite is the worst. */
static const struct keying_suite *worse_suite(const struct keying_suite *a,
                                              const struct keying_suite *b)
{
    if (a == NULL || b == NULL)
        return NULL;
    return a->id > b->id ? a : b;
}

/* Methods in the order in which we would give them up: clear is the least of all. */
static enum keying_method_id worse_method(enum keying_method_id a, enum keying_method_id b)
{
    return a < b ? a : b;
}

void keying_facts_least(struct keying_facts *all, const struct keying_facts *one)
{
    if (one->method != all->method) {
        all->mode = one->method < all->method ? one->mode : all->mode;
        all->method = worse_method(all->method, one->method);
    }
    all->suite = worse_suite(all->suite, one->suite);
    all->unencrypted_rtp |= one->unencrypted_rtp;
    all->unencrypted_rtcp |= one->unencrypted_rtcp;
    all->unauthenticated_rtp |= one->unauthenticated_rtp;
    all->rtcp_tag_32 |= one->rtcp_tag_32;
    all->known_to = one->known_to < all->known_to ? one->known_to : all->known_to;
    all->seen_by_branches |= one->seen_by_branches;
    all->forward_secret &= one->forward_secret;
    all->excludes_passive &= one->excludes_passive;
    all->middle = one->middle < all->middle ? one->middle : all->middle;
    all->peer_had_certificate &= one->peer_had_certificate;
    all->fingerprint_hash = one->fingerprint_hash == NULL ? NULL : all->fingerprint_hash;
    all->is_resumed |= one->is_resumed;
    all->is_interim |= one->is_interim;
    all->sas_compared &= one->sas_compared;
    all->proof = one->proof < all->proof ? one->proof : all->proof;
    all->attacks |= one->attacks;
    all->handshake_failures += one->handshake_failures;
    all->auth_failures += one->auth_failures;
}
