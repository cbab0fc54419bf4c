/*
 * job.c
 *		Jobs; job.h has the contract.
 *
 * Jobs of usual size are kept for the next request, frame included.
 */
#include "job.h"

#include <stdlib.h>

#include "response_cache.h"

#define POOL_MAX 256
#define POOLED_FRAME 16384		/* larger frames are given back */
#define POOLED_HEAD 4096
#define MIN_FRAME 1024

static RgJob *pool = NULL;
static int	pooled = 0;
static size_t held = 0;			/* bytes of frames, those in the pool included */
static size_t max_held = SIZE_MAX;

void
rg_job_limit_memory(size_t bytes)
{
	max_held = bytes;
}

static RgJob *
take_from_pool(void)
{
	RgJob	   *job = pool;

	pool = job->next;
	pooled--;
	return job;
}

RgJob *
rg_job_new(RgJobKind kind, const RgExchange *exchange)
{
	RgJob	   *job = pool ? take_from_pool() : calloc(1, sizeof *job);
	RgJobBytes	bytes;

	if (job == NULL)
		return NULL;
	bytes = rg_job_take_bytes(job);
	memset(job, 0, offsetof(RgJob, exchange));
	job->frame = bytes.frame;
	job->cap = bytes.cap;
	job->head = bytes.head;
	job->head_cap = bytes.head_cap;
	job->kind = kind;
	job->exchange = *exchange;
	return job;
}

RgJobBytes
rg_job_take_bytes(RgJob *job)
{
	RgJobBytes	bytes = {
		.head = job->head,.head_len = job->head_len,.head_cap = job->head_cap,
		.frame = job->frame,.cap = job->cap
	};

	if (job->len > job->body_start)
		bytes.body = rg_slice(job->frame + job->body_start, job->len - job->body_start);
	job->head = job->frame = NULL;
	job->head_len = job->head_cap = job->len = job->cap = 0;
	return bytes;
}

void
rg_job_bytes_free(RgJobBytes *bytes)
{
	held -= bytes->cap + bytes->head_cap;
	free(bytes->head);
	free(bytes->frame);
}

void
rg_job_free(RgJob *job)
{
	RgJobBytes	bytes;

	PQclear(job->result);
	rg_held_body_release(job->held);
	job->held = NULL;
	if (pooled < POOL_MAX && job->cap <= POOLED_FRAME && job->head_cap <= POOLED_HEAD)
	{
		job->result = NULL;
		job->next = pool;
		pool = job;
		pooled++;
		return;
	}
	bytes = rg_job_take_bytes(job);
	rg_job_bytes_free(&bytes);
	free(job);
}

/* The frame starts with the method and the path, NUL after each. */
static void
point_into_frame(RgJob *job)
{
	job->exchange.method.data = job->frame;
	job->exchange.path.data = job->frame + job->exchange.method.len + 1;
}

/* Heads are small and as many as connections: only bodies have a limit. */
static bool
grow(RgJob *job, size_t needed, size_t limit)
{
	size_t		cap = job->cap ? job->cap : MIN_FRAME;
	char	   *frame;

	while (cap < needed)
		cap *= 2;
	if (cap == job->cap)
		return true;
	if (cap - job->cap > limit - (held < limit ? held : limit))
		return false;
	frame = realloc(job->frame, cap);
	if (frame == NULL)
		return false;
	held += cap - job->cap;
	job->frame = frame;
	job->cap = cap;
	point_into_frame(job);
	return true;
}

bool
rg_job_set_frame(RgJob *job, const RgRequest *request)
{
	size_t		size = rg_request_size(request);

	if (!grow(job, size, SIZE_MAX))
		return false;
	rg_request_write(request, job->frame);
	job->len = job->body_start = size;
	point_into_frame(job);
	return true;
}

bool
rg_job_keep_head(RgJob *job, RgSlice text)
{
	char	   *head = job->head;

	if (text.len > job->head_cap)
	{
		head = realloc(job->head, text.len);
		if (head == NULL)
			return false;
		held += text.len - job->head_cap;
		job->head = head;
		job->head_cap = text.len;
	}
	memcpy(head, text.data, text.len);
	job->head_len = text.len;
	return true;
}

char *
rg_job_room(RgJob *job, size_t len)
{
	return grow(job, job->len + len, max_held) ? job->frame + job->len : NULL;
}

RgSlice
rg_job_value(const RgJob *job)
{
	const PGresult *result = job->result;

	if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1 ||
		PQnfields(result) != 1 || PQgetisnull(result, 0, 0))
		return rg_slice(NULL, 0);
	return rg_slice(PQgetvalue(result, 0, 0), PQgetlength(result, 0, 0));
}
