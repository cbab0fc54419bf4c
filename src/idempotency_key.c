/*
 * idempotency_key.c
 *		The header Idempotency-Key; idempotency_key.h has the contract.
 */
#include "idempotency_key.h"

#include <sodium.h>

bool
rg_idempotency_key_valid(RgSlice key)
{
	if (key.len == 0 || key.len > RG_IDEMPOTENCY_KEY_MAX)
		return false;
	for (size_t i = 0; i < key.len; i++)
		if (key.data[i] <= ' ' || key.data[i] > '~')
			return false;
	return true;
}

/* An absent field is another than an empty one. */
static void
hash_field(crypto_hash_sha256_state *state, RgSlice field)
{
	uint64_t	len = field.data == NULL ? UINT64_MAX : field.len;

	crypto_hash_sha256_update(state, (const uint8_t *) &len, sizeof len);
	if (field.len > 0)
		crypto_hash_sha256_update(state, (const uint8_t *) field.data, field.len);
}

static void
hash_fields(const RgSlice *fields, int count, uint8_t hash[RG_IDEMPOTENCY_HASH])
{
	crypto_hash_sha256_state state;

	crypto_hash_sha256_init(&state);
	for (int i = 0; i < count; i++)
		hash_field(&state, fields[i]);
	crypto_hash_sha256_final(&state, hash);
}

void
rg_idempotency_scope(const RgIdempotencyScope *scope, uint8_t hash[RG_IDEMPOTENCY_HASH])
{
	const RgSlice none = {NULL, 0};
	const RgSlice fields[] = {
		scope->user_id, scope->workspace_id,
		scope->user_id.data == NULL ? scope->address : none,
		scope->method, scope->route, scope->key
	};

	hash_fields(fields, sizeof fields / sizeof fields[0], hash);
}

void
rg_idempotency_fingerprint(const RgIdempotencyPayload *payload, uint8_t hash[RG_IDEMPOTENCY_HASH])
{
	const RgSlice fields[] = {payload->path, payload->query, payload->role, payload->body};

	hash_fields(fields, sizeof fields / sizeof fields[0], hash);
}
