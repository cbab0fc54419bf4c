-- Encrypted columns among triggers and views that others have made
CREATE SCHEMA hostile;
SET search_path = hostile;
CREATE TABLE card (id int PRIMARY KEY, number text, data jsonb, plain int);
SELECT relay_guard.encrypt_column('card', 'number', '{id}');
SELECT relay_guard.encrypt_column('card', 'data', '{id}');
INSERT INTO decrypted_card VALUES (1, 'one', '{"a": 1}', 100000);

-- a guard of a column that cannot hold envelopes, or of no kind of plaintext, defines nothing
CREATE TRIGGER plain BEFORE INSERT OR UPDATE OF plain, id ON card FOR EACH ROW EXECUTE FUNCTION relay_guard.encrypted_guard('label', 'text');
UPDATE card SET plain = 200000;
UPDATE decrypted_card SET plain = 200000;
DROP TRIGGER plain ON card;
CREATE TABLE nonsense (id int PRIMARY KEY, value bytea, number bytea);
CREATE TRIGGER value BEFORE INSERT OR UPDATE OF value, id ON nonsense FOR EACH ROW EXECUTE FUNCTION relay_guard.encrypted_guard('label', 'nonsense');
CREATE TRIGGER number BEFORE INSERT OR UPDATE OF id, value ON nonsense FOR EACH ROW EXECUTE FUNCTION relay_guard.encrypted_guard('other', 'text');
SELECT relation, column_name, label, plaintext, aad FROM relay_guard.encrypted_column WHERE relation IN ('card'::regclass, 'nonsense'::regclass) ORDER BY 2;
INSERT INTO nonsense VALUES (1, 'x');

-- a view that shows less would lose what it cannot bind anew
CREATE VIEW less WITH (security_invoker) AS SELECT id, plain, relay_guard.opened_text(number, relay_guard.aad('hostile.card.number', id::text)) AS number FROM card;
CREATE TRIGGER write INSTEAD OF INSERT OR UPDATE OR DELETE ON less FOR EACH ROW EXECUTE FUNCTION relay_guard.encrypted_write();
UPDATE less SET number = 'uno', plain = 1 RETURNING *;
UPDATE less SET id = 2;
INSERT INTO less (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET id = 2;
SELECT * FROM decrypted_card;
DROP VIEW less;

-- a plaintext is written as the type it is of, whatever the view makes of it
CREATE OR REPLACE VIEW decrypted_card WITH (security_invoker) AS SELECT id,
	relay_guard.opened_text(data, relay_guard.aad('hostile.card.data', id::text)) AS number,
	relay_guard.opened_jsonb(number, relay_guard.aad('hostile.card.number', id::text)) AS data, plain FROM card;
INSERT INTO decrypted_card (id, data) VALUES (3, '{"a": [1, 2]}') RETURNING *;
INSERT INTO decrypted_card (id, number) VALUES (3, E'\x01\x01\x01 \x10\x10\x10\x10') RETURNING *;
INSERT INTO decrypted_card (id, number) VALUES (3, E'\x01\x01\x01 \x10\x10\x10\x10') ON CONFLICT (id) DO UPDATE SET data = decrypted_card.data;

DROP SCHEMA hostile CASCADE;
