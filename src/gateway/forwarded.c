/*
 * forwarded.c
 *		Addresses and networks; forwarded.h has the contract.
 */
#include "forwarded.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static const uint8_t mapped[12] = {[10] = 0xff,[11] = 0xff};

static RgSlice
trim(RgSlice text)
{
	while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
	{
		text.data++;
		text.len--;
	}
	while (text.len > 0 && (text.data[text.len - 1] == ' ' ||
							text.data[text.len - 1] == '\t'))
		text.len--;
	return text;
}

static bool
is_mapped(const RgAddress *address)
{
	return memcmp(address->bytes, mapped, sizeof mapped) == 0;
}

bool
rg_address_parse(RgSlice text, RgAddress *address)
{
	char		string[INET6_ADDRSTRLEN];

	if (text.len == 0 || text.len >= sizeof string ||
		memchr(text.data, '\0', text.len) != NULL)
		return false;
	memcpy(string, text.data, text.len);
	string[text.len] = '\0';
	if (inet_pton(AF_INET6, string, address->bytes) == 1)
		return true;
	memcpy(address->bytes, mapped, sizeof mapped);
	return inet_pton(AF_INET, string, address->bytes + sizeof mapped) == 1;
}

void
rg_address_text(const RgAddress *address, char *out)
{
	if (is_mapped(address))
		inet_ntop(AF_INET, address->bytes + sizeof mapped, out, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, address->bytes, out, INET6_ADDRSTRLEN);
}

/* Up to three digits of at most max, or -1. */
static int
parse_bits(RgSlice text, int max)
{
	int			bits = 0;

	if (text.len < 1 || text.len > 3)
		return -1;
	for (size_t i = 0; i < text.len; i++)
	{
		if (text.data[i] < '0' || text.data[i] > '9')
			return -1;
		bits = bits * 10 + (text.data[i] - '0');
	}
	return bits <= max ? bits : -1;
}

static bool
parse_network(RgSlice text, RgNetwork *network)
{
	const char *slash = text.len ? memchr(text.data, '/', text.len) : NULL;
	RgSlice		address = text;
	int			offset;
	int			bits;

	if (slash != NULL)
		address.len = slash - text.data;
	if (!rg_address_parse(address, &network->address))
		return false;
	network->bits = 128;
	if (slash == NULL)
		return true;
	offset = is_mapped(&network->address) ? 96 : 0;
	bits = parse_bits(rg_slice(slash + 1, text.len - address.len - 1), 128 - offset);
	network->bits = offset + bits;
	return bits >= 0;
}

bool
rg_networks_parse(RgSlice text, RgNetworks *networks, RgSlice *bad)
{
	const char *at = text.data;
	const char *end = at + text.len;

	networks->count = 0;
	while (at < end)
	{
		const char *comma = memchr(at, ',', end - at);
		const char *stop = comma ? comma : end;

		*bad = trim(rg_slice(at, stop - at));
		if (networks->count == RG_MAX_NETWORKS ||
			!parse_network(*bad, &networks->list[networks->count]))
			return false;
		networks->count++;
		at = stop + 1;
	}
	return true;
}

static bool
contains(const RgNetwork *network, const RgAddress *address)
{
	int			bytes = network->bits / 8;
	int			mask = 0xff00 >> network->bits % 8 & 0xff;

	if (memcmp(network->address.bytes, address->bytes, bytes) != 0)
		return false;
	return mask == 0 ||
		((network->address.bytes[bytes] ^ address->bytes[bytes]) & mask) == 0;
}

bool
rg_networks_contain(const RgNetworks *networks, const RgAddress *address)
{
	for (int i = 0; i < networks->count; i++)
		if (contains(&networks->list[i], address))
			return true;
	return false;
}

/* Cuts the last entry off a comma-separated list. */
static RgSlice
take_last(RgSlice *list)
{
	size_t		start = list->len;
	RgSlice		last;

	while (start > 0 && list->data[start - 1] != ',')
		start--;
	last = rg_slice(list->data + start, list->len - start);
	list->len = start > 0 ? start - 1 : 0;
	return trim(last);
}

bool
rg_forwarded_client(const RgNetworks *trusted, RgSlice value, RgAddress *client)
{
	do
	{
		RgAddress	address;

		if (!rg_networks_contain(trusted, client) ||
			!rg_address_parse(take_last(&value), &address))
			return false;
		*client = address;
	} while (value.len > 0);
	return true;
}
