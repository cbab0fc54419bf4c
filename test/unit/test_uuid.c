/*
 * test_uuid.c
 *		The uuid of a user id: itself, or one that no other id has.
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
	return done();
}
