/*
 * log.h
 *		Two logs, a JSON object a line: what went wrong, to stderr, and what was
 *		answered, to stdout or a file.
 *
 * Neither ever holds a token, a cookie, a body or a query string.
 */
#ifndef RG_LOG_H
#define RG_LOG_H

#include <stdint.h>

#include "slice.h"

typedef enum RgLogLevel
{
	RG_LOG_DEBUG,
	RG_LOG_INFO,
	RG_LOG_WARNING,
	RG_LOG_ERROR
} RgLogLevel;

/* One line of the access log. */
typedef struct RgAccess
{
	RgSlice		request_id;
	RgSlice		method;
	RgSlice		route;			/* a template from a catalog; may be empty */
	RgSlice		path;			/* without query */
	RgSlice		client;
	RgSlice		trace_id;
	RgSlice		span_id;
	int			status;
	size_t		bytes;			/* of the body */
	int64_t		queued_us;
	int64_t		database_us;
	int64_t		total_us;
} RgAccess;

extern void rg_log_level(RgLogLevel level);

/*
 * Writes a line at once, or loses it where nobody reads the log.  After the
 * message come pairs of names and values, all strings, up to a NULL name; pairs
 * whose value is NULL are left out.
 */
extern void rg_log(RgLogLevel level, const char *message,...)
			__attribute__((sentinel));

/* "off", "-" for stdout, or a file to append to; false with errno set. */
extern bool rg_access_log_open(const char *where)
			__attribute__((warn_unused_result));

/* Is there one? */
extern bool rg_access_log_is_on(void);

/* Adds a line to the buffer. */
extern void rg_access_log(const RgAccess *access);

/* The same for a line that tells of no request (anchor.h). */
extern void rg_access_log_anchor(RgSlice head);

/*
 * Writes the buffer out; to be called every second.  When nobody reads the
 * log, lines are dropped and said to be rather than requests held up.
 */
extern void rg_access_log_flush(void);

/*
 * The same at exit, where nobody is held up: a reader who is only slow has a
 * second.
 */
extern void rg_access_log_close(void);

/* Did the last flush write everything? */
extern bool rg_access_log_healthy(void);

#endif
