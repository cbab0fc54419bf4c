/*
 * audit_row.c
 *		The message of a row of the audit log, and its MAC.
 */
#include "audit_row.h"

#define ABSENT UINT32_MAX
#define SHORT 64				/* bytes */

static void
put_uint32(uint8_t *out, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		out[i] = (uint8_t) (value >> (24 - 8 * i));
}

/* A short field goes with its length in one call, since most are. */
static void
hash_field(RgAuditMac *mac, uint32_t length, const char *data, size_t len)
{
	uint8_t		bytes[4 + SHORT];
	size_t		together = len <= SHORT ? len : 0;

	put_uint32(bytes, length);
	if (together > 0)
		memcpy(bytes + 4, data, together);
	crypto_generichash_update(mac, bytes, 4 + together);
	if (together < len)
		crypto_generichash_update(mac, (const uint8_t *) data, len);
}

void
rg_audit_hash_slice(RgAuditMac *mac, RgSlice field)
{
	if (field.data == NULL)
		hash_field(mac, ABSENT, NULL, 0);
	else
		hash_field(mac, (uint32_t) field.len, field.data, field.len);
}

void
rg_audit_hash_int32(RgAuditMac *mac, int32_t value)
{
	uint8_t		bytes[8];

	put_uint32(bytes, 4);
	put_uint32(bytes + 4, (uint32_t) value);
	crypto_generichash_update(mac, bytes, sizeof bytes);
}

void
rg_audit_hash_int64(RgAuditMac *mac, int64_t value)
{
	uint8_t		bytes[12];

	put_uint32(bytes, 8);
	put_uint32(bytes + 4, (uint32_t) ((uint64_t) value >> 32));
	put_uint32(bytes + 8, (uint32_t) value);
	crypto_generichash_update(mac, bytes, sizeof bytes);
}

static void
hash_subject(RgAuditMac *mac, const RgAuditShared *shared)
{
	rg_audit_hash_slice(mac, shared->actor);
	rg_audit_hash_slice(mac, shared->via);
	rg_audit_hash_slice(mac, shared->session_role);
	rg_audit_hash_slice(mac, shared->workspace_id);
	rg_audit_hash_slice(mac, shared->api_key_id);
	rg_audit_hash_slice(mac, shared->session_id);
	rg_audit_hash_slice(mac, shared->request_id);
	rg_audit_hash_slice(mac, shared->client_ip);
}

void
rg_audit_mac_begin(RgAuditMac *mac, const uint8_t key[RG_KEY_BYTES],
				   const RgAuditShared *shared)
{
	const uint8_t tag = RG_AUDIT_TAG_ROW;

	crypto_generichash_init(mac, key, RG_KEY_BYTES, RG_AUDIT_MAC_BYTES);
	crypto_generichash_update(mac, &tag, sizeof tag);
	rg_audit_hash_int64(mac, (int64_t) shared->xid);
	rg_audit_hash_int64(mac, shared->occurred_at);
	rg_audit_hash_int32(mac, shared->epoch);
	rg_audit_hash_int32(mac, shared->key_id);
	rg_audit_hash_slice(mac, shared->action);
	rg_audit_hash_slice(mac, shared->resource_type);
	hash_subject(mac, shared);
	rg_audit_hash_slice(mac, shared->source);
	rg_audit_hash_slice(mac, shared->status);
}

void
rg_audit_mac_row(const RgAuditMac *begun, const RgAuditOwn *own,
				 uint8_t out[RG_AUDIT_MAC_BYTES])
{
	RgAuditMac	mac = *begun;

	rg_audit_hash_int64(&mac, own->id);
	rg_audit_hash_slice(&mac, own->resource_id);
	rg_audit_hash_slice(&mac, own->old_values);
	rg_audit_hash_slice(&mac, own->new_values);
	rg_audit_hash_slice(&mac, own->details);
	crypto_generichash_final(&mac, out, RG_AUDIT_MAC_BYTES);
}
