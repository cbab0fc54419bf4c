/*
 * fuzz_proxy.c
 *		A PROXY protocol header is refused or read, however its bytes come, and
 *		says no more than it holds.
 */
#include "fuzz.h"

#include "gateway/proxy_protocol.h"

/* What is wanted never shrinks to what has come already, but for the whole of it. */
static int
read_byte_by_byte(const char *data, size_t size, RgProxyHeader *header)
{
	for (size_t len = 0; len <= size; len++)
	{
		char	   *copy = malloc(len + !len);
		int			whole;

		memcpy(copy, data, len);
		whole = rg_proxy_length(copy, len, header);
		free(copy);
		require(whole == -1 || (whole >= RG_PROXY_FIXED && whole <= RG_PROXY_MAX));
		require(whole != -1 || header->error != NULL);
		if (whole == -1 || (size_t) whole == len)
			return whole;
		require(len < RG_PROXY_FIXED || (size_t) whole > len);
	}
	return 0;
}

static void
check_client(const char *data, const RgProxyHeader *header)
{
	if (!header->has_client)
		return;
	require(data[13] == 0x11 || data[13] == 0x21);
	if (data[13] == 0x11)
		require(memcmp(header->client.bytes + 12, data + 16, 4) == 0);
	else
		require(memcmp(header->client.bytes, data + 16, 16) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	RgProxyHeader header = {0};
	const char *text = (const char *) data;
	int			whole = read_byte_by_byte(text, size, &header);
	char	   *copy;

	if (whole <= 0)
		return 0;
	copy = malloc(whole);
	memcpy(copy, text, whole);
	if (rg_proxy_parse(copy, whole, &header))
	{
		require(header.error == NULL && (text[12] == 0x20 || text[12] == 0x21));
		require(text[12] == 0x21 || (!header.has_client && !header.secure));
		check_client(text, &header);
	}
	else
		require(header.error != NULL);
	free(copy);
	return 0;
}
