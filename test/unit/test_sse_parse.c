/*
 * test_sse_parse.c
 *		Server-sent events out of bytes: the same however they are cut.
 */
#include <stdlib.h>
#include <string.h>

#include "gateway/sse_parse.h"
#include "tap.h"

/* All events as "name|data;" each; "!" behind them when it was refused. */
static void
list_events(RgSlice bytes, size_t step, char *out, size_t size)
{
	RgSseParser parser = {0};
	RgSseEvent	event;
	RgSseTaken	taken = RG_SSE_MORE;
	size_t		len = 0;

	out[0] = '\0';
	while (bytes.len > 0 && taken != RG_SSE_BAD)
	{
		RgSlice		piece = rg_slice(bytes.data, bytes.len < step ? bytes.len : step);

		bytes = rg_slice(bytes.data + piece.len, bytes.len - piece.len);
		while ((taken = rg_sse_take(&parser, &piece, &event)) == RG_SSE_EVENT)
			len += snprintf(out + len, size - len, "%.*s|%.*s;", (int) event.name.len,
							event.name.data ? event.name.data : "", (int) event.data.len, event.data.data);
	}
	if (taken == RG_SSE_BAD)
		snprintf(out + len, size - len, "!");
	rg_sse_parser_free(&parser);
}

static void
gives(const char *bytes, const char *expected, const char *name)
{
	char		out[512];
	bool		same = true;

	for (size_t step = 1; step <= strlen(bytes) + 1; step++)
	{
		list_events(rg_slice(bytes, strlen(bytes)), step, out, sizeof out);
		same &= strcmp(out, expected) == 0;
	}
	ok(same, "%s", name);
}

static void
test_events(void)
{
	gives("data: a\n\n", "|a;", "an event");
	gives("data:a\n\ndata: b\n\n", "|a;|b;", "two, the space left out");
	gives("data:  a\n\n", "| a;", "only one space is left out");
	gives("event: x\ndata: a\n\ndata: b\n\n", "x|a;|b;", "a name is of one event");
	gives("data: a\ndata: b\n\n", "|a\nb;", "lines of data are joined");
	gives("data\n\n", "|;", "data without a colon is empty");
	gives("data:\ndata:\n\n", "|\n;", "empty lines of data count");
	gives(": ping\n\ndata: a\n\n", "|a;", "a comment is no event");
	gives("event: x\n\ndata: a\n\n", "|a;", "nor is a name without data");
	gives("id: 7\nretry: 1\nother: x\ndata: a\n\n", "|a;", "other fields mean nothing");
	gives("database: x\n\n", "", "a field is its whole name");
	gives("data: a\n", "", "without a blank line there is no event");
	gives("\xEF\xBB\xBF" "data: a\n\n", "|a;", "a byte order mark is left out");
	gives("data: a\n\n\xEF\xBB\xBF" "data: b\n\n", "|a;", "but only at the start");
}

static void
test_line_ends(void)
{
	gives("data: a\r\n\r\n", "|a;", "CRLF");
	gives("data: a\r\r", "|a;", "CR");
	gives("data: a\r\n\ndata: b\r\rdata: c\n\r\n", "|a;|b;|c;", "all of them mixed");
	gives("data: a\r\ndata: b\r\n\r\n", "|a\nb;", "CRLF is one end");
	gives("data: a\n\rdata: b\n\n", "|a;|b;", "LF CR are two");
	gives("\r\n\r\ndata: a\r\n\r\n\r\n\r\n", "|a;", "blank lines make no events");
}

static void
test_bounds(void)
{
	size_t		len = RG_SSE_MAX_LINE + 1;
	char	   *bytes = malloc(2 * len);
	char		out[8];

	memset(bytes, ':', len);
	list_events(rg_slice(bytes, len), 65536, out, sizeof out);
	ok(strcmp(out, "!") == 0, "a line that is too long is refused, a comment too");
	for (size_t i = 0; i < 2 * len - 1; i += 2)
		memcpy(bytes + i, i % 6 == 0 ? "da" : i % 6 == 2 ? "ta" : ":\n", 2);
	list_events(rg_slice(bytes, 2 * len), 65536, out, sizeof out);
	ok(strcmp(out, "") == 0, "many short lines of data are not too many");
	free(bytes);
}

static void
test_data_bound(void)
{
	const size_t lines = 20;
	const size_t line = 6 + 65536 + 1;
	char	   *bytes = malloc(lines * line);
	char		out[8];

	for (size_t i = 0; i < lines; i++)
	{
		memset(bytes + i * line, 'x', line);
		memcpy(bytes + i * line, "data: ", 6);
		bytes[(i + 1) * line - 1] = '\n';
	}
	list_events(rg_slice(bytes, lines * line), 4096, out, sizeof out);
	ok(strcmp(out, "!") == 0, "an event whose lines are too many is refused");
	free(bytes);
}

int
main(void)
{
	test_events();
	test_line_ends();
	test_bounds();
	test_data_bound();
	return done();
}
