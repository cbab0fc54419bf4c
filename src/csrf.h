/*
 * csrf.h
 *		Refusing what another site makes a browser do (CSRF).
 *
 * A browser sends its cookies with requests of any page.  So a request that a
 * cookie authenticates and that may change something must come from a page of
 * ours (same_site.h), and show a token that only such a page can read.
 */
#ifndef RG_CSRF_H
#define RG_CSRF_H

#include "context.h"
#include "serving.h"

/*
 * Checks a request whose identity is that of the serving's session.  False when
 * it is refused; the answer is then its problem, and the refusal is noted.
 */
extern bool rg_csrf_admit(const RgServing *serving, const RgIdentity *identity)
			__attribute__((warn_unused_result));

/*
 * For what begins and ends sessions, with or without one before: raises RG403
 * when a browser says that the request comes from elsewhere.  One without any
 * of the headers passes: no browser of today sends such a POST.
 */
extern void rg_csrf_require_own_site(const RgServing *serving);

#endif
