/* Edits over a parsed description: every line that is not edited is written byte for byte as it
 * came, in its place. What a media relay changes (addresses, ports, profiles, keys), and nothing
 * else. Pure; memory from the arena. */
#ifndef SDP_EDIT_H
#define SDP_EDIT_H

#include "sdp/sdp.h"

struct sdp_edit;

/* An attribute to be written: `a=name` if value.p is NULL, else `a=name:value`. What key management
 * gives for a section. */
struct sdp_new_attr {
    struct str name, value;
};

MUST_USE struct sdp_edit *sdp_edit_new(struct arena *a, const struct sdp *s); /* NULL: no memory */
/* All of these are sticky on failure: the first error comes back from sdp_edit_build. Slices are
 * borrowed until then. ERR_INVALID: a name that is no token, a value with a line end, a section
 * that is not there. `section` is SDP_SESSION or a number. */

/* o=: the address where `host` is given, the version where `version` is not empty (RFC 3264 8: a
 * changed description has the next). */
void sdp_edit_origin(struct sdp_edit *e, const struct addr *host, struct str version);
/* o= as of a session of our own (RFC 7092 3.2.2: whoever describes media of its own does not go by another's session). `host`
 * must be set. */
void sdp_edit_session(struct sdp_edit *e, uint64_t sess_id, uint64_t version, const struct addr *host);
/* c= of that section: all of them become one (added if there is none). */
void sdp_edit_conn(struct sdp_edit *e, int section, const struct addr *host);
/* m=: port (one, RFC 8866 5.14), protocol, formats. */
void sdp_edit_port(struct sdp_edit *e, int media, uint16_t port);
void sdp_edit_proto(struct sdp_edit *e, int media, struct str proto);
void sdp_edit_fmts(struct sdp_edit *e, int media, struct str fmts);
/* Attributes: added behind the section's last line; set: all of that name become one, at the place
 * of the first. */
void sdp_edit_attr_add(struct sdp_edit *e, int section, struct str name, struct str value);
void sdp_edit_attr_set(struct sdp_edit *e, int section, struct str name, struct str value);
void sdp_edit_attr_remove(struct sdp_edit *e, int section, struct str name); /* all of that name */
/* One line of the description as it was parsed (sdp_attr). */
void sdp_edit_line_remove(struct sdp_edit *e, const struct sdp_line *l);
void sdp_edit_line_replace(struct sdp_edit *e, const struct sdp_line *l, struct str value);
/* All four direction attributes of the section become this one. */
void sdp_edit_direction(struct sdp_edit *e, int section, enum sdp_dir d);
/* The text, in the arena. ERR_LIMIT, ERR_NOMEM, or the first error. */
MUST_USE int sdp_edit_build(struct sdp_edit *e, struct str *ret);

#endif
