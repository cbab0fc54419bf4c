/*
 * configure_tokens.c
 *		The issuer of the environment and its key, into the tables.
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "configure.h"

#define KID_BYTES 8				/* of the secret's SHA-256, in hex */
#define KID_PREFIX "env-"
#define KID_SIZE (sizeof KID_PREFIX + 2 * KID_BYTES)

bool
rg_check_token_settings(void)
{
	return rg_check_secret_setting("SUPABASE_JWT_SECRET");
}

static bool
update_audience(PGconn *conn, const char *iss, const char *aud)
{
	const char *const values[] = {iss, aud};

	if (!rg_sql_run(conn, "UPDATE relay_guard.issuer SET aud = $2 WHERE iss = $1", 2, values))
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

	if (!rg_sql_look_up(conn, "SELECT aud FROM relay_guard.issuer WHERE iss = $1", 1, values, &current))
		return false;
	if (current != NULL)
	{
		same = strcmp(current, aud) == 0;
		free(current);
		return same || update_audience(conn, iss, aud);
	}
	if (!rg_sql_run(conn, "SELECT relay_guard.issuer_add($1, $2)", 2, values))
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

	if (!rg_sql_look_up(conn, "DELETE FROM relay_guard.jwt_key WHERE iss = $1 AND kid <> $2 "
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
	if (!rg_sql_look_up(conn, "SELECT CASE WHEN retired_at IS NULL THEN 'live' ELSE 'retired' END "
						"FROM relay_guard.jwt_key WHERE iss = $1 AND kid = $2", 2, values, &state))
		return false;
	if (state != NULL)
	{
		if (strcmp(state, "retired") == 0)
			printf("issuer %s: key %s has been retired and stays so\n", iss, kid);
		free(state);
		return true;
	}
	if (!rg_sql_run(conn, "SELECT relay_guard.jwt_key_add($1, $2, $3)", 3, values))
		return false;
	printf("issuer %s: key %s registered\n", iss, kid);
	return drop_former_key(conn, iss, kid);
}

bool
rg_configure_tokens(PGconn *conn)
{
	const char *secret = rg_setting("SUPABASE_JWT_SECRET", NULL);
	const char *iss = rg_setting("SUPABASE_JWT_ISS", "supabase");

	if (secret == NULL && rg_setting("SUPABASE_JWKS_URL", NULL) == NULL)
		return true;
	return configure_issuer(conn, iss, rg_setting("SUPABASE_JWT_AUD", "authenticated")) &&
		(secret == NULL || configure_key(conn, iss, secret));
}
