/*
 * conn_class.c
 *		What connections wait for, and how long; conn_class.h has the contract.
 */
#include "conn_class.h"

#include "clock.h"
#include "worker.h"

#define SECOND INT64_C(1000000)
#define LINGER_TIMEOUT	(2 * SECOND)

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
