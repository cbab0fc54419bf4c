/*
 * output.h
 *		What clients have not taken of their answers yet.
 *
 * A client that asks for much and reads nothing would have the gateway keep it
 * all.  So a client must take what it is sent at some rate, which is asked of
 * the kernel, since a socket's buffer may take a minute to empty; and all that a
 * worker keeps is bounded: beyond MAX_OUTPUT_MEMORY the slowest readers are cut
 * off, at the end of the turn of the loop, beyond twice as much whoever asks for
 * more.
 */
#ifndef RG_OUTPUT_H
#define RG_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct RgConn;
struct RgWorker;

/* Of one connection; all zero: nothing is kept. */
typedef struct RgOutput
{
	char	   *data;
	size_t		len;
	size_t		at;				/* of data, that the kernel has taken */
	int64_t		sent;			/* bytes that the kernel has taken of it */
	int64_t		since;			/* rg_now() when something was first kept */
	int64_t		since_taken;	/* what the reader had taken then */
	int64_t		window;			/* when it was last looked at */
	int64_t		window_taken;
} RgOutput;

/* In a worker, once its loop is there. */
extern void rg_output_init(struct RgWorker *worker);

/* Keeps what follows the first sent bytes of the pieces; false when there is no room. */
extern bool rg_output_keep(struct RgConn *conn, const struct iovec *pieces, int count,
						   size_t sent)
			__attribute__((warn_unused_result));

/* The kernel has taken so many more bytes of it. */
extern void rg_output_sent(struct RgConn *conn, size_t bytes);

extern void rg_output_free(struct RgConn *conn);

/* Once a second: cuts off those that read too slowly. */
extern void rg_output_check(struct RgWorker *worker, int64_t now);

#endif
