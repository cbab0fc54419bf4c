/*
 * reply_traits.c
 *		What the header lines of a reply say; reply_traits.h has the contract.
 */
#include "reply_traits.h"

#include "header_lines.h"
#include "http1.h"

#define OF_FILES "content-type", "content-disposition", "content-security-policy", \
	"last-modified", "accept-ranges"

static bool
is_framing(RgSlice name)
{
	return rg_http_name_is(name, "content-length") || rg_http_name_is(name, "connection") ||
		rg_http_name_is(name, "transfer-encoding");
}

/* serve() puts one space behind the colon. */
static RgSlice
trimmed(RgSlice value)
{
	return value.len > 0 && *value.data == ' ' ? rg_slice(value.data + 1, value.len - 1) : value;
}

static void
note(const RgHeader *header, RgReplyTraits *traits)
{
	if (rg_http_name_is(header->name, "content-type"))
		traits->type = header->value;
	if (rg_http_name_is(header->name, "last-modified"))
		traits->modified = trimmed(header->value);
	traits->cache_control |= rg_http_name_is(header->name, "cache-control");
	traits->cookie |= rg_http_name_is(header->name, "set-cookie");
	traits->encoded |= rg_http_name_is(header->name, "content-encoding");
	traits->file |= rg_http_name_is(header->name, "accept-ranges");
}

/* Whatever ends up in an answer's head must not be able to end it. */
bool
rg_reply_traits(RgSlice lines, RgReplyTraits *traits)
{
	RgHeader	header;

	memset(traits, 0, sizeof *traits);
	while (lines.len > 0)
	{
		if (!rg_header_line_take(&lines, &header) || is_framing(header.name))
			return false;
		note(&header, traits);
	}
	return true;
}

void
rg_reply_put_file_lines(RgText *text, RgSlice lines)
{
	static const char *const names[] = {OF_FILES, NULL};

	rg_header_lines_put(text, lines, names, true);
}

void
rg_reply_put_other_lines(RgText *text, RgSlice lines)
{
	static const char *const names[] = {OF_FILES, "cache-control", NULL};

	rg_header_lines_put(text, lines, names, false);
}
