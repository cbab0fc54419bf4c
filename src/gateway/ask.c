/*
 * ask.c
 *		The gateway's own statements; ask.h has the contract.
 */
#include "ask.h"

#include "clock.h"

/* Into the job's frame, which has no other use here. */
static bool
copy_params(RgJob *job, int nparams, const char *const *params)
{
	size_t		starts[RG_ASK_MAX_PARAMS];

	for (int i = 0; i < nparams; i++)
	{
		size_t		size = strlen(params[i]) + 1;
		char	   *room = rg_job_room(job, size);

		if (room == NULL)
			return false;
		memcpy(room, params[i], size);
		starts[i] = job->len;
		job->len += size;
	}
	for (int i = 0; i < nparams; i++)	/* the frame has stopped moving */
		job->ask.params[i] = job->frame + starts[i];
	return true;
}

bool
rg_ask(RgLane *lane, int64_t timeout, const char *sql, int nparams,
	   const char *const *params, RgAskDone done, void *arg)
{
	static const RgExchange nobody;
	RgJob	   *job = rg_job_new(RG_JOB_ASK, &nobody);

	if (job == NULL)
		return false;
	if (!copy_params(job, nparams, params))
	{
		rg_job_free(job);
		return false;
	}
	job->own = true;
	job->deadline = rg_now() + timeout;
	job->ask.sql = sql;
	job->ask.nparams = nparams;
	job->ask.done = done;
	job->ask.arg = arg;
	rg_lane_submit(lane, job);
	return true;
}
