/*
 * role_check.h
 *		May the gateway work as the role it logs in as?
 */
#ifndef RG_ROLE_CHECK_H
#define RG_ROLE_CHECK_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "config.h"

/*
 * A query without parameters whose result has a row, with the reason as its
 * only column, when the role could pass by row-level security: it is, or may
 * become, superuser, BYPASSRLS or the owner of a protected table.
 */
extern const char rg_role_check_query[];

/* The reason in such a result, or NULL when the role is fine. */
extern const char *rg_role_check_reason(const PGresult *result);

/*
 * Before anything is started: connects, asks, lints the database, and
 * disconnects.  False, with the reason logged, when the role is refused, or
 * lint() has errors and ENVIRONMENT is production.  True also when the database
 * cannot be reached within two seconds: every later connection checks the role
 * again, but only a start lints.
 */
extern bool rg_role_check_at_start(const RgConfig *config)
			__attribute__((warn_unused_result));

#endif
