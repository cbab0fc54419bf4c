/*
 * completion_problem.c
 *		What the client is told when a provider does not answer; the log tells the
 *		rest.
 */
#include "completion_call.h"

static const char untold[] = "the provider of the model did not answer properly; what it made of the request is charged";

static RgProblem
failed(const char *detail)
{
	RgProblem	problem = {
		.status = 502,.code = RG_SLICE("upstream_failed"),.detail = rg_slice_of(detail),
		.suggestion = RG_SLICE("Send the request again after a moment.")
	};

	return problem;
}

RgProblem
rg_completion_transfer_problem(CURLcode code)
{
	RgProblem	problem = failed(untold);

	switch (code)
	{
		case CURLE_COULDNT_RESOLVE_HOST:
		case CURLE_COULDNT_CONNECT:
		case CURLE_OPERATION_TIMEDOUT:
			problem.code = RG_SLICE("upstream_unreachable");
			problem.detail = RG_SLICE("the provider of the model cannot be reached just now");
			break;
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CONNECT_ERROR:
		case CURLE_SSL_CACERT_BADFILE:
			problem.code = RG_SLICE("upstream_untrusted");
			problem.detail = RG_SLICE("the provider of the model has not shown that it is the one");
			break;
		default:
			break;
	}
	return problem;
}

RgProblem
rg_completion_timeout_problem(void)
{
	RgProblem	problem = {
		.status = 504,.code = RG_SLICE("upstream_timeout"),
		.detail = RG_SLICE("the provider of the model did not answer in time; "
						   "what it made of the request is charged")
	};

	return problem;
}

/*
 * What is wrong with the request, in the provider's words, unless they hold the key, or
 * its beginning where they were cut.
 */
static RgProblem
refused(const RgCompletion *call)
{
	static char message[4 * RG_COMPLETION_MAX_MESSAGE];
	RgProblem	problem = {.status = 400,.code = RG_SLICE("completion_refused")};
	size_t		len = rg_completion_message(rg_growing_slice(&call->body), message);

	problem.detail = rg_slice(message, len);
	if (len == 0 || rg_provider_order_tells(&call->order, problem.detail) ||
		rg_provider_order_tells(&call->order, rg_growing_slice(&call->body)))
		problem.detail = RG_SLICE("the provider of the model does not take the request");
	return problem;
}

/*
 * That our key is refused, or an address of ours is wrong, is no fault of the client,
 * who cannot mend it either.
 */
RgProblem
rg_completion_answer_problem(const RgCompletion *call)
{
	RgProblem	busy = {
		.status = 429,.code = RG_SLICE("provider_busy"),
		.detail = RG_SLICE("the provider of the model takes no more requests just now")
	};

	switch (call->status)
	{
		case 400:
		case 413:
		case 422:
			return refused(call);
		case 429:
			return busy;
		default:
			return failed("the provider of the model failed; nothing is charged");
	}
}

bool
rg_completion_accepted(const RgCompletion *call)
{
	return call->status >= 200 && call->status < 300;
}
