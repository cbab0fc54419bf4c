/*
 * problem_catalog.c
 *		The list of problems; problem_catalog.h has the contract.
 */
#include "problem_catalog.h"

#define SIGN_IN_AGAIN "Sign in again for a new token."
#define CHECK_ISSUER "Use a token that this service's identity provider has issued for it."
#define ONE_REQUEST "Send a well-formed HTTP/1.1 request."
#define SIGN_IN "Sign in again."
#define LATER "Send the request again after a moment."

static const RgProblemKind kinds[] = {
	{400, "malformed_request", "what came is no HTTP request that can be read in one way only",
	ONE_REQUEST},
	{400, "malformed_target", "the path or the query is malformed",
	"Percent-encode each byte outside A-Z a-z 0-9 - . _ ~, and leave out \"..\", backslashes and fragments."},
	{400, "malformed_header", "a header that may come once came twice, or is not UTF-8",
	"Send each header once, in UTF-8."},
	{400, "malformed_body", "the chunks of the body are malformed",
	"Send the body with Content-Length, or in well-formed chunks."},
	{400, "https_required", "this is served by https only, and the request names no host to be sent to",
	"Use https, and send a Host header."},
	{400, "two_credentials", "the request has two credentials, and which should count cannot be known",
	"Send only one of Authorization, X-API-Key and Cookie."},
	{400, "invalid_encoding", "a value of the path or the query is no percent-encoded UTF-8; over HTTP that is malformed_target",
	"Encode each byte outside A-Z a-z 0-9 - . _ ~ as %XX."},
	{400, "query_too_long", "the query is longer than 8,192 bytes; over HTTP that is malformed_request",
	"Send fewer or shorter query parameters."},
	{400, "too_many_parameters", "the query has more than 256 parameters",
	"Send fewer or shorter query parameters."},
	{400, "invalid_json", "the body is no JSON, names a member twice, holds \\u0000 or is nested too deep",
	"Send one JSON value, in UTF-8, with each member of an object once."},
	{400, "idempotency_key_required", "this needs the header Idempotency-Key",
	"Send a new UUID in it, and the same one whenever the request is sent again."},
	{400, "idempotency_key_invalid", "the header Idempotency-Key is not 1 to 255 visible ASCII characters, or without credentials fewer than 16",
	"Send a UUID, for example."},
	{400, "invalid_last_event_id", "the header Last-Event-ID is not an id of the stream",
	"Send the id of the last event received, or leave the header out."},
	{400, "completion_refused", "the provider of the language model does not take the request; the detail has its reason",
	"Correct the request before sending it again."},
	{400, "refused", "the application refused the request without naming a code; other statuses have it too",
	"Correct the request before sending it again."},

	{401, "unauthenticated", "the request has no credentials, and this needs them",
	"Send a valid token as Authorization: Bearer <token>."},
	{401, "authorization_scheme", "the header Authorization is not Bearer and a token",
	"Send a valid token as Authorization: Bearer <token>."},
	{401, "token_too_long", "the token is longer than any that is issued", CHECK_ISSUER},
	{401, "token_malformed", "the token is no JSON Web Token", CHECK_ISSUER},
	{401, "token_header", "the token's header is not taken here", CHECK_ISSUER},
	{401, "token_claim", "a claim of the token has a wrong form", CHECK_ISSUER},
	{401, "token_claim_missing", "the token lacks a claim that is required", CHECK_ISSUER},
	{401, "token_issuer", "the token is of an issuer who is not known", CHECK_ISSUER},
	{401, "token_key", "the token is signed with a key that is not known", SIGN_IN_AGAIN},
	{401, "token_algorithm", "the token is signed with an algorithm that its key is not for", CHECK_ISSUER},
	{401, "token_signature", "the token's signature is wrong", SIGN_IN_AGAIN},
	{401, "token_audience", "the token was issued for somebody else", CHECK_ISSUER},
	{401, "token_expired", "the token has expired", SIGN_IN_AGAIN},
	{401, "token_not_yet_valid", "the token is not valid yet",
	"Send it later, or set the clock of its issuer."},
	{401, "token_subject", "the token names a user whom its issuer may not name", CHECK_ISSUER},
	{401, "token_revoked", "the token was revoked", SIGN_IN_AGAIN},
	{401, "api_key_unknown", "there is no such API key", "Send an API key that is in force."},
	{401, "api_key_expired", "the API key has expired", "Ask for a new API key."},
	{401, "api_key_revoked", "the API key was revoked", "Ask for a new API key."},

	{401, "session_malformed", "the session's cookie has no form that is issued", SIGN_IN},
	{401, "session_duplicate", "the request has the session's cookie twice", SIGN_IN},
	{401, "session_unknown", "there is no such session", SIGN_IN},
	{401, "session_ended", "the session was ended by signing out", SIGN_IN},
	{401, "session_expired", "the session has expired", SIGN_IN},
	{401, "session_revoked", "the session was revoked", SIGN_IN},
	{401, "invalid_credentials", "no account has this e-mail address and password", "Check both, or register."},

	{403, "origin_not_allowed", "pages of that origin may not send this request",
	"Ask whoever runs the service to add the origin to CORS_ORIGINS."},
	{403, "csrf_failed", "a browser sent the request with a session's cookie, and it does not show that a page of this site made it",
	"Send it from a page of this site, with the csrfToken of GET /api/auth/csrf as X-CSRF-Token."},
	{403, "sign_in_required", "anonymous users may not do this", "Sign in, then try again."},
	{403, "admin_required", "only admins may do this", "Use the token or the API key of an admin."},
	{403, "workspace_required", "this needs an API key, or a user who belongs to a workspace",
	"Use an API key, or a token that names a workspace."},
	{403, "insufficient_scope", "the credentials do not grant what this needs",
	"Ask for a token with the scope that WWW-Authenticate names."},
	{403, "forbidden", "this is not allowed to the user",
	"Use credentials of somebody who may do this."},

	{404, "route_not_found", "there is no such path",
	"Look the path up in /openapi.json."},
	{404, "not_found", "there is no such thing, or it belongs to somebody else",
	"Check the path and its ids, and whose credentials were sent."},
	{404, "reservation_not_found", "there is no such reservation, or it belongs to somebody else",
	"Reservations belong to the user who made them."},

	{405, "method_not_allowed", "the path does not take that method",
	"Use one of the methods that the header Allow lists."},

	{408, "malformed_request", "the head of the request did not come in time",
	"Send the head of a request at once."},
	{408, "malformed_body", "the body comes too slowly",
	"Send at least a kilobyte a second."},

	{409, "conflict", "the request contradicts what is already there",
	"Read the current state, then decide whether to send the request again."},
	{409, "idempotency_in_flight", "a request with this Idempotency-Key is being carried out",
	"Send it again after a moment to get its answer."},
	{409, "idempotency_answer_not_kept", "the request was carried out before, and its answer was too large to be kept",
	"Read the state that it left."},
	{409, "stream_ended", "the stream has ended", "Append to a new one."},

	{410, "events_expired", "events after that id are not kept any more",
	"Read the present state, then follow the stream without Last-Event-ID and after."},

	{413, "body_too_large", "the body is larger than the path takes", "Send a smaller body."},
	{413, "body_too_complex", "the body holds too many values", "Send fewer values at once."},

	{414, "malformed_request", "the request line is longer than 8 kB", "Send a shorter path and query."},

	{415, "unsupported_media_type", "the body is not JSON",
	"Send the body as JSON, with Content-Type: application/json."},

	{416, "range_not_satisfiable", "the file ends before the range begins that is asked for",
	"Ask for bytes that the file has, as many as Content-Range says."},

	{417, "malformed_request", "something else than 100-continue is expected",
	"Leave the header Expect out."},

	{421, "unknown_host", "no such host is served here",
	"Send the request to a host that this service has."},

	{422, "missing_parameter", "a parameter or a body that is required was not sent",
	"Send what the pointer names."},
	{422, "invalid_parameter", "a value is not of the form that is documented",
	"Correct the value that the pointer names."},
	{422, "duplicate_parameter", "a query parameter was sent twice", "Send it once."},
	{422, "invalid_value", "a value is missing, malformed or out of range",
	"Correct the request before sending it again."},
	{422, "idempotency_key_reused", "the Idempotency-Key was used for another request",
	"Use a new key for every new request; one that is sent again must be the same to the byte."},
	{422, "model_not_allowed", "the language model is not one of those that are allowed",
	"Name a model that is allowed."},
	{422, "too_many_tokens", "the language model does not take so many tokens", "Send fewer tokens."},
	{422, "no_embeddings", "the language model makes no embeddings", "Name a model that makes embeddings."},

	{429, "rate_limited", "too many requests in too short a time",
	"Wait as many seconds as Retry-After says, then try again."},
	{429, "quota_exhausted", "a quota is used up",
	"Wait as many seconds as Retry-After says; without it, sign in or ask for a larger quota."},
	{429, "insufficient_quota", "a budget is used up",
	"Wait until resets_at, or ask for a larger budget."},
	{429, "provider_busy", "the provider of the language model takes no more requests just now",
	"Wait as many seconds as Retry-After says, then try again."},

	{431, "malformed_request", "the headers are longer than 16 kB, or more than 64",
	"Send fewer or shorter headers."},
	{431, "malformed_body", "the trailers after the body are too long", "Send no trailers."},

	{500, "internal", "the server failed; what happened stands in its log under the request_id",
	"Send the request again later, and report the request_id if it fails again."},

	{501, "unknown_method", "the method is not known here",
	"Use GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS."},

	{502, "upstream_unreachable", "the application behind the path cannot be reached", LATER},
	{502, "upstream_untrusted", "the application behind the path has not shown that it is the one", "Send the request again later."},
	{502, "upstream_failed", "the application behind the path did not answer properly; whether the request was carried out is unknown",
	"Read the current state before sending the request again."},

	{503, "upstream_busy", "too many requests are with the application behind the path", LATER},
	{503, "model_unavailable", "the provider of the model is not set up", "Name another model, or send the request again later."},
	{503, "overloaded", "too many requests are waiting", LATER},
	{503, "unavailable", "the database cannot serve the request just now", LATER},
	{503, "outcome_unknown", "the connection to the database was lost while it worked on the request",
	"Read the current state to learn whether the request was carried out, then send it again if not."},
	{503, "needs_primary", "the request changes or counts something, and the database only reads just now", LATER},
	{503, "promotion_unconfirmed", "quotas and budgets are closed until an admin confirms what a promoted server may have lost",
	"Send the request again later."},

	{504, "timeout", "the request took too long and was given up; a change may still be carried out",
	"Ask for less at once, or send the request again later."},
	{504, "upstream_timeout", "the application behind the path did not answer in time; a change may still be carried out",
	"Read the current state before sending the request again."},

	{505, "malformed_request", "the version of HTTP is not spoken here", "Use HTTP/1.1."},
};

#define NKINDS (sizeof kinds / sizeof kinds[0])

/* What an error of SQL is called that names no code of its own. */
static const struct
{
	int			status;
	const char *code;
}			unnamed[] =

{
	{401, "unauthenticated"},
	{403, "forbidden"},
	{404, "not_found"},
	{409, "conflict"},
	{422, "invalid_value"},
	{429, "rate_limited"},
	{500, "internal"},
	{503, "unavailable"},
	{504, "timeout"},
};

const RgProblemKind *
rg_problem_kinds(size_t *count)
{
	*count = NKINDS;
	return kinds;
}

const RgProblemKind *
rg_problem_kind(int status, RgSlice code)
{
	for (size_t i = 0; i < NKINDS; i++)
		if (kinds[i].status == status && rg_slice_is(code, kinds[i].code))
			return &kinds[i];
	return NULL;
}

RgSlice
rg_problem_code(int status)
{
	for (size_t i = 0; i < sizeof unnamed / sizeof unnamed[0]; i++)
		if (unnamed[i].status == status)
			return rg_slice_of(unnamed[i].code);
	return RG_SLICE("refused");
}

RgSlice
rg_problem_suggestion(int status, RgSlice code)
{
	const RgProblemKind *kind = rg_problem_kind(status, code);

	if (kind != NULL)
		return rg_slice_of(kind->suggestion);
	if (status >= 500)
		return RG_SLICE("Send the request again later.");
	return RG_SLICE("Correct the request before sending it again.");
}
