/*
 * job.h
 *		A request on its way to the database and back.
 *
 * A job holds the request's frame, which its body is read right into, and
 * afterwards the result.  Whoever waits for it may leave; it then goes on
 * alone, because what is in a pipeline cannot be taken out.
 */
#ifndef RG_JOB_H
#define RG_JOB_H

#include <libpq-fe.h>

#include "chunked.h"
#include "exchange.h"
#include "frame.h"

struct RgConn;

typedef enum RgJobKind
{
	RG_JOB_SERVE,				/* relay_guard.serve(frame) */
	RG_JOB_READY,				/* relay_guard.ready() */
	RG_JOB_ASK					/* a statement of the gateway's own: ask.h */
} RgJobKind;

typedef enum RgOutcome
{
	RG_FINISHED,				/* the result says how: rows or an error */
	RG_QUEUE_FULL,
	RG_QUEUE_EXPIRED,			/* the deadline passed before it was sent */
	RG_DATABASE_EXPIRED,		/* … after; it is still being worked at */
	RG_DATABASE_DOWN,
	RG_DATABASE_LOST			/* sent, then the connection was lost */
} RgOutcome;

#define RG_ASK_MAX_PARAMS 5

/* What the gateway asks for itself; ask.h. */
typedef struct RgAsk
{
	const char *sql;
	int			nparams;
	const char *params[RG_ASK_MAX_PARAMS];	/* point into the frame */
	void		(*done) (void *arg, const PGresult *result);
	void	   *arg;
} RgAsk;

typedef struct RgJob
{
	struct RgJob *next;			/* in a queue or pipeline, or in the pool */
	struct RgConn *conn;		/* who waits; NULL when nobody does */
	RgJobKind	kind;
	bool		own;			/* of the gateway: nobody waits for it */
	bool		safe;			/* may be sent twice */
	bool		done;			/* the outcome has been told */
	int64_t		deadline;		/* rg_now() */
	int64_t		submitted;
	int64_t		sent;
	int64_t		lost;			/* first time; 0: never */
	char	   *frame;
	size_t		len;
	size_t		cap;
	size_t		body_start;		/* of the body in the frame */
	char	   *head;			/* the request's, as it came */
	size_t		head_len;
	size_t		head_cap;
	int64_t		body_left;		/* to come; -1: as the chunks say */
	RgChunked	chunked;
	PGresult   *result;
	struct RgHeldBody *held;	/* that serve() was shown, pinned */
	RgAsk		ask;
	RgExchange	exchange;
} RgJob;

/* A job without frame; NULL when memory is used up. */
extern RgJob *rg_job_new(RgJobKind kind, const RgExchange *exchange)
			__attribute__((warn_unused_result));

extern void rg_job_free(RgJob *job);

/* What the frames of all jobs may take together; then there is no room. */
extern void rg_job_limit_memory(size_t bytes);

/*
 * Writes the request's frame, so far without body, and lets the exchange point
 * into it.
 */
extern bool rg_job_set_frame(RgJob *job, const RgRequest *request)
			__attribute__((warn_unused_result));

/* Keeps a copy of the request's head, for whoever hands the request on. */
extern bool rg_job_keep_head(RgJob *job, RgSlice head)
			__attribute__((warn_unused_result));

/*
 * A job's head and frame, when they are to outlive it.  What the job's exchange
 * points to is in them.
 */
typedef struct RgJobBytes
{
	char	   *head;
	size_t		head_len;
	size_t		head_cap;
	char	   *frame;
	size_t		cap;
	RgSlice		body;			/* in the frame */
} RgJobBytes;

/* Takes them from a job, which has none afterwards. */
extern RgJobBytes rg_job_take_bytes(RgJob *job);

extern void rg_job_bytes_free(RgJobBytes *bytes);

/* Room for len more bytes of body at the frame's end; NULL when there is none. */
extern char *rg_job_room(RgJob *job, size_t len)
			__attribute__((warn_unused_result));

/* The one value of a job's result, NUL behind it; data NULL when it is an error. */
extern RgSlice rg_job_value(const RgJob *job);

#endif
