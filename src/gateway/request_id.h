/*
 * request_id.h
 *		The name that a request has in answers, logs and the audit log.
 */
#ifndef RG_REQUEST_ID_H
#define RG_REQUEST_ID_H

#include <stdint.h>

#include "slice.h"

#define RG_REQUEST_ID_MAX 128

/* May the client's own id be used: 1 to 128 of A-Z a-z 0-9 . _ -? */
extern bool rg_request_id_valid(RgSlice id);

/*
 * Writes a new UUID of version 7 (RFC 9562), in order of the time given
 * (microseconds since 1970), and returns its length.
 */
extern size_t rg_request_id_new(int64_t now, char out[RG_REQUEST_ID_MAX]);

#endif
