/*
 * admission.c
 *		Who a request comes from, and whether it may pass.
 */
#include "postgres.h"

#include <sys/socket.h>

#include "utils/inet.h"

#include "admission.h"
#include "api_key.h"
#include "csrf.h"
#include "denial.h"
#include "identity.h"
#include "jwt.h"
#include "scope.h"
#include "session.h"

typedef struct Admission
{
	const RgRequest *request;
	const RgRoute *route;
	RgIdentity *identity;
	RgAnswer   *answer;
	int			npolicies;
	int			nshared;		/* of them, the route's */
	const RgRatePolicy *policies[RG_RATE_MAX_HITS]; /* the route's, then the
													 * API key's */
	char	   *scratch;		/* keys of the hits, which outlive this */
} Admission;

/* The client's address; NULL for "::", which psql sends where it has none. */
static const uint8 *
known_address(const RgRequest *request)
{
	static const uint8 none[16] = {0};

	return memcmp(request->client_ip, none, sizeof none) == 0 ? NULL : request->client_ip;
}

/* By id: the table may have been read again since. */
static bool
has_policy(const Admission *admission, const RgRatePolicy *policy)
{
	for (int i = 0; i < admission->npolicies; i++)
		if (admission->policies[i]->id == policy->id)
			return true;
	return false;
}

/* A policy that is gone since it was named lets nobody pass. */
static void
add_policies(Admission *admission, char **names, int count)
{
	for (int i = 0; i < count; i++)
	{
		const RgRatePolicy *policy = rg_rate_policy(names[i]);

		if (policy == NULL)
			ereport(ERROR,
					errcode(ERRCODE_UNDEFINED_OBJECT),
					errmsg("rate policy \"%s\", which binds a request to %s %s, does not exist",
						   names[i], admission->route->method, admission->route->path));
		if (!has_policy(admission, policy))
			admission->policies[admission->npolicies++] = policy;
	}
}

/* The limits that bind this request become the answer's hits. */
static void
collect_hits(Admission *admission, const RgIdentity *identity)
{
	RgAnswer   *answer = admission->answer;

	answer->nhits = 0;
	for (int i = 0; i < admission->npolicies; i++)
	{
		RgRateHit  *hit = &answer->hits[answer->nhits];

		if (!rg_rate_key(admission->policies[i], known_address(admission->request),
						 identity, admission->scratch + answer->nhits * RG_SCOPE_SCRATCH, &hit->key))
			continue;
		hit->policy = admission->policies[i];
		hit->role = identity != NULL ? identity->role : rg_slice(NULL, 0);
		hit->cost = 1;
		hit->personal = i >= admission->nshared;
		answer->nhits++;
	}
}

static bool
refuse_limited(Admission *admission)
{
	return rg_answer_limited(admission->answer, admission->request);
}

/* Asks the limits by address; they are taken later, with the others. */
static bool
check_address_limits(Admission *admission)
{
	collect_hits(admission, NULL);
	if (admission->answer->nhits == 0)
		return true;
	if (rg_rate_peek(admission->answer->hits, admission->answer->nhits))
		return true;
	rg_rate_refused(admission->answer->hits, admission->answer->nhits);
	return refuse_limited(admission);
}

static bool
take_limits(Admission *admission, const RgIdentity *identity)
{
	collect_hits(admission, identity);
	if (admission->answer->nhits == 0)
		return true;
	return rg_rate_take(admission->answer->hits, admission->answer->nhits) ||
		refuse_limited(admission);
}

static bool
takes_api_key(const RgRoute *route)
{
	return route->auth == RG_AUTH_API_KEY || route->auth == RG_AUTH_ADMIN;
}

static bool
answer_unauthenticated(Admission *admission, const RgProblem *problem, const char *challenge)
{
	rg_answer_header(admission->answer, "WWW-Authenticate: Bearer realm=\"relay\"%s", challenge);
	return rg_answer_problem(admission->answer, admission->request, problem);
}

/* A request without credentials counts against its address. */
static bool
refuse_unauthenticated(Admission *admission)
{
	RgProblem	problem = {
		.status = 401,
		.code = RG_SLICE("unauthenticated"),
		.detail = RG_SLICE("this needs credentials"),
	};

	if (takes_api_key(admission->route))
		problem.suggestion = RG_SLICE("Send an API key as X-API-Key, or a token as Authorization: Bearer <token>.");
	return take_limits(admission, NULL) && answer_unauthenticated(admission, &problem, "");
}

/* So does one with bad ones, which is noted; beyond the limits it is not. */
static bool
refuse_credentials(Admission *admission, RgSlice code, RgSlice detail, RgSlice subject)
{
	RgProblem	problem = {.status = 401,.code = code,.detail = detail};
	RgDenied	denied = {
		.class = RG_DENIAL_CREDENTIALS,
		.code = code,
		.http_status = 401,
		.subject = subject,
	};

	if (!take_limits(admission, NULL))
		return false;
	rg_denial_note(&denied);
	return answer_unauthenticated(admission, &problem, ", error=\"invalid_token\"");
}

/* The token of "Bearer <token>"; false for any other scheme. */
static bool
bearer_token(RgSlice authorization, RgSlice *token)
{
	static const char scheme[] = "bearer ";
	const size_t len = sizeof scheme - 1;

	if (authorization.len <= len || pg_strncasecmp(authorization.data, scheme, len) != 0)
		return false;
	*token = rg_slice(authorization.data + len, authorization.len - len);
	while (token->len > 0 && *token->data == ' ')
		token->data++, token->len--;
	return token->len > 0;
}

/* Whom a token names whose signature is good. */
static RgSlice
subject_of(const RgVerified *verified)
{
	return verified != NULL ? verified->identity.user_id : rg_slice(NULL, 0);
}

/*
 * A token that is not known yet costs a signature: an address that may not pass
 * anyway does not get one.
 */
static bool
verify_token(Admission *admission, RgSlice authorization)
{
	RgSlice		token;
	RgVerified *verified;
	RgTokenError error = RG_TOKEN_OK;

	if (!bearer_token(authorization, &token))
		return refuse_credentials(admission, RG_SLICE("authorization_scheme"),
								  RG_SLICE("the header Authorization is not Bearer and a token"),
								  rg_slice(NULL, 0));
	verified = rg_jwt_recall(token);
	if (verified == NULL && !check_address_limits(admission))
		return false;
	if (verified == NULL)
		error = rg_jwt_verify(token, &verified);
	if (error == RG_TOKEN_OK)
		error = rg_jwt_identify(verified, admission->identity);
	if (error == RG_TOKEN_UNKNOWN_KEY)
		admission->answer->signals |= RG_SIGNAL_UNKNOWN_KEY;
	return error == RG_TOKEN_OK ||
		refuse_credentials(admission, rg_slice_of(rg_token_reason(error)),
						   RG_SLICE("the token is not valid"), subject_of(verified));
}

/*
 * A browser goes on sending the cookie of a session that is over, and no script
 * can make it stop: where a route serves everybody, that is nobody's.
 */
static bool
verify_session(Admission *admission)
{
	RgSlice		subject;
	RgSessionError error = rg_session_identify(rg_serving(), admission->identity, &subject);

	if (error == RG_SESSION_OK)
		return true;
	memset(admission->identity, 0, sizeof *admission->identity);
	return admission->route->auth == RG_AUTH_OPTIONAL ||
		refuse_credentials(admission, rg_slice_of(rg_session_reason(error)),
						   RG_SLICE("the session is not valid"), subject);
}

static bool
verify_api_key(Admission *admission, RgSlice key)
{
	char	  **rates;
	int			nrates;
	RgSlice		subject;
	RgApiKeyError error = rg_api_key_verify(key, admission->identity, &subject, &rates, &nrates);

	if (error != RG_API_KEY_OK)
		return refuse_credentials(admission, rg_slice_of(rg_api_key_reason(error)),
								  RG_SLICE("the API key is not valid"), subject);
	add_policies(admission, rates, nrates);
	return true;
}

/* Which of them should count, nobody can know: none does. */
static bool
refuse_two_credentials(Admission *admission)
{
	RgProblem	problem = {
		.status = 400,
		.code = RG_SLICE("two_credentials"),
		.detail = RG_SLICE("the request has more than one of a token, an API key and a session's cookie"),
	};

	return take_limits(admission, NULL) &&
		rg_answer_problem(admission->answer, admission->request, &problem);
}

/* Finds out who it is, where the route wants to know. */
static bool
identify(Admission *admission)
{
	const RgRoute *route = admission->route;
	RgSlice		authorization = rg_request_header(admission->request, "authorization");
	RgSlice		key = rg_slice(NULL, 0);
	bool		cookie;

	if (route->auth == RG_AUTH_NONE)
		return true;
	if (takes_api_key(route))
		key = rg_request_header(admission->request, "x-api-key");
	cookie = rg_session_cookie_sent(admission->request);
	if ((authorization.data != NULL) + (key.data != NULL) + cookie > 1)
		return refuse_two_credentials(admission);
	if (cookie)
		return verify_session(admission);
	if (key.data != NULL)
		return verify_api_key(admission, key);
	if (authorization.data != NULL)
		return verify_token(admission, authorization);
	return route->auth == RG_AUTH_OPTIONAL || refuse_unauthenticated(admission);
}

static bool
refuse_forbidden(Admission *admission, RgSlice code, RgSlice detail)
{
	RgProblem	problem = {
		.status = 403,
		.code = code,
		.detail = detail,
	};
	RgDenied	denied = {
		.class = RG_DENIAL_FORBIDDEN,
		.code = code,
		.http_status = 403,
		.identity = admission->identity,
	};

	if (!take_limits(admission, admission->identity))
		return false;
	rg_denial_note(&denied);
	return rg_answer_problem(admission->answer, admission->request, &problem);
}

static bool
check_role(Admission *admission)
{
	const RgIdentity *identity = admission->identity;
	RgAuth		auth = admission->route->auth;
	bool		by_key = rg_slice_is(identity->via, "api_key");

	if ((auth == RG_AUTH_USER || auth == RG_AUTH_API_KEY) && rg_slice_is(identity->role, "anonymous"))
		return refuse_forbidden(admission, RG_SLICE("sign_in_required"),
								RG_SLICE("anonymous users may not do this"));
	if (auth == RG_AUTH_ADMIN && !rg_slice_is(identity->role, "admin"))
		return refuse_forbidden(admission, RG_SLICE("admin_required"),
								RG_SLICE("only admins may do this"));
	if (auth == RG_AUTH_API_KEY && !by_key && identity->workspace_id.len == 0)
		return refuse_forbidden(admission, RG_SLICE("workspace_required"),
								RG_SLICE("this needs an API key, or a user who belongs to a workspace"));
	return true;
}

static bool
check_scopes(Admission *admission)
{
	for (int i = 0; i < admission->route->nscopes; i++)
	{
		const char *scope = admission->route->scopes[i];

		if (rg_scope_listed(admission->identity->scopes, rg_slice(scope, strlen(scope))))
			continue;
		rg_answer_header(admission->answer,
						 "WWW-Authenticate: Bearer realm=\"relay\", error=\"insufficient_scope\", scope=\"%s\"", scope);
		return refuse_forbidden(admission, RG_SLICE("insufficient_scope"),
								RG_SLICE("the token does not grant what this needs"));
	}
	return true;
}

RgSlice
rg_request_address(const RgRequest *request, char space[18])
{
	static const uint8 mapped[12] = {[10] = 0xff,[11] = 0xff};
	const uint8 *ip = known_address(request);
	bool		is_v4;
	int			bytes;

	if (ip == NULL)
		return rg_slice(NULL, 0);
	is_v4 = memcmp(ip, mapped, sizeof mapped) == 0;
	bytes = is_v4 ? 4 : 16;
	space[0] = is_v4 ? PGSQL_AF_INET : PGSQL_AF_INET6;
	space[1] = bytes * 8;
	memcpy(space + 2, ip + 16 - bytes, bytes);
	return rg_slice(space, bytes + 2);
}

RgSlice
rg_request_address_name(const RgRequest *request)
{
	char		inet_space[18];
	char		key[RG_SCOPE_SCRATCH];
	RgSlice		address = rg_request_address(request, inet_space);

	if (address.data == NULL)
		return RG_SLICE("unknown");
	return rg_scope_readable(RG_BY_IP, rg_scope_address_key(address, key),
							 palloc(RG_SCOPE_SCRATCH));
}

/* What a cookie alone does not prove; then the session goes on. */
static bool
check_session(const RgIdentity *identity)
{
	const RgServing *serving = rg_serving();

	if (!serving->has_session)
		return true;
	if (!rg_csrf_admit(serving, identity))
		return false;
	rg_session_touch(serving);
	return true;
}

bool
rg_admit(const RgRequest *request, const RgRoute *route, RgIdentity *identity,
		 char inet_space[18], RgAnswer *answer)
{
	Admission	admission = {
		.request = request,
		.route = route,
		.identity = identity,
		.answer = answer,
		.scratch = palloc(RG_RATE_MAX_HITS * RG_SCOPE_SCRATCH),
	};

	memset(identity, 0, sizeof *identity);
	add_policies(&admission, route->rates, route->nrates);
	admission.nshared = admission.npolicies;
	if (!identify(&admission))
		return false;
	if (identity->user_id.data == NULL)
		return take_limits(&admission, NULL);
	identity->request_id = request->request_id.len > 0 ? request->request_id : rg_slice(NULL, 0);
	identity->client_ip = rg_request_address(request, inet_space);
	return check_role(&admission) && check_scopes(&admission) &&
		take_limits(&admission, identity) && check_session(identity);
}
