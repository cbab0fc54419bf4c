/*
 * conn_class.c
 *		What connections wait for, and how long; conn_class.h has the contract.
 */
#include "conn_class.h"

#include <sys/socket.h>

#include "body.h"
#include "clock.h"
#include "request.h"
#include "worker.h"

#define SECOND INT64_C(1000000)
#define LINGER_TIMEOUT	(2 * SECOND)
#define FIRST_GRACE		SECOND	/* for a first request, while draining */
#define NEXT_GRACE		(SECOND / 4)

static int64_t
span_of(const RgConfig *config, RgConnClass class)
{
	switch (class)
	{
		case RG_CONN_IDLE:
			return config->idle_timeout;
		case RG_CONN_IN_HANDSHAKE:
		case RG_CONN_IN_HEAD:
			return config->header_timeout;
		case RG_CONN_IN_BODY:
			return SECOND;
		case RG_CONN_LINGERING:
			return LINGER_TIMEOUT;
		default:
			return INT64_MAX / 2;
	}
}

void
rg_conn_class_leave(RgConn *conn)
{
	RgConnList *list = &conn->worker->lists[conn->class];

	if (conn->previous != NULL)
		conn->previous->next = conn->next;
	else
		list->first = conn->next;
	if (conn->next != NULL)
		conn->next->previous = conn->previous;
	else
		list->last = conn->previous;
	list->count--;
}

void
rg_conn_class_enter(RgConn *conn, RgConnClass class)
{
	RgConnList *list = &conn->worker->lists[class];

	conn->class = class;
	conn->limit = rg_now() + span_of(conn->worker->config, class);
	conn->next = NULL;
	conn->previous = list->last;
	if (list->last != NULL)
		list->last->next = conn;
	else
		list->first = conn;
	list->last = conn;
	list->count++;
}

void
rg_conn_class_set(RgConn *conn, RgConnClass class)
{
	rg_conn_class_leave(conn);
	rg_conn_class_enter(conn, class);
}

static void
expire_head(RgConn *conn)
{
	RgHttpHead *head = &conn->worker->head;

	if (conn->input.len == 0)
	{
		rg_conn_close(conn);
		return;
	}
	rg_http_give_up(conn->input.data, conn->scanned, head);
	head->error = "the head did not come in time";
	rg_request_malformed(conn, head, 408);
}

static void
expire(RgConn *conn, int64_t now)
{
	if (conn->class == RG_CONN_IN_HEAD)
		expire_head(conn);
	else if (conn->class != RG_CONN_IN_BODY)
		rg_conn_close(conn);
	else if (rg_body_starves(conn, now))
		rg_request_bad_body(conn, 408, "the body comes too slowly");
	else
		rg_conn_class_set(conn, RG_CONN_IN_BODY);
}

void
rg_conn_expire(RgWorker *worker, int64_t now)
{
	for (int class = 0; class < RG_CONN_IN_DATABASE; class++)
		while (worker->lists[class].first != NULL &&
			   worker->lists[class].first->limit <= now)
			expire(worker->lists[class].first, now);
}

static bool
has_sent_nothing(const RgConn *conn)
{
	char		byte;

	return conn->input.len == 0 && !rg_transport_pending(&conn->transport) &&
		recv(conn->transport.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0;
}

/*
 * Those that were in the class before that time.  A request that is there
 * already will be answered, though it be the last.
 */
static void
close_silent(RgWorker *worker, RgConnClass class, int64_t before)
{
	int64_t		limit = before + span_of(worker->config, class);
	RgConn	   *next;

	for (RgConn *conn = worker->lists[class].first; conn && conn->limit <= limit; conn = next)
	{
		next = conn->next;
		if (has_sent_nothing(conn))
			rg_conn_close(conn);
	}
}

void
rg_conn_close_idle(RgWorker *worker)
{
	int64_t		now = rg_now();

	close_silent(worker, RG_CONN_IDLE, now - NEXT_GRACE);
	close_silent(worker, RG_CONN_IN_HEAD, now - FIRST_GRACE);
}
