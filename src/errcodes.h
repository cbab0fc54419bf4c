/*
 * errcodes.h
 *		SQLSTATEs of class RG: the last three digits are the HTTP status that
 *		the gateway answers with.  They are part of the API.
 */
#ifndef RG_ERRCODES_H
#define RG_ERRCODES_H

#include "utils/elog.h"

#define ERRCODE_RG_UNAUTHENTICATED	MAKE_SQLSTATE('R', 'G', '4', '0', '1')
#define ERRCODE_RG_FORBIDDEN		MAKE_SQLSTATE('R', 'G', '4', '0', '3')
#define ERRCODE_RG_NOT_FOUND		MAKE_SQLSTATE('R', 'G', '4', '0', '4')
#define ERRCODE_RG_UNPROCESSABLE	MAKE_SQLSTATE('R', 'G', '4', '2', '2')
#define ERRCODE_RG_LIMITED			MAKE_SQLSTATE('R', 'G', '4', '2', '9')
#define ERRCODE_RG_UNAVAILABLE		MAKE_SQLSTATE('R', 'G', '5', '0', '3')

/* The codes in DETAIL of RG429 that tell what is used up from what is too fast. */
#define RG_CODE_QUOTA_EXHAUSTED		"quota_exhausted"
#define RG_CODE_INSUFFICIENT_QUOTA	"insufficient_quota"	/* a budget's */

#endif
