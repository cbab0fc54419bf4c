-- Notes, and a plain trail of what was done; it has no index but its key
CREATE TABLE note (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	user_id bigint NOT NULL,
	title text NOT NULL,
	body text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON note (user_id);
ALTER TABLE note ENABLE ROW LEVEL SECURITY;
ALTER TABLE note FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON note TO app
	USING (user_id = (SELECT current_setting('app.user_id', true)::bigint))
	WITH CHECK (user_id = (SELECT current_setting('app.user_id', true)::bigint));

CREATE TABLE trail (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	done_at timestamptz NOT NULL DEFAULT now(),
	user_id bigint,
	action text NOT NULL,
	resource text,
	request_id text,
	ip inet,
	details jsonb
);
GRANT SELECT, INSERT ON note TO app;
GRANT INSERT ON trail TO app;
