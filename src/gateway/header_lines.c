/*
 * header_lines.c
 *		Header lines as serve() hands them over; header_lines.h has the contract.
 */
#include "header_lines.h"

#include "http1.h"

bool
rg_header_line_take(RgSlice *lines, RgHeader *header)
{
	const char *end = memchr(lines->data, '\r', lines->len);
	size_t		len = end ? (size_t) (end - lines->data) : 0;
	const char *colon = len ? memchr(lines->data, ':', len) : NULL;

	if (colon == NULL || len + 2 > lines->len || end[1] != '\n' ||
		memchr(lines->data, '\n', len) != NULL || memchr(lines->data, '\0', len) != NULL)
		return false;
	header->name = rg_slice(lines->data, colon - lines->data);
	header->value = rg_slice(colon + 1, end - colon - 1);
	lines->data += len + 2;
	lines->len -= len + 2;
	return true;
}

static bool
is_listed(RgSlice name, const char *const *names)
{
	for (; *names != NULL; names++)
		if (rg_http_name_is(name, *names))
			return true;
	return false;
}

void
rg_header_lines_put(RgText *text, RgSlice lines, const char *const *names, bool listed)
{
	const char *line = lines.data;
	RgHeader	header;

	for (; lines.len > 0 && rg_header_line_take(&lines, &header); line = lines.data)
		if (is_listed(header.name, names) == listed)
			rg_text_put(text, rg_slice(line, lines.data - line));
}
