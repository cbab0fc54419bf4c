-- The key ring, as SQL sees it.

CREATE FUNCTION read_keyring(OUT key_id int, OUT state text, OUT locked boolean, OUT created timestamptz)
RETURNS SETOF record
LANGUAGE C PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_read_keyring';
COMMENT ON FUNCTION read_keyring() IS 'The view keyring_status.';

CREATE VIEW keyring_status AS SELECT key_id, state, locked, created FROM read_keyring();
COMMENT ON VIEW keyring_status IS
'The key ring as this session has it, and never a byte of a key; no rows where the server has none.';
COMMENT ON COLUMN keyring_status.state IS
'primary: makes new values; active: opens old ones; retired: refused.';
COMMENT ON COLUMN keyring_status.locked IS
'Whether the session''s copy of the ring is kept out of swap; RLIMIT_MEMLOCK of the server may forbid it.';
COMMENT ON COLUMN keyring_status.created IS 'When the key was made, where its line says so.';

CREATE FUNCTION keyring_new_line() RETURNS text
LANGUAGE C PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_keyring_new_line';
COMMENT ON FUNCTION keyring_new_line() IS
'The line of a new ring''s first key, for installations without relay_gateway; superusers only. What it returns is the key: in psql let \o write it to a file that only the server''s user may read, and let no pager, terminal or log see it.';

CREATE FUNCTION rekey_secrets() RETURNS bigint
LANGUAGE C SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'relay_guard_rekey_secrets';
COMMENT ON FUNCTION rekey_secrets() IS
'Seals every stored secret (HS256 keys, the pepper of API keys, secrets of webhooks) anew under the primary key, all or none of them; returns how many were under another.';
