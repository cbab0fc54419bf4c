/*
 * request_id.c
 *		Request ids; request_id.h has the contract.
 */
#include "request_id.h"

#include "random.h"
#include "uuid.h"

static bool
is_id_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		(c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

bool
rg_request_id_valid(RgSlice id)
{
	if (id.len < 1 || id.len > RG_REQUEST_ID_MAX)
		return false;
	for (size_t i = 0; i < id.len; i++)
		if (!is_id_char(id.data[i]))
			return false;
	return true;
}

size_t
rg_request_id_new(int64_t now, char out[RG_REQUEST_ID_MAX])
{
	uint8_t		uuid[16];
	uint64_t	millis = now / 1000;

	for (int i = 5; i >= 0; i--, millis >>= 8)
		uuid[i] = millis;
	rg_random(uuid + 6, 10);
	uuid[6] = (uuid[6] & 0x0f) | 0x70;
	uuid[8] = (uuid[8] & 0x3f) | 0x80;
	rg_uuid_text(uuid, out);
	return RG_UUID_TEXT_LEN;
}
