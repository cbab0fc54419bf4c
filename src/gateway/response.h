/*
 * response.h
 *		Answers: status line, the headers that every one of them has, body.
 */
#ifndef RG_RESPONSE_H
#define RG_RESPONSE_H

#include "config.h"
#include "conn.h"
#include "problem.h"

typedef struct RgResponse
{
	int			status;
	RgSlice		headers;		/* complete lines, each ended by CRLF */
	RgSlice		body;
	RgSlice		route;			/* for the log */
	bool		cacheable;		/* headers hold a Cache-Control */
} RgResponse;

/* Chooses the headers of every answer; once a process. */
extern void rg_response_init(const RgConfig *config);

/*
 * Sends the answer and logs it.  conn may be NULL when the client has left:
 * then it is only logged.
 */
extern void rg_respond(RgConn *conn, const RgExchange *exchange, const RgResponse *response);

/*
 * Answers with a problem; instance and request_id are filled in here, and so
 * are Cache-Control and the headers that go with 401 and 503.  route and headers
 * may be empty.
 */
extern void rg_respond_problem(RgConn *conn, const RgExchange *exchange,
							   RgProblem *problem, RgSlice route, RgSlice headers);

#endif
