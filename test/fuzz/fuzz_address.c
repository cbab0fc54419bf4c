/*
 * fuzz_address.c
 *		Who the client is and where it goes: X-Forwarded-For behind any list of
 *		proxies, and paths against any template.
 *
 * The input is a list of networks, NUL, an X-Forwarded-For value, NUL, a
 * template, NUL and a path.
 */
#include <netinet/in.h>

#include "fuzz.h"

#include "gateway/address_public.h"
#include "gateway/forwarded.h"
#include "route_match.h"
#include "urldecode.h"

#define VARIABLES 4

/* What an IPv4 address is, it is wherever a translator finds it. */
static void
check_public(const RgAddress *address)
{
	static const uint8_t mapped[12] = {[10] = 0xff,[11] = 0xff};
	RgAddress	translated = {.bytes = {0x00, 0x64, 0xff, 0x9b}};

	require(!rg_address_public(address) || !rg_address_loopback(address));
	if (memcmp(address->bytes, mapped, sizeof mapped) != 0)
		return;
	memcpy(translated.bytes + 12, address->bytes + 12, 4);
	require(rg_address_public(&translated) == rg_address_public(address));
}

static void
check_text(RgSlice text)
{
	RgAddress	address,
				again;
	char		written[INET6_ADDRSTRLEN];

	if (!rg_address_parse(text, &address))
		return;
	rg_address_text(&address, written);
	require(strnlen(written, sizeof written) < sizeof written);
	require(rg_address_parse(rg_slice_of(written), &again));
	require(memcmp(&address, &again, sizeof address) == 0);
	check_public(&address);
}

/* Nobody speaks for a peer that is no proxy, and at most one address is not one's. */
static void
check_client(const RgNetworks *trusted, RgSlice value)
{
	RgAddress	peer = {.bytes = {[10] = 0xff,[11] = 0xff, 10, 0, 0, 1}};
	RgAddress	client = peer;
	bool		through = rg_forwarded_client(trusted, value, &client);

	if (!rg_networks_contain(trusted, &peer))
		require(!through && memcmp(&client, &peer, sizeof peer) == 0);
	if (!through && rg_networks_contain(trusted, &client))
		require(value.len == 0 || memchr(value.data, ',', value.len) != NULL ||
				memcmp(&client, &peer, sizeof peer) == 0);
	check_text(value);
}

static void
check_networks(RgSlice list, RgSlice value)
{
	RgNetworks	trusted;
	RgSlice		bad;

	if (!rg_networks_parse(list, &trusted, &bad))
	{
		require(lies_within(bad, list));
		return;
	}
	require(trusted.count >= 0 && trusted.count <= RG_MAX_NETWORKS);
	for (int i = 0; i < trusted.count; i++)
	{
		require(trusted.list[i].bits >= 0 && trusted.list[i].bits <= 128);
		require(rg_networks_contain(&trusted, &trusted.list[i].address));
	}
	check_client(&trusted, value);
}

/* A variable is one whole segment of the path, and never empty; a template starts with a slash. */
static void
check_match(RgSlice template, RgSlice path)
{
	RgSlice		values[VARIABLES] = {{NULL, 0}};
	char	   *route = strndup(template.data ? template.data : "", template.len);
	bool		matches = *route == '/' && rg_template_match(route, path, values, VARIABLES);

	for (int i = 0; matches && i < VARIABLES; i++)
	{
		if (values[i].data == NULL)
			continue;
		require(values[i].len > 0 && lies_within(values[i], path));
		require(memchr(values[i].data, '/', values[i].len) == NULL);
		require(values[i].data > path.data && values[i].data[-1] == '/');
	}
	if (matches && !rg_template_is_pattern(route) && rg_url_plain(path, RG_URL_PATH))
		require(rg_slice_equal(path, template));
	free(route);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	RgSlice		rest = rg_slice((const char *) data, size);
	RgSlice		networks = take_field(&rest);
	RgSlice		value = take_field(&rest);
	RgSlice		template = take_field(&rest);

	check_networks(networks, value);
	check_match(template, rest);
	return 0;
}
