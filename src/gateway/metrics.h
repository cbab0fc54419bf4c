/*
 * metrics.h
 *		What the gateway counts of its own work.
 *
 * Every worker adds to a slot of its own in memory that all share, so that
 * counting is an addition without a lock, whoever is asked for /metrics can sum
 * up, and nothing that was counted goes with the worker that counted it: its
 * successor goes on with the slot.
 */
#ifndef RG_METRICS_H
#define RG_METRICS_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#include "metric_refusals.h"
#include "metric_series.h"

/* Counters; metrics_page.c has their names. */
typedef enum RgMetricCounter
{
	RG_COUNT_ACCEPTED,			/* clients' connections */
	RG_COUNT_CLIENT_ERRORS,		/* answers 4xx */
	RG_COUNT_SERVER_ERRORS,		/* answers 5xx */
	RG_COUNT_QUEUE_FULL,		/* in the order of RgOutcome */
	RG_COUNT_QUEUE_EXPIRED,
	RG_COUNT_DATABASE_EXPIRED,
	RG_COUNT_DATABASE_DOWN,
	RG_COUNT_DATABASE_LOST,
	RG_COUNT_DENIALS_REPEATED,	/* from the memory of refusals */
	RG_COUNT_CACHE_HITS,		/* bodies that were held and current */
	RG_COUNT_CACHE_MISSES,		/* of routes with cache_seconds, made anew */
	RG_COUNT_CACHE_EVICTIONS,
	RG_COUNT_DATABASE_LOSSES,	/* of connections to the database */
	RG_COUNT_CUT_FOR_SLOWNESS,	/* readers of answers */
	RG_COUNT_CUT_FOR_MEMORY,
	RG_COUNT_COMPLETIONS_FINISHED,
	RG_COUNT_COMPLETIONS_LEFT,	/* the client did */
	RG_COUNT_COMPLETIONS_FAILED,
	RG_COUNT_COMPLETIONS_REFUSED,	/* by the provider, or for lack of room */
	RG_COUNT_TOKENS_INPUT,		/* as they were charged */
	RG_COUNT_TOKENS_OUTPUT,
	RG_COUNT_WEBHOOK_DELIVERED, /* attempts, in the order of RgWebhookResult */
	RG_COUNT_WEBHOOK_GONE,
	RG_COUNT_WEBHOOK_REJECTED,
	RG_COUNT_WEBHOOK_TIMEOUT,
	RG_COUNT_WEBHOOK_UNREACHABLE,
	RG_COUNT_WEBHOOK_UNTRUSTED,
	RG_COUNT_WEBHOOK_REFUSED_ADDRESS,
	RG_COUNT_WEBHOOK_REFUSED_URL,
	RG_COUNT_WEBHOOK_BROKEN,
	RG_COUNT_CPU_MICROSECONDS,
	RG_COUNTERS
} RgMetricCounter;

/* What is so many now. */
typedef enum RgMetricGauge
{
	RG_GAUGE_CONNS_IDLE,		/* clients' connections, as RgConnClass */
	RG_GAUGE_CONNS_IN_HANDSHAKE,
	RG_GAUGE_CONNS_IN_HEAD,
	RG_GAUGE_CONNS_IN_BODY,
	RG_GAUGE_CONNS_IN_WRITE,
	RG_GAUGE_CONNS_LINGERING,
	RG_GAUGE_CONNS_IN_DATABASE,
	RG_GAUGE_STREAMS,
	RG_GAUGE_PGS_DOWN,			/* connections to the database */
	RG_GAUGE_PGS_CONNECTING,
	RG_GAUGE_PGS_IDLE,
	RG_GAUGE_PGS_BUSY,
	RG_GAUGE_QUEUED,			/* requests that wait for one */
	RG_GAUGE_OUTPUT_BYTES,		/* kept for slow readers */
	RG_GAUGE_CACHE_BYTES,		/* of bodies that are held */
	RG_GAUGE_WEBHOOKS,			/* that are with receivers */
	RG_GAUGE_LOG_BROKEN,		/* the access log cannot be written */
	RG_GAUGES
} RgMetricGauge;

/* Of all histograms; the last is +Inf. */
#define RG_BUCKETS 15

typedef struct RgHistogram
{
	_Atomic uint64_t counts[RG_BUCKETS];	/* each for itself */
	_Atomic uint64_t sum;		/* microseconds */
} RgHistogram;

typedef struct RgMetricSlot
{
	_Atomic		pid_t process;	/* 0: none at present */
	_Atomic uint64_t counters[RG_COUNTERS];
	_Atomic int64_t gauges[RG_GAUGES];
	_Atomic uint64_t refusals[RG_REFUSAL_WORDS];
	RgHistogram queue_wait;
	RgHistogram webhooks;
	RgHistogram requests[RG_SERIES_MAX];
} RgMetricSlot;

typedef struct RgMetrics
{
	int			count;			/* of slots */
	int64_t		started;		/* rg_wall_clock() of the master */
	_Atomic uint64_t worker_deaths;
	_Atomic uint64_t keys_deaths;	/* of the process that fetches keys */
	RgSeries	series;
	RgMetricSlot slots[];
} RgMetrics;

/* An answer, as far as it is counted. */
typedef struct RgAnswered
{
	RgSlice		method;
	RgSlice		route;			/* of a catalog; empty: none */
	RgSlice		body;			/* a problem says what was wrong */
	int			status;
	int64_t		total_us;
} RgAnswered;

/* The upper bounds of all buckets but the last, in microseconds. */
extern const int32_t rg_bucket_bounds[RG_BUCKETS - 1];

/*
 * Before the first fork: makes what workers share.  False when there is no memory
 * for it.  Two slots a worker, so that one that is being replaced and its
 * successor each have theirs.
 */
extern bool rg_metrics_share(int workers)
			__attribute__((warn_unused_result));

/* This process is a worker, and that slot is its own from now on. */
extern void rg_metrics_attach(int slot);

/* In the master: the worker of that slot has ended. */
extern void rg_metrics_detach(int slot);

/* In the master: a process died and is going to be replaced. */
extern void rg_metrics_died(bool keys);

/* Before rg_metrics_share() and in processes without a slot counting is in vain. */
extern void rg_metrics_count(RgMetricCounter counter, uint64_t more);
extern void rg_metrics_set(RgMetricGauge gauge, int64_t value);
extern void rg_metrics_answered(const RgAnswered *answered);
extern void rg_metrics_queue_wait(int64_t micros);
extern void rg_metrics_webhook(RgMetricCounter result, int64_t micros);

/* Once a second in every worker: what the system says of the process. */
extern void rg_metrics_tick(void);

/* NULL before rg_metrics_share(). */
extern const RgMetrics *rg_metrics_shared(void);

#endif
