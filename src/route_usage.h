/*
 * route_usage.h
 *		The quotas and the budget of a route, around its statement.
 */
#ifndef RG_ROUTE_USAGE_H
#define RG_ROUTE_USAGE_H

#include "answer.h"
#include "context.h"

/*
 * Before the statement: there must be room in the budget, and 1 is held of each
 * quota that binds the request, of all or of none.  False when that is refused; the
 * answer is then its problem, which the gateway must not repeat: a limit that is
 * raised counts at once.  identity is who asks, user_id.data NULL for nobody, who is
 * counted as the anonymous user of the address.  Error RG503 where nothing can be
 * written.
 */
extern bool rg_route_usage_hold(const RgRequest *request, const RgIdentity *identity,
								RgAnswer *answer)
			__attribute__((warn_unused_result));

/*
 * Whom usage is counted for: identity, or where that is nobody's the anonymous user
 * of the request's address.
 */
extern RgIdentity rg_route_usage_user(const RgRequest *request, const RgIdentity *identity);

/* Error RG503 where nothing can be written: on a standby, say. */
extern void rg_route_usage_require_writable(void);

/*
 * After it: what was held is taken if the answer is no error, and else given back.  A
 * HEAD costs nothing.  An error on its way out of serve() gives back by itself.
 */
extern void rg_route_usage_settle(const RgRequest *request, RgAnswer *answer);

#endif
