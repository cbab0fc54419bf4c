/*
 * held.h
 *		Bodies that the gateway keeps, and whether one is still current.
 *
 * The gateway shows the validator that it got with a body.  It is a time and a
 * MAC over all that the body depends on: route, path, query, who asks (but not
 * the request id), the generations of the database's catalogs and of the
 * route's tags.  So the gateway's own key for a body need not be trusted: for
 * anybody else, or after any of that has changed, the MAC is another.
 *
 * The generations of catalogs are read before serve() takes in the messages
 * about their changes, those of tags before the statement's snapshot is taken:
 * a body is never younger than what its validator says (cache_slot.h).
 */
#ifndef RG_HELD_H
#define RG_HELD_H

#include "nodes/params.h"

#include "context.h"
#include "frame.h"

#define RG_VALIDATOR_BYTES 24	/* time and MAC */
#define RG_VALIDATOR_SIZE 33	/* as text, NUL included */

struct RgRoute;
struct RgRoutePlan;

typedef struct RgHeld
{
	RgSlice		shown;			/* of the body that the gateway has; empty:
								 * none; data NULL: it keeps no bodies */
	bool		possible;		/* in this transaction */
	uint64		catalogs[2];	/* generations */
	char		validator[RG_VALIDATOR_SIZE];	/* of this answer; "": none */
} RgHeld;

/*
 * At the beginning of serve(), before invalidation messages are accepted: the
 * gateway's question, as the header x-relay-held, and whether it can be answered.
 */
extern void rg_held_begin(RgHeld *held, const RgRequest *request);

/* Whether answers of the route may be kept at all, as the request asks for it. */
extern bool rg_held_allowed(const struct RgRoute *route, const struct RgRoutePlan *plan,
							const RgRequest *request);

/*
 * Right before the statement: true when the body that the gateway has is
 * current, and the statement need not be run.  If not, the validator of the
 * answer is made, unless it could not be kept; the caller takes a new snapshot.
 */
extern bool rg_held_is_current(RgHeld *held, const struct RgRoute *route,
							   const struct RgRoutePlan *plan, const RgRequest *request,
							   const RgIdentity *identity, ParamListInfo params)
			__attribute__((warn_unused_result));

/* Error when a tag of the route names what it cannot be made of. */
extern void rg_held_check_tags(const struct RgRoute *route, const struct RgRoutePlan *plan);

#endif
