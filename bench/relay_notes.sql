-- Notes, and the route that adds one; as superuser
CREATE TABLE bench.note (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	user_id bigint NOT NULL DEFAULT relay_guard.user_bigint(),
	title text NOT NULL,
	body text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now()
);
SELECT relay_guard.protect('bench.note', grant_to => 'relay_app') \g /dev/null
SELECT relay_guard.audit('bench.note') \g /dev/null

INSERT INTO relay_guard.route (method, path, query, request_body, auth, rate, result, status, run_as)
VALUES ('POST', '/api/v1/notes',
		'INSERT INTO bench.note (title, body) VALUES (request.title, request.body_text) RETURNING id',
		'{"type": "object", "required": ["title", "body_text"], "additionalProperties": false,
		  "properties": {"title": {"type": "string"}, "body_text": {"type": "string"}}}',
		'anonymous', '{ip,user,knowledge}', 'row', 201, 'relay_app');
