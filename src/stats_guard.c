/*
 * stats_guard.c
 *		Nothing secret in pg_stat_statements.
 *
 * It puts $1 in the place of literals, but stores utility statements (DO, CALL,
 * COPY of a query, EXPLAIN EXECUTE, ...) as the client wrote them.  One that holds values and
 * names what takes secrets loses its query id, and without one
 * pg_stat_statements leaves it alone.
 */
#include "postgres.h"

#include "nodes/parsenodes.h"
#include "parser/analyze.h"

#include "log_guard.h"
#include "secret_words.h"
#include "stats_guard.h"

static post_parse_analyze_hook_type previous_post_parse_analyze = NULL;

static bool
holds_secret(const char *statement)
{
	return rg_sql_has_literal(rg_slice_of(statement)) && rg_log_guard_secret_in(statement) != NULL;
}

static void
guard_stats(ParseState *pstate, Query *query, JumbleState *jumble)
{
	if (previous_post_parse_analyze != NULL)
		previous_post_parse_analyze(pstate, query, jumble);
	if (query->utilityStmt != NULL && query->queryId != 0 && holds_secret(pstate->p_sourcetext))
		query->queryId = 0;
}

void
rg_stats_guard_init(void)
{
	previous_post_parse_analyze = post_parse_analyze_hook;
	post_parse_analyze_hook = guard_stats;
}
