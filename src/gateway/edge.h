/*
 * edge.h
 *		What is dealt with before any limit: questions of browsers whether a
 *		page may ask, and requests that should have come by https.
 */
#ifndef RG_EDGE_H
#define RG_EDGE_H

#include "conn.h"
#include "http1.h"

/*
 * Answers a preflight, and in production what came without TLS; false when it
 * is neither.  The head has passed the checks of host, target and headers.
 */
extern bool rg_edge_answer(RgConn *conn, const RgHttpHead *head, const RgExchange *exchange)
			__attribute__((warn_unused_result));

/*
 * Adds to the request what the database is told beside the client's headers,
 * and nobody else can say: the trace, and for CSRF our own origin
 * (x-relay-origin) and whether the client's is one of CORS_ORIGINS
 * (x-relay-cors).  The values are good until the next call.
 */
extern void rg_edge_add_headers(const RgConn *conn, const RgHttpHead *head,
								const RgExchange *exchange, RgRequest *request);

#endif
