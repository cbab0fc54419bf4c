/*
 * body.c
 *		Bodies of requests; body.h has the contract.
 */
#include "body.h"

#include "request.h"
#include "worker.h"

#define SECOND INT64_C(1000000)
#define GRACE		(5 * SECOND)
#define MIN_RATE	1024		/* bytes a second, after the grace */
#define PIECE		65536

static bool
refuse(RgConn *conn, int status, const char *why)
{
	rg_request_bad_body(conn, status, why);
	return false;
}

static bool
append(RgConn *conn, RgSlice data)
{
	RgJob	   *job = conn->job;
	char	   *room;

	if (job->len - job->body_start + data.len > (size_t) conn->worker->config->max_body)
		return refuse(conn, 413, "the body is too large");
	room = rg_job_room(job, data.len);
	if (room == NULL)
		return refuse(conn, 503, "too many bodies are being received");
	memcpy(room, data.data, data.len);
	job->len += data.len;
	return true;
}

static bool
take_chunks(RgConn *conn, RgSlice *input)
{
	RgJob	   *job = conn->job;
	RgSlice		data;
	int			status;

	while ((status = rg_chunked_next(&job->chunked, input, &data)) > 0)
		if (!append(conn, data))
			return false;
	if (status < 0)
		return refuse(conn, -status, job->chunked.error);
	if (job->chunked.state == RG_CHUNK_END)
		rg_request_body(conn);
	return true;
}

static bool
take_counted(RgConn *conn, RgSlice *input)
{
	size_t		left = conn->job->body_left;
	RgSlice		data = rg_slice(input->data, input->len < left ? input->len : left);

	if (!append(conn, data))
		return false;
	input->data += data.len;
	input->len -= data.len;
	conn->job->body_left -= data.len;
	if (conn->job->body_left == 0)
		rg_request_body(conn);
	return true;
}

bool
rg_body_take(RgConn *conn, RgSlice *input)
{
	return conn->job->body_left < 0 ? take_chunks(conn, input)
		: take_counted(conn, input);
}

char *
rg_body_room(RgConn *conn, size_t *room)
{
	RgJob	   *job = conn->job;
	char	   *data;

	*room = job->body_left < PIECE ? job->body_left : PIECE;
	data = rg_job_room(job, *room);
	if (data == NULL)
		refuse(conn, 503, "too many bodies are being received");
	return data;
}

void
rg_body_received(RgConn *conn, size_t len)
{
	RgJob	   *job = conn->job;

	job->len += len;
	job->body_left -= len;
	if (job->body_left == 0)
		rg_request_body(conn);
}

/* In each window anew: a quick start earns no right to stand still. */
bool
rg_body_starves(RgConn *conn, int64_t now)
{
	size_t		received = conn->job->len - conn->job->body_start;
	int64_t		window = now - conn->body_since;

	if (window < GRACE)
		return false;
	if ((int64_t) (received - conn->body_seen) < window / SECOND * MIN_RATE)
		return true;
	conn->body_since = now;
	conn->body_seen = received;
	return false;
}
