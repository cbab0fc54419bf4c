/*
 * sse_parse.c
 *		Server-sent events out of bytes; sse_parse.h has the contract.
 */
#include "sse_parse.h"

static bool
append(RgGrowing *bytes, RgSlice more)
{
	return rg_growing_append(bytes, more, RG_SSE_MAX_LINE);
}

static size_t
length_to_end(RgSlice bytes)
{
	size_t		len = 0;

	while (len < bytes.len && bytes.data[len] != '\r' && bytes.data[len] != '\n')
		len++;
	return len;
}

static void
skip(RgSlice *bytes, size_t len)
{
	bytes->data += len;
	bytes->len -= len;
}

/* The value is what follows the colon and one space. */
static bool
take_field(RgSlice line, const char *name, RgSlice *value)
{
	size_t		len = strlen(name);

	if (line.len < len || memcmp(line.data, name, len) != 0 ||
		(line.len > len && line.data[len] != ':'))
		return false;
	*value = rg_slice(line.data + len, 0);
	if (line.len == len)
		return true;
	skip(&line, len + 1);
	if (line.len > 0 && *line.data == ' ')
		skip(&line, 1);
	*value = line;
	return true;
}

static void
set_name(RgSseParser *parser, RgSlice name)
{
	parser->name_len = name.len < sizeof parser->name ? name.len : sizeof parser->name;
	memcpy(parser->name, name.data, parser->name_len);
}

static bool
take_line(RgSseParser *parser, RgSlice line)
{
	RgSlice		value;

	if (!parser->begun && line.len >= 3 && memcmp(line.data, "\xEF\xBB\xBF", 3) == 0)
		skip(&line, 3);
	parser->begun = true;
	if (take_field(line, "data", &value))
		return append(&parser->data, value) && append(&parser->data, RG_SLICE("\n"));
	if (take_field(line, "event", &value))
		set_name(parser, value);
	return true;
}

static void
forget_event(RgSseParser *parser)
{
	parser->given = false;
	parser->data.len = parser->name_len = 0;
}

/* At a blank line. */
static bool
give_event(RgSseParser *parser, RgSseEvent *event)
{
	parser->given = true;
	event->name = rg_slice(parser->name_len > 0 ? parser->name : NULL, parser->name_len);
	if (parser->data.len == 0)
		return false;
	event->data = rg_slice(parser->data.data, parser->data.len - 1);
	return true;
}

/* Takes what there is of a line, and its end; false when that is not there. */
static bool
find_end(RgSseParser *parser, RgSlice *bytes, RgSlice *line)
{
	bool		ended;

	if (bytes->len > 0 && parser->after_cr && *bytes->data == '\n')
	{
		parser->after_cr = false;
		skip(bytes, 1);
	}
	*line = rg_slice(bytes->data, length_to_end(*bytes));
	ended = line->len < bytes->len;
	if (bytes->len > 0)
		parser->after_cr = ended && bytes->data[line->len] == '\r';
	skip(bytes, line->len + ended);
	return ended;
}

/* An event ends at a blank line; true when that was one, and it had data. */
static bool
end_line(RgSseParser *parser, RgSseEvent *event, bool *valid)
{
	bool		blank = parser->line.len == 0;

	*valid = blank || take_line(parser, rg_slice(parser->line.data, parser->line.len));
	parser->line.len = 0;
	if (!blank)
		return false;
	if (give_event(parser, event))
		return true;
	forget_event(parser);
	return false;
}

RgSseTaken
rg_sse_take(RgSseParser *parser, RgSlice *bytes, RgSseEvent *event)
{
	if (parser->given)
		forget_event(parser);
	for (;;)
	{
		RgSlice		line;
		bool		ended = find_end(parser, bytes, &line);
		bool		valid = append(&parser->line, line);

		if (valid && !ended)
			return RG_SSE_MORE;
		if (valid && end_line(parser, event, &valid))
			return RG_SSE_EVENT;
		if (!valid)
			return RG_SSE_BAD;
	}
}

void
rg_sse_parser_free(RgSseParser *parser)
{
	rg_growing_free(&parser->line);
	rg_growing_free(&parser->data);
	memset(parser, 0, sizeof *parser);
}
