INSERT INTO bench.upserted AS counter (key, started_at, used) VALUES ((:n)::text, now(), 1)
ON CONFLICT (key) DO UPDATE SET
	started_at = CASE WHEN counter.started_at < now() - interval '30 s' THEN now() ELSE counter.started_at END,
	used = CASE WHEN counter.started_at < now() - interval '30 s' THEN 1 ELSE counter.used + 1 END
RETURNING used <= 1000000000
