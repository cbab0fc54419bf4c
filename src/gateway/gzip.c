/*
 * gzip.c
 *		Compressing bodies; gzip.h has the contract.
 *
 * One stream and one buffer serve a whole process.
 */
#include "gzip.h"

#include <stdlib.h>
#include <strings.h>
#include <zlib.h>

#include "clock.h"

#define LEVEL 2					/* a quarter of the size; 6 takes a third more
								 * time for a twentieth less */
#define WINDOW (15 + 16)		/* of 32 kB, with gzip's header */
#define MEMORY 8
#define SHARE 4					/* of the time, one part */
#define SAVED_MAX INT64_C(50000)	/* microseconds that may be spent at once */

static z_stream stream;
static bool ready = false;
static unsigned char *buffer = NULL;
static size_t buffer_size = 0;

/* What may be spent: grows with time, and shrinks by what is used. */
static int64_t saved = SAVED_MAX;
static int64_t saved_at = 0;

static bool
has_time(int64_t now)
{
	if (saved_at == 0 || now < saved_at)
		saved_at = now;
	saved += (now - saved_at) / SHARE;
	if (saved > SAVED_MAX)
		saved = SAVED_MAX;
	saved_at = now;
	return saved > 0;
}

static bool
get_ready(size_t len)
{
	if (ready && deflateReset(&stream) != Z_OK)
		return false;
	if (!ready && deflateInit2(&stream, LEVEL, Z_DEFLATED, WINDOW, MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
		return false;
	ready = true;
	if (buffer_size >= len)
		return true;
	free(buffer);
	buffer = malloc(len);
	buffer_size = buffer != NULL ? len : 0;
	return buffer != NULL;
}

/* No room for more than the body: then it is not worth it. */
static RgGzipOutcome
compress_whole(RgSlice body, RgSlice *out)
{
	stream.next_in = (unsigned char *) body.data;
	stream.avail_in = body.len;
	stream.next_out = buffer;
	stream.avail_out = body.len - body.len / 16;
	if (deflate(&stream, Z_FINISH) != Z_STREAM_END)
		return RG_GZIP_USELESS;
	*out = rg_slice((const char *) buffer, stream.total_out);
	return RG_GZIP_DONE;
}

RgGzipOutcome
rg_gzip(RgSlice body, RgSlice *out)
{
	int64_t		now = rg_now();
	RgGzipOutcome outcome;

	if (body.len < RG_GZIP_MIN || body.len > RG_GZIP_MAX)
		return RG_GZIP_USELESS;
	if (!has_time(now) || !get_ready(body.len))
		return RG_GZIP_LATER;
	outcome = compress_whole(body, out);
	saved -= rg_now() - now;
	return outcome;
}

static bool
begins_with(RgSlice text, const char *start)
{
	return text.len >= strlen(start) && strncasecmp(text.data, start, strlen(start)) == 0;
}

bool
rg_gzip_type(RgSlice type)
{
	while (type.len > 0 && *type.data == ' ')
		type.data++, type.len--;
	if (begins_with(type, "text/event-stream"))
		return false;
	return begins_with(type, "application/json") || begins_with(type, "text/") ||
		begins_with(type, "image/svg+xml");
}
