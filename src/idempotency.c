/*
 * idempotency.c
 *		Requests that name themselves; idempotency.h has the contract.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lock.h"

#include "admission.h"
#include "errcodes.h"
#include "idempotency.h"
#include "lock_class.h"

/*
 * Which request it is
 */

static void
identify(RgKeyedRequest *keyed, RgSlice key, const RgRequest *request,
		 const RgIdentity *identity, const RgRoute *route)
{
	RgIdempotencyScope scope = {
		.user_id = identity->user_id,
		.workspace_id = identity->workspace_id,
		.method = request->method,
		.route = rg_slice_of(route->path),
		.key = key,
	};
	RgIdempotencyPayload payload = {
		.path = request->path,
		.query = request->query,
		.role = identity->role,
		.body = request->body,
	};

	if (scope.user_id.data == NULL)
		scope.address = rg_request_address_name(request);
	rg_idempotency_scope(&scope, keyed->kept.scope);
	rg_idempotency_fingerprint(&payload, keyed->kept.fingerprint);
	keyed->kept.principal = scope.user_id.data != NULL ? scope.user_id : scope.address;
	keyed->kept.method = scope.method;
	keyed->kept.route = scope.route;
}

/*
 * Refusals
 */

static bool
refuse_missing(const RgRequest *request, RgAnswer *answer)
{
	RgProblem	problem = {
		.status = 400,
		.code = RG_SLICE("idempotency_key_required"),
		.detail = RG_SLICE("this needs the header Idempotency-Key"),
	};

	return rg_answer_problem(answer, request, &problem);
}

static bool
refuse_malformed(const RgRequest *request, RgAnswer *answer)
{
	RgProblem	problem = {
		.status = 400,
		.code = RG_SLICE("idempotency_key_invalid"),
		.detail = RG_SLICE("the header Idempotency-Key is not 1 to 255 visible ASCII characters"),
	};

	return rg_answer_problem(answer, request, &problem);
}

/* Clients behind one address are told apart by nothing else. */
static bool
refuse_short(const RgRequest *request, RgAnswer *answer)
{
	RgProblem	problem = {
		.status = 400,
		.code = RG_SLICE("idempotency_key_invalid"),
		.detail = RG_SLICE("without credentials the header Idempotency-Key needs 16 characters or more"),
	};

	return rg_answer_problem(answer, request, &problem);
}

static bool
refuse_in_flight(const RgRequest *request, RgAnswer *answer)
{
	RgProblem	problem = {
		.status = 409,
		.code = RG_SLICE("idempotency_in_flight"),
		.detail = RG_SLICE("a request with this Idempotency-Key is being carried out"),
	};

	rg_answer_header(answer, "Retry-After: 1");
	return rg_answer_problem(answer, request, &problem);
}

static bool
refuse_other(const RgRequest *request, RgAnswer *answer)
{
	RgProblem	problem = {
		.status = 422,
		.code = RG_SLICE("idempotency_key_reused"),
		.detail = RG_SLICE("this Idempotency-Key was used for another request"),
	};

	return rg_answer_problem(answer, request, &problem);
}

static bool
refuse_without_answer(const RgRequest *request, RgAnswer *answer)
{
	RgProblem	problem = {
		.status = 409,
		.code = RG_SLICE("idempotency_answer_not_kept"),
		.detail = RG_SLICE("the request was carried out before, and its answer was too large to be kept"),
	};

	return rg_answer_problem(answer, request, &problem);
}

static bool
check_key(RgSlice key, const RgRequest *request, const RgIdentity *identity, RgAnswer *answer)
{
	if (!rg_idempotency_key_valid(key))
		return refuse_malformed(request, answer);
	if (identity->user_id.data == NULL && key.len < RG_IDEMPOTENCY_KEY_LONG)
		return refuse_short(request, answer);
	return true;
}

/*
 * Once
 */

/*
 * Waits for nobody: a request that comes while the first is under way learns so
 * at once.  The lock is given back when the transaction has ended and its row, if
 * any, can be seen.
 */
static bool
lock_scope(const RgKept *kept)
{
	LOCKTAG		tag;
	uint32		hash[2];

	memcpy(hash, kept->scope, sizeof hash);
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, hash[0], hash[1], RG_LOCK_IDEMPOTENCY);
	return LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

/* What cannot be kept is not begun. */
static void
require_writable(void)
{
	if (XactReadOnly)
		ereport(ERROR,
				errcode(ERRCODE_RG_UNAVAILABLE),
				errmsg("requests with an Idempotency-Key need the primary server"),
				errdetail("needs_primary"));
}

static bool
replay(const RgKeptAnswer *kept, RgAnswer *answer)
{
	answer->status = kept->status;
	if (kept->content_type.len > 0)
		answer->content_type = pnstrdup(kept->content_type.data, kept->content_type.len);
	if (kept->headers.len > 0)
		appendBinaryStringInfo(&answer->headers, kept->headers.data, kept->headers.len);
	rg_answer_header(answer, "Idempotent-Replayed: true");
	if (kept->body.len > 0)
		appendBinaryStringInfo(&answer->out, kept->body.data, kept->body.len);
	return false;
}

/* The first time, or again? */
static bool
begin_once(RgKeyedRequest *keyed, const RgRequest *request, RgAnswer *answer)
{
	RgKeptAnswer first;

	if (!lock_scope(&keyed->kept))
		return refuse_in_flight(request, answer);
	switch (rg_kept_find(&keyed->kept, &first))
	{
		case RG_KEPT_OTHER:
			return refuse_other(request, answer);
		case RG_KEPT_WITHOUT_ANSWER:
			return refuse_without_answer(request, answer);
		case RG_KEPT_ANSWER:
			return replay(&first, answer);
		case RG_KEPT_NONE:
			break;
	}
	require_writable();
	keyed->headers_at = answer->headers.len;
	return true;
}

bool
rg_idempotency_begin(RgKeyedRequest *keyed, const RgRequest *request,
					 const RgIdentity *identity, RgAnswer *answer)
{
	const RgRoute *route = answer->route;
	RgSlice		key = rg_request_header(request, "idempotency-key");

	keyed->kept.principal = rg_slice(NULL, 0);
	if (route->idempotency == RG_IDEMPOTENCY_NONE)
		return true;
	if (key.data == NULL)
		return route->idempotency == RG_IDEMPOTENCY_OPTIONAL || refuse_missing(request, answer);
	if (!check_key(key, request, identity, answer))
		return false;
	identify(keyed, key, request, identity, route);
	return begin_once(keyed, request, answer);
}

/*
 * Keeping
 */

/* Whoever gets an answer again must not get somebody's session with it. */
static bool
sets_cookie(RgSlice lines)
{
	static const char name[] = "set-cookie:";

	for (size_t i = 0; i + sizeof name - 1 <= lines.len; i++)
		if ((i == 0 || lines.data[i - 1] == '\n') &&
			pg_strncasecmp(lines.data + i, name, sizeof name - 1) == 0)
			return true;
	return false;
}

/* A refusal that changed nothing may be another answer the next time. */
static bool
is_worth_keeping(const RgAnswer *answer)
{
	return answer->status < 400 || TransactionIdIsValid(GetTopTransactionIdIfAny());
}

void
rg_idempotency_keep(const RgKeyedRequest *keyed, const RgAnswer *answer)
{
	RgKeptAnswer kept = {
		.status = answer->status,
		.content_type = rg_slice_of(answer->content_type),
		.body = rg_answer_body(answer),
	};

	if (keyed->kept.principal.data == NULL || !is_worth_keeping(answer))
		return;
	kept.headers = rg_slice(answer->headers.data + keyed->headers_at,
							answer->headers.len - keyed->headers_at);
	if (!sets_cookie(kept.headers))
		rg_kept_write(&keyed->kept, &kept);
}
