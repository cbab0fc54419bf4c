/*
 * identity.h
 *		What the SQL functions around the identity share.
 */
#ifndef RG_IDENTITY_H
#define RG_IDENTITY_H

#include "fmgr.h"
#include "utils/uuid.h"

#include "slice.h"
#include "uuid.h"

typedef enum RgMissingContext
{
	RG_MISSING_DENY,
	RG_MISSING_ERROR
} RgMissingContext;

/* Defines relay_guard.missing_context; called from _PG_init. */
extern void rg_identity_init(void);

/* Warns when the identity that is about to be set ends with its statement. */
extern void rg_identity_warn_if_lost(const char *function);

/* Whether wanted is one of the scopes, a list separated by single spaces. */
extern bool rg_scope_listed(RgSlice scopes, RgSlice wanted);

/* Arguments of a SQL function that is not STRICT; data NULL for SQL NULL. */
extern RgSlice rg_text_argument(FunctionCallInfo fcinfo, int argno);
extern RgSlice rg_inet_argument(FunctionCallInfo fcinfo, int argno);

#endif
