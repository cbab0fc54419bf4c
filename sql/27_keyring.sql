-- The key ring, as SQL sees it.

CREATE FUNCTION read_keyring(OUT key_id int, OUT state text, OUT locked boolean, OUT created timestamptz)
RETURNS SETOF record
LANGUAGE C PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_read_keyring';
COMMENT ON FUNCTION read_keyring() IS 'The view keyring_status.';

CREATE FUNCTION keyring_new_line() RETURNS text
LANGUAGE C PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_keyring_new_line';
COMMENT ON FUNCTION keyring_new_line() IS
'The line of a new ring''s first key, for installations without relay_gateway; superusers only. What it returns is the key: in psql let \o write it to a file that only the server''s user may read, and let no pager, terminal or log see it.';

CREATE FUNCTION rekey_secrets() RETURNS bigint
LANGUAGE C SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'relay_guard_rekey_secrets';
COMMENT ON FUNCTION rekey_secrets() IS
'Seals every stored secret (HS256 keys, the pepper of API keys, secrets of webhooks) anew under the primary key, all or none of them; returns how many were under another.';
