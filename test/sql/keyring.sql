-- The key ring in SQL: what it shows and what it never does.
\set VERBOSITY terse
SELECT key_id, state, locked IS NOT NULL AS says_whether_locked, created FROM relay_guard.keyring_status;

-- a line of a key's own, for superusers alone, another one each time
SELECT relay_guard.keyring_new_line() ~ '^[1-9]\d{5} [A-Za-z0-9+/]{43}= primary 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$' AS a_line,
       relay_guard.keyring_new_line() <> relay_guard.keyring_new_line() AS another;
CREATE ROLE rg_nobody; CREATE ROLE rg_admin;
SELECT relay_guard.grant_role('admin', 'rg_admin');
GRANT EXECUTE ON FUNCTION relay_guard.keyring_new_line() TO rg_nobody;
SET ROLE rg_nobody;
SELECT relay_guard.keyring_new_line();
SELECT * FROM relay_guard.keyring_status;
SELECT relay_guard.read_keyring();
SELECT relay_guard.rekey_secrets();
SET ROLE rg_admin;
SELECT relay_guard.keyring_new_line();
SELECT key_id, state FROM relay_guard.keyring_status;
RESET ROLE;
REVOKE ALL ON FUNCTION relay_guard.keyring_new_line() FROM rg_nobody;
DROP OWNED BY rg_admin; DROP ROLE rg_admin, rg_nobody;
