/*
 * audit_seal_message.c
 *		Root, MAC and proof of a seal; audit_seal_message.h has the encoding.
 */
#include "audit_seal_message.h"

#include <sodium.h>

#define ABSENT UINT32_MAX

/* The first byte says what a hash is of, so that none can stand for another. */
enum
{
	SEAL_MESSAGE = 2,
	SEAL_MAC = 3,
	SEAL_PROOF = 4
};

static void
put_bytes(crypto_generichash_state *hash, const void *bytes, size_t len)
{
	crypto_generichash_update(hash, bytes, len);
}

static void
big_endian(uint64_t number, uint8_t *out, int size)
{
	for (int i = size - 1; i >= 0; i--)
	{
		out[i] = (uint8_t) number;
		number >>= 8;
	}
}

static void
put_length(crypto_generichash_state *hash, uint32_t length)
{
	uint8_t		bytes[sizeof length];

	big_endian(length, bytes, sizeof bytes);
	put_bytes(hash, bytes, sizeof bytes);
}

static void
put_slice(crypto_generichash_state *hash, RgSlice slice)
{
	put_length(hash, slice.data == NULL ? ABSENT : (uint32_t) slice.len);
	if (slice.data != NULL)
		put_bytes(hash, slice.data, slice.len);
}

static void
put_number(crypto_generichash_state *hash, int64_t number, int size)
{
	uint8_t		bytes[sizeof number];

	big_endian((uint64_t) number, bytes, size);
	put_slice(hash, rg_slice((const char *) bytes, size));
}

static void
put_int64(crypto_generichash_state *hash, int64_t number)
{
	put_number(hash, number, 8);
}

static void
put_int32(crypto_generichash_state *hash, int32_t number)
{
	put_number(hash, number, 4);
}

static void
put_step(crypto_generichash_state *hash, int64_t step)
{
	if (step < 0)
		put_length(hash, ABSENT);
	else
		put_int64(hash, step);
}

void
rg_audit_seal_root(const RgAuditSeal *seal, uint8_t root[RG_AUDIT_HASH_BYTES])
{
	const uint8_t tag = SEAL_MESSAGE;
	crypto_generichash_state hash;

	crypto_generichash_init(&hash, NULL, 0, RG_AUDIT_HASH_BYTES);
	put_bytes(&hash, &tag, sizeof tag);
	put_int64(&hash, seal->seal_id);
	put_int32(&hash, seal->epoch);
	put_int32(&hash, seal->row_epoch);
	put_slice(&hash, seal->snap);
	put_slice(&hash, seal->month);
	put_int64(&hash, seal->rows);
	put_slice(&hash, seal->ids);
	put_slice(&hash, seal->digest);
	put_int64(&hash, seal->unwitnessed);
	put_slice(&hash, seal->findings);
	put_int64(&hash, seal->sealed_at);
	put_slice(&hash, seal->previous);
	put_int32(&hash, seal->key_id);
	put_step(&hash, seal->step);
	crypto_generichash_final(&hash, root, RG_AUDIT_HASH_BYTES);
}

static void
bind_root(uint8_t tag, const uint8_t key[32], const uint8_t root[RG_AUDIT_HASH_BYTES],
		  uint8_t out[RG_AUDIT_HASH_BYTES])
{
	crypto_generichash_state hash;

	crypto_generichash_init(&hash, key, 32, RG_AUDIT_HASH_BYTES);
	put_bytes(&hash, &tag, sizeof tag);
	put_bytes(&hash, root, RG_AUDIT_HASH_BYTES);
	crypto_generichash_final(&hash, out, RG_AUDIT_HASH_BYTES);
	sodium_memzero(&hash, sizeof hash);
}

void
rg_audit_seal_mac(const uint8_t key[32], const uint8_t root[RG_AUDIT_HASH_BYTES],
				  uint8_t mac[RG_AUDIT_HASH_BYTES])
{
	bind_root(SEAL_MAC, key, root, mac);
}

void
rg_audit_seal_proof(const uint8_t step_key[32], const uint8_t root[RG_AUDIT_HASH_BYTES],
					uint8_t proof[RG_AUDIT_HASH_BYTES])
{
	bind_root(SEAL_PROOF, step_key, root, proof);
}
