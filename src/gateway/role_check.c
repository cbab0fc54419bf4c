/*
 * role_check.c
 *		Refuses roles that row-level security does not bind.
 */
#include "role_check.h"

#include <poll.h>
#include <stddef.h>

#include "clock.h"
#include "lint.h"
#include "log.h"
#include "pg.h"

#define PATIENCE INT64_C(2000000)

/*
 * Membership counts as much as the attribute itself: SET ROLE is one statement
 * away.
 */
const char	rg_role_check_query[] =
"(SELECT pg_catalog.format('the role %I is %s %s', session_user, "
" CASE WHEN r.rolname = session_user THEN 'a' ELSE 'member of the' END, "
" CASE WHEN r.rolsuper THEN 'superuser' ELSE 'role with BYPASSRLS' END "
"  || CASE WHEN r.rolname = session_user THEN '' ELSE ' ' || r.rolname END) "
"FROM pg_catalog.pg_roles r "
"WHERE pg_catalog.pg_has_role(session_user, r.oid, 'MEMBER') "
"  AND (r.rolsuper OR r.rolbypassrls) "
"ORDER BY r.rolname = session_user DESC, r.rolsuper DESC, r.rolname LIMIT 1) "
"UNION ALL "
"SELECT pg_catalog.format('the role %I owns the protected table %s', session_user, c.oid::regclass) "
"FROM pg_catalog.pg_class c "
"WHERE c.relrowsecurity AND pg_catalog.pg_has_role(session_user, c.relowner, 'MEMBER') "
"LIMIT 1";

const char *
rg_role_check_reason(const PGresult *result)
{
	return PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : NULL;
}

static bool
wait_for(PGconn *conn, PostgresPollingStatusType wanted, int64_t deadline)
{
	struct pollfd socket = {
		.fd = PQsocket(conn),
		.events = wanted == PGRES_POLLING_WRITING ? POLLOUT : POLLIN
	};
	int64_t		left = deadline - rg_now();

	return left > 0 && poll(&socket, 1, left / 1000 + 1) > 0;
}

static bool
connect_within(PGconn *conn, int64_t deadline)
{
	PostgresPollingStatusType status = PGRES_POLLING_WRITING;

	if (conn == NULL || PQstatus(conn) == CONNECTION_BAD)
		return false;
	while (status != PGRES_POLLING_OK)
	{
		if (status == PGRES_POLLING_FAILED || !wait_for(conn, status, deadline))
			return false;
		status = PQconnectPoll(conn);
	}
	return true;
}

static bool
accept_role(PGconn *conn)
{
	PGresult   *result = PQexec(conn, rg_role_check_query);
	const char *reason = rg_role_check_reason(result);

	if (reason != NULL)
		rg_log(RG_LOG_ERROR, "the gateway does not work with this database role",
			   "reason", reason, "suggestion",
			   "Let DATABASE_URL name a role that row-level security binds.", NULL);
	PQclear(result);
	return reason == NULL;
}

static bool
accept_database(PGconn *conn, const RgConfig *config)
{
	if (rg_lint_passes(conn) || config->environment != RG_PRODUCTION)
		return true;
	rg_log(RG_LOG_ERROR, "the gateway does not start in production while lint has errors",
		   "suggestion", "Run the fixes that stand in the lines above, or make lint-db.", NULL);
	return false;
}

bool
rg_role_check_at_start(const RgConfig *config)
{
	PGconn	   *conn = rg_pg_connect_start(config->database_url, config->request_timeout, "", NULL);
	bool		accepted = true;

	if (connect_within(conn, rg_now() + PATIENCE))
		accepted = accept_role(conn) && accept_database(conn, config);
	else
		rg_log(RG_LOG_WARNING, "the database was not linted: it cannot be reached yet", NULL);
	PQfinish(conn);
	return accepted;
}
