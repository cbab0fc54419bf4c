/*
 * completion_order.c
 *		Orders of routes of result completion; completion_order.h has the contract.
 */
#include "postgres.h"

#include <sodium.h>

#include "nodes/pg_list.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/uuid.h"

#include "budget.h"
#include "completion_order.h"
#include "completion_request.h"
#include "counter_key.h"
#include "errcodes.h"
#include "json_quote.h"
#include "model.h"
#include "quota_problem.h"
#include "route_usage.h"
#include "secret.h"
#include "upstream_order.h"

#define TARGET "/chat/completions"
#define USER_SIZE (2 * sizeof(RgCounterKey) + 1)

typedef struct Completion
{
	RgCompletionRequest request;
	RgCompletionTerms terms;
	const RgModel *model;
	const RgUpstream *upstream;
	RgSlice		body;			/* for the provider */
	RgSlice		target;
	int64		lease_ms;
	pg_uuid_t	reservation;
	char		user[USER_SIZE];
	StringInfoData headers;
} Completion;

/* Seconds that a reservation lasts beyond the upstream's timeouts. */
static int	grace = 60;

void
rg_completion_init(void)
{
	DefineCustomIntVariable("relay_guard.completion_grace",
							"How long the reservation of a completion lasts beyond its upstream's timeouts.",
							"Until then the gateway can settle it; after that what was reserved is charged.",
							&grace, 60, 1, 3600, PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);
}

/*
 * The request
 */

static void
free_completion(void *arg)
{
	rg_completion_free(&((Completion *) arg)->request);
}

/* All that the statement did is undone, so it is an error. */
static void
refuse(const RgViolation *violation)
{
	ereport(ERROR,
			errcode(ERRCODE_RG_UNPROCESSABLE),
			errmsg("%s: %s", violation->pointer, violation->detail),
			errdetail_internal("invalid_parameter"),
			errhint("Send a request of OpenAI's chat completions."));
}

/* What jansson owns is freed with the context, also after an error. */
static void
read_request(Completion *completion, const RgAnswer *answer)
{
	MemoryContextCallback *callback = palloc(sizeof *callback);
	RgSlice		row = rg_answer_body(answer);
	RgSlice		text = rg_slice(pnstrdup(row.data, row.len), row.len);
	RgViolation violation;

	if (!rg_completion_read(text, &completion->request, &violation))
		refuse(&violation);
	callback->func = free_completion;
	callback->arg = completion;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
}

static bool
has_provider(const RgModel *model)
{
	return rg_upstream(model->provider) != NULL;
}

static void
choose_model(Completion *completion)
{
	const RgModel *model = completion->request.model != NULL ?
	rg_model_require(completion->request.model) : rg_model_default(has_provider);

	if (model->max_output_tokens == 0)
		ereport(ERROR,
				errcode(ERRCODE_RG_UNPROCESSABLE),
				errmsg("model \"%s\" answers no chat", model->name),
				errdetail("model_not_allowed"),
				errhint("Name a model that does."));
	completion->model = model;
	completion->upstream = rg_upstream(model->provider);
	if (completion->upstream == NULL)
		ereport(ERROR,
				errcode(ERRCODE_RG_UNAVAILABLE),
				errmsg("the provider of model \"%s\" is not set up", model->name),
				errdetail("model_unavailable"),
				errhint("Insert \"%s\" into relay_guard.upstream, or run relay_gateway configure.",
						model->provider));
}

/* Who it is, the provider need not know; that it is the same one, it may. */
static void
name_user(Completion *completion, const RgIdentity *user)
{
	RgCounterKey pseudonym = rg_counter_pseudonym(user->user_id);

	sodium_bin2hex(completion->user, sizeof completion->user, pseudonym.bytes, sizeof pseudonym.bytes);
	completion->terms.user = rg_slice(completion->user, USER_SIZE - 1);
}

static bool
is_streamed(const RgRoute *route, const RgCompletionRequest *request)
{
	if (strcmp(route->shape, "openai") == 0)
		return request->stream;
	return strcmp(route->shape, "events") == 0;
}

/* What is reserved is what the provider is held to. */
static void
set_terms(Completion *completion, const RgRoute *route)
{
	const RgCompletionRequest *request = &completion->request;
	int64		most = completion->model->max_output_tokens;

	completion->terms.model = completion->model->name;
	completion->terms.max_output = request->max_output > 0 ? Min(request->max_output, most) : most;
	completion->terms.stream = is_streamed(route, request);
}

static void
write_body(Completion *completion)
{
	RgText		text = {.cap = completion->request.text.len + 1024};

	text.data = palloc(text.cap);
	rg_completion_put(&text, &completion->request, &completion->terms);
	if (text.len > text.cap)
	{
		text.data = repalloc(text.data, text.len);
		text.cap = text.len;
		text.len = 0;
		rg_completion_put(&text, &completion->request, &completion->terms);
	}
	completion->body = rg_slice(text.data, text.len);
}

/*
 * The reservation
 */

static void
require_room(const RgBudgetAnswer *answer)
{
	if (answer->allowed)
		return;
	ereport(ERROR,
			errcode(ERRCODE_RG_LIMITED),
			errmsg("the budget %s has no room for this until %s", answer->blocked_by,
				   rg_time_text(answer->resets_at)),
			errdetail(RG_CODE_INSUFFICIENT_QUOTA),
			errhint("Ask for fewer tokens, wait until then, or ask for a larger budget."));
}

/* Up to what the model takes: more of it the provider would refuse. */
static int64
input_to_reserve(const Completion *completion)
{
	const RgCompletionRequest *request = &completion->request;
	int64		room = Max(completion->model->max_input_tokens - request->input_tokens, 0);

	return request->input_tokens + Min(request->hidden_tokens, room);
}

static void
reserve(Completion *completion, const RgIdentity *user)
{
	const RgUpstream *upstream = completion->upstream;
	RgBudgetAnswer answer;
	Interval	ttl = {0};
	RgBudgetCall call = {
		.who = user,
		.model = completion->model->name,
		.input_tokens = input_to_reserve(completion),
		.output_tokens = completion->terms.max_output,
		.answers = completion->request.answers,
		.ttl = &ttl,
	};

	completion->lease_ms = upstream->connect_ms + upstream->answer_ms + upstream->idle_ms +
		grace * INT64CONST(1000);
	ttl.time = completion->lease_ms * 1000;
	rg_budget_reserve(&call, &completion->reservation, &answer);
	require_room(&answer);
}

/*
 * The order
 */

static void
set_headers(Completion *completion, const RgRequest *request, const RgIdentity *identity,
			RgAnswer *answer)
{
	RgRequest	ours = *request;
	char	   *target = psprintf("%.*s%s", (int) completion->upstream->base.len,
								  completion->upstream->base.data, TARGET);

	ours.body = completion->body;
	completion->target = rg_slice(target, strlen(target));
	initStringInfo(&completion->headers);
	rg_upstream_headers(completion->upstream, &ours, identity, completion->target,
						rg_slice(NULL, 0), answer, &completion->headers);
}

/* {"number":…,"token":"…"} of a new stream. */
static char *
open_events(const pg_uuid_t *reservation)
{
	List	   *name = list_make2(makeString("relay_guard"), makeString("completion_open"));
	Oid			types[] = {UUIDOID};
	Oid			function = LookupFuncName(name, lengthof(types), types, false);

	return TextDatumGetCString(OidFunctionCall1(function, UUIDPGetDatum(reservation)));
}

static void
append_text(StringInfo json, const char *name, RgSlice value)
{
	appendStringInfo(json, ",\"%s\":", name);
	rg_json_quote(json, value.data, value.len);
}

static void
append_number(StringInfo json, const char *name, int64 value)
{
	appendStringInfo(json, ",\"%s\":" INT64_FORMAT, name, value);
}

static void
append_bool(StringInfo json, const char *name, bool value)
{
	appendStringInfo(json, ",\"%s\":%s", name, value ? "true" : "false");
}

static void
append_upstream(StringInfo json, const Completion *completion, const RgRoute *route)
{
	const RgUpstream *upstream = completion->upstream;

	append_text(json, "upstream", rg_slice_of(upstream->name));
	append_text(json, "url", upstream->origin);
	append_text(json, "target", completion->target);
	append_number(json, "connect_ms", upstream->connect_ms);
	append_number(json, "answer_ms", upstream->answer_ms);
	append_number(json, "idle_ms", upstream->idle_ms);
	append_number(json, "max_response",
				  upstream->max_response > 0 ? upstream->max_response : route->max_response);
}

static char *
reservation_text(const Completion *completion)
{
	return DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&completion->reservation)));
}

static void
append_terms(StringInfo json, const Completion *completion, const RgRoute *route)
{
	append_text(json, "shape", rg_slice_of(route->shape));
	append_bool(json, "stream", completion->terms.stream);
	append_bool(json, "usage_asked", completion->request.usage_asked);
	append_text(json, "model", rg_slice_of(completion->model->name));
	append_text(json, "reservation", rg_slice_of(reservation_text(completion)));
	append_number(json, "input_tokens", completion->request.input_tokens);
	append_number(json, "max_output_tokens",
				  completion->terms.max_output * completion->request.answers);
	append_number(json, "lease_ms", completion->lease_ms);
}

/* Room for all of it first: a secret must not stay behind where it grew. */
static void
write_order(const Completion *completion, bool public, RgAnswer *answer)
{
	StringInfo	json = &answer->order;
	const StringInfoData *headers = &completion->headers;

	enlargeStringInfo(json, 2 * completion->body.len + headers->len + 4096);
	appendStringInfoString(json, "{\"kind\":\"completion\"");
	append_upstream(json, completion, answer->route);
	append_bool(json, "public", public);
	append_terms(json, completion, answer->route);
	if (strcmp(answer->route->shape, "events") == 0)
		appendStringInfo(json, ",\"events\":%s", open_events(&completion->reservation));
	appendStringInfoString(json, ",\"headers\":[");
	appendBinaryStringInfo(json, headers->data, headers->len);
	appendStringInfoChar(json, ']');
	append_text(json, "body", completion->body);
	appendStringInfoChar(json, '}');
}

/* By which clients ask for its stream again, and ledger and logs name it. */
static void
name_completion(const Completion *completion, RgAnswer *answer)
{
	rg_answer_header(answer, "X-Completion-ID: %s", reservation_text(completion));
}

void
rg_completion_order(const RgRequest *request, const RgIdentity *identity, RgAnswer *answer)
{
	Completion *completion = palloc0(sizeof *completion);
	RgIdentity	user = rg_route_usage_user(request, identity);

	rg_route_usage_require_writable();
	if (request->request_id.len > 0)
		user.request_id = request->request_id;
	read_request(completion, answer);
	choose_model(completion);
	set_terms(completion, answer->route);
	name_user(completion, &user);
	write_body(completion);
	reserve(completion, &user);
	set_headers(completion, request, identity, answer);
	rg_answer_clear(answer);
	write_order(completion, identity->user_id.data == NULL, answer);
	name_completion(completion, answer);
	rg_secret_wipe(rg_slice(completion->headers.data, completion->headers.len));
}
