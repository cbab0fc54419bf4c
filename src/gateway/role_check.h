/*
 * role_check.h
 *		May the gateway work as the role it logs in as?
 */
#ifndef RG_ROLE_CHECK_H
#define RG_ROLE_CHECK_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * A query without parameters whose result has a row, with the reason as its
 * only column, when the role could pass by row-level security: it is, or may
 * become, superuser, BYPASSRLS or the owner of a protected table.
 */
extern const char rg_role_check_query[];

/* The reason in such a result, or NULL when the role is fine. */
extern const char *rg_role_check_reason(const PGresult *result);

/*
 * Before anything is started: connects, asks, and disconnects.  False, with
 * the reason logged, when the role is refused; true also when the database
 * cannot be reached within two seconds, since every later connection is
 * checked again.
 */
extern bool rg_role_check_at_start(const char *conninfo, int64_t request_timeout_us)
			__attribute__((warn_unused_result));

#endif
