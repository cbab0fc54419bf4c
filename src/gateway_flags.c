/*
 * gateway_flags.c
 *		What the gateway says of itself; gateway_flags.h has the contract.
 */
#include "gateway_flags.h"

bool
rg_gateway_flag(const RgRequest *request, RgSlice flag)
{
	RgSlice		rest = rg_request_header(request, RG_FLAGS_HEADER);

	while (rest.len > 0)
	{
		const char *comma = memchr(rest.data, ',', rest.len);
		size_t		len = comma ? (size_t) (comma - rest.data) : rest.len;

		if (rg_slice_equal(rg_slice(rest.data, len), flag))
			return true;
		len += comma != NULL;
		rest = rg_slice(rest.data + len, rest.len - len);
	}
	return false;
}
