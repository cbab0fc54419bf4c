/*
 * configure.c
 *		relay_gateway configure: settings of the environment, into the tables.
 *
 * Settings that every gateway must see alike stand in the database, and only
 * its owner may write them there; a gateway's own role cannot.  Everything is
 * one transaction, and what is there already is not written again.
 */
#include <errno.h>
#include <libpq-fe.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"

#define KID_BYTES 8				/* of the secret's SHA-256, in hex */
#define KID_PREFIX "env-"
#define KID_SIZE (sizeof KID_PREFIX + 2 * KID_BYTES)
#define MIN_SECRET 32			/* bytes, RFC 7518, 3.2 */

static const char *
setting(const char *name, const char *fallback)
{
	const char *value = getenv(name);

	return value != NULL && *value != '\0' ? value : fallback;
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

static bool
run(PGconn *conn, const char *sql, int count, const char *const *values)
{
	PGresult   *result = query(conn, sql, count, values);

	PQclear(result);
	return result != NULL;
}

/* Runs a query; *value, if there is a row, gets a copy of its first column. */
static bool
look_up(PGconn *conn, const char *sql, int count, const char *const *values, char **value)
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

static bool
update_audience(PGconn *conn, const char *iss, const char *aud)
{
	const char *const values[] = {iss, aud};

	if (!run(conn, "UPDATE relay_guard.issuer SET aud = $2 WHERE iss = $1", 2, values))
		return false;
	printf("issuer %s: audience is now %s\n", iss, aud);
	return true;
}

static bool
configure_issuer(PGconn *conn, const char *iss, const char *aud)
{
	const char *const values[] = {iss, aud};
	char	   *current;
	bool		same;

	if (!look_up(conn, "SELECT aud FROM relay_guard.issuer WHERE iss = $1", 1, values, &current))
		return false;
	if (current != NULL)
	{
		same = strcmp(current, aud) == 0;
		free(current);
		return same || update_audience(conn, iss, aud);
	}
	if (!run(conn, "SELECT relay_guard.issuer_add($1, $2)", 2, values))
		return false;
	printf("issuer %s: registered, audience %s\n", iss, aud);
	return true;
}

/* Named after the secret, so that the same secret is the same key. */
static void
make_kid(const char *secret, char kid[KID_SIZE])
{
	unsigned char hash[crypto_hash_sha256_BYTES];

	crypto_hash_sha256(hash, (const unsigned char *) secret, strlen(secret));
	memcpy(kid, KID_PREFIX, sizeof KID_PREFIX);
	sodium_bin2hex(kid + sizeof KID_PREFIX - 1, 2 * KID_BYTES + 1, hash, KID_BYTES);
}

/*
 * The environment has one secret: another that came from it goes.  With two
 * live keys, tokens that name none could not be verified any more.
 */
static bool
drop_former_key(PGconn *conn, const char *iss, const char *kid)
{
	const char *const values[] = {iss, kid};
	char	   *former;

	if (!look_up(conn, "DELETE FROM relay_guard.jwt_key WHERE iss = $1 AND kid <> $2 "
				 "AND kid LIKE '" KID_PREFIX "%' AND retired_at IS NULL RETURNING kid",
				 2, values, &former))
		return false;
	if (former != NULL)
		printf("issuer %s: key %s removed, the secret has changed\n", iss, former);
	free(former);
	return true;
}

/* A key that was retired stays so: somebody wanted its tokens refused. */
static bool
configure_key(PGconn *conn, const char *iss, const char *secret)
{
	char		kid[KID_SIZE];
	const char *const values[] = {iss, kid, secret};
	char	   *state;

	make_kid(secret, kid);
	if (!look_up(conn, "SELECT CASE WHEN retired_at IS NULL THEN 'live' ELSE 'retired' END "
				 "FROM relay_guard.jwt_key WHERE iss = $1 AND kid = $2", 2, values, &state))
		return false;
	if (state != NULL)
	{
		if (strcmp(state, "retired") == 0)
			printf("issuer %s: key %s has been retired and stays so\n", iss, kid);
		free(state);
		return true;
	}
	if (!run(conn, "SELECT relay_guard.jwt_key_add($1, $2, $3)", 3, values))
		return false;
	printf("issuer %s: key %s registered\n", iss, kid);
	return drop_former_key(conn, iss, kid);
}

static bool
configure_tokens(PGconn *conn)
{
	const char *secret = setting("SUPABASE_JWT_SECRET", NULL);
	const char *iss = setting("SUPABASE_JWT_ISS", "supabase");

	if (secret == NULL)
		return true;
	return configure_issuer(conn, iss, setting("SUPABASE_JWT_AUD", "authenticated")) &&
		configure_key(conn, iss, secret);
}

/* Either may be set without the other. */
static bool
configure_limit(PGconn *conn)
{
	static const char update[] =
	"UPDATE relay_guard.rate_policy SET quota = coalesce($1::bigint, quota), "
	"\"window\" = coalesce(make_interval(secs => $2::int), \"window\") "
	"WHERE name = 'user' AND (quota, \"window\") IS DISTINCT FROM "
	"(coalesce($1::bigint, quota), coalesce(make_interval(secs => $2::int), \"window\")) "
	"RETURNING quota || ' in ' || \"window\"";
	const char *const values[] = {
		setting("RATE_LIMIT_REQUESTS", NULL), setting("RATE_LIMIT_WINDOW", NULL)
	};
	char	   *now;

	if (values[0] == NULL && values[1] == NULL)
		return true;
	if (!look_up(conn, update, 2, values, &now))
		return false;
	if (now != NULL)
		printf("rate policy user: %s\n", now);
	free(now);
	return true;
}

static bool
check_number(const char *name, long max)
{
	const char *value = setting(name, NULL);
	char	   *end;
	long		number;

	if (value == NULL)
		return true;
	errno = 0;
	number = strtol(value, &end, 10);
	if (*value >= '0' && *value <= '9' && *end == '\0' && errno == 0 && number <= max)
		return true;
	fprintf(stderr, "%s must be a whole number up to %ld\n", name, max);
	return false;
}

static bool
check_secret(void)
{
	const char *secret = setting("SUPABASE_JWT_SECRET", NULL);

	if (secret == NULL || strlen(secret) >= MIN_SECRET)
		return true;
	fprintf(stderr, "SUPABASE_JWT_SECRET must have at least %d bytes\n", MIN_SECRET);
	return false;
}

/* All mistakes at once. */
static bool
check_settings(void)
{
	bool		valid = check_secret();

	valid &= check_number("RATE_LIMIT_REQUESTS", 1000000000);
	valid &= check_number("RATE_LIMIT_WINDOW", 3660L * 86400);
	return valid;
}

static bool
configure(PGconn *conn)
{
	/* two at once would both find the same thing missing */
	return run(conn, "BEGIN", 0, NULL) &&
		run(conn, "SELECT pg_advisory_xact_lock(hashtext('relay_gateway configure'))", 0, NULL) &&
		configure_tokens(conn) && configure_limit(conn) && run(conn, "COMMIT", 0, NULL);
}

int
rg_configure(void)
{
	const char *const names[] = {"dbname", "application_name", "client_encoding", NULL};
	const char *const values[] = {
		setting("DATABASE_PUBLIC_URL", NULL), "relay_gateway configure", "UTF8", NULL
	};
	PGconn	   *conn;
	bool		done;

	if (!check_settings())
		return EXIT_FAILURE;
	conn = PQconnectdbParams(names, values, 1);
	done = PQstatus(conn) == CONNECTION_OK;
	if (!done)
		fprintf(stderr, "cannot connect to the database: %s", PQerrorMessage(conn));
	done = done && configure(conn);
	PQfinish(conn);
	return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
