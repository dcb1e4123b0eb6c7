/* What building and parsing of PASSporTs share. */
#ifndef IDENTITY_PASSPORT_PRIV_H
#define IDENTITY_PASSPORT_PRIV_H

#include "identity/passport.h"

/* In their order, each once; the new length. */
size_t passport_ids_sort(struct passport_id *v, size_t n);
size_t passport_keys_sort(struct passport_key *v, size_t n);
bool passport_tn_is_valid(struct str s);
bool passport_id_is_valid(struct passport_id id);
/* The name of a claim that the type requires and that is not there; NULL: none. */
const char *passport_missing(const struct passport *p);

#endif
