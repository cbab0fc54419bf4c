/*
 * configure.c
 *		relay_gateway configure: settings of the environment, into the tables.
 *
 * Settings that every gateway must see alike stand in the database, and only
 * its owner may write them there; a gateway's own role cannot.  Everything is
 * one transaction, and what is there already is not written again.
 */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "configure.h"
#include "env_file.h"

#define MIN_SECRET 32			/* bytes, RFC 7518, 3.2 */

static RgEnvFile file;

const char *
rg_setting(const char *name, const char *fallback)
{
	const char *value = rg_env_setting(&file, name);

	return value != NULL ? value : fallback;
}

bool
rg_in_production(void)
{
	return strcmp(rg_setting("ENVIRONMENT", ""), "production") == 0;
}

bool
rg_check_secret_setting(const char *name)
{
	const char *secret = rg_setting(name, NULL);

	if (secret == NULL || strlen(secret) >= MIN_SECRET)
		return true;
	fprintf(stderr, "%s must have at least %d bytes\n", name, MIN_SECRET);
	return false;
}

/* Runs a query with text parameters; the caller clears.  NULL, told, on error. */
static PGresult *
query(PGconn *conn, const char *sql, int count, const char *const *values)
{
	PGresult   *result = PQexecParams(conn, sql, count, NULL, values, NULL, NULL, 0);
	ExecStatusType status = PQresultStatus(result);

	if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
		return result;
	fprintf(stderr, "the database refused: %s\n",
			PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) ?
			PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : PQerrorMessage(conn));
	PQclear(result);
	return NULL;
}

bool
rg_sql_run(PGconn *conn, const char *sql, int count, const char *const *values)
{
	PGresult   *result = query(conn, sql, count, values);

	PQclear(result);
	return result != NULL;
}

bool
rg_sql_look_up(PGconn *conn, const char *sql, int count, const char *const *values, char **value)
{
	PGresult   *result = query(conn, sql, count, values);

	*value = NULL;
	if (result == NULL)
		return false;
	if (PQntuples(result) > 0)
		*value = strdup(PQgetvalue(result, 0, 0));
	PQclear(result);
	return true;
}

bool
rg_sql_change(PGconn *conn, const char *sql, int count, const char *const *values, const char *what)
{
	char	   *now;

	if (!rg_sql_look_up(conn, sql, count, values, &now))
		return false;
	if (now != NULL)
		printf("%s: %s\n", what, now);
	free(now);
	return true;
}

/* All mistakes at once. */
static bool
check_settings(void)
{
	bool		valid = rg_check_token_settings();

	valid &= rg_check_limit_settings();
	valid &= rg_check_budget_settings();
	valid &= rg_check_api_key_settings();
	valid &= rg_check_provider_settings();
	return valid;
}

bool
rg_configure_check(const RgEnvFile *settings)
{
	bool		valid;

	file = *settings;
	valid = check_settings();
	memset(&file, 0, sizeof file);
	return valid;
}

static bool
configure(PGconn *conn)
{
	/* two at once would both find the same thing missing */
	return rg_sql_run(conn, "BEGIN", 0, NULL) &&
		rg_sql_run(conn, "SELECT pg_advisory_xact_lock(hashtext('relay_gateway configure'))", 0, NULL) &&
		rg_configure_tokens(conn) &&
		rg_configure_limits(conn) && rg_configure_budget(conn) &&
		rg_configure_api_keys(conn) && rg_configure_provider(conn) &&
		rg_sql_run(conn, "COMMIT", 0, NULL);
}

int
rg_configure(void)
{
	const char *const names[] = {"dbname", "application_name", "client_encoding", NULL};
	const char *values[] = {NULL, "relay_gateway configure", "UTF8", NULL};
	PGconn	   *conn;
	bool		done;

	if (!rg_env_file_configured(&file, stderr) || !check_settings())
		return EXIT_FAILURE;
	values[0] = rg_setting("DATABASE_PUBLIC_URL", NULL);
	conn = PQconnectdbParams(names, values, 1);
	done = PQstatus(conn) == CONNECTION_OK;
	if (!done)
		fprintf(stderr, "cannot connect to the database: %s", PQerrorMessage(conn));
	done = done && configure(conn);
	PQfinish(conn);
	rg_env_file_free(&file);
	return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
