"""Changes of knowledge files are audited, and admins read the audit log

relay.audit_logs is the log in the columns that queries of old know.  Anonymous
sessions change no table and are not in it; what is done in them is, and names
them.

Routes of the log run as relay_auditor, which ops/roles.sql makes: routes of
relay_app cannot read it, whatever their statements.

Revision ID: 0006
Revises: 0005
"""
from alembic import op

from routes import add_route, drop_route

revision = "0006"
down_revision = "0005"

TABLE = "relay.knowledge_file"
AUDIT = "/api/v1/audit"
COMMON = dict(auth="admin", rate=("ip", "api"), run_as="relay_auditor")

FUNCTIONS = (
    "relay.audit_cursor(timestamptz, bigint)",
    "relay.audit_json(relay_guard.audit_log)",
    "relay.audit_page(text, text, text, text, text, text, timestamptz, timestamptz, text, bigint)",
    "relay.audit_verdict(timestamptz)",
)

AUDIT_CURSOR = """
    CREATE FUNCTION relay.audit_cursor(occurred_at timestamptz, id bigint) RETURNS text
    LANGUAGE sql STABLE
    RETURN (extract(epoch FROM occurred_at) * 1000000)::bigint || '-' || id
"""

# Values of more than a megabyte are left out, so that one row cannot keep a page
# from being answered
AUDIT_JSON = """
    CREATE FUNCTION relay.audit_json(l relay_guard.audit_log) RETURNS json
    LANGUAGE sql STABLE
    RETURN (
        SELECT row_to_json(e)
        FROM (SELECT coalesce(octet_length(l.old::text), 0) + coalesce(octet_length(l.new::text), 0)
                     + coalesce(octet_length(l.details::text), 0) AS bytes) v
        CROSS JOIN LATERAL (
            SELECT l.id, to_char(l.occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS occurred_at,
                   l.action, l.resource_type, l.resource_id, l.status, l.source,
                   l.actor, l.via, l.workspace_id, l.api_key_id, l.session_id, l.session_role, l.request_id, l.client_ip,
                   CASE WHEN v.bytes <= 1000000 THEN l.old END AS old,
                   CASE WHEN v.bytes <= 1000000 THEN l.new END AS new,
                   CASE WHEN v.bytes <= 1000000 THEN l.details END AS details,
                   CASE WHEN v.bytes > 1000000 THEN v.bytes END AS omitted_bytes
        ) e)
"""

# Newest first.  A resource's rows are found by the index on (resource_id,
# resource_type, id) and sorted, unless there are too many of them; all else is read
# in the order of the index on (occurred_at, id).  The other filters have none:
# 100,000 rows are looked at for a page, so that what is rare or not there costs no
# scan of years; the page is then short or empty, and next says where to go on.
#
# Every plan is made for the values at hand (force_custom_plan): conditions that do
# not apply are none, CASE is one of its branches, and only partitions between since
# and until are opened.  "+ interval '0'" keeps the index on time out of a search
# for a resource: in a month that it knows nothing of yet, the planner would take any
# span of time for short.  Nor may it sort all of a partition.
AUDIT_PAGE = """
    CREATE FUNCTION relay.audit_page(
        status text, actor text, action text, resource_type text, resource_id text,
        request_id text, since timestamptz, until timestamptz, after text, size bigint,
        OUT events json, OUT next text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan
    SET enable_seqscan = off SET enable_bitmapscan = off
    SET max_parallel_workers_per_gather = 0
    AS $$
    DECLARE
        looked_at CONSTANT bigint := 100000;
        page_bytes CONSTANT bigint := 4000000;
        start CONSTANT timestamptz := coalesce(since, '-infinity');
        stop CONSTANT timestamptz := coalesce(until, 'infinity');
        before timestamptz := 'infinity';
        before_id bigint := 0;
        by_resource boolean := false;
        full_page boolean;
    BEGIN
        IF after IS NOT NULL THEN
            before := timestamptz 'epoch' + split_part(after, '-', 1)::bigint * interval '1 microsecond';
            before_id := split_part(after, '-', 2);
        END IF;
        IF audit_page.resource_id IS NOT NULL THEN
            by_resource := (
                SELECT count(*) <= looked_at
                FROM (SELECT FROM relay_guard.audit_log l
                      WHERE l.resource_id = audit_page.resource_id
                        AND (audit_page.resource_type IS NULL OR l.resource_type = audit_page.resource_type)
                        AND l.occurred_at + interval '0' BETWEEN start AND before AND l.occurred_at + interval '0' < stop
                      LIMIT looked_at + 1) one);
        END IF;

        SELECT coalesce(json_agg(p.event ORDER BY p.occurred_at DESC, p.id DESC) FILTER (WHERE p.shown), '[]'),
               (array_agg(relay.audit_cursor(p.occurred_at, p.id) ORDER BY p.occurred_at, p.id) FILTER (WHERE p.shown))[1],
               count(*) = size OR count(*) FILTER (WHERE NOT p.shown) > 0
        INTO events, next, full_page
        FROM (
            SELECT l.occurred_at, l.id, e.event,
                   sum(octet_length(e.event::text)) OVER (ORDER BY l.occurred_at DESC, l.id DESC
                                                          ROWS UNBOUNDED PRECEDING) <= page_bytes AS shown
            FROM (
                SELECT l.* FROM relay_guard.audit_log l
                CROSS JOIN LATERAL (
                    SELECT CASE WHEN by_resource THEN l.occurred_at + interval '0' ELSE l.occurred_at END AS time) t
                WHERE (t.time, l.id) < (before, before_id) AND t.time >= start AND t.time < stop
                  AND (NOT by_resource OR l.resource_id = audit_page.resource_id)
                  AND (NOT by_resource OR audit_page.resource_type IS NULL OR l.resource_type = audit_page.resource_type)
                ORDER BY t.time DESC, l.id DESC LIMIT looked_at
            ) l
            CROSS JOIN LATERAL (SELECT relay.audit_json(l) AS event) e
            WHERE (audit_page.status IS NULL OR l.status = audit_page.status)
              AND (audit_page.actor IS NULL OR l.actor = audit_page.actor)
              AND (audit_page.action IS NULL OR l.action = audit_page.action)
              AND (audit_page.resource_type IS NULL OR l.resource_type = audit_page.resource_type)
              AND (audit_page.resource_id IS NULL OR l.resource_id = audit_page.resource_id)
              AND (audit_page.request_id IS NULL OR l.request_id = audit_page.request_id)
            ORDER BY l.occurred_at DESC, l.id DESC LIMIT size
        ) p;

        IF NOT full_page AND by_resource THEN
            next := NULL;
        ELSIF NOT full_page THEN
            next := (
                SELECT relay.audit_cursor(l.occurred_at, l.id) FROM relay_guard.audit_log l
                WHERE (l.occurred_at, l.id) < (before, before_id)
                  AND l.occurred_at >= start AND l.occurred_at < stop
                ORDER BY l.occurred_at DESC, l.id DESC OFFSET looked_at - 1 LIMIT 1);
        END IF;
    END
    $$
"""


# What may take seconds is bounded: by rows, and to one at a time.  It occupies a
# connection of the gateway, on which other requests wait.
AUDIT_VERDICT = """
    CREATE FUNCTION relay.audit_verdict(
        INOUT since timestamptz, OUT verified boolean, OUT problems json, OUT more boolean)
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off SET max_parallel_workers_per_gather = 0
    AS $$
    DECLARE
        most CONSTANT bigint := 500000;
        shown CONSTANT int := 100;
    BEGIN
        since := date_trunc('month', coalesce(since, now()), 'UTC');
        PERFORM FROM relay_guard.audit_log l WHERE l.occurred_at >= since
        ORDER BY l.occurred_at, l.id OFFSET most LIMIT 1;
        IF FOUND THEN
            PERFORM relay_guard.fail(422, 'too_many_rows', format('more than %s rows are too many for a request', most),
                'Verify a later month, or all of it in psql or with ops/audit-verify.');
        ELSIF NOT pg_try_advisory_xact_lock('relay_guard.audit_seal'::regclass::bigint) THEN
            PERFORM relay_guard.fail(409, 'already_verifying', 'the audit log is being verified',
                'Try again when the other request is answered.');
        END IF;

        SELECT count(*) = 0, count(*) > shown, coalesce(json_agg(p) FILTER (WHERE v.place <= shown), '[]')
        INTO verified, more, problems
        FROM (SELECT *, row_number() OVER () AS place FROM relay_guard.audit_verify(since)) v
        CROSS JOIN LATERAL (SELECT v.problem, v.id, v.detail) p;
    END
    $$
"""

# The columns that an application's own table audit_logs had
AUDIT_LOGS = """
    CREATE VIEW relay.audit_logs WITH (security_invoker = true) AS
    SELECT id, action, resource_type, resource_id, api_key_id, request_id,
           host(client_ip) AS ip_address, occurred_at AS "timestamp"
    FROM relay_guard.audit_log
"""


def text(name, **schema):
    return {"name": name, "in": "query", "schema": {"type": "string", "minLength": 1, **schema}}


def moment(name, description):
    return {"name": name, "in": "query", "description": description,
            "schema": {"type": "string", "format": "date-time"}}


SINCE = moment("since", "rows of that time and later; with offset, as in 2026-01-31T13:45:00Z")

FILTERS = [
    text("status", enum=["ok", "denied", "error"]),
    text("actor", maxLength=1024),
    text("action", maxLength=255),
    text("resource_type", maxLength=255),
    text("resource_id", maxLength=4096),
    text("request_id", pattern="^[A-Za-z0-9._-]{1,128}$"),
    SINCE,
    moment("until", "rows before that time"),
    {**text("after", pattern="^[0-9]{1,16}-[0-9]{1,19}$"), "description": "next of the page before"},
    {"name": "limit", "in": "query", "description": "how many at most; more than 100 is taken as 100",
     "schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 50, "x-clamp": True}},
]


def add_list(path):
    add_route("GET", path, """
        SELECT events, next
        FROM relay.audit_page(request.status, request.actor, request.action, request.resource_type,
                              request.resource_id, request.request_id, request.since, request.until,
                              request.after, request.limit)
        """, parameters=FILTERS, result="row", summary="Search the audit log, newest first",
        description="A page may be short or empty and still have a next: the search has looked at enough rows for one request.",
        **COMMON)


def upgrade():
    op.execute(f"SELECT relay_guard.audit('{TABLE}')")
    op.execute("GRANT USAGE ON SCHEMA relay TO relay_auditor")
    op.execute(AUDIT_LOGS)
    op.execute("COMMENT ON VIEW relay.audit_logs IS "
               "'relay_guard.audit_log in the columns of old; whoever may read the log may read it.'")
    op.execute("GRANT SELECT ON relay.audit_logs TO relay_auditor")
    for function in AUDIT_CURSOR, AUDIT_JSON, AUDIT_PAGE, AUDIT_VERDICT:
        op.execute(function)
    for name in FUNCTIONS:
        op.execute(f"REVOKE ALL ON FUNCTION {name} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {name} TO relay_auditor")
    add_list("/audit")
    add_list(AUDIT)
    add_route("GET", AUDIT + "/head",
        "SELECT seal_id, encode(root, 'hex') AS root, sealed_at FROM relay_guard.audit_head() WHERE seal_id IS NOT NULL",
        result="row", summary="The newest seal, to be kept elsewhere", **COMMON)
    add_route("GET", AUDIT + "/verify",
        "SELECT verified, since, problems, more FROM relay.audit_verdict(request.since)",
        parameters=[SINCE], result="row", summary="Verify the audit log from a month on",
        description="From the month of since to now, this month without it; at most 500,000 rows, one request at a time.",
        **COMMON)


def downgrade():
    for path in AUDIT + "/verify", AUDIT + "/head", AUDIT, "/audit":
        drop_route("GET", path)
    for name in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION {name}")
    op.execute("DROP VIEW relay.audit_logs")
    op.execute("REVOKE USAGE ON SCHEMA relay FROM relay_auditor")
    op.execute(f"SELECT relay_guard.audit_stop('{TABLE}')")
