/*
 * metrics_endpoint.h
 *		The listener for /metrics, and what it answers.
 *
 * It is apart from the clients' so that no client can reach it, and so that it
 * answers when they have used up all connections; nothing else is served there.
 * Its socket is one, shared by all workers: whoever is free takes the
 * connection and sums up for all.
 */
#ifndef RG_METRICS_ENDPOINT_H
#define RG_METRICS_ENDPOINT_H

#include "config.h"
#include "conn.h"
#include "http1.h"

/*
 * In the master: opens METRICS_LISTEN, unless it is off.  False, with errno set,
 * when somebody else listens there.
 */
extern bool rg_metrics_open(const RgConfig *config)
			__attribute__((warn_unused_result));

extern void rg_metrics_close(const RgConfig *config);

/* In a worker: accepts from now on, or from now on no more. */
extern void rg_metrics_start(struct RgWorker *worker);
extern void rg_metrics_stop(void);

/* Once a second in every worker: publishes what is so many now. */
extern void rg_metrics_second(struct RgWorker *worker);

/* A connection that came by that listener has gone. */
extern void rg_metrics_conn_gone(RgConn *conn);

/* Answers a request that came by it; has_body: one that would have a body. */
extern void rg_metrics_request(RgConn *conn, const RgHttpHead *head, RgExchange *exchange);

#endif
