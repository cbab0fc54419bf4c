/*
 * worker.h
 *		A process that serves: one event loop, no threads.
 */
#ifndef RG_WORKER_H
#define RG_WORKER_H

#include <event2/event_struct.h>

#include "config.h"
#include "conn.h"
#include "frame.h"
#include "http1.h"
#include "lane.h"
#include "static_files.h"

typedef struct RgWorker
{
	const RgConfig *config;
	struct event_base *base;
	int			listener;
	struct event accept_event;
	struct event tick_event;
	struct event second_event;
	struct event flush_event;	/* activated when something is to be flushed */
	struct event sweep_event;	/* activated when a connection is closed */
	struct event term_event;
	struct event int_event;
	bool		accepting;
	bool		draining;
	int64_t		drain_until;

	RgStaticFiles files;
	RgLane		reads;
	RgLane		writes;
	RgLane		slow;

	int			nconns;
	int			max_conns;
	RgConnList	lists[RG_CONN_LISTS];	/* by what they wait for */
	RgConn	   *closed;			/* to be freed at the end of the turn */

	/* Of the request that is being looked at */
	RgHttpHead	head;
	RgRequest	request;
	RgExchange	exchange;
	char		input[RG_HTTP_MAX_HEAD];
} RgWorker;

/*
 * Serves on that socket until SIGTERM, SIGINT or its master's end, and then as
 * long as requests are under way; returns the exit status.
 */
extern int	rg_worker_run(const RgConfig *config, int listener, pid_t master);

/* How many clients each worker has at once: its share of MAX_CONNECTIONS, if descriptors allow that. */
extern int	rg_worker_max_conns(const RgConfig *config);

/* Sees to it that what was put into libpq's buffers is sent this turn. */
extern void rg_worker_flush_soon(RgWorker *worker);

/* A connection has gone: perhaps there is room for another. */
extern void rg_worker_conn_gone(RgWorker *worker);

#endif
