/*
 * csrf.c
 *		Refusing what another site makes a browser do; csrf.h has the contract.
 */
#include "postgres.h"

#include "csrf.h"
#include "denial.h"
#include "errcodes.h"
#include "same_site.h"

#define CODE "csrf_failed"

/* Why: a word for the audit log, and what the client is told. */
typedef struct Reason
{
	RgSlice		word;
	RgSlice		detail;
	RgSlice		suggestion;
} Reason;

#define SAY(literal) {(literal), sizeof(literal) - 1}
#define FROM_OUR_PAGE SAY("Send it from a page of this site, or with a token instead of a cookie.")
#define WITH_TOKEN SAY("Send the csrfToken of GET /api/auth/csrf as X-CSRF-Token.")

static const Reason sites[] = {
	[RG_SITE_CROSS] = {SAY("csrf_cross_site"), SAY("the request comes from another site"), FROM_OUR_PAGE},
	[RG_SITE_SIBLING] = {SAY("csrf_same_site"), SAY("the request comes from another host of this site"), FROM_OUR_PAGE},
	[RG_SITE_OTHER_ORIGIN] = {SAY("csrf_origin"), SAY("the request comes from another origin"), FROM_OUR_PAGE},
	[RG_SITE_OTHER_REFERER] = {SAY("csrf_referer"), SAY("the request was referred by another origin"), FROM_OUR_PAGE},
	[RG_SITE_UNSAID] = {SAY("csrf_no_origin"),
		SAY("neither Sec-Fetch-Site nor Origin nor Referer says where the request comes from"),
	SAY("Send the header Origin, or a token instead of a cookie.")},
};

static const Reason tokens[] = {
	[RG_CSRF_MISSING] = {SAY("csrf_token_missing"), SAY("the header X-CSRF-Token is missing"), WITH_TOKEN},
	[RG_CSRF_MALFORMED] = {SAY("csrf_token_malformed"), SAY("the header X-CSRF-Token holds no CSRF token"), WITH_TOKEN},
	[RG_CSRF_OTHER_SESSION] = {SAY("csrf_token_other_session"), SAY("the CSRF token is another session's"), WITH_TOKEN},
	[RG_CSRF_FORGED] = {SAY("csrf_token_forged"), SAY("the CSRF token was not made for this session"), WITH_TOKEN},
};

static bool
is_safe(RgSlice method)
{
	return rg_slice_is(method, "GET") || rg_slice_is(method, "HEAD") ||
		rg_slice_is(method, "OPTIONS");
}

static void
note(const Reason *reason, const RgIdentity *identity)
{
	RgDenied	denied = {
		.class = RG_DENIAL_FORBIDDEN,
		.code = reason->word,
		.http_status = 403,
		.identity = identity,
	};

	rg_denial_note(&denied);
}

static bool
refuse(const RgServing *serving, const Reason *reason, const RgIdentity *identity)
{
	RgProblem	problem = {
		.status = 403,
		.code = RG_SLICE(CODE),
		.detail = reason->detail,
		.suggestion = reason->suggestion,
	};

	note(reason, identity);
	return rg_answer_problem(serving->answer, serving->request, &problem);
}

bool
rg_csrf_admit(const RgServing *serving, const RgIdentity *identity)
{
	RgSite		site;
	RgCsrfError error;

	if (is_safe(serving->request->method))
		return true;
	site = rg_site_of(serving->request);
	if (site != RG_SITE_OWN)
		return refuse(serving, &sites[site], identity);
	error = rg_csrf_token_check(rg_request_header(serving->request, "x-csrf-token"),
								serving->session_id, serving->session_secret);
	return error == RG_CSRF_OK || refuse(serving, &tokens[error], identity);
}

void
rg_csrf_require_own_site(const RgServing *serving)
{
	RgSite		site = rg_site_of(serving->request);

	if (site == RG_SITE_OWN || site == RG_SITE_UNSAID)
		return;
	note(&sites[site], rg_context());
	ereport(ERROR,
			errcode(ERRCODE_RG_FORBIDDEN),
			errmsg_internal("%s", sites[site].detail.data),
			errdetail_internal("%s", CODE),
			errhint("%s", sites[site].suggestion.data));
}
