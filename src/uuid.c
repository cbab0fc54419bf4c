/*
 * uuid.c
 *		UUIDs; uuid.h has the contract.
 */
#include "uuid.h"

#include <openssl/evp.h>
#include <sodium.h>

/* The namespace of user ids: version 5 uuid of "relay_guard" under NIL. */
static const uint8_t namespace[16] = {
	0x8a, 0x61, 0x94, 0xcf, 0xfd, 0x00, 0x5e, 0x77,
	0x8d, 0x0e, 0xbb, 0xa8, 0x2d, 0x71, 0x09, 0x57
};

static bool
is_hyphen_place(int i)
{
	return i == 8 || i == 13 || i == 18 || i == 23;
}

/* The value of a lower-case hex digit, or -1. */
static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
parse_canonical(RgSlice text, uint8_t uuid[16])
{
	int			nibbles = 0;

	if (text.len != RG_UUID_TEXT_LEN)
		return false;
	for (int i = 0; i < RG_UUID_TEXT_LEN; i++)
	{
		int			value = hex_value(text.data[i]);

		if (is_hyphen_place(i) ? text.data[i] != '-' : value < 0)
			return false;
		if (is_hyphen_place(i))
			continue;
		uuid[nibbles / 2] = nibbles % 2 ? uuid[nibbles / 2] | value : value << 4;
		nibbles++;
	}
	return true;
}

static void
set_version(uint8_t uuid[16], int version)
{
	uuid[6] = (uuid[6] & 0x0f) | (version << 4);
	uuid[8] = (uuid[8] & 0x3f) | 0x80;
}

/* Version 5: the first 16 bytes of SHA-1(namespace, name), with its version. */
static bool
hash_name(RgSlice name, uint8_t digest[EVP_MAX_MD_SIZE])
{
	EVP_MD_CTX *sha1 = EVP_MD_CTX_new();
	bool		done = sha1 != NULL &&
	EVP_DigestInit_ex(sha1, EVP_sha1(), NULL) &&
	EVP_DigestUpdate(sha1, namespace, sizeof namespace) &&
	EVP_DigestUpdate(sha1, name.data, name.len) &&
	EVP_DigestFinal_ex(sha1, digest, NULL);

	EVP_MD_CTX_free(sha1);
	return done;
}

static bool
has_version(const uint8_t uuid[16], int version)
{
	return uuid[6] >> 4 == version && (uuid[8] & 0xc0) == 0x80;
}

/*
 * One of version 5 could be the hash of an id.  The namespace is no secret: an
 * issuer whose subjects are user ids as they are could name another's user by
 * it.
 */
bool
rg_uuid_of(RgSlice user_id, uint8_t uuid[16])
{
	uint8_t		digest[EVP_MAX_MD_SIZE];

	if (parse_canonical(user_id, uuid) && !has_version(uuid, 5))
		return true;
	if (!hash_name(user_id, digest))
		return false;
	memcpy(uuid, digest, 16);
	set_version(uuid, 5);
	return true;
}

void
rg_uuid_text(const uint8_t uuid[16], char out[RG_UUID_TEXT_LEN])
{
	static const char digits[] = "0123456789abcdef";
	int			byte = 0;

	for (int i = 0; i < RG_UUID_TEXT_LEN; i++)
	{
		if (is_hyphen_place(i))
		{
			out[i] = '-';
			continue;
		}
		out[i] = digits[uuid[byte] >> 4];
		out[++i] = digits[uuid[byte++] & 15];
	}
}

void
rg_uuid_random(uint8_t uuid[16])
{
	randombytes_buf(uuid, 16);
	set_version(uuid, 4);
}

#define TIME_BYTES 6			/* of version 7, big-endian */

void
rg_uuid_v7(int64_t unix_ms, uint8_t uuid[16])
{
	randombytes_buf(uuid, 16);
	for (int i = 0; i < TIME_BYTES; i++)
		uuid[i] = (uint8_t) (unix_ms >> 8 * (TIME_BYTES - 1 - i));
	set_version(uuid, 7);
}

int64_t
rg_uuid_v7_time(const uint8_t uuid[16])
{
	int64_t		unix_ms = 0;

	if (!has_version(uuid, 7))
		return -1;
	for (int i = 0; i < TIME_BYTES; i++)
		unix_ms = unix_ms << 8 | uuid[i];
	return unix_ms;
}
