/*
 * upstream_order.c
 *		Orders for the gateway's proxy; upstream_order.h has the contract.
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <time.h>

#include "utils/builtins.h"

#include "base64url.h"
#include "errcodes.h"
#include "json_quote.h"
#include "secret.h"
#include "upstream.h"
#include "upstream_order.h"
#include "upstream_target.h"
#include "verifier.h"
#include "webhook_secret.h"

#define MAX_CONTEXT 4096		/* bytes of JSON; servers limit their heads */
#define HASH_BYTES 32

typedef struct Order
{
	const RgRequest *request;
	const RgUpstream *upstream;
	RgSlice		target;
	StringInfoData message;		/* what is signed */
	StringInfo	headers;		/* elements of the JSON array */
} Order;

static bool
is_read(const RgRequest *request)
{
	return rg_slice_is(request->method, "GET") || rg_slice_is(request->method, "HEAD");
}

/*
 * What frames a body, two servers may not agree on for GET: what one takes for a
 * body, the next may take for another request.
 */
static const char *
refusal(const RgRequest *request)
{
	if (is_read(request) && request->body.len > 0)
		return "GET and HEAD have no body here";
	return rg_upstream_path_refusal(request->path);
}

static void
answer_refusal(const RgRequest *request, const char *reason, RgAnswer *answer)
{
	RgProblem	problem = {
		.status = 400,
		.code = RG_SLICE("malformed_target"),
		.detail = rg_slice_of(reason),
	};

	rg_answer_problem(answer, request, &problem);
}

static RgSlice
make_target(const RgUpstream *upstream, const RgRequest *request)
{
	RgText		text = {
		.cap = upstream->base.len + 3 * (request->path.len + request->query.len) + 2
	};

	text.data = palloc(text.cap);
	rg_upstream_target_put(&text, upstream->base, request->path, upstream->strip, request->query);
	return rg_slice(text.data, text.len);
}

/* To be called in the order of the names; what is absent has no header. */
static void
add_header(Order *order, const char *name, RgSlice value)
{
	if (value.data == NULL)
		return;
	appendStringInfo(&order->message, "%s:%.*s\n", name, (int) value.len, value.data);
	appendStringInfo(order->headers, "%s\"%s\",", order->headers->len > 0 ? "," : "", name);
	rg_json_quote(order->headers, value.data, value.len);
}

static void
add_encoded(Order *order, const char *name, RgSlice value)
{
	RgText		text = {.cap = 3 * value.len + 1};

	text.data = palloc(text.cap);
	rg_upstream_value_put(&text, value);
	add_header(order, name, rg_slice(value.data != NULL ? text.data : NULL, text.len));
}

/* Scopes are visible ASCII with single spaces between them. */
static void
add_scopes(Order *order, RgSlice scopes)
{
	char	   *encoded;
	RgText		text = {.cap = 3 * scopes.len + 1};

	text.data = encoded = palloc(text.cap);
	for (size_t i = 0; i < scopes.len; i++)
		if (scopes.data[i] == ' ')
			rg_text_char(&text, ' ');
		else
			rg_upstream_value_put(&text, rg_slice(scopes.data + i, 1));
	add_header(order, "x-relay-scopes", rg_slice(scopes.len > 0 ? encoded : NULL, text.len));
}

static void
add_body_hash(Order *order, RgSlice body)
{
	unsigned char hash[HASH_BYTES];
	char		hex[2 * HASH_BYTES + 1];

	if (EVP_Digest(body.len > 0 ? body.data : "", body.len, hash, NULL, EVP_sha256(), NULL) != 1)
		ereport(ERROR,
				errcode(ERRCODE_OUT_OF_MEMORY),
				errmsg("could not compute the hash of a body"));
	sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
	add_header(order, "x-relay-body-sha256", rg_slice(hex, sizeof hex - 1));
}

static void
add_client(Order *order, const uint8_t ip[16])
{
	static const uint8_t unknown[16] = {0};
	static const uint8_t mapped[12] = {[10] = 0xff,[11] = 0xff};
	bool		is_v4 = memcmp(ip, mapped, sizeof mapped) == 0;
	char		text[INET6_ADDRSTRLEN];

	if (memcmp(ip, unknown, sizeof unknown) == 0)
		return;
	inet_ntop(is_v4 ? AF_INET : AF_INET6, is_v4 ? ip + sizeof mapped : ip, text, sizeof text);
	add_header(order, "x-relay-client", rg_slice_of(text));
}

static void
add_context(Order *order, RgSlice row)
{
	char	   *encoded;

	if (row.data == NULL)
		return;
	if (row.len > MAX_CONTEXT)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("the row for upstream \"%s\" has more than %d bytes", order->upstream->name,
					   MAX_CONTEXT),
				errhint("It goes into a header: select an id, and let the upstream ask for the rest."));
	encoded = palloc(RG_BASE64URL_SIZE(row.len));
	add_header(order, "x-relay-context", rg_slice(encoded, rg_base64url_encode(row, encoded)));
}

static void
add_headers(Order *order, const RgIdentity *identity, RgSlice row)
{
	const RgRequest *request = order->request;

	add_body_hash(order, request->body);
	add_client(order, request->client_ip);
	add_context(order, row);
	if (request->request_id.len > 0)
		add_encoded(order, "x-relay-request-id", request->request_id);
	add_encoded(order, "x-relay-role", identity->role);
	add_scopes(order, identity->scopes);
	add_header(order, "x-relay-timestamp", rg_slice_of(psprintf("%lld", (long long) time(NULL))));
	add_header(order, "x-relay-upstream", rg_slice_of(order->upstream->name));
	add_encoded(order, "x-relay-user", identity->user_id);
	add_encoded(order, "x-relay-via", identity->via);
	add_encoded(order, "x-relay-workspace", identity->workspace_id);
}

static void
append_signature(StringInfo signatures, RgSlice secret, RgSlice message)
{
	RgVerifier *signer = rg_verifier_hs256(secret);
	uint8_t		mac[RG_HS256_BYTES];
	char		hex[2 * RG_HS256_BYTES + 1];
	bool		made = signer != NULL && rg_verifier_sign(signer, message, mac);

	rg_verifier_free(signer);
	rg_secret_wipe(secret);
	if (!made)
		ereport(ERROR,
				errcode(ERRCODE_OUT_OF_MEMORY),
				errmsg("could not sign a request to an upstream"));
	sodium_bin2hex(hex, sizeof hex, mac, sizeof mac);
	appendStringInfo(signatures, "%sv1=%s", signatures->len > 0 ? " " : "", hex);
}

static RgLiveSecrets
secrets_of(const RgUpstream *upstream)
{
	RgLiveSecrets secrets = {
		.name = cstring_to_text(psprintf(RG_UPSTREAM_SECRETS "%s", upstream->name))
	};

	return secrets;
}

static void
require_secret(const RgUpstream *upstream, const RgLiveSecrets *secrets)
{
	if (!secrets->any)
		ereport(ERROR,
				errcode(ERRCODE_RG_UNAVAILABLE),
				errmsg("upstream \"%s\" has no secret", upstream->name),
				errhint("Make one with relay_guard.upstream_secret_set(name)."));
}

/* By every secret that is valid, so that the upstream may change its own in between. */
static void
sign(Order *order)
{
	RgLiveSecrets secrets = secrets_of(order->upstream);
	StringInfoData signatures;

	initStringInfo(&signatures);
	while (rg_live_secret_next(&secrets))
		append_signature(&signatures, secrets.secret,
						 rg_slice(order->message.data, order->message.len));
	require_secret(order->upstream, &secrets);
	add_header(order, "x-relay-signature", rg_slice(signatures.data, signatures.len));
}

static void
put_bearer(StringInfo headers, RgSlice secret)
{
	char	   *value = psprintf("Bearer %.*s", (int) secret.len, secret.data);

	appendStringInfoString(headers, "\"authorization\",");
	rg_json_quote(headers, value, strlen(value));
	rg_secret_wipe(rg_slice_of(value));
	rg_secret_wipe(secret);
}

/* The current one is the last; the former ones were for those who check signatures. */
static void
show_secret(const RgUpstream *upstream, StringInfo headers)
{
	RgLiveSecrets secrets = secrets_of(upstream);

	enlargeStringInfo(headers, 2 * RG_GIVEN_KEY_MAX);
	while (rg_live_secret_next(&secrets))
	{
		resetStringInfo(headers);
		put_bearer(headers, secrets.secret);
	}
	require_secret(upstream, &secrets);
}

static void
sign_headers(Order *order, const RgIdentity *identity, RgSlice context)
{
	initStringInfo(&order->message);
	appendStringInfo(&order->message, "relay-v1\n%.*s\n%.*s\n",
					 (int) order->request->method.len, order->request->method.data,
					 (int) order->target.len, order->target.data);
	add_headers(order, identity, context);
	sign(order);
}

void
rg_upstream_headers(const RgUpstream *upstream, const RgRequest *request,
					const RgIdentity *identity, RgSlice target, RgSlice context,
					RgAnswer *answer, StringInfo headers)
{
	Order		order = {
		.request = request,.upstream = upstream,.target = target,.headers = headers
	};

	if (upstream->auth == RG_UPSTREAM_SIGNATURE)
	{
		sign_headers(&order, identity, context);
		return;
	}
	show_secret(upstream, headers);
	answer->order_secret = true;
}

static void
append_text(StringInfo json, const char *name, RgSlice value)
{
	appendStringInfo(json, ",\"%s\":", name);
	rg_json_quote(json, value.data, value.len);
}

/* Once, as secrets must not stay behind where it grows. */
static void
write_order(const RgUpstream *upstream, RgSlice target, bool public, RgSlice headers,
			StringInfo json)
{
	enlargeStringInfo(json, headers.len + 2 * target.len + 4096);
	appendStringInfoString(json, "{\"kind\":\"proxy\"");
	append_text(json, "upstream", rg_slice_of(upstream->name));
	append_text(json, "url", upstream->origin);
	append_text(json, "target", target);
	append_text(json, "prefix", rg_slice(upstream->prefix, strlen(upstream->prefix)));
	appendStringInfo(json, ",\"connect_ms\":" INT64_FORMAT ",\"answer_ms\":" INT64_FORMAT
					 ",\"idle_ms\":" INT64_FORMAT ",\"max_response\":" INT64_FORMAT,
					 upstream->connect_ms, upstream->answer_ms, upstream->idle_ms,
					 upstream->max_response);
	appendStringInfo(json, ",\"cookies\":%s,\"public\":%s,\"headers\":[",
					 upstream->cookies ? "true" : "false", public ? "true" : "false");
	appendBinaryStringInfo(json, headers.data, headers.len);
	appendStringInfoString(json, "]}");
}

static const RgUpstream *
require_upstream(const RgRoute *route)
{
	const RgUpstream *upstream = rg_upstream(route->upstream);

	if (upstream == NULL)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("upstream \"%s\" of route %s %s does not exist", route->upstream,
					   route->method, route->path));
	return upstream;
}

void
rg_upstream_order(const RgRequest *request, const RgIdentity *identity, RgAnswer *answer)
{
	const RgUpstream *upstream = require_upstream(answer->route);
	const char *reason = refusal(request);
	StringInfoData headers;
	RgSlice		target;

	if (reason != NULL)
	{
		answer_refusal(request, reason, answer);
		return;
	}
	target = make_target(upstream, request);
	initStringInfo(&headers);
	rg_upstream_headers(upstream, request, identity, target, rg_answer_body(answer), answer, &headers);
	rg_answer_clear(answer);
	write_order(upstream, target, identity->user_id.data == NULL,
				rg_slice(headers.data, headers.len), &answer->order);
	rg_secret_wipe(rg_slice(headers.data, headers.len));
}
