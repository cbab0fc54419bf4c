
-- Values encrypted under the key ring and bound to their place.

CREATE FUNCTION aad(VARIADIC parts text[]) RETURNS bytea
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'relay_guard_aad';
COMMENT ON FUNCTION aad(text[]) IS
'The place of a value, as encrypt() and decrypt_...() take it: aad(''shop.card.number'', user_id::text, id::text). Parts may be NULL; different parts never make the same.';

CREATE FUNCTION encrypt(plaintext text, aad bytea) RETURNS bytea
LANGUAGE C VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME', 'relay_guard_encrypt_text';
COMMENT ON FUNCTION encrypt(text, bytea) IS
'Encrypts under the primary key of the key ring (AES-256-GCM in an envelope that names its key); opens with the same AAD only. NULL stays NULL.';

CREATE FUNCTION encrypt(plaintext bytea, aad bytea) RETURNS bytea
LANGUAGE C VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME', 'relay_guard_encrypt_bytea';
COMMENT ON FUNCTION encrypt(bytea, bytea) IS 'As encrypt(text, bytea).';

CREATE FUNCTION encrypt(plaintext jsonb, aad bytea) RETURNS bytea
LANGUAGE C VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME', 'relay_guard_encrypt_jsonb';
COMMENT ON FUNCTION encrypt(jsonb, bytea) IS 'As encrypt(text, bytea), of the value''s text form.';

-- VOLATILE: the planner would call a STABLE one with constants, and keep the value in the plan
CREATE FUNCTION decrypt_text(ciphertext bytea, aad bytea) RETURNS text
LANGUAGE C VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME', 'relay_guard_decrypt_text';
COMMENT ON FUNCTION decrypt_text(bytea, bytea) IS
'Opens what encrypt(text, bytea) made; error RG404 when it was changed or made with another AAD, RG503 when the key ring lacks its key.';

CREATE FUNCTION decrypt_bytea(ciphertext bytea, aad bytea) RETURNS bytea
LANGUAGE C VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME', 'relay_guard_decrypt_bytea';
COMMENT ON FUNCTION decrypt_bytea(bytea, bytea) IS 'As decrypt_text().';

CREATE FUNCTION decrypt_jsonb(ciphertext bytea, aad bytea) RETURNS jsonb
LANGUAGE C VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME', 'relay_guard_decrypt_jsonb';
COMMENT ON FUNCTION decrypt_jsonb(bytea, bytea) IS 'As decrypt_text().';

CREATE FUNCTION try_decrypt_text(ciphertext bytea, aad bytea) RETURNS text
LANGUAGE C VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME', 'relay_guard_try_decrypt_text';
COMMENT ON FUNCTION try_decrypt_text(bytea, bytea) IS
'As decrypt_text(), but NULL instead of RG404. A key that is missing in the ring is an error all the same: data must not vanish because a ring is the wrong one.';

CREATE FUNCTION try_decrypt_bytea(ciphertext bytea, aad bytea) RETURNS bytea
LANGUAGE C VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME', 'relay_guard_try_decrypt_bytea';
COMMENT ON FUNCTION try_decrypt_bytea(bytea, bytea) IS 'As try_decrypt_text().';

CREATE FUNCTION try_decrypt_jsonb(ciphertext bytea, aad bytea) RETURNS jsonb
LANGUAGE C VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME', 'relay_guard_try_decrypt_jsonb';
COMMENT ON FUNCTION try_decrypt_jsonb(bytea, bytea) IS 'As try_decrypt_text().';

CREATE FUNCTION reencrypt(ciphertext bytea, aad bytea) RETURNS bytea
LANGUAGE C VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME', 'relay_guard_reencrypt';
COMMENT ON FUNCTION reencrypt(bytea, bytea) IS
'The same value under the primary key of the ring; the AAD is the one it was made with.';

CREATE FUNCTION is_envelope(value bytea) RETURNS boolean
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'relay_guard_is_envelope';
COMMENT ON FUNCTION is_envelope(bytea) IS 'Whether the bytes have the form of what encrypt() makes; it opens nothing.';

CREATE FUNCTION key_id(value bytea) RETURNS integer
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'relay_guard_key_id';
COMMENT ON FUNCTION key_id(bytea) IS 'The key of the ring that an encrypted value needs; NULL when the bytes are none.';
