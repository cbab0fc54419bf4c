/*
 * completion_call.h
 *		A request that is with a provider; what the files of completions share.
 *
 * A call has three parts that end by themselves: the transfer, the client, and the
 * events that are to be kept.  It is over (ended) when it is known what became of it;
 * the tick frees it when the last part has ended.
 */
#ifndef RG_COMPLETION_CALL_H
#define RG_COMPLETION_CALL_H

#include "completion_events.h"
#include "conn.h"
#include "exchange.h"
#include "growing.h"
#include "metrics.h"
#include "problem.h"
#include "proxy_loop.h"
#include "sse_parse.h"

struct RgWorker;

/* While so much waits for the client, nothing is read from the provider. */
#define RG_COMPLETION_PENDING 262144

#define RG_FINISH_REASON_MAX 64

typedef struct RgCompletion
{
	RgTransfer	transfer;		/* first: proxy_loop.h; no curl: it has ended */
	struct RgCompletion *previous;
	struct RgCompletion *next;
	struct RgWorker *worker;
	RgConn	   *conn;			/* who waits; NULL: nobody, or not any more */
	bool		streaming;		/* conn has the head of a stream */
	bool		ended;			/* it is known what became of it */
	RgProviderOrder order;
	RgExchange	exchange;		/* points into texts */
	char	   *texts;
	RgSlice		route;			/* the template */
	RgSlice		own;			/* serve()'s header lines for the answer */
	struct curl_slist *lines;

	/* The answer */
	bool		asked;			/* the request is on its way */
	int64_t		asked_at;
	int64_t		spoke_at;		/* when the first text came; 0: none has */
	bool		headed;			/* the head of the answer is there */
	bool		events;			/* its body is a stream of events */
	bool		paused;
	long		status;
	int64_t		retry_after;	/* seconds; 0: it does not say */
	size_t		head_len;
	int64_t		received;		/* bytes of the body */
	RgSseParser parser;
	RgGrowing	body;			/* of an answer as a whole, or of a refusal */
	RgGrowing	reply;			/* RG_SHAPE_REPLY: the text so far */
	int64_t		limit;			/* rg_now() when its time is up */
	int64_t		until;			/* the same, whatever comes */
	const char *reason;			/* why it was broken off; NULL: it was not */
	char		error[CURL_ERROR_SIZE];

	/* What it came to */
	RgCompletionUsage usage;	/* as the provider says */
	size_t		produced;		/* bytes */
	size_t		counted;		/* of these the usage knows */
	bool		whole;			/* an answer as a whole was understood */
	char		finish_reason[RG_FINISH_REASON_MAX];	/* "": it goes on */

	/* The client's side */
	int64_t		sent_at;		/* when it was sent anything */
	RgCompletionEvents kept;	/* of RG_SHAPE_EVENTS */

	/* The reservation */
	bool		extending;
	int64_t		extend_at;
	int64_t		lease_until;
} RgCompletion;

/* completion_curl.c: sets curl up; false when memory is used up. */
extern bool rg_completion_set_up(RgCompletion *call, const char *ca_file)
			__attribute__((warn_unused_result));
extern void rg_completion_clean_up(RgCompletion *call);

/* completion_answer.c: libcurl's callbacks, and what is done with a whole answer. */
extern int	rg_completion_on_connection(void *arg, char *remote, char *local, int remote_port,
										int local_port);
extern size_t rg_completion_on_header(char *data, size_t size, size_t count, void *arg);
extern size_t rg_completion_on_body(char *data, size_t size, size_t count, void *arg);

/* The transfer has ended by itself. */
extern void rg_completion_on_done(RgTransfer *transfer, CURLcode code);

/* completion.c: it is known what became of it.  The problem is for the client. */
extern void rg_completion_finish(RgCompletion *call);
extern void rg_completion_fail(RgCompletion *call, RgMetricCounter outcome, RgProblem *problem,
							   const char *reason);
extern void rg_completion_left(RgCompletion *call);

/* completion_client.c: what the client gets. */

/* Before anything else: its events are going to be kept. */
extern void rg_completion_open(RgCompletion *call);

/* The head of a stream; false when the client has gone. */
extern bool rg_completion_begin_stream(RgCompletion *call)
			__attribute__((warn_unused_result));

/* A chunk; false when it cannot be passed on. */
extern bool rg_completion_pass(RgCompletion *call, RgSlice data, const RgCompletionChunk *chunk)
			__attribute__((warn_unused_result));

/* The end, in the shape that the client wants. */
extern void rg_completion_end_well(RgCompletion *call);
extern void rg_completion_end_badly(RgCompletion *call, RgProblem *problem);

/* Bytes that neither client nor database have taken. */
extern size_t rg_completion_pending(const RgCompletion *call);
extern void rg_completion_resume(RgCompletion *call);

/* Some twenty times a second. */
extern void rg_completion_client_tick(RgCompletion *call, int64_t now);

/* completion_bill.c: what is charged, and the reservation meanwhile. */
extern void rg_completion_charge(RgCompletion *call);
extern RgCompletionUsage rg_completion_used(const RgCompletion *call);
extern void rg_completion_lease_tick(RgCompletion *call, int64_t now);

/* completion_problem.c: what the client is told. */
extern RgProblem rg_completion_transfer_problem(CURLcode code);
extern RgProblem rg_completion_answer_problem(const RgCompletion *call);
extern RgProblem rg_completion_timeout_problem(void);
extern bool rg_completion_accepted(const RgCompletion *call);

#endif
