/*
 * response.h
 *		Answers: status line, the headers that every one of them has, body.
 */
#ifndef RG_RESPONSE_H
#define RG_RESPONSE_H

#include "config.h"
#include "conn.h"
#include "json_text.h"
#include "problem.h"

typedef struct RgResponse
{
	int			status;
	RgSlice		headers;		/* complete lines, each ended by CRLF */
	RgSlice		lines;			/* more of them */
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
 * For answers that do not end at once (conn_stream.h): the head, with that
 * Content-Length, or in chunks when it is negative and the client knows them;
 * and the line of the log, after the last byte.
 */
extern void rg_response_head(RgText *head, const RgExchange *exchange,
							 const RgResponse *response, int64_t content_length);
extern void rg_response_log(const RgExchange *exchange, const RgResponse *response, size_t bytes);

/* Whether an answer of that status, to that request, has a body. */
extern bool rg_response_has_body(const RgExchange *exchange, int status);

/*
 * Answers with a problem; instance and request_id are filled in here, and so
 * are Cache-Control and the headers that go with 401 and 503.  route and headers
 * may be empty.
 */
extern void rg_respond_problem(RgConn *conn, const RgExchange *exchange,
							   RgProblem *problem, RgSlice route, RgSlice headers);

#endif
