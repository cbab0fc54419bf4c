-- An issuer that knows the uuid of another's user does not become that user by it.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE ROLE rg_app;
CREATE TABLE rg_note (user_id uuid, workspace_id uuid, body text);
SELECT relay_guard.protect('rg_note', owner => 'user_id', tenant => 'workspace_id', grant_to => 'rg_app');
INSERT INTO rg_note VALUES (NULL, NULL, 'nobody''s');

BEGIN;
SELECT relay_guard.assume('https://two.example|alice', 'https://two.example|w1');
SELECT relay_guard.user_uuid() AS victim, relay_guard.workspace_uuid() AS space \gset
SET LOCAL ROLE rg_app;
INSERT INTO rg_note VALUES (:'victim', :'space', 'hers');
SELECT body FROM rg_note;
COMMIT;

-- what the first issuer, which has no prefix, may say
BEGIN;
SELECT relay_guard.assume(:'victim', :'space');
SET LOCAL ROLE rg_app;
SELECT body FROM rg_note;
SELECT relay_guard.user_uuid() = :'victim' AS same_user, relay_guard.workspace_uuid() = :'space' AS same_space;
COMMIT;

DROP TABLE rg_note;
DROP ROLE rg_app;
