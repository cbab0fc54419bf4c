
-- Webhooks on their way: written in the transaction that caused them, carried by gateways
-- when it has committed.

-- Who may change it says where tenants' messages go.
CREATE TABLE webhook_endpoint (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name            text COLLATE "C" NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    url             text NOT NULL CHECK (url ~ '^https?://([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])(:[1-9][0-9]{0,4})?([/?][A-Za-z0-9._~!$&''()*+,;=:@/?%-]*)?$'
                                         AND octet_length(url) <= 2048),
    types           text[] NOT NULL DEFAULT '{}' CHECK (array_position(types, NULL) IS NULL AND cardinality(types) <= 100
                                                        AND cardinality(string_to_array(array_to_string(types, ','), ',')) = cardinality(types)
                                                        AND array_to_string(types, ',') ~ '^([A-Za-z0-9_]+([.,][A-Za-z0-9_]+)*)?$'),
    workspace       text CHECK (octet_length(workspace) BETWEEN 1 AND 255),
    timeout         interval NOT NULL DEFAULT '15 s' CHECK (timeout BETWEEN '1 s' AND '60 s'),
    disabled_at     timestamptz,
    disabled_reason text CHECK (octet_length(disabled_reason) <= 1000),
    created_at      timestamptz NOT NULL DEFAULT now(),
    CHECK (disabled_at IS NOT NULL OR disabled_reason IS NULL)
);
COMMENT ON TABLE webhook_endpoint IS 'Where webhooks are sent; webhook_endpoint_secret_set() makes the secret that an endpoint needs.';
COMMENT ON COLUMN webhook_endpoint.name IS 'What people call it; its secrets are those of "endpoint/" and the name.';
COMMENT ON COLUMN webhook_endpoint.url IS 'Where it listens. Gateways send to https and to public addresses, unless they are told otherwise.';
COMMENT ON COLUMN webhook_endpoint.types IS 'The types of messages it gets; {}: all.';
COMMENT ON COLUMN webhook_endpoint.workspace IS 'Whose messages it gets; NULL: everybody''s, and those of no workspace.';
COMMENT ON COLUMN webhook_endpoint.timeout IS 'How long an attempt may take, from the name''s resolution to the answer''s head.';
COMMENT ON COLUMN webhook_endpoint.disabled_at IS 'From when on it gets no more messages, and those that wait are not sent; webhook_enable() ends that.';
COMMENT ON COLUMN webhook_endpoint.disabled_reason IS 'Why, where the endpoint itself has asked for it with the status 410.';

CREATE TABLE webhook_message (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id  text COLLATE "C" NOT NULL UNIQUE CHECK (public_id ~ '^msg_[0-9a-f-]{36}$'),
    type       text NOT NULL CHECK (type ~ '^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$' AND octet_length(type) <= 255),
    body       bytea NOT NULL CHECK (octet_length(body) <= 262144),
    workspace  text CHECK (octet_length(workspace) BETWEEN 1 AND 255),
    request_id text CHECK (request_id ~ '^[A-Za-z0-9._-]{1,128}$'),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX webhook_message_created_at ON webhook_message (created_at);
COMMENT ON TABLE webhook_message IS 'What webhook_send() was given. It holds what tenants may see: nobody is granted it.';
COMMENT ON COLUMN webhook_message.public_id IS 'The header webhook-id of every attempt to every endpoint, by which receivers notice what came twice.';
COMMENT ON COLUMN webhook_message.body IS 'The bytes that are sent: a JSON object of type, timestamp and data.';
COMMENT ON COLUMN webhook_message.workspace IS 'Whose it is; NULL: of no workspace.';
COMMENT ON COLUMN webhook_message.request_id IS 'The request that caused it, for the header x-request-id; NULL: none, or one whose id would be no header.';

-- While an attempt is under way next_at is when the next one is due if nobody says how it
-- went, which is not before its lease ends: whoever looks for what is due finds what was
-- lost, too.
CREATE TABLE webhook_delivery (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message         bigint NOT NULL REFERENCES webhook_message ON DELETE CASCADE,
    endpoint        uuid NOT NULL REFERENCES webhook_endpoint ON DELETE CASCADE,
    state           text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts        int NOT NULL DEFAULT 0,
    attempts_before int NOT NULL DEFAULT 0,
    next_at         timestamptz DEFAULT clock_timestamp(),
    leased_until    timestamptz,
    last_status     int CHECK (last_status BETWEEN 100 AND 999),
    last_error      text CHECK (octet_length(last_error) <= 2000),
    finished_at     timestamptz,
    UNIQUE (message, endpoint),
    CHECK (attempts_before BETWEEN 0 AND attempts),
    CHECK ((state = 'pending') = (next_at IS NOT NULL)),
    CHECK ((state = 'pending') = (finished_at IS NULL)),
    CHECK (leased_until IS NULL OR state = 'pending')
);
CREATE INDEX webhook_delivery_due ON webhook_delivery (endpoint, next_at);
CREATE INDEX webhook_delivery_leased ON webhook_delivery (endpoint, leased_until) WHERE leased_until IS NOT NULL;
CREATE INDEX webhook_delivery_failed ON webhook_delivery (endpoint) WHERE state = 'failed';
COMMENT ON TABLE webhook_delivery IS 'A message on its way to an endpoint.';
COMMENT ON COLUMN webhook_delivery.attempts IS 'How often it was handed to a gateway; the number of the present attempt.';
COMMENT ON COLUMN webhook_delivery.attempts_before IS 'How many of them were made before webhook_replay() began anew.';
COMMENT ON COLUMN webhook_delivery.next_at IS 'When the next attempt is due; NULL: there will be none.';
COMMENT ON COLUMN webhook_delivery.leased_until IS 'Until when a gateway has it; after that it is handed out again. NULL: none has.';
COMMENT ON COLUMN webhook_delivery.last_status IS 'What the endpoint last answered; NULL: nothing.';
COMMENT ON COLUMN webhook_delivery.last_error IS 'What was wrong with the last attempt, or why there was none.';
COMMENT ON COLUMN webhook_delivery.finished_at IS 'When it was delivered or given up.';

SELECT pg_catalog.pg_extension_config_dump('webhook_endpoint', '');
SELECT pg_catalog.pg_extension_config_dump('webhook_message',
    'WHERE id IN (SELECT message FROM relay_guard.webhook_delivery WHERE state <> ''delivered'')');
SELECT pg_catalog.pg_extension_config_dump('webhook_message_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('webhook_delivery', 'WHERE state <> ''delivered''');
SELECT pg_catalog.pg_extension_config_dump('webhook_delivery_id_seq', '');

-- Secrets of endpoints

CREATE FUNCTION webhook_endpoint_secret_set(name text, secret text DEFAULT NULL, keep_old interval DEFAULT '1 day')
RETURNS text
LANGUAGE C SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'relay_guard_webhook_endpoint_secret_set';
COMMENT ON FUNCTION webhook_endpoint_secret_set(text, text, interval) IS
'Stores what messages to that endpoint are signed with, sealed under the key ring. Without one it makes 256 random bits in the form of Standard Webhooks (whsec_...) and returns them this once, otherwise NULL. Those it replaces sign as well for keep_old.';

CREATE FUNCTION webhook_endpoint_secret_drop() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.name = NEW.name THEN
        RETURN NULL;
    END IF;
    DELETE FROM relay_guard.webhook_secret s WHERE s.name = 'endpoint/' || OLD.name;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION webhook_endpoint_secret_drop() IS 'Trigger of webhook_endpoint: its secrets go with it, and with its name.';
CREATE TRIGGER webhook_endpoint_secret_drop AFTER DELETE OR UPDATE OF name ON webhook_endpoint
FOR EACH ROW EXECUTE FUNCTION webhook_endpoint_secret_drop();

CREATE FUNCTION webhook_endpoint_sign(name text, id text, body bytea, "timestamp" timestamptz,
                                      OUT "webhook-id" text, OUT "webhook-timestamp" text,
                                      OUT "webhook-signature" text, OUT "x-signature" text)
LANGUAGE C PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_webhook_endpoint_sign';
COMMENT ON FUNCTION webhook_endpoint_sign(text, text, bytea, timestamptz) IS
'What webhook_sign() does, with the secrets of an endpoint; for webhook_claim() alone.';

-- Sending

CREATE FUNCTION webhook_message_new(OUT public_id text, OUT request_id text)
LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_webhook_message_new';
COMMENT ON FUNCTION webhook_message_new() IS
'A new id of a message, and the request that is being served, whose answer will tell the gateway that there is something to send; for webhook_send().';

CREATE FUNCTION webhook_payload_used() RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_webhook_payload_used';
COMMENT ON FUNCTION webhook_payload_used() IS
'Has the server log nothing of the present statement''s text and parameters, which hold what tenants may see; for webhook_send().';

CREATE FUNCTION webhook_body(type text, at timestamptz, payload jsonb) RETURNS bytea
LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN convert_to(format('{"type":%s,"timestamp":"%s","data":%s}', to_json(type),
                             to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), payload), 'UTF8');
EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN
    -- Without the bytes that PostgreSQL's message quotes
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a webhook must be text that UTF-8 has';
END
$$;
COMMENT ON FUNCTION webhook_body(text, timestamptz, jsonb) IS 'The body of a message in the form of Standard Webhooks.';

CREATE FUNCTION webhook_send(type text, payload jsonb, workspace text DEFAULT NULL, OUT message text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    body bytea;
    request text;
    endpoints uuid[];
    number bigint;
BEGIN
    PERFORM relay_guard.webhook_payload_used();
    IF $2 IS NULL OR $1 IS NULL OR $1 !~ '^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$' OR octet_length($1) > 255 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'a webhook needs a type and a payload',
            DETAIL = 'A type is made of letters, digits and underscores, in parts that full stops separate, such as order.paid.';
    END IF;
    -- One that is being deleted just now is waited for
    endpoints := ARRAY(
        SELECT e.id FROM relay_guard.webhook_endpoint e
        WHERE e.disabled_at IS NULL AND (e.workspace IS NULL OR e.workspace = $3) AND (e.types = '{}' OR $1 = ANY (e.types))
        FOR KEY SHARE);
    IF endpoints = '{}' THEN
        RETURN;
    END IF;
    body := relay_guard.webhook_body($1, moment, $2);
    IF octet_length(body) > 262144 THEN
        RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded',
            MESSAGE = 'the body of a webhook would be larger than 256 kB',
            HINT = 'Send what receivers need to ask for the rest.';
    END IF;
    SELECT n.public_id, n.request_id INTO message, request FROM relay_guard.webhook_message_new() n;
    INSERT INTO relay_guard.webhook_message (public_id, type, body, workspace, request_id, created_at)
    VALUES (message, $1, body, $3, CASE WHEN request ~ '^[A-Za-z0-9._-]{1,128}$' THEN request END, moment) RETURNING id INTO number;
    INSERT INTO relay_guard.webhook_delivery (message, endpoint) SELECT number, e FROM unnest(endpoints) e;
END
$$;
COMMENT ON FUNCTION webhook_send(text, jsonb, text) IS
'Sends a message to every endpoint that takes its type and workspace, if this transaction commits; returns its id, NULL when there is none. Endpoints of a workspace get those alone that name it: pass workspace_id() for the caller''s. It may arrive twice, and in any order.';

-- Handing out

-- What gateways call each second is in PL/pgSQL, which keeps its plans, and never compiled.

CREATE FUNCTION webhook_delay(tries int, retry_after int) RETURNS interval
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    delays CONSTANT interval[] := '{5 s,5 min,30 min,2 h,5 h,10 h,14 h,20 h,24 h}';
BEGIN
    IF tries > cardinality(delays) THEN
        RETURN NULL;
    END IF;
    RETURN greatest(delays[tries] * (1 + random() / 10), make_interval(secs => least(coalesce(retry_after, 0), 86400)));
END
$$;
COMMENT ON FUNCTION webhook_delay(int, int) IS
'How long to wait after so many attempts that failed, the last with that Retry-After in seconds; NULL: it is given up.';

CREATE FUNCTION webhook_give_up_lost(moment timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE relay_guard.webhook_delivery SET state = 'failed', next_at = NULL, leased_until = NULL, finished_at = moment,
        last_error = 'the last attempt was lost with its gateway'
    WHERE id IN (
        SELECT d.id FROM relay_guard.webhook_delivery d
        WHERE d.leased_until <= moment AND relay_guard.webhook_delay(d.attempts - d.attempts_before, 0) IS NULL
        FOR UPDATE SKIP LOCKED);
END
$$;
COMMENT ON FUNCTION webhook_give_up_lost(timestamptz) IS 'Gives up what nobody said the end of, in the last attempt.';

-- Locked until the transaction's end: of two that ask at once only one finds room for eight
-- at an endpoint.  The other does not wait, and whoever has the lock next looks for what is
-- under way in a statement of its own, which sees what the one before has taken.  No more
-- are locked than are wanted: the others are for whoever else asks.
--
-- Two looks into indexes for an endpoint, however much waits there: a LIMIT, unlike an
-- EXISTS, is never made a join with all that is due.
CREATE FUNCTION webhook_endpoints_due(moment timestamptz, besides uuid[], most bigint) RETURNS uuid[]
LANGUAGE plpgsql VOLATILE STRICT SET search_path = pg_catalog, pg_temp SET jit = off SET enable_seqscan = off AS $$
BEGIN
    RETURN ARRAY(
        SELECT e.id FROM relay_guard.webhook_endpoint e
        CROSS JOIN LATERAL (
            SELECT d.next_at FROM relay_guard.webhook_delivery d
            WHERE d.endpoint = e.id AND d.next_at <= moment ORDER BY d.next_at LIMIT 1
        ) AS first
        CROSS JOIN LATERAL (
            SELECT count(*) AS number FROM relay_guard.webhook_delivery u WHERE u.endpoint = e.id AND u.leased_until > moment
        ) AS under_way
        WHERE e.disabled_at IS NULL AND under_way.number < 8 AND e.id <> ALL (besides)
        ORDER BY under_way.number, first.next_at LIMIT most
        FOR NO KEY UPDATE OF e SKIP LOCKED);
END
$$;
COMMENT ON FUNCTION webhook_endpoints_due(timestamptz, uuid[], bigint) IS
'Locks so many endpoints, besides the given ones, at which something is due and that nobody else has locked: first those that have least under way.';

CREATE FUNCTION webhook_candidates(endpoints uuid[], moment timestamptz, OUT delivery bigint, OUT endpoint uuid)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE STRICT SET search_path = pg_catalog, pg_temp SET jit = off SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT d.id, e.id
    FROM unnest(endpoints) AS e (id)
    CROSS JOIN LATERAL (
        SELECT count(*) AS number FROM relay_guard.webhook_delivery u WHERE u.endpoint = e.id AND u.leased_until > moment
    ) AS under_way
    CROSS JOIN LATERAL (
        SELECT d.id, d.next_at, row_number() OVER (ORDER BY d.next_at) AS place FROM relay_guard.webhook_delivery d
        WHERE d.endpoint = e.id AND d.next_at <= moment ORDER BY d.next_at LIMIT 8
    ) AS d
    WHERE under_way.number + d.place <= 8
    ORDER BY under_way.number + d.place, d.next_at;
END
$$;
COMMENT ON FUNCTION webhook_candidates(uuid[], timestamptz) IS
'What is due at those endpoints, at each as many as make eight with those under way; first those of endpoints that have least under way.';

CREATE FUNCTION webhook_headers(delivery bigint) RETURNS text[]
LANGUAGE plpgsql VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    message record;
    signed record;
BEGIN
    SELECT e.name, m.public_id, m.body, m.request_id INTO message
    FROM relay_guard.webhook_delivery d
    JOIN relay_guard.webhook_message m ON m.id = d.message
    JOIN relay_guard.webhook_endpoint e ON e.id = d.endpoint
    WHERE d.id = $1;
    SELECT * INTO signed FROM relay_guard.webhook_endpoint_sign(message.name, message.public_id, message.body, NULL);
    RETURN ARRAY['content-type', 'application/json', 'user-agent', 'relay_guard',
                 'webhook-id', signed."webhook-id", 'webhook-timestamp', signed."webhook-timestamp",
                 'x-signature', signed."x-signature"]
        || CASE WHEN signed."webhook-signature" IS NOT NULL THEN ARRAY['webhook-signature', signed."webhook-signature"] END
        || CASE WHEN message.request_id IS NOT NULL THEN ARRAY['x-request-id', message.request_id] END;
END
$$;
COMMENT ON FUNCTION webhook_headers(bigint) IS
'The headers of an attempt that is made now: name, value, name and so on. Error RG503 where the endpoint has no secret that opens.';

CREATE FUNCTION webhook_postpone(delivery bigint, moment timestamptz, reason text) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE relay_guard.webhook_delivery SET next_at = moment + interval '1 minute', leased_until = NULL, last_error = left(reason, 500)
    WHERE id = (SELECT d.id FROM relay_guard.webhook_delivery d WHERE d.id = $1 AND d.next_at <= moment FOR UPDATE SKIP LOCKED);
END
$$;
COMMENT ON FUNCTION webhook_postpone(bigint, timestamptz, text) IS
'Has a delivery that cannot be signed wait a minute, without an attempt.';

CREATE FUNCTION webhook_claim(most int, lease interval DEFAULT '2 minutes')
RETURNS TABLE (delivery bigint, attempt int, url text, headers text[], body bytea, timeout_ms int)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    candidate record;
    endpoints uuid[];
    tried uuid[] := '{}';
    unsigned uuid[] := '{}';
    wanted bigint := $1;
    claimed int := 0;
BEGIN
    IF $1 IS NULL OR $1 < 0 OR $2 IS NULL OR $2 NOT BETWEEN interval '1 s' AND interval '1 h' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'most must be zero or more, and lease between a second and an hour';
    END IF;
    PERFORM relay_guard.webhook_give_up_lost(moment);
    LOOP
        endpoints := relay_guard.webhook_endpoints_due(moment, tried, wanted);
        FOR candidate IN SELECT * FROM relay_guard.webhook_candidates(endpoints, moment) LOOP
            EXIT WHEN claimed >= $1;
            CONTINUE WHEN candidate.endpoint = ANY (unsigned);
            BEGIN
                headers := relay_guard.webhook_headers(candidate.delivery);
            EXCEPTION WHEN SQLSTATE 'RG503' THEN
                -- The endpoint's others would fare no better
                unsigned := unsigned || candidate.endpoint;
                PERFORM relay_guard.webhook_postpone(candidate.delivery, moment, SQLERRM);
                CONTINUE;
            END;
            UPDATE relay_guard.webhook_delivery d SET attempts = d.attempts + 1,
                next_at = moment + greatest($2, e.timeout, relay_guard.webhook_delay(d.attempts + 1 - d.attempts_before, 0)),
                leased_until = moment + greatest($2, e.timeout)
            FROM relay_guard.webhook_endpoint e, relay_guard.webhook_message m
            WHERE e.id = d.endpoint AND m.id = d.message AND d.id = (
                SELECT o.id FROM relay_guard.webhook_delivery o
                WHERE o.id = candidate.delivery AND o.next_at <= moment FOR UPDATE SKIP LOCKED)
            RETURNING d.id, d.attempts, e.url, m.body, extract(epoch FROM e.timeout) * 1000
            INTO delivery, attempt, url, body, timeout_ms;
            CONTINUE WHEN NOT FOUND;
            claimed := claimed + 1;
            RETURN NEXT;
        END LOOP;
        -- The rest where those that were not signed for stood in the way
        EXIT WHEN claimed >= $1 OR cardinality(endpoints) < wanted;
        tried := tried || endpoints;
        wanted := wanted * 2;
    END LOOP;
END
$$;
COMMENT ON FUNCTION webhook_claim(int, interval) IS
'For gateways: at most so many deliveries that are due, each the caller''s until lease has passed, as the request to make now: its headers (name, value, ...), signed for this attempt, and its body. Tell webhook_done() how it went.';

-- It waits for nobody's lock, for who asks reports all attempts one behind the other: an
-- endpoint with a million messages takes minutes to delete.
CREATE FUNCTION webhook_done(delivery bigint, attempt int, status int, error text DEFAULT NULL, retry_after int DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    leased record;
    delay interval;
    outcome text;
    free boolean := true;
BEGIN
    -- Before the delivery: so does who deletes an endpoint
    IF $3 = 410 THEN
        PERFORM FROM relay_guard.webhook_endpoint e
        WHERE e.id = (SELECT d.endpoint FROM relay_guard.webhook_delivery d WHERE d.id = $1) FOR NO KEY UPDATE SKIP LOCKED;
        free := FOUND;
    END IF;
    SELECT d.endpoint, d.attempts - d.attempts_before AS tries INTO leased FROM relay_guard.webhook_delivery d
    WHERE free AND d.id = $1 AND d.attempts = $2 AND d.leased_until IS NOT NULL FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN CASE WHEN EXISTS (SELECT FROM relay_guard.webhook_delivery d
                                 WHERE d.id = $1 AND d.attempts = $2 AND d.leased_until IS NOT NULL) THEN 'busy' ELSE 'stale' END;
    END IF;
    delay := relay_guard.webhook_delay(leased.tries, $5);
    outcome := CASE WHEN $3 BETWEEN 200 AND 299 THEN 'delivered' WHEN $3 = 410 THEN 'disabled'
                    WHEN delay IS NULL THEN 'failed' ELSE 'retry' END;
    UPDATE relay_guard.webhook_delivery SET leased_until = NULL, last_error = left($4, 500),
        state = CASE outcome WHEN 'delivered' THEN 'delivered' WHEN 'retry' THEN 'pending' ELSE 'failed' END,
        next_at = CASE outcome WHEN 'retry' THEN moment + delay END,
        last_status = CASE WHEN $3 BETWEEN 100 AND 999 THEN $3 END, finished_at = CASE WHEN outcome <> 'retry' THEN moment END
    WHERE id = $1;
    IF outcome = 'disabled' THEN
        UPDATE relay_guard.webhook_endpoint SET disabled_at = moment, disabled_reason = 'it answered 410: it wants no more'
        WHERE id = leased.endpoint AND disabled_at IS NULL;
    END IF;
    RETURN outcome;
END
$$;
COMMENT ON FUNCTION webhook_done(bigint, int, int, text, int) IS
'For gateways: how an attempt ended, the status NULL where there was no answer, retry_after in seconds. Returns what becomes of the delivery: delivered; retry; failed, it is given up; disabled, the endpoint is, too; stale, the attempt is no longer the present one and nothing has changed; busy, somebody else has it locked: say it again.';

-- By hand

CREATE FUNCTION webhook_replay(delivery bigint) RETURNS boolean
LANGUAGE sql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
WITH again AS (
    UPDATE relay_guard.webhook_delivery SET state = 'pending', attempts_before = attempts, next_at = clock_timestamp(),
        leased_until = NULL, finished_at = NULL
    WHERE id = $1 AND (leased_until IS NULL OR leased_until <= clock_timestamp()) RETURNING 1)
SELECT EXISTS (SELECT FROM again)
$$;
COMMENT ON FUNCTION webhook_replay(bigint) IS
'Sends a delivery now, under its id and with all attempts before it, whatever became of it; false when there is none, or it is under way.';

CREATE FUNCTION webhook_replay_failed(endpoint text, since timestamptz) RETURNS bigint
LANGUAGE sql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
WITH again AS (
    UPDATE relay_guard.webhook_delivery d SET state = 'pending', attempts_before = d.attempts, next_at = clock_timestamp(),
        finished_at = NULL
    FROM relay_guard.webhook_endpoint e, relay_guard.webhook_message m
    WHERE e.name = $1 AND d.endpoint = e.id AND d.state = 'failed' AND m.id = d.message AND m.created_at >= $2 RETURNING 1)
SELECT count(*) FROM again
$$;
COMMENT ON FUNCTION webhook_replay_failed(text, timestamptz) IS
'The same for all messages since then that were given up at that endpoint; returns how many they are.';

CREATE FUNCTION webhook_enable(name text) RETURNS boolean
LANGUAGE sql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
WITH enabled AS (
    UPDATE relay_guard.webhook_endpoint e SET disabled_at = NULL, disabled_reason = NULL
    WHERE e.name = $1 AND e.disabled_at IS NOT NULL RETURNING 1)
SELECT EXISTS (SELECT FROM enabled)
$$;
COMMENT ON FUNCTION webhook_enable(text) IS
'An endpoint that was disabled gets messages again, first those that were waiting; false when there is none. webhook_replay_failed() sends what was given up.';

CREATE FUNCTION webhook_status()
RETURNS TABLE (endpoint text, pending bigint, under_way bigint, failed bigint, oldest_pending interval,
               disabled_at timestamptz, disabled_reason text)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
SELECT e.name, waiting.pending, waiting.under_way, given_up.failed, clock_timestamp() - waiting.oldest,
       e.disabled_at, e.disabled_reason
FROM relay_guard.webhook_endpoint e
CROSS JOIN LATERAL (
    SELECT count(*) AS pending, count(*) FILTER (WHERE d.leased_until > clock_timestamp()) AS under_way, min(m.created_at) AS oldest
    FROM relay_guard.webhook_delivery d JOIN relay_guard.webhook_message m ON m.id = d.message
    WHERE d.endpoint = e.id AND d.next_at IS NOT NULL
) AS waiting
CROSS JOIN LATERAL (
    SELECT count(*) AS failed FROM relay_guard.webhook_delivery d WHERE d.endpoint = e.id AND d.state = 'failed'
) AS given_up
ORDER BY e.name
$$;
COMMENT ON FUNCTION webhook_status() IS
'For each endpoint: how many deliveries are pending, those of them under way, how many were given up, the age of the oldest message that is pending, and whether it is disabled.';

CREATE VIEW webhook_history AS
SELECT d.id AS delivery, e.name AS endpoint, m.public_id AS message, m.type, m.workspace, m.request_id, m.created_at,
       d.state, d.attempts, d.next_at, d.leased_until, d.last_status, d.last_error, d.finished_at
FROM webhook_delivery d
JOIN webhook_message m ON m.id = d.message
JOIN webhook_endpoint e ON e.id = d.endpoint;
COMMENT ON VIEW webhook_history IS 'Deliveries, with everything but their bodies; webhook_replay() takes the number.';

-- Afterwards

CREATE FUNCTION webhook_expire(rows int DEFAULT 1000) RETURNS int
LANGUAGE sql VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS $$
WITH old AS (
    SELECT m.id FROM relay_guard.webhook_message m
    WHERE m.created_at < now() - make_interval(days => coalesce(current_setting('relay_guard.webhook_keep_days', true), '30')::int)
      AND NOT EXISTS (SELECT FROM relay_guard.webhook_delivery d JOIN relay_guard.webhook_endpoint e ON e.id = d.endpoint
                      WHERE d.message = m.id AND d.state = 'pending' AND e.disabled_at IS NULL)
    ORDER BY m.created_at LIMIT rows FOR UPDATE OF m SKIP LOCKED
), gone AS (
    DELETE FROM relay_guard.webhook_message m USING old WHERE m.id = old.id RETURNING 1
)
SELECT count(*)::int FROM gone
$$;
COMMENT ON FUNCTION webhook_expire(int) IS
'Deletes messages older than relay_guard.webhook_keep_days that nobody is still to be sent, at most so many; returns how many there were. A worker calls it where relay_guard.databases names the database.';

-- Only what is due counts as waiting: an endpoint that is away for hours is no fault here.
CREATE FUNCTION webhook_metrics(OUT name text, OUT type text, OUT help text, OUT labels jsonb, OUT value float8)
RETURNS SETOF record
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
WITH waiting AS (
    SELECT coalesce(sum(d.pending), 0) AS pending, min(d.due) AS due
    FROM relay_guard.webhook_endpoint e
    CROSS JOIN LATERAL (
        SELECT count(*) AS pending, min(d.next_at) AS due FROM relay_guard.webhook_delivery d
        WHERE d.endpoint = e.id AND d.next_at IS NOT NULL
    ) AS d
    WHERE e.disabled_at IS NULL
)
SELECT 'relay_webhook_pending', 'gauge', 'Webhooks that are under way or wait to be sent.', jsonb '{}', pending FROM waiting
UNION ALL
SELECT 'relay_webhook_oldest_seconds', 'gauge', 'How long the webhook that is due longest has been waiting; 0: none is due.',
    '{}', coalesce(greatest(0, extract(epoch FROM clock_timestamp() - due)), 0) FROM waiting
UNION ALL
SELECT 'webhook_signature_failures_total', 'counter', 'Webhooks that came with a signature that is not their sender''s, or too late.',
    '{}', failures FROM relay_guard.read_webhook_failures() AS failures WHERE failures IS NOT NULL
$$;
COMMENT ON FUNCTION webhook_metrics() IS 'The part of metrics() that tells of webhooks.';
