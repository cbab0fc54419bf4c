/*
 * deny.c
 *		Answers refusals from memory; deny.h has the contract.
 */
#include "deny.h"

#include "clock.h"
#include "deny_cache.h"
#include "log.h"
#include "metrics.h"
#include "response.h"

static RgDenyCache *cache = NULL;	/* NULL: off */

void
rg_deny_init(const RgConfig *config)
{
	if (config->deny_cache != RG_ON)
		return;
	cache = rg_deny_cache_new();
	if (cache == NULL)
		rg_log(RG_LOG_WARNING, "no memory for the cache of refusals", NULL);
}

bool
rg_deny_answer(RgConn *conn, const RgExchange *exchange, const RgRequest *request)
{
	RgDenial	denial;
	RgRateRefusal words;
	RgProblem	problem;
	char		lines[RG_RATE_LINES_MAX];
	RgText		text = {lines, sizeof lines, 0};

	if (cache == NULL || !rg_deny_cache_find(cache, request, rg_now(), &denial))
		return false;
	problem = rg_rate_lines_problem(denial.limits, denial.count, &words);
	rg_metrics_count(RG_COUNT_DENIALS_REPEATED, 1);
	rg_rate_lines_put(&text, denial.limits, denial.count, rg_wall_clock() / 1000000,
					  exchange->openai);
	rg_respond_problem(conn, exchange, &problem, denial.route, rg_slice(lines, text.len));
	return true;
}

void
rg_deny_note(const RgJob *job, const RgReply *reply)
{
	RgRequest	request;

	if (cache == NULL || reply->limits.len == 0 || reply->status != 429 ||
		!rg_request_parse(rg_slice(job->frame, job->len), &request))
		return;
	rg_deny_cache_add(cache, &request, reply->route, reply->limits, rg_now());
}
