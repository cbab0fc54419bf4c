/*
 * test_uuid.c
 *		The uuid of a user id: itself, or one that no other id has; and the time
 *		that is in one of version 7.
 */
#include <string.h>

#include "tap.h"
#include "uuid.h"

static const char *
uuid_of(const char *user_id)
{
	static char text[RG_UUID_TEXT_LEN + 1];
	uint8_t		uuid[16];

	if (!rg_uuid_of(rg_slice(user_id, strlen(user_id)), uuid))
		return "";
	rg_uuid_text(uuid, text);
	return text;
}

static void
check_version_7(void)
{
	const int64_t times[] = {0, 1, INT64_C(1795000000123), (INT64_C(1) << 48) - 1};
	uint8_t		uuid[16];
	uint8_t		other[16];

	for (size_t i = 0; i < sizeof times / sizeof *times; i++)
	{
		rg_uuid_v7(times[i], uuid);
		ok(rg_uuid_v7_time(uuid) == times[i], "version 7 keeps its time, %lld", (long long) times[i]);
	}
	ok(uuid[6] >> 4 == 7 && uuid[8] >> 6 == 2, "it says its version and variant");
	rg_uuid_v7(times[3], other);
	ok(memcmp(uuid + 6, other + 6, 10) != 0, "two of one time differ");
	rg_uuid_v7(1, uuid);
	ok(memcmp(uuid, other, 6) < 0, "an earlier one sorts before");
	rg_uuid_random(uuid);
	ok(rg_uuid_v7_time(uuid) == -1, "version 4 has no time");
	rg_uuid_v7(1, uuid);
	uuid[8] &= 0x7f;
	ok(rg_uuid_v7_time(uuid) == -1, "nor has another variant");
	memset(uuid, 0, sizeof uuid);
	ok(rg_uuid_v7_time(uuid) == -1, "nor the nil uuid");
}

/* RFC 9562, appendix A.6: 2022-02-22 19:22:22 UTC. */
static void
check_example(void)
{
	static const uint8_t uuid[16] = {
		0x01, 0x7f, 0x22, 0xe2, 0x79, 0xb0, 0x7c, 0xc3,
		0x98, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f
	};

	ok(rg_uuid_v7_time(uuid) == INT64_C(1645557742000), "the example of RFC 9562");
}

int
main(void)
{
	const char *canonical = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
	char		first[RG_UUID_TEXT_LEN + 1];

	ok(strcmp(uuid_of(canonical), canonical) == 0, "a canonical uuid is itself");
	ok(strcmp(uuid_of("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"), canonical) != 0,
	   "another spelling is another user");
	ok(strcmp(uuid_of("a0eebc999c0b4ef8bb6d6bb9bd380a11"), canonical) != 0, "so is one without hyphens");
	strcpy(first, uuid_of("alice"));
	ok(first[14] == '5' && strchr("89ab", first[19]) != NULL, "a name's uuid is of version 5");
	ok(strcmp(first, uuid_of("alice")) == 0, "and always the same");
	ok(strcmp(first, uuid_of("alicf")) != 0, "and another for another name");
	ok(strcmp(first, uuid_of(first)) != 0, "a name's uuid is not the uuid of who is called so");
	ok(strcmp(uuid_of("00000000-0000-5000-0000-000000000000"), "00000000-0000-5000-0000-000000000000") == 0,
	   "one that only looks like version 5 is itself");
	check_version_7();
	check_example();
	return done();
}
