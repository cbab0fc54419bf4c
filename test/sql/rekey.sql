-- rekey() and rekey_all(): what they refuse, what they say, and what shows it.
CREATE TABLE rg_card (id int PRIMARY KEY, number text);
SELECT relay_guard.encrypt_column('rg_card', 'number', '{id}', 'shop.card.number');
INSERT INTO decrypted_rg_card VALUES (1, '4711'), (2, NULL);
SELECT rows_seen FROM relay_guard.keyring_status;

CALL relay_guard.rekey('rg_card', 'number', 0);
CALL relay_guard.rekey('rg_card', 'id');
CALL relay_guard.rekey('rg_card', 'no');
CALL relay_guard.rekey(NULL, 'number');
BEGIN;
CALL relay_guard.rekey('rg_card', 'number');
ROLLBACK;
BEGIN;
CALL relay_guard.rekey_all();
ROLLBACK;
CREATE PROCEDURE rg_call() LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN CALL relay_guard.rekey('rg_card', 'number'); END $$;
CALL rg_call();
CALL relay_guard.rekey('rg_card', 'number');
DO $$ BEGIN CALL relay_guard.rekey('rg_card', 'number', 1); END $$;

SELECT relation, column_name, phase, pass, rows_done, rows_seen, rows_failed, rows_locked, rows_total, failures,
       started_at <= updated_at AS began_before, pid
FROM relay_guard.rekey_progress;
SELECT rows_seen FROM relay_guard.keyring_status;
SELECT number FROM decrypted_rg_card ORDER BY id;

-- a value that does not open
SET session_replication_role = replica;
UPDATE rg_card SET number = relay_guard.encrypt('5'::text, '') WHERE id = 2;
UPDATE rg_card SET number = overlay(number PLACING '\x00000063' FROM 2);
RESET session_replication_role;
CALL relay_guard.rekey('rg_card', 'number');
SELECT phase, rows_failed, failures FROM relay_guard.rekey_progress;

-- only for whom it was granted, and who owns the table
CREATE ROLE rg_admin; CREATE ROLE rg_nobody;
SELECT relay_guard.grant_role('admin', 'rg_admin');
SET ROLE rg_nobody;
CALL relay_guard.rekey('rg_card', 'number');
CALL relay_guard.rekey_all();
SELECT FROM relay_guard.rekey_progress;
SET ROLE rg_admin;
CALL relay_guard.rekey('rg_card', 'number');
CALL relay_guard.rekey_all();
SELECT phase FROM relay_guard.rekey_progress;
SELECT FROM relay_guard.rekey_state;
RESET ROLE;

-- what is gone is forgotten
SELECT relay_guard.encrypt_column_stop('rg_card', 'number');
DELETE FROM rg_card;
SELECT relay_guard.encrypt_column_stop('rg_card', 'number');
SELECT rows_seen FROM relay_guard.keyring_status;
CALL relay_guard.rekey('rg_card', 'number');
CREATE TABLE rg_other (id int PRIMARY KEY, c bytea);
SELECT relay_guard.encrypt_column('rg_other', 'c', '{id}', plaintext => 'text');
DROP TABLE rg_card;
CALL relay_guard.rekey_all();
SELECT relation, phase FROM relay_guard.rekey_progress;
SELECT count(*) FROM relay_guard.rekey_state;
DROP TABLE rg_other CASCADE;
DROP PROCEDURE rg_call();
DROP OWNED BY rg_admin; DROP ROLE rg_admin, rg_nobody;
TRUNCATE relay_guard.rekey_state;
