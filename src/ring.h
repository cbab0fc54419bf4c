/*
 * ring.h
 *		The key ring: a few 256-bit master keys and the subkeys made of them.
 *
 * A ring is a text file, one key a line: "<id> <base64 of 32 bytes> [state]
 * [created]", the state being primary (exactly one: makes new values), retired
 * (refused) or absent (active: opens old values), and created the time in UTC
 * as in 2026-02-28T23:59:59Z.  Blank lines and lines starting with # are
 * skipped.
 *
 * Pure C: shared by the extension, the gateway, unit tests and fuzzers.
 */
#ifndef RG_RING_H
#define RG_RING_H

#include <stdint.h>

#include "slice.h"

#define RG_KEY_BYTES 32
#define RG_RING_MAX_KEYS 64
#define RG_CREATED_LEN 20

typedef enum RgKeyState
{
	RG_KEY_ACTIVE,
	RG_KEY_PRIMARY,
	RG_KEY_RETIRED
} RgKeyState;

/* What a subkey is for; each has its own derivation context. */
typedef enum RgPurpose
{
	RG_FOR_COLUMNS,				/* encrypted columns */
	RG_FOR_SECRETS,				/* secrets stored in tables */
	RG_FOR_TOKENS,				/* tokens of the built-in issuer */
	RG_FOR_AUDIT,
	RG_FOR_CSRF,
	RG_FOR_CURSORS,
	RG_PURPOSES
} RgPurpose;

typedef struct RgRingKey
{
	uint32_t	id;				/* never 0 */
	RgKeyState	state;
	uint8_t		secret[RG_KEY_BYTES];
	char		created[RG_CREATED_LEN + 1];	/* empty when not known */
} RgRingKey;

/* In libsodium's guarded memory: locked where allowed, wiped when freed. */
typedef struct RgRing
{
	int			nkeys;
	RgRingKey	keys[RG_RING_MAX_KEYS];
} RgRing;

/*
 * Reads a ring.  The caller frees it with rg_ring_free().  NULL when the text
 * is no ring; error then says why, without a byte of a key.
 */
extern RgRing *rg_ring_parse(RgSlice text, char *error, size_t error_size)
			__attribute__((warn_unused_result));

extern void rg_ring_free(RgRing *ring);

/* The key of that id, or NULL. */
extern const RgRingKey *rg_ring_find(const RgRing *ring, uint32_t id);

/* The key that makes new values; every ring has one. */
extern const RgRingKey *rg_ring_primary(const RgRing *ring);

/* Whether both have the same keys in the same order and states. */
extern bool rg_ring_equal(const RgRing *a, const RgRing *b);

/*
 * The subkey of a purpose: crypto_kdf of libsodium, that is BLAKE2b keyed by
 * the master key, personalised by the purpose's eight letters, subkey number 1.
 */
extern void rg_ring_subkey(const RgRingKey *key, RgPurpose purpose,
						   uint8_t subkey[RG_KEY_BYTES]);

#endif
