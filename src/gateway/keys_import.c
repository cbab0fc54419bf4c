/*
 * keys_import.c
 *		relay_guard.jwks_import(), called; keys_import.h has the contract.
 */
#include "keys_import.h"

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whatever the role or the database sets: one lock must not hold us for ever. */
static const char settings[] =
"SET statement_timeout = '10s'; SET default_transaction_isolation = 'read committed'";

static const char import[] = "SELECT relay_guard.jwks_import($1, $2::jsonb)";

static PGconn *
connect_to(const char *conninfo)
{
	const char *const names[] = {"dbname", "application_name", "client_encoding",
		"connect_timeout", "tcp_user_timeout", "keepalives_idle", "keepalives_interval",
	"keepalives_count", NULL};
	const char *const values[] = {conninfo, "relay_gateway keys", "UTF8", "10", "10000",
	"10", "5", "3", NULL};

	return PQconnectdbParams(names, values, 1);
}

static bool
set_up(PGconn *conn)
{
	PGresult   *result = PQexec(conn, settings);
	bool		done = PQresultStatus(result) == PGRES_COMMAND_OK;

	PQclear(result);
	return done;
}

/* Without the fields that may quote the set. */
static void
explain(PGconn *conn, const PGresult *result, char *reason, size_t size)
{
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	if (message != NULL)
		snprintf(reason, size, "the database refused the set: %s (%s)", message,
				 sqlstate ? sqlstate : "no SQLSTATE");
	else
	{
		snprintf(reason, size, "%s", PQerrorMessage(conn));
		reason[strcspn(reason, "\n")] = '\0';
	}
}

int
rg_keys_import(const char *conninfo, const char *iss, const char *jwks,
			   char *reason, size_t size)
{
	const char *const values[] = {iss, jwks};
	PGconn	   *conn = connect_to(conninfo);
	PGresult   *result = NULL;
	int			count = -1;

	if (PQstatus(conn) == CONNECTION_OK && set_up(conn))
		result = PQexecParams(conn, import, 2, NULL, values, NULL, NULL, 0);
	if (PQresultStatus(result) == PGRES_TUPLES_OK && !PQgetisnull(result, 0, 0))
		count = atoi(PQgetvalue(result, 0, 0));
	else
		explain(conn, result, reason, size);
	PQclear(result);
	PQfinish(conn);
	return count;
}
