/*
 * target.h
 *		The target of a request: what of it may go on to the database.
 *
 * Pure C: needs no server, no event loop.
 */
#ifndef RG_TARGET_H
#define RG_TARGET_H

#include "slice.h"

typedef struct RgTarget
{
	RgSlice		path;			/* as it was sent, escapes included */
	RgSlice		query;			/* without the question mark; may be empty */
	const char *error;			/* when refused: why, for people */
} RgTarget;

/*
 * Splits a target of at most RG_HTTP_MAX_TARGET bytes and checks it as it
 * will be after its one decoding: it starts with a slash, has no fragment,
 * every escape is %XX, there is no NUL, no backslash and no ".." segment in
 * the path, and both halves are UTF-8.  The target of OPTIONS may be "*".
 */
extern bool rg_target_split(RgSlice method, RgSlice text, RgTarget *target)
			__attribute__((warn_unused_result));

#endif
