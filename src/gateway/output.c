/*
 * output.c
 *		Answers that wait for their readers; output.h has the contract.
 */
#include "output.h"

#include <event2/event.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "clock.h"
#include "log.h"
#include "metrics.h"
#include "worker.h"

#define SECOND INT64_C(1000000)
#define MIN_RATE 1024			/* bytes a second, in each WRITE_TIMEOUT */
#define YOUNG SECOND			/* has had no time to read yet */

static size_t held = 0;
static struct event relief;		/* to be activated when too much is held */

static size_t
limit_of(const RgWorker *worker)
{
	return worker->config->max_output_memory;
}

/* What its client has taken, and not only the kernel. */
static int64_t
taken_by_client(const RgConn *conn)
{
	int			queued = 0;

	if (ioctl(conn->transport.fd, SIOCOUTQ, &queued) != 0)
		queued = 0;
	return conn->output.sent - queued;
}

static void
cut_off(RgConn *conn, RgMetricCounter why)
{
	rg_metrics_count(why, 1);
	rg_log(RG_LOG_DEBUG, "a client that does not read its answer is cut off", "client",
		   conn->peer_text, NULL);
	rg_conn_reset(conn);
}

/* Bytes a microsecond, since something has had to wait for it. */
static double
rate_of(const RgConn *conn, int64_t now)
{
	int64_t		taken = taken_by_client(conn) - conn->output.since_taken;

	return (double) taken / (now - conn->output.since);
}

/* NULL when all have only begun to read. */
static RgConn *
find_slowest(const RgWorker *worker, int64_t now)
{
	RgConn	   *slowest = NULL;
	double		least = 0;

	for (RgConn *conn = worker->lists[RG_CONN_IN_WRITE].first; conn != NULL; conn = conn->next)
	{
		bool		old = now - conn->output.since >= YOUNG;
		double		rate = old ? rate_of(conn, now) : 0;

		if (!old || (slowest != NULL && rate >= least))
			continue;
		slowest = conn;
		least = rate;
	}
	return slowest;
}

static void
on_relief(evutil_socket_t fd, short what, void *arg)
{
	RgWorker   *worker = arg;
	RgConn	   *slowest;

	(void) fd;
	(void) what;
	while (held > limit_of(worker) && (slowest = find_slowest(worker, rg_now())) != NULL)
		cut_off(slowest, RG_COUNT_CUT_FOR_MEMORY);
}

void
rg_output_init(RgWorker *worker)
{
	event_assign(&relief, worker->base, -1, 0, on_relief, worker);
	event_priority_set(&relief, 1);
}

static size_t
size_of(const struct iovec *pieces, int count)
{
	size_t		size = 0;

	for (int i = 0; i < count; i++)
		size += pieces[i].iov_len;
	return size;
}

/* What has been sent of it needs no room. */
static void
compact(RgOutput *output)
{
	if (output->at == 0)
		return;
	held -= output->at;
	output->len -= output->at;
	memmove(output->data, output->data + output->at, output->len);
	output->at = 0;
}

static void
begin(RgConn *conn)
{
	RgOutput   *output = &conn->output;

	output->sent = 0;
	output->since = output->window = rg_now();
	output->since_taken = output->window_taken = taken_by_client(conn);
}

/* While too much is held there is some more room for as long as a turn takes. */
static bool
has_room(const RgConn *conn, size_t more)
{
	size_t		limit = limit_of(conn->worker);

	if (held + more > limit)
		event_active(&relief, 0, 0);
	return held + more <= 2 * limit;
}

static bool
grow(RgConn *conn, size_t more)
{
	RgOutput   *output = &conn->output;
	char	   *data = has_room(conn, more) ? realloc(output->data, output->len + more) : NULL;

	if (data == NULL)
	{
		rg_metrics_count(RG_COUNT_CUT_FOR_MEMORY, 1);
		return false;
	}
	if (output->len == 0)
		begin(conn);
	output->data = data;
	held += more;
	return true;
}

bool
rg_output_keep(RgConn *conn, const struct iovec *pieces, int count, size_t sent)
{
	RgOutput   *output = &conn->output;
	size_t		size = size_of(pieces, count);

	if (sent == size)
		return true;
	compact(output);
	if (!grow(conn, size - sent))
		return false;
	for (int i = 0; i < count; i++)
	{
		size_t		skip = sent < pieces[i].iov_len ? sent : pieces[i].iov_len;

		memcpy(output->data + output->len, (char *) pieces[i].iov_base + skip,
			   pieces[i].iov_len - skip);
		output->len += pieces[i].iov_len - skip;
		sent -= skip;
	}
	return true;
}

void
rg_output_sent(RgConn *conn, size_t bytes)
{
	conn->output.at += bytes;
	conn->output.sent += bytes;
}

void
rg_output_free(RgConn *conn)
{
	held -= conn->output.len;
	free(conn->output.data);
	memset(&conn->output, 0, sizeof conn->output);
}

/* In each window anew: a quick start earns no right to stand still. */
static bool
is_too_slow(RgConn *conn, int64_t now)
{
	RgOutput   *output = &conn->output;
	int64_t		window = now - output->window;
	int64_t		taken;

	if (window < conn->worker->config->write_timeout)
		return false;
	taken = taken_by_client(conn);
	if (taken - output->window_taken < window * MIN_RATE / SECOND)
		return true;
	output->window = now;
	output->window_taken = taken;
	return false;
}

void
rg_output_check(RgWorker *worker, int64_t now)
{
	RgConn	   *next;

	for (RgConn *conn = worker->lists[RG_CONN_IN_WRITE].first; conn != NULL; conn = next)
	{
		next = conn->next;
		if (is_too_slow(conn, now))
			cut_off(conn, RG_COUNT_CUT_FOR_SLOWNESS);
	}
	rg_metrics_set(RG_GAUGE_OUTPUT_BYTES, held);
}
