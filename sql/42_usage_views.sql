
-- The ledger of budgets, added up for people.

CREATE FUNCTION usage_day(at timestamptz) RETURNS date
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (at AT TIME ZONE coalesce(pg_catalog.current_setting('relay_guard.timezone', true), 'UTC'))::date;
COMMENT ON FUNCTION usage_day(timestamptz) IS 'The day of relay_guard.timezone that a time is in.';

CREATE VIEW usage_by_day AS
SELECT usage_day(reserved_at) AS day, sum(spent) AS spent, sum(reserved) AS reserved,
       coalesce(sum(spent) FILTER (WHERE usage = 'llm'), 0) AS llm_spent,
       coalesce(sum(spent) FILTER (WHERE usage = 'embedding'), 0) AS embedding_spent,
       coalesce(sum(input_tokens) FILTER (WHERE kind IN ('settle', 'charge')), 0) AS input_tokens,
       coalesce(sum(output_tokens) FILTER (WHERE kind IN ('settle', 'charge')), 0) AS output_tokens,
       count(*) FILTER (WHERE kind IN ('reserve', 'charge')) AS calls
FROM usage_ledger WHERE policy IS NULL GROUP BY 1;
COMMENT ON VIEW usage_by_day IS 'What models have cost by day, in micro-USD. Tokens are those of calls that were settled or charged.';

CREATE VIEW usage_by_workspace AS
SELECT usage_day(reserved_at) AS day, workspace_id, sum(spent) AS spent, sum(reserved) AS reserved,
       coalesce(sum(spent) FILTER (WHERE usage = 'llm'), 0) AS llm_spent,
       coalesce(sum(spent) FILTER (WHERE usage = 'embedding'), 0) AS embedding_spent,
       coalesce(sum(input_tokens) FILTER (WHERE kind IN ('settle', 'charge')), 0) AS input_tokens,
       coalesce(sum(output_tokens) FILTER (WHERE kind IN ('settle', 'charge')), 0) AS output_tokens,
       count(*) FILTER (WHERE kind IN ('reserve', 'charge')) AS calls
FROM usage_ledger WHERE policy IS NULL GROUP BY 1, 2;
COMMENT ON VIEW usage_by_workspace IS 'The same by day and workspace; NULL: of none.';

CREATE VIEW usage_by_user AS
SELECT usage_day(reserved_at) AS day, user_id, sum(spent) AS spent, sum(reserved) AS reserved,
       coalesce(sum(spent) FILTER (WHERE usage = 'llm'), 0) AS llm_spent,
       coalesce(sum(spent) FILTER (WHERE usage = 'embedding'), 0) AS embedding_spent,
       coalesce(sum(input_tokens) FILTER (WHERE kind IN ('settle', 'charge')), 0) AS input_tokens,
       coalesce(sum(output_tokens) FILTER (WHERE kind IN ('settle', 'charge')), 0) AS output_tokens,
       count(*) FILTER (WHERE kind IN ('reserve', 'charge')) AS calls
FROM usage_ledger WHERE policy IS NULL GROUP BY 1, 2;
COMMENT ON VIEW usage_by_user IS 'The same by day and user; NULL: nobody''s.';

CREATE VIEW usage_by_model AS
SELECT usage_day(reserved_at) AS day, model, usage, sum(spent) AS spent, sum(reserved) AS reserved,
       coalesce(sum(input_tokens) FILTER (WHERE kind IN ('settle', 'charge')), 0) AS input_tokens,
       coalesce(sum(output_tokens) FILTER (WHERE kind IN ('settle', 'charge')), 0) AS output_tokens,
       count(*) FILTER (WHERE kind IN ('reserve', 'charge')) AS calls
FROM usage_ledger WHERE policy IS NULL GROUP BY 1, 2, 3;
COMMENT ON VIEW usage_by_model IS 'The same by day, model and what it was used for: llm or embedding.';
