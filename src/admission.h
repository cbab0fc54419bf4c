/*
 * admission.h
 *		Who a request comes from, and whether it may pass: credentials, roles,
 *		scopes and limits.
 */
#ifndef RG_ADMISSION_H
#define RG_ADMISSION_H

#include "answer.h"
#include "context.h"

/*
 * Finds out the identity, checks role and scopes, and takes the limits of the
 * route and of an API key.  Limits by address are asked before a signature is
 * checked.  False when the request is refused; the answer is then its problem.
 *
 * The limits by address and by identity are taken together, so that a refusal
 * consumes nothing; a request whose credentials fail takes those by address.
 * On true identity is who it is, user_id.data NULL for nobody; it lives as
 * long as the request, plus inet_space.
 */
extern bool rg_admit(const RgRequest *request, const RgRoute *route,
					 RgIdentity *identity, char inet_space[18], RgAnswer *answer)
			__attribute__((warn_unused_result));

/*
 * The client's address as an inet without its varlena header, in space; data
 * NULL where the request has none.
 */
extern RgSlice rg_request_address(const RgRequest *request, char space[18]);

/*
 * What clients without credentials are told apart by, palloc'd: the address as
 * text, IPv6 as its /64; "unknown" for all that have none.
 */
extern RgSlice rg_request_address_name(const RgRequest *request);

#endif
