/*
 * audit_seal_message.c
 *		Root, MAC and proof of a seal; audit_seal_message.h has the encoding.
 */
#include "audit_seal_message.h"

#include "audit_row.h"

static void
hash_tag(RgAuditMac *hash, RgAuditTag tag)
{
	const uint8_t byte = (uint8_t) tag;

	crypto_generichash_update(hash, &byte, sizeof byte);
}

static void
hash_step(RgAuditMac *hash, int64_t step)
{
	if (step < 0)
		rg_audit_hash_slice(hash, rg_slice(NULL, 0));
	else
		rg_audit_hash_int64(hash, step);
}

void
rg_audit_seal_root(const RgAuditSeal *seal, uint8_t root[RG_AUDIT_HASH_BYTES])
{
	RgAuditMac	hash;

	crypto_generichash_init(&hash, NULL, 0, RG_AUDIT_HASH_BYTES);
	hash_tag(&hash, RG_AUDIT_TAG_SEAL);
	rg_audit_hash_int64(&hash, seal->seal_id);
	rg_audit_hash_int32(&hash, seal->epoch);
	rg_audit_hash_int32(&hash, seal->row_epoch);
	rg_audit_hash_slice(&hash, seal->snap);
	rg_audit_hash_slice(&hash, seal->month);
	rg_audit_hash_int64(&hash, seal->rows);
	rg_audit_hash_slice(&hash, seal->ids);
	rg_audit_hash_slice(&hash, seal->digest);
	rg_audit_hash_int64(&hash, seal->unwitnessed);
	rg_audit_hash_slice(&hash, seal->findings);
	rg_audit_hash_int64(&hash, seal->sealed_at);
	rg_audit_hash_slice(&hash, seal->previous);
	rg_audit_hash_int32(&hash, seal->key_id);
	hash_step(&hash, seal->step);
	crypto_generichash_final(&hash, root, RG_AUDIT_HASH_BYTES);
}

static void
bind_root(RgAuditTag tag, const uint8_t key[RG_KEY_BYTES], const uint8_t root[RG_AUDIT_HASH_BYTES],
		  uint8_t out[RG_AUDIT_HASH_BYTES])
{
	RgAuditMac	hash;

	crypto_generichash_init(&hash, key, RG_KEY_BYTES, RG_AUDIT_HASH_BYTES);
	hash_tag(&hash, tag);
	crypto_generichash_update(&hash, root, RG_AUDIT_HASH_BYTES);
	crypto_generichash_final(&hash, out, RG_AUDIT_HASH_BYTES);
	sodium_memzero(&hash, sizeof hash);
}

void
rg_audit_seal_mac(const uint8_t key[RG_KEY_BYTES], const uint8_t root[RG_AUDIT_HASH_BYTES],
				  uint8_t mac[RG_AUDIT_HASH_BYTES])
{
	bind_root(RG_AUDIT_TAG_SEAL_MAC, key, root, mac);
}

void
rg_audit_seal_proof(const uint8_t step_key[RG_RATCHET_KEY_BYTES], const uint8_t root[RG_AUDIT_HASH_BYTES],
					uint8_t proof[RG_AUDIT_HASH_BYTES])
{
	bind_root(RG_AUDIT_TAG_PROOF, step_key, root, proof);
}
