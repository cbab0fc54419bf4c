/*
 * proxy_protocol.c
 *		PROXY protocol, version 2; proxy_protocol.h has the contract.
 */
#include "proxy_protocol.h"

#include <arpa/inet.h>

#define COMMAND_LOCAL 0x20		/* version 2 in the upper half */
#define COMMAND_PROXY 0x21

#define FAMILY_UNSPECIFIED 0x00
#define FAMILY_TCP4 0x11
#define FAMILY_TCP6 0x21
#define FAMILY_UNIX 0x31

#define TLV_HEAD 3				/* type, and length in two bytes */
#define TLV_CRC32C 0x03
#define TLV_SSL 0x20
#define SSL_HEAD 5				/* client's flags, and verify in four bytes */
#define SSL_CLIENT 0x01

static const char signature[12] = "\r\n\r\n\0\r\nQUIT\n";

/* How many bytes of addresses a family has; -1 for those that are not spoken. */
static int
addresses_length(uint8_t family)
{
	switch (family)
	{
		case FAMILY_UNSPECIFIED:
			return 0;
		case FAMILY_TCP4:
			return 12;
		case FAMILY_TCP6:
			return 36;
		case FAMILY_UNIX:
			return 216;
		default:
			return -1;
	}
}

static bool
refuse(RgProxyHeader *header, const char *why)
{
	header->error = why;
	return false;
}

static int
read_length(const char *at)
{
	return (uint8_t) at[0] << 8 | (uint8_t) at[1];
}

int
rg_proxy_length(const char *data, size_t len, RgProxyHeader *header)
{
	int			whole;

	if (memcmp(data, signature, len < sizeof signature ? len : sizeof signature) != 0)
	{
		refuse(header, "it does not begin as version 2 of the PROXY protocol does");
		return -1;
	}
	if (len < RG_PROXY_FIXED)
		return RG_PROXY_FIXED;
	whole = RG_PROXY_FIXED + read_length(data + 14);
	if (whole <= RG_PROXY_MAX)
		return whole;
	refuse(header, "it is longer than 4096 bytes");
	return -1;
}

static void
set_client(RgProxyHeader *header, uint8_t family, const char *at)
{
	static const uint8_t mapped[12] = {[10] = 0xff,[11] = 0xff};

	header->has_client = family == FAMILY_TCP4 || family == FAMILY_TCP6;
	if (family == FAMILY_TCP6)
		memcpy(header->client.bytes, at, 16);
	else if (family == FAMILY_TCP4)
	{
		memcpy(header->client.bytes, mapped, sizeof mapped);
		memcpy(header->client.bytes + sizeof mapped, at, 4);
	}
}

/* CRC-32C (RFC 3720) of the header, in which the sum itself counts as zeros. */
static uint32_t
checksum(const char *data, size_t len, size_t sum_at)
{
	uint32_t	crc = 0xffffffff;

	for (size_t i = 0; i < len; i++)
	{
		crc ^= i >= sum_at && i < sum_at + 4 ? 0 : (uint8_t) data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

static bool
check_sum(RgSlice whole, RgSlice value, RgProxyHeader *header)
{
	uint32_t	sum;

	if (value.len != sizeof sum)
		return refuse(header, "its checksum has not four bytes");
	memcpy(&sum, value.data, sizeof sum);
	if (ntohl(sum) != checksum(whole.data, whole.len, value.data - whole.data))
		return refuse(header, "its checksum is wrong");
	return true;
}

/* Takes one off; false when its length is more than there is. */
static bool
take_tlv(RgSlice *rest, uint8_t *type, RgSlice *value)
{
	size_t		len = rest->len >= TLV_HEAD ? read_length(rest->data + 1) : 0;

	if (rest->len < TLV_HEAD + len)
		return false;
	*type = rest->data[0];
	*value = rg_slice(rest->data + TLV_HEAD, len);
	rest->data += TLV_HEAD + len;
	rest->len -= TLV_HEAD + len;
	return true;
}

/* What TLVs are within is of no interest here, but whole it must be. */
static bool
check_ssl(RgSlice value, RgProxyHeader *header)
{
	RgSlice		rest;
	RgSlice		inner;
	uint8_t		type;

	if (value.len < SSL_HEAD)
		return refuse(header, "what it says of TLS is too short");
	rest = rg_slice(value.data + SSL_HEAD, value.len - SSL_HEAD);
	while (rest.len > 0)
		if (!take_tlv(&rest, &type, &inner))
			return refuse(header, "what it says of TLS is malformed");
	header->secure |= (value.data[0] & SSL_CLIENT) != 0;
	return true;
}

static bool
read_tlvs(RgSlice whole, RgSlice rest, RgProxyHeader *header)
{
	RgSlice		value;
	uint8_t		type;

	while (rest.len > 0)
	{
		if (!take_tlv(&rest, &type, &value))
			return refuse(header, "its TLVs are malformed");
		if (type == TLV_CRC32C && !check_sum(whole, value, header))
			return false;
		if (type == TLV_SSL && !check_ssl(value, header))
			return false;
	}
	return true;
}

/* A health check of the proxy's: what else it says is not looked at. */
static bool
is_local(const char *data)
{
	return (uint8_t) data[12] == COMMAND_LOCAL;
}

bool
rg_proxy_parse(const char *data, size_t len, RgProxyHeader *header)
{
	int			addresses;

	memset(header, 0, sizeof *header);
	if (len < RG_PROXY_FIXED || rg_proxy_length(data, len, header) != (int) len)
		return header->error != NULL ? false : refuse(header, "it is not whole");
	if (is_local(data))
		return true;
	if ((uint8_t) data[12] != COMMAND_PROXY)
		return refuse(header, "its version or command is unknown");
	addresses = addresses_length(data[13]);
	if (addresses < 0)
		return refuse(header, "it is of no stream of IPv4, IPv6 or a unix socket");
	if (len < (size_t) RG_PROXY_FIXED + addresses)
		return refuse(header, "it is too short for its addresses");
	set_client(header, data[13], data + RG_PROXY_FIXED);
	return read_tlvs(rg_slice(data, len),
					 rg_slice(data + RG_PROXY_FIXED + addresses, len - RG_PROXY_FIXED - addresses),
					 header);
}
