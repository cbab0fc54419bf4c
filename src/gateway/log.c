/*
 * log.c
 *		The log of what went wrong; log.h has the contract.
 */
#include "log.h"

#include <stdarg.h>
#include <unistd.h>

#include "clock.h"
#include "json_text.h"
#include "log_reader.h"

#define SLOW 100000				/* microseconds that a reader may take */

static int	output = -1;		/* -1: nothing was written yet */
static bool is_read = true;		/* the last line was taken */
static RgLogLevel threshold = RG_LOG_INFO;

void
rg_log_level(RgLogLevel level)
{
	threshold = level;
}

static void
put_pair(RgText *line, const char *name, const char *value)
{
	rg_text_char(line, ',');
	rg_text_json(line, rg_slice(name, strlen(name)));
	rg_text_char(line, ':');
	rg_text_json(line, rg_slice(value, strlen(value)));
}

static void
put_start(RgText *line, RgLogLevel level, const char *message)
{
	static const char *const names[] = {"debug", "info", "warning", "error"};
	char		now[RG_TIMESTAMP_LEN];

	rg_timestamp(now);
	rg_text_put(line, RG_SLICE("{\"time\":\""));
	rg_text_put(line, rg_slice(now, sizeof now));
	rg_text_char(line, '"');
	put_pair(line, "level", names[level]);
	put_pair(line, "message", message);
}

/* Leaves out whole pairs that have no room, so that the line stays JSON. */
static void
put_pairs(RgText *line, va_list pairs)
{
	const char *name;

	while ((name = va_arg(pairs, const char *)) != NULL)
	{
		const char *value = va_arg(pairs, const char *);
		size_t		before = line->len;

		if (value != NULL)
			put_pair(line, name, value);
		if (line->len > line->cap - 2)
			line->len = before;
	}
}

/* Who has been waited for in vain is not waited for again. */
static void
write_line(const RgText *line)
{
	if (output < 0)
		output = rg_log_reader_open(STDERR_FILENO);
	is_read = rg_log_reader_has_room(output, is_read ? rg_now() + SLOW : 0) &&
		write(output, line->data, line->len) > 0;
}

void
rg_log(RgLogLevel level, const char *message,...)
{
	char		buf[16384];
	RgText		line = {buf, sizeof buf, 0};
	va_list		pairs;

	if (level < threshold)
		return;
	put_start(&line, level, message);
	va_start(pairs, message);
	put_pairs(&line, pairs);
	va_end(pairs);
	rg_text_put(&line, RG_SLICE("}\n"));
	if (line.len <= line.cap)
		write_line(&line);
}
