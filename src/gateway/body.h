/*
 * body.h
 *		The body of a request, read into its job.
 *
 * All of these are for connections in state RG_CONN_BODY, and may end that:
 * by rg_request_body() when the body is complete, by rg_request_bad_body()
 * when it is refused.
 */
#ifndef RG_BODY_H
#define RG_BODY_H

#include "conn.h"

/* Takes what is the body's from the input; false when it was refused. */
extern bool rg_body_take(RgConn *conn, RgSlice *input)
			__attribute__((warn_unused_result));

/*
 * Where the next bytes of a body of known length may be read to, and how many;
 * rg_body_received() is told how many came.  NULL when the body was refused,
 * because too much memory is held.
 */
extern char *rg_body_room(RgConn *conn, size_t *room)
			__attribute__((warn_unused_result));
extern void rg_body_received(RgConn *conn, size_t len);

/* Has it come much too slowly since it began? */
extern bool rg_body_starves(RgConn *conn, int64_t now);

#endif
