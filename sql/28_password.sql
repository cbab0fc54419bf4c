
-- Passwords of the application's users: Argon2id (RFC 9106).

CREATE FUNCTION password_hash(pass text) RETURNS text
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_password_hash';
COMMENT ON FUNCTION password_hash(text) IS
'The Argon2id hash of a password, with a salt of its own: 19 MiB of memory, two passes (OWASP). Of at most 4096 bytes.';

CREATE FUNCTION password_verify(pass text, hash text) RETURNS boolean
LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_password_verify';
COMMENT ON FUNCTION password_verify(text, text) IS
'Whether a hash of password_hash() is of that password. For a hash that is NULL, or none, it takes as long and is false: whoever asks learns nothing of who there is.';
