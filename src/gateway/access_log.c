/*
 * access_log.c
 *		The log of what was answered; log.h has the contract.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "json_text.h"
#include "log.h"
#include "log_reader.h"

#define MAX_LINE 65536
#define MAX_PATH 1024			/* logged: whole lines then fit in PIPE_BUF */
#define CLOSE_WAIT 1000000		/* microseconds for a slow reader at the end */

static int	output = -1;		/* -1: off */
static size_t piece = SSIZE_MAX;	/* what one write() may hold */
static bool healthy = true;
static char buffer[2 * MAX_LINE];
static size_t used = 0;

/*
 * Workers share a pipe, and only writes of at most PIPE_BUF bytes are never
 * torn apart by another's.
 */
static size_t
piece_of(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode) ? PIPE_BUF : SSIZE_MAX;
}

bool
rg_access_log_open(const char *where)
{
	int			fd = -1;

	if (strcmp(where, "-") == 0)
		fd = rg_log_reader_open(STDOUT_FILENO);
	else if (strcmp(where, "off") != 0)
	{
		fd = open(where, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
		if (fd < 0)
			return false;
	}
	if (output > STDOUT_FILENO)
		close(output);
	output = fd;
	if (fd >= 0)
		piece = piece_of(fd);
	return true;
}

/* The longest run of whole lines that one write() may hold. */
static size_t
next_piece(size_t from)
{
	size_t		len = used - from;

	if (len <= piece)
		return len;
	len = piece;
	while (len > 0 && buffer[from + len - 1] != '\n')
		len--;
	return len > 0 ? len : piece;
}

static void
note_health(bool written)
{
	if (written != healthy)
		rg_log(RG_LOG_WARNING, written ? "the access log is written again"
			   : "the access log cannot be written, lines are lost", NULL);
	healthy = written;
}

/* Waits for the reader of a full pipe until then. */
static void
write_out(int64_t until)
{
	size_t		at = 0;

	while (at < used && rg_log_reader_has_room(output, until))
	{
		ssize_t		written = write(output, buffer + at, next_piece(at));

		if (written < 0 && errno != EAGAIN)
			break;
		at += written > 0 ? written : 0;
	}
	if (used > 0 && at == used)
		note_health(true);
	memmove(buffer, buffer + at, used - at);
	used -= at;
}

void
rg_access_log_flush(void)
{
	write_out(0);
}

void
rg_access_log_close(void)
{
	write_out(rg_now() + CLOSE_WAIT);
	if (used > 0)
		note_health(false);
	used = 0;
}

bool
rg_access_log_healthy(void)
{
	return healthy;
}

static void
put_string(RgText *line, RgSlice name, RgSlice value)
{
	rg_text_put(line, name);
	rg_text_json(line, value);
}

static void
put_number(RgText *line, RgSlice name, int64_t value)
{
	rg_text_put(line, name);
	rg_text_number(line, value);
}

/* Hexadecimal digits, which need no escapes. */
static void
put_trace(RgText *line, const RgAccess *access)
{
	rg_text_put(line, RG_SLICE(",\"trace_id\":\""));
	rg_text_put(line, access->trace_id);
	rg_text_put(line, RG_SLICE("\",\"span_id\":\""));
	rg_text_put(line, access->span_id);
	rg_text_char(line, '"');
}

static RgSlice
shorten(RgSlice path)
{
	return rg_slice(path.data, path.len < MAX_PATH ? path.len : MAX_PATH);
}

/* False when there is no room even after the buffer was written. */
static bool
make_room(void)
{
	if (sizeof buffer - used < MAX_LINE)
		rg_access_log_flush();
	if (sizeof buffer - used < MAX_LINE)
		note_health(false);
	return sizeof buffer - used >= MAX_LINE;
}

/* Every line starts with the time; false where none is to be written. */
static bool
begin_line(RgText *line)
{
	char		now[RG_TIMESTAMP_LEN];

	if (output < 0 || !make_room())
		return false;
	line->data = buffer + used;
	line->cap = sizeof buffer - used;
	line->len = 0;
	rg_timestamp(now);
	rg_text_put(line, RG_SLICE("{\"time\":\""));
	rg_text_put(line, rg_slice(now, sizeof now));
	rg_text_char(line, '"');
	return true;
}

static void
end_line(RgText *line)
{
	rg_text_put(line, RG_SLICE("}\n"));
	if (line->len <= line->cap)
		used += line->len;
}

bool
rg_access_log_is_on(void)
{
	return output >= 0;
}

void
rg_access_log(const RgAccess *access)
{
	RgText		line;

	if (!begin_line(&line))
		return;
	put_string(&line, RG_SLICE(",\"request_id\":"), access->request_id);
	put_trace(&line, access);
	put_string(&line, RG_SLICE(",\"method\":"), access->method);
	put_string(&line, RG_SLICE(",\"route\":"), access->route);
	put_string(&line, RG_SLICE(",\"path\":"), shorten(access->path));
	put_number(&line, RG_SLICE(",\"status\":"), access->status);
	put_number(&line, RG_SLICE(",\"bytes\":"), access->bytes);
	put_number(&line, RG_SLICE(",\"queued_us\":"), access->queued_us);
	put_number(&line, RG_SLICE(",\"database_us\":"), access->database_us);
	put_number(&line, RG_SLICE(",\"total_us\":"), access->total_us);
	put_string(&line, RG_SLICE(",\"client\":"), access->client);
	end_line(&line);
}

void
rg_access_log_anchor(RgSlice head)
{
	RgText		line;

	if (!begin_line(&line))
		return;
	put_string(&line, RG_SLICE(",\"anchor\":"), head);
	end_line(&line);
}
