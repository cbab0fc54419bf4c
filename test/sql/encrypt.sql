-- encrypt(), decrypt_...(), and what they refuse
CREATE TABLE sealed AS
SELECT relay_guard.encrypt('häl', relay_guard.aad('t', '7')) AS text,
	   relay_guard.encrypt('\x00ff'::bytea, relay_guard.aad('t', '7')) AS bytea,
	   relay_guard.encrypt('{"a": [1, null]}'::jsonb, relay_guard.aad('t', '7')) AS jsonb;
SELECT relay_guard.decrypt_text(text, relay_guard.aad('t', '7')),
	   relay_guard.decrypt_bytea(bytea, relay_guard.aad('t', '7')),
	   relay_guard.decrypt_jsonb(jsonb, relay_guard.aad('t', '7')) FROM sealed;
SELECT octet_length(text), octet_length(bytea), relay_guard.is_envelope(text), relay_guard.key_id(text) FROM sealed;

-- the same value never makes the same envelope
SELECT count(DISTINCT relay_guard.encrypt('a', '')) FROM generate_series(1, 100);
-- and parts that only look alike not the same AAD
SELECT relay_guard.aad('ab', 'c'), relay_guard.aad('a', 'bc'), relay_guard.aad('', NULL), relay_guard.aad(NULL, '');
SELECT relay_guard.aad(VARIADIC '{}') , relay_guard.aad(VARIADIC '{{a,b},{c,d}}') = relay_guard.aad('a', 'b', 'c', 'd') AS flat;

-- another place
SELECT relay_guard.decrypt_text(text, relay_guard.aad('t', '8')) FROM sealed;
SELECT relay_guard.try_decrypt_text(text, relay_guard.aad('t', '8')) IS NULL AS closed,
	   relay_guard.try_decrypt_jsonb(jsonb, relay_guard.aad('t', '7', NULL)) IS NULL AS closed,
	   relay_guard.try_decrypt_bytea(bytea, '') IS NULL AS closed FROM sealed;
-- changed, cut off, lengthened, none at all
SELECT relay_guard.try_decrypt_text(set_bit(text, 390, 1 - get_bit(text, 390)), relay_guard.aad('t', '7')) IS NULL AS closed,
	   relay_guard.try_decrypt_text(substr(text, 1, octet_length(text) - 1), relay_guard.aad('t', '7')) IS NULL AS closed,
	   relay_guard.try_decrypt_text(text || '\x00', relay_guard.aad('t', '7')) IS NULL AS closed,
	   relay_guard.try_decrypt_text('', relay_guard.aad('t', '7')) IS NULL AS closed,
	   relay_guard.try_decrypt_text('plain', relay_guard.aad('t', '7')) IS NULL AS closed FROM sealed;
SELECT relay_guard.decrypt_text('plain', relay_guard.aad('t', '7'));
SELECT relay_guard.is_envelope('plain'), relay_guard.key_id('plain'), relay_guard.is_envelope(NULL), relay_guard.key_id(NULL);
SELECT relay_guard.is_envelope(('\x0100000000' || repeat('00', 40))::bytea), relay_guard.is_envelope(('\x0180000000' || repeat('00', 40))::bytea);

-- another version, another key: never silently nothing
SELECT relay_guard.try_decrypt_text(set_byte(text, 0, 2), relay_guard.aad('t', '7')) FROM sealed;
SELECT relay_guard.try_decrypt_text(set_byte(text, 1, 1), relay_guard.aad('t', '7')) FROM sealed;
SELECT relay_guard.decrypt_text(set_byte(text, 1, 1), relay_guard.aad('t', '7')) FROM sealed;

-- opened as another type: no word of what it is
SELECT relay_guard.decrypt_jsonb(text, relay_guard.aad('t', '7')) FROM sealed;
SELECT relay_guard.decrypt_text(bytea, relay_guard.aad('t', '7')) FROM sealed;
SELECT relay_guard.decrypt_text(jsonb, relay_guard.aad('t', '7')) FROM sealed;

-- nulls: a value may be one, its place may not
SELECT relay_guard.encrypt(NULL::text, relay_guard.aad('t')) IS NULL AS null, relay_guard.decrypt_text(NULL, relay_guard.aad('t')) IS NULL AS null,
	   relay_guard.try_decrypt_jsonb(NULL, NULL) IS NULL AS null;
SELECT relay_guard.encrypt('x', NULL);
SELECT relay_guard.decrypt_text(text, NULL) FROM sealed;
SELECT relay_guard.try_decrypt_text(text, NULL) FROM sealed;

-- empty and long ones
SELECT relay_guard.decrypt_text(relay_guard.encrypt('', ''), '') = '' AS empty,
	   relay_guard.decrypt_text(relay_guard.encrypt(repeat('x', 3000000), ''), '') = repeat('x', 3000000) AS long;
CREATE TABLE toasted AS SELECT relay_guard.encrypt(jsonb_build_object('a', repeat('y', 200000)), '') AS jsonb;
SELECT length(relay_guard.decrypt_jsonb(jsonb, '') ->> 'a') FROM toasted;

SELECT relay_guard.decrypt_text(relay_guard.reencrypt(text, relay_guard.aad('t', '7')), relay_guard.aad('t', '7')),
	   relay_guard.reencrypt(text, relay_guard.aad('t', '7')) <> text AS anew FROM sealed;
SELECT relay_guard.reencrypt(text, relay_guard.aad('t', '8')) FROM sealed;

-- who may: not everybody
CREATE ROLE regress_reader;
GRANT SELECT ON sealed TO regress_reader;
SET ROLE regress_reader;
SELECT relay_guard.key_id(text), relay_guard.is_envelope(text), relay_guard.aad('t', '7') IS NOT NULL AS aad FROM sealed;
SELECT relay_guard.decrypt_text(text, relay_guard.aad('t', '7')) FROM sealed;
SELECT relay_guard.try_decrypt_text(text, relay_guard.aad('t', '7')) FROM sealed;
SELECT relay_guard.encrypt('x', '');
RESET ROLE;

DROP TABLE sealed, toasted;
DROP ROLE regress_reader;
