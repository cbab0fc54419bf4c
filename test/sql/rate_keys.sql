-- What has a counter of its own.
INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window") VALUES
	('keys_ip', 'ip', 100, '1 day'),
	('keys_user', 'user', 100, '1 day'),
	('keys_workspace', 'workspace', 100, '1 day'),
	('keys_api_key', 'api_key', 100, '1 day'),
	('keys_global', 'global', 100, '1 day');

-- IPv4 by address, IPv6 by /64; an address is the same however it is written
SELECT address, remaining
FROM unnest('{10.0.0.1,10.0.0.2,2001:db8::1,2001:db8::ffff:1,2001:0db8:0:0:1::,2001:db8:0:1::1,::ffff:10.0.0.1,10.0.0.1/32}'::text[])
	WITH ORDINALITY AS a (address, i),
	relay_guard.rate_take_key('keys_ip', address)
ORDER BY i;

-- and whether it comes as a key or with the identity
BEGIN;
SELECT relay_guard.assume('u1', 'w1', client_ip => '10.0.0.1');
SELECT policy, remaining
FROM relay_guard.rate_take_all('{keys_ip,keys_user,keys_workspace,keys_global}');
COMMIT;
BEGIN;
SELECT relay_guard.assume('u2', 'w1', client_ip => '2001:db8::2');
SELECT policy, remaining
FROM relay_guard.rate_take_all('{keys_ip,keys_user,keys_workspace,keys_global}');
COMMIT;
-- An API key is one by how it came, not by what its role is called
SELECT key FROM relay_guard.api_key_create('keys') \gset
BEGIN;
SELECT relay_guard.authenticate_api_key(:'key') ~ '^key:' AS authenticated;
SELECT remaining FROM relay_guard.rate_take('keys_api_key');
COMMIT;
BEGIN;
SELECT relay_guard.assume('key-7', 'w1', 'api_key');
SELECT remaining FROM relay_guard.rate_take('keys_api_key');
COMMIT;

-- The same key of two policies is two counters
SELECT remaining FROM relay_guard.rate_take_key('keys_user', 'w1');

-- Long keys differ behind the 64 bytes that are kept, cut at a character's end
SELECT remaining FROM relay_guard.rate_take_key('keys_user', repeat('ä', 1000) || '1');
SELECT remaining FROM relay_guard.rate_take_key('keys_user', repeat('ä', 1000) || '2');
SELECT remaining FROM relay_guard.rate_take_key('keys_user', 'x' || repeat('ä', 100));

SELECT regexp_replace(name, '[0-9a-f-]{36}$', '<uuid>') AS name, class, algorithm, used, "limit", remaining, denied, stored
FROM relay_guard.counter WHERE policy LIKE 'keys\_%' ORDER BY name COLLATE "C", used;

-- Times are those of now
SELECT bool_and(reset_after BETWEEN 172000 AND 172800) AS reset_after,
	bool_and(last_used BETWEEN now() - interval '1 min' AND clock_timestamp()) AS last_used
FROM relay_guard.counter WHERE policy LIKE 'keys\_%';

DELETE FROM relay_guard.rate_policy WHERE name LIKE 'keys\_%';
SELECT count(*) FROM relay_guard.counter WHERE policy LIKE 'keys\_%';
TRUNCATE relay_guard.api_key, relay_guard.api_key_pepper;
SELECT preloaded, max = current_setting('relay_guard.max_counters')::int AS max,
	used = used_by_addresses + used_by_identities + used_by_overflows AS used
FROM relay_guard.counter_status;
