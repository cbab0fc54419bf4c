-- One key ring serves all databases of the server, and a token only the one that
-- made it: who is trusted in one is nobody in the next.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE ROLE rg_trusted LOGIN;
SELECT relay_guard.grant_role('trusted', 'rg_trusted');
SET ROLE rg_trusted;
SELECT relay_guard.issue_token('alice', role => 'admin') AS token \gset
RESET ROLE;
BEGIN; SELECT relay_guard.authenticate(:'token'); COMMIT;
SELECT current_database() AS here \gset
CREATE DATABASE rg_other;
\c rg_other
\set VERBOSITY default
SET client_min_messages = warning;
CREATE EXTENSION relay_guard;
SET ROLE rg_trusted;
SELECT relay_guard.assume('alice');
BEGIN; SELECT relay_guard.authenticate(:'token'); ROLLBACK;
RESET ROLE;
SELECT relay_guard.issue_token('alice') AS token \gset
BEGIN; SELECT relay_guard.authenticate(:'token'); COMMIT;
\c :here
DROP DATABASE rg_other;
DROP OWNED BY rg_trusted;
DROP ROLE rg_trusted;
