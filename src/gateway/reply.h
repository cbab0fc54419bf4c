/*
 * reply.h
 *		Answers: status line, the headers that every one of them has, body.
 */
#ifndef RG_REPLY_H
#define RG_REPLY_H

#include "config.h"
#include "conn.h"
#include "problem.h"

typedef struct RgAnswer
{
	int			status;
	RgSlice		headers;		/* complete lines, each ended by CRLF */
	RgSlice		body;
	RgSlice		route;			/* for the log */
	bool		cacheable;		/* headers hold a Cache-Control */
} RgAnswer;

/* Chooses the headers of every answer; once a process. */
extern void rg_reply_init(const RgConfig *config);

/*
 * Sends the answer and logs it.  conn may be NULL when the client has left:
 * then it is only logged.
 */
extern void rg_answer(RgConn *conn, const RgExchange *exchange, const RgAnswer *answer);

/*
 * Answers with a problem; instance and request_id are filled in here, and so
 * are the headers that go with 401 and 503.  route and headers may be empty.
 */
extern void rg_answer_problem(RgConn *conn, const RgExchange *exchange,
							  RgProblem *problem, RgSlice route, RgSlice headers);

#endif
