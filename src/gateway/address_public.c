/*
 * address_public.c
 *		Public addresses; address_public.h has the contract.
 */
#include "address_public.h"

#include <netinet/in.h>

#define LEN(array) ((int) (sizeof(array) / sizeof(array)[0]))

typedef struct Block
{
	uint8_t		start[16];
	int			bits;			/* that count of start */
} Block;

static const uint8_t mapped[12] = {[10] = 0xff,[11] = 0xff};

static const Block loopback_v4 = {{127}, 8};

/* By their first four bytes. */
static const Block not_public_v4[] = {
	{{0}, 8},					/* this network */
	{{10}, 8},					/* private */
	{{100, 64}, 10},			/* a provider's own; Alibaba's metadata */
	{{127}, 8},					/* loopback */
	{{169, 254}, 16},			/* link-local; most clouds' metadata */
	{{172, 16}, 12},			/* private */
	{{192, 0, 0}, 24},			/* of protocols; Oracle's metadata */
	{{192, 0, 2}, 24},			/* documentation */
	{{192, 31, 196}, 24},		/* answered by whoever is near (AS112) */
	{{192, 52, 193}, 24},		/* relays of multicast */
	{{192, 88, 99}, 24},		/* relays of 6to4 */
	{{192, 168}, 16},			/* private */
	{{192, 175, 48}, 24},		/* AS112 */
	{{198, 18}, 15},			/* benchmarks */
	{{198, 51, 100}, 24},		/* documentation */
	{{203, 0, 113}, 24},		/* documentation */
	{{224}, 4},					/* multicast */
	{{240}, 4},					/* reserved, and broadcast */
	{{168, 63, 129, 16}, 32},	/* Azure's services of the host */
};

/* Unicast space in use; everything else of IPv6 is not public. */
static const Block unicast_v6 = {{0x20}, 3};

/* What of that is not public all the same. */
static const Block not_public_v6[] = {
	{{0x20, 0x01}, 23},			/* of protocols: Teredo, ORCHID, benchmarks */
	{{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
	{{0x20, 0x02}, 16},			/* 6to4: an IPv4 address stands in it */
	{{0x26, 0x20, 0x00, 0x4f, 0x80}, 48},	/* AS112 */
	{{0x3f, 0xfe}, 16},			/* the former test network */
	{{0x3f, 0xff}, 20},			/* documentation */
};

/* Clouds' metadata services, and what else tells a machine its credentials. */
static const Block metadata_v4[] = {
	{{169, 254, 169, 254}, 32}, /* nearly all */
	{{169, 254, 170, 2}, 32},	/* Amazon's, of containers … */
	{{169, 254, 170, 23}, 32},	/* … and of pods */
	{{100, 100, 100, 200}, 32}, /* Alibaba */
	{{192, 0, 0, 192}, 32},		/* Oracle */
	{{168, 63, 129, 16}, 32},	/* Azure */
};
static const Block metadata_v6[] = {
	{{0xfd, 0x00, 0x0e, 0xc2,[14] = 0x02, 0x54}, 128},	/* Amazon … */
	{{0xfd, 0x00, 0x0e, 0xc2,[15] = 0x23}, 128},	/* … and of pods */
	{{0xfd, 0x20, 0x00, 0xce,[14] = 0x02, 0x54}, 128},	/* Google */
};

/* Translated into the IPv4 address in the last four bytes (RFC 6052). */
static const Block translated_v6 = {{0x00, 0x64, 0xff, 0x9b}, 96};

static bool
starts_with(const uint8_t *bytes, const Block *block)
{
	int			whole = block->bits / 8;
	int			mask = 0xff00 >> block->bits % 8 & 0xff;

	return memcmp(bytes, block->start, whole) == 0 &&
		(mask == 0 || (bytes[whole] & mask) == (block->start[whole] & mask));
}

static bool
is_in(const uint8_t *bytes, const Block *blocks, int count)
{
	for (int i = 0; i < count; i++)
		if (starts_with(bytes, &blocks[i]))
			return true;
	return false;
}

static bool
is_mapped(const RgAddress *address)
{
	return memcmp(address->bytes, mapped, sizeof mapped) == 0;
}

static bool
is_public_v4(const uint8_t *bytes)
{
	return !is_in(bytes, not_public_v4, LEN(not_public_v4));
}

bool
rg_address_public(const RgAddress *address)
{
	const uint8_t *bytes = address->bytes;

	if (is_mapped(address) || starts_with(bytes, &translated_v6))
		return is_public_v4(bytes + 12);
	return starts_with(bytes, &unicast_v6) && !is_in(bytes, not_public_v6, LEN(not_public_v6));
}

bool
rg_address_metadata(const RgAddress *address)
{
	const uint8_t *bytes = address->bytes;

	if (is_mapped(address) || starts_with(bytes, &translated_v6))
		return is_in(bytes + 12, metadata_v4, LEN(metadata_v4));
	return is_in(bytes, metadata_v6, LEN(metadata_v6));
}

bool
rg_address_loopback(const RgAddress *address)
{
	static const uint8_t one[16] = {[15] = 1};

	return memcmp(address->bytes, one, sizeof one) == 0 ||
		(is_mapped(address) && starts_with(address->bytes + 12, &loopback_v4));
}

bool
rg_address_of(const struct sockaddr *from, RgAddress *address)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *) from;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *) from;

	if (from->sa_family == AF_INET6)
		memcpy(address->bytes, &v6->sin6_addr, sizeof address->bytes);
	else if (from->sa_family == AF_INET)
	{
		memcpy(address->bytes, mapped, sizeof mapped);
		memcpy(address->bytes + sizeof mapped, &v4->sin_addr, 4);
	}
	return from->sa_family == AF_INET6 || from->sa_family == AF_INET;
}
