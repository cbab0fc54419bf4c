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

#define SLOW 100000				/* microseconds that a reader may take … */
#define EVERY 1000000			/* … in each of so many */

static int	output = -1;		/* -1: nothing was written yet */
static int64_t waited_at = 0;	/* 0: no reader was slow yet */
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

/* Whoever reads slowly, or not at all, holds up a process for a tenth of its time at most. */
static bool
has_room(void)
{
	int64_t		now = rg_now();

	if (rg_log_reader_has_room(output, 0))
		return true;
	if (waited_at != 0 && now - waited_at < EVERY)
		return false;
	waited_at = now;
	return rg_log_reader_has_room(output, now + SLOW);
}

static void
write_line(const RgText *line)
{
	if (output < 0)
		output = rg_log_reader_open(STDERR_FILENO);
	if (has_room() && write(output, line->data, line->len) < 0)
		return;					/* there is nowhere left to say so */
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
