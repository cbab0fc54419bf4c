-- Secrets of webhooks, what is signed with them, and what is verified.
\set secret 'whsec_q1HPm3uaNAP0svHB9VhOYfCXFrsyK2N7JUQbbDDWLGY='
\set second 'whsec_Wn5cb3dhbnRzIHRvIGtub3cgd2hhdD8gLSB4eg=='
\set text_secret 'f3b9ac70e1d24685b7c04fa1829d36e5'
\set VERBOSITY terse
CREATE VIEW rg_stored AS
SELECT name, version, expires_at > now() AS former, expires_at - now() > interval '20 h' AS for_long
FROM relay_guard.webhook_secret ORDER BY name, version;
CREATE FUNCTION rg_now(seconds int DEFAULT 0) RETURNS text LANGUAGE sql AS
$$ SELECT (floor(extract(epoch FROM clock_timestamp()))::bigint + seconds)::text $$;
-- does a message that was signed just now pass, and with what changed?
CREATE FUNCTION rg_passes(name text, id text DEFAULT 'msg_1', body bytea DEFAULT 'hello', at text DEFAULT NULL, header text DEFAULT NULL) RETURNS boolean LANGUAGE sql AS
$$ SELECT relay_guard.webhook_verify(name, rg_passes.id, coalesce(at, s."webhook-timestamp"), coalesce(header, s."webhook-signature"), rg_passes.body)
   FROM relay_guard.webhook_sign(name, 'msg_1', 'hello') s $$;

-- one that is made is shown once, one that is given is not
SELECT relay_guard.webhook_secret_set('made') ~ '^whsec_[A-Za-z0-9+/]{43}=$' AS shown;
SELECT relay_guard.webhook_secret_set('given', :'secret') IS NULL AS not_shown;
SELECT * FROM rg_stored;
SELECT relay_guard.is_envelope(secret) AS sealed, position(:'secret'::bytea IN secret) AS in_clear FROM relay_guard.webhook_secret;

-- signed: as openssl dgst -sha256 -hmac has it
SELECT * FROM relay_guard.webhook_sign('given', 'msg_1', 'hello', '2024-01-02 03:04:05.999Z');
SELECT to_jsonb(relay_guard.webhook_sign('given', 'msg_1', '', 'epoch'));
SELECT "webhook-timestamp" = rg_now() OR "webhook-timestamp" = rg_now(-1) AS now FROM relay_guard.webhook_sign('given', 'msg_1', 'hello');
SELECT "webhook-timestamp" = rg_now() OR "webhook-timestamp" = rg_now(-1) AS now FROM relay_guard.webhook_sign('given', 'msg_1', 'hello', NULL);
SELECT rg_passes('given'), rg_passes('made'), rg_passes('made', body => 'hullo'), rg_passes('made', header => (SELECT "webhook-signature" FROM relay_guard.webhook_sign('given', 'msg_1', 'hello')));

-- pain: a retry reuses the first timestamp. It is the clock of the call, not of the transaction, under the same id
BEGIN;
SELECT "webhook-timestamp" AS first, "webhook-signature" AS first_signature FROM relay_guard.webhook_sign('given', 'msg_1', 'hello') \gset
SELECT FROM pg_sleep(1.1);
SELECT "webhook-timestamp" AS retry, "webhook-signature" AS retry_signature FROM relay_guard.webhook_sign('given', 'msg_1', 'hello') \gset
SELECT :retry > :first AS fresh_timestamp, :'retry_signature' <> :'first_signature' AS fresh_signature;
SELECT relay_guard.webhook_verify('given', 'msg_1', :'retry', :'retry_signature', 'hello') AS passes,
       relay_guard.webhook_verify('given', 'msg_1', :'retry', :'first_signature', 'hello') AS signature_of_the_first,
       relay_guard.webhook_verify('given', 'msg_1', :'first', :'first_signature', 'hello', '0') AS as_of_the_transaction;
COMMIT;

-- pain: the id is outside the MAC
SELECT rg_passes('given', 'msg_2') AS other_id, rg_passes('given', 'MSG_1') AS other_case, rg_passes('given', 'msg_1.') AS stop, rg_passes('given', '') AS none;
-- and one with a full stop cannot pass for another message's text
SELECT "webhook-timestamp" AS at, "webhook-signature" AS signature
FROM relay_guard.webhook_sign('given', 'msg_1', convert_to(rg_now() || '.hello', 'UTF8')) \gset
SELECT relay_guard.webhook_verify('given', 'msg_1', :'at', :'signature', convert_to(:'at' || '.hello', 'UTF8')) AS as_signed,
       relay_guard.webhook_verify('given', 'msg_1.' || :'at', :'at', :'signature', 'hello') AS cut_elsewhere;

-- pain: a timestamp that is NaN passes. It is decimal digits, within the tolerance, to either side
SELECT t AS timestamp, relay_guard.webhook_verify('given', 'msg_1', t, s."webhook-signature", 'hello') AS passes
FROM unnest('{NaN,inf,-1,+1614265330," 1614265330",1e9,99999999999999999999,""}'::text[]) t, relay_guard.webhook_sign('given', 'msg_1', 'hello') s;
CREATE FUNCTION rg_after(seconds int, tolerance interval DEFAULT '5 minutes') RETURNS boolean LANGUAGE sql AS
$$ SELECT relay_guard.webhook_verify('given', 'msg_1', s."webhook-timestamp", s."webhook-signature", 'hello', tolerance)
   FROM relay_guard.webhook_sign('given', 'msg_1', 'hello', clock_timestamp() - make_interval(secs => seconds)) s $$;
SELECT rg_after(295) AS old, rg_after(-295) AS ahead, rg_after(305) AS too_old, rg_after(-305) AS too_far_ahead;
SELECT rg_after(3600, '1 h 10 s') AS longer, rg_after(3600, '59 min') AS too_long, rg_after(29 * 86400, '1 mon') AS month, rg_after(31 * 86400, '1 mon') AS too_long, rg_after(60, '0') AS zero, rg_after(0, '1 s') AS second;
SELECT rg_after(0, '-1 s');
SELECT rg_after(0, NULL);

-- pain: IF NOT verify() lets null pass. What the message lacks makes it false, never null
SELECT relay_guard.webhook_verify('given', NULL, rg_now(), 'v1,', '') AS id, relay_guard.webhook_verify('given', 'a', NULL, 'v1,', '') AS timestamp,
       relay_guard.webhook_verify('given', 'a', rg_now(), NULL, '') AS signature, relay_guard.webhook_verify('given', 'a', rg_now(), 'v1,', NULL) AS body,
       relay_guard.webhook_verify_body('given', NULL, '') AS signature, relay_guard.webhook_verify_body('given', 'sha256=', NULL) AS body,
       relay_guard.webhook_verify_slack('given', NULL, 'v0=', '') AS timestamp, relay_guard.webhook_verify_slack('given', rg_now(), NULL, '') AS signature;
-- a name that nobody stored is an error: who mistypes it must not see forged messages only
\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT relay_guard.webhook_verify('gvien', 'a', rg_now(), 'v1,', '');
\set VERBOSITY sqlstate
SELECT relay_guard.webhook_verify('gvien', NULL, NULL, NULL, NULL);
SELECT relay_guard.webhook_verify_body('gvien', NULL, NULL);
SELECT relay_guard.webhook_verify_slack('gvien', NULL, NULL, NULL);
SELECT relay_guard.webhook_sign('gvien', 'a', '');
SELECT relay_guard.webhook_verify(NULL, 'a', rg_now(), 'v1,', '');
SELECT relay_guard.webhook_sign(NULL, 'a', '');
\set VERBOSITY terse

-- what is not signed
SELECT relay_guard.webhook_sign('given', 'msg.1', '');
SELECT relay_guard.webhook_sign('given', E'msg\r\nset-cookie: a=b', '');
SELECT relay_guard.webhook_sign('given', NULL, '');
SELECT relay_guard.webhook_sign('given', 'msg_1', NULL);
SELECT relay_guard.webhook_sign('given', 'msg_1', '', 'infinity');
SELECT relay_guard.webhook_sign('given', 'msg_1', '', '-infinity');
SELECT relay_guard.webhook_sign('given', 'msg_1', '', '1969-12-31 23:59:59.9Z');
SELECT relay_guard.webhook_sign('given', 'msg_1', '', '33658-09-27 01:46:40Z');

-- sha256= of the body alone, under the secret's text
SELECT relay_guard.webhook_secret_set('github', :'text_secret');
SELECT "x-signature" AS x FROM relay_guard.webhook_sign('github', 'msg_1', 'hello') \gset
SELECT "webhook-signature" IS NULL AS no_standard_signature, "x-signature" FROM relay_guard.webhook_sign('github', 'msg_1', 'hello');
SELECT relay_guard.webhook_verify_body('github', :'x', 'hello') AS passes, relay_guard.webhook_verify_body('github', :'x', 'hullo') AS other_body,
       relay_guard.webhook_verify_body('github', upper(:'x'), 'hello') AS upper_case, relay_guard.webhook_verify_body('github', substr(:'x', 8), 'hello') AS bare,
       relay_guard.webhook_verify_body('given', :'x', 'hello') AS other_secret, relay_guard.webhook_verify_body('github', 'sha256= ' || :'x', 'hello') AS two;
SELECT relay_guard.webhook_verify('github', 'msg_1', rg_now(), 'v1,', 'hello');
-- Slack's
SELECT rg_now() AS at \gset
SELECT 'v0=' || substr("x-signature", 8) AS slack FROM relay_guard.webhook_sign('github', 'msg_1', convert_to('v0:' || :'at' || ':hello', 'UTF8')) \gset
SELECT relay_guard.webhook_verify_slack('github', :'at', :'slack', 'hello') AS passes, relay_guard.webhook_verify_slack('github', :'at', :'slack', 'hullo') AS other_body,
       relay_guard.webhook_verify_slack('github', (:at + 1)::text, :'slack', 'hello') AS other_timestamp, relay_guard.webhook_verify_slack('github', 'NaN', :'slack', 'hello') AS nan,
       relay_guard.webhook_verify_slack('given', :'at', :'slack', 'hello') AS other_secret;
SELECT (:at - 400)::text AS at \gset
SELECT 'v0=' || substr("x-signature", 8) AS slack FROM relay_guard.webhook_sign('github', 'msg_1', convert_to('v0:' || :'at' || ':hello', 'UTF8')) \gset
SELECT relay_guard.webhook_verify_slack('github', :'at', :'slack', 'hello') AS too_old, relay_guard.webhook_verify_slack('github', :'at', :'slack', 'hello', '10 min') AS longer;

-- rotation: the former one signs and verifies beside the new one, until its end
SELECT "webhook-timestamp" AS at, "webhook-signature" AS signature, "x-signature" AS x FROM relay_guard.webhook_sign('given', 'msg_1', 'hello') \gset
SELECT relay_guard.webhook_secret_set('given', :'second');
SELECT * FROM rg_stored WHERE name = 'given';
SELECT relay_guard.webhook_verify('given', 'msg_1', :'at', :'signature', 'hello') AS former_passes, relay_guard.webhook_verify_body('given', :'x', 'hello') AS former_body_passes;
SELECT cardinality(string_to_array("webhook-signature", ' ')) AS signatures, split_part("webhook-signature", ' ', 1) = (:'signature') AS former_first,
       "x-signature" = 'sha256=cd170a3d00350cd2bf30a92996c3da8a85ba838b8d45c51f42c3dda91da7280e' AS current_alone
FROM relay_guard.webhook_sign('given', 'msg_1', 'hello', to_timestamp(:at));
SELECT rg_passes('given') AS both, rg_passes('given', header => split_part("webhook-signature", ' ', 2)) AS new_alone FROM relay_guard.webhook_sign('given', 'msg_1', 'hello');
-- the same again replaces nothing, but may end the former one
SELECT relay_guard.webhook_secret_set('given', :'second');
SELECT * FROM rg_stored WHERE name = 'given';
SELECT relay_guard.webhook_secret_set('given', :'second', '1 h');
SELECT * FROM rg_stored WHERE name = 'given';
SELECT relay_guard.webhook_secret_set('given', :'second', '1 mon');
SELECT * FROM rg_stored WHERE name = 'given';
UPDATE relay_guard.webhook_secret SET expires_at = clock_timestamp() WHERE name = 'given' AND version = 1;
SELECT relay_guard.webhook_verify('given', 'msg_1', :'at', :'signature', 'hello') AS ended, rg_passes('given') AS new;
SELECT relay_guard.webhook_secret_set('given', :'second');
SELECT * FROM rg_stored WHERE name = 'given';
-- without grace
SELECT relay_guard.webhook_secret_set('given', :'secret', '0');
SELECT * FROM rg_stored WHERE name = 'given';
SELECT relay_guard.webhook_verify('given', 'msg_1', :'at', :'signature', 'hello') AS the_first_again;
-- there are never more than four
SELECT count(relay_guard.webhook_secret_set('made')) FROM generate_series(1, 3);
\set VERBOSITY default
SELECT relay_guard.webhook_secret_set('made');
\set VERBOSITY terse
SELECT * FROM rg_stored WHERE name = 'made';
SELECT relay_guard.webhook_secret_set('made', keep_old => '0') IS NOT NULL AS made;
SELECT * FROM rg_stored WHERE name = 'made';
SELECT relay_guard.webhook_secret_set('made', keep_old => '-1 s');
SELECT relay_guard.webhook_secret_set('made', keep_old => NULL);

-- refused: weak, or of no form
\set VERBOSITY default
SELECT relay_guard.webhook_secret_set('bad', 'mysecret');
\set VERBOSITY terse
SELECT relay_guard.webhook_secret_set('bad', '');
SELECT relay_guard.webhook_secret_set('bad', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw');
SELECT relay_guard.webhook_secret_set('bad', 'whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=');
SELECT relay_guard.webhook_secret_set('bad', 'whsec_not base64, to be sure, and long enough');
SELECT relay_guard.webhook_secret_set('bad', E'f3b9ac70e1d24685b7c04fa1829d36e5\n');
SELECT relay_guard.webhook_secret_set(NULL, :'secret');
SELECT relay_guard.webhook_secret_set('', :'secret');
SELECT relay_guard.webhook_secret_set(repeat('x', 256), :'secret');
SELECT count(*) FROM relay_guard.webhook_secret WHERE name NOT IN ('made', 'given', 'github');

-- bound to its name: what one row holds does not open in another
UPDATE relay_guard.webhook_secret SET secret = (SELECT secret FROM relay_guard.webhook_secret WHERE name = 'github') WHERE name = 'made';
SELECT rg_passes('made');
SELECT relay_guard.webhook_verify_body('made', 'sha256=', '');
-- and a new one can be stored all the same; the former does not stand in its way
SELECT relay_guard.webhook_secret_set('made') IS NOT NULL AS made;
SELECT rg_passes('made');
\set VERBOSITY default
SELECT relay_guard.webhook_secret_put('clear', :'secret', '0');
\set VERBOSITY terse
INSERT INTO relay_guard.webhook_secret (name, version, secret) VALUES ('clear', 1, :'secret');
INSERT INTO relay_guard.webhook_secret (name, version, secret) SELECT name, 99, secret FROM relay_guard.webhook_secret WHERE name = 'github';

-- dropped, former ones too
SELECT relay_guard.webhook_secret_drop('made') AS dropped, relay_guard.webhook_secret_drop('made') AS again;
SELECT rg_passes('made');
-- seen at once, also by a transaction that began before
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) AS stored FROM relay_guard.webhook_secret;
\! psql -X -q -A -t -d contrib_regression -c "SELECT relay_guard.webhook_secret_drop('given')"
SELECT rg_passes('given');
ROLLBACK;

-- what an admin and an application may do
CREATE ROLE rg_hooks_admin; CREATE ROLE rg_hooks_app; CREATE ROLE rg_hooks_nobody;
SELECT relay_guard.grant_role('admin', 'rg_hooks_admin'), relay_guard.grant_role('app', 'rg_hooks_app');
SET ROLE rg_hooks_admin;
SELECT relay_guard.webhook_secret_set('given', :'secret');
SELECT name, version, expires_at FROM relay_guard.webhook_secret ORDER BY 1;
SELECT secret FROM relay_guard.webhook_secret;
SELECT relay_guard.webhook_sign('given', 'a', '');
SELECT relay_guard.webhook_secret_put('given', NULL, '0');
SET ROLE rg_hooks_app;
SELECT rg_passes('given');
SELECT relay_guard.webhook_secret_set('given');
SELECT relay_guard.webhook_secret_drop('given');
SELECT name FROM relay_guard.webhook_secret;
SET ROLE rg_hooks_nobody;
SELECT relay_guard.webhook_sign('given', 'a', '');
SELECT relay_guard.webhook_verify('given', 'a', '1', '', '');
SELECT relay_guard.webhook_verify_body('given', '', '');
SELECT relay_guard.webhook_verify_slack('given', '1', '', '');
RESET ROLE;

DELETE FROM relay_guard.webhook_secret;
DROP FUNCTION rg_after(int, interval), rg_passes(text, text, bytea, text, text), rg_now(int);
DROP VIEW rg_stored;
DROP OWNED BY rg_hooks_admin, rg_hooks_app;
DROP ROLE rg_hooks_admin, rg_hooks_app, rg_hooks_nobody;
