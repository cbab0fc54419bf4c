/*
 * upstream_target.h
 *		What an upstream is asked for: a request's path and query behind the
 *		upstream's own base path.
 *
 * Escapes stay as the client wrote them: what is decoded here is only looked at.
 * So nothing is decoded twice, and what an upstream makes of "%2F" is its own
 * affair, within its base path.
 *
 * Pure C.
 */
#ifndef RG_UPSTREAM_TARGET_H
#define RG_UPSTREAM_TARGET_H

#include "json_text.h"

/*
 * Why a raw path must not be handed on, for people; NULL when it may.  It is
 * looked at as it is after one decoding, with escaped slashes as slashes: no
 * "." or ".." segment, also not before a ";" (which some servers cut off first),
 * no empty segment but a last one, no backslash, no control character, no
 * malformed escape.
 */
extern const char *rg_upstream_path_refusal(RgSlice path);

/*
 * Puts base, the path without its first strip segments, and the query behind a
 * "?" unless it is empty.  The result is visible ASCII without "#", starts with
 * a slash, and has one "?" at most before the query's own.  base is empty or
 * "/like/this"; path is one that was not refused.
 */
extern void rg_upstream_target_put(RgText *out, RgSlice base, RgSlice path, int strip,
								   RgSlice query);

/*
 * Puts text that may be in a header's value and means only itself: visible
 * ASCII as it is, anything else and "%" as %XX.
 */
extern void rg_upstream_value_put(RgText *out, RgSlice text);

#endif
