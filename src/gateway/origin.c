/*
 * origin.c
 *		The gateway's own origin; origin.h has the contract.
 */
#include "origin.h"

#include "http1.h"

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static RgSlice
trim(RgSlice text)
{
	while (text.len > 0 && is_blank(*text.data))
		text.data++, text.len--;
	while (text.len > 0 && is_blank(text.data[text.len - 1]))
		text.len--;
	return text;
}

bool
rg_proto_is_https(RgSlice value)
{
	const char *at = value.data;
	const char *end = at + value.len;

	if (value.len == 0)
		return false;
	while (at <= end)
	{
		const char *comma = memchr(at, ',', end - at);
		const char *stop = comma ? comma : end;

		if (!rg_http_name_is(trim(rg_slice(at, stop - at)), "https"))
			return false;
		at = stop + 1;
	}
	return true;
}

static void
put_lower(RgText *text, RgSlice name)
{
	for (size_t i = 0; i < name.len; i++)
		rg_text_char(text, name.data[i] >= 'A' && name.data[i] <= 'Z' ?
					 name.data[i] + ('a' - 'A') : name.data[i]);
}

/* Of the digits behind the host's colon, -1 without any: ":" alone is no port. */
static int
port_of(RgSlice digits)
{
	int			port = digits.len > 0 ? 0 : -1;

	for (size_t i = 0; i < digits.len; i++)
		port = port * 10 + (digits.data[i] - '0');
	return port;
}

static void
put_port(RgText *text, int port, int usual)
{
	if (port < 0 || port == usual)
		return;
	rg_text_char(text, ':');
	rg_text_number(text, port);
}

void
rg_origin_put(RgText *text, bool secure, RgSlice host)
{
	RgSlice		name = rg_http_host_name(host);
	RgSlice		digits = rg_slice(NULL, 0);

	if (host.len > name.len)
		digits = rg_slice(host.data + name.len + 1, host.len - name.len - 1);
	rg_text_put(text, secure ? RG_SLICE("https://") : RG_SLICE("http://"));
	put_lower(text, name);
	put_port(text, port_of(digits), secure ? 443 : 80);
}

void
rg_origin_put_https(RgText *text, RgSlice host, int port)
{
	rg_text_put(text, RG_SLICE("https://"));
	put_lower(text, rg_http_host_name(host));
	put_port(text, port, 443);
}

static bool
is_separator(char c)
{
	return c == ',' || is_blank(c);
}

bool
rg_hosts_check(RgSlice list, RgSlice *bad)
{
	const char *at = list.data;
	const char *end = at + list.len;

	while (at < end)
	{
		const char *start = at;

		while (at < end && !is_separator(*at))
			at++;
		*bad = rg_slice(start, at - start);
		if (at > start && rg_http_host_name(*bad).len != bad->len)
			return false;
		at++;
	}
	return true;
}
