/*
 * lint.c
 *		Runs relay_guard.lint() and logs its findings; lint.h has the contract.
 */
#include "lint.h"

#include <string.h>

#include "log.h"

#define MAX_LOGGED 100

/* One more than is logged says that there are more. */
static const char query[] =
"SELECT severity, code, object, detail, fix FROM relay_guard.lint() LIMIT 101";

static RgLogLevel
level_of(const char *severity)
{
	if (strcmp(severity, "error") == 0)
		return RG_LOG_ERROR;
	return strcmp(severity, "warning") == 0 ? RG_LOG_WARNING : RG_LOG_INFO;
}

/* The pairs of a line are cut whole when it is full: the fix goes first. */
static RgLogLevel
log_finding(const PGresult *result, int row)
{
	RgLogLevel	level = level_of(PQgetvalue(result, row, 0));

	rg_log(level, "lint", "code", PQgetvalue(result, row, 1),
		   "object", PQgetvalue(result, row, 2), "fix", PQgetvalue(result, row, 4),
		   "detail", PQgetvalue(result, row, 3), NULL);
	return level;
}

static bool
log_findings(const PGresult *result)
{
	bool		passes = true;

	for (int row = 0; row < PQntuples(result) && row < MAX_LOGGED; row++)
		passes &= log_finding(result, row) != RG_LOG_ERROR;
	if (PQntuples(result) > MAX_LOGGED)
		rg_log(RG_LOG_WARNING, "lint has found more than is logged", "suggestion",
			   "Run make lint-db to see all of it.", NULL);
	return passes;
}

bool
rg_lint_passes(PGconn *conn)
{
	PGresult   *result = PQexec(conn, query);
	bool		passes = true;

	if (PQresultStatus(result) == PGRES_TUPLES_OK)
		passes = log_findings(result);
	else
		rg_log(RG_LOG_WARNING, "the database could not be linted", "reason",
			   PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY), "suggestion",
			   "Run ops/create_database again, or what it does.", NULL);
	PQclear(result);
	return passes;
}
