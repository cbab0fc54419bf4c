/*
 * configure_limits.c
 *		The limits of the environment, into the tables.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "configure.h"

static bool
check_number(const char *name, long max)
{
	const char *value = rg_setting(name, NULL);
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

/* "t", "f", NULL when it is not set, or "" when it is none of these words. */
static const char *
enabled_setting(void)
{
	static const char *const on[] = {"true", "1", "on", "yes"};
	static const char *const off[] = {"false", "0", "off", "no"};
	const char *value = rg_setting("RATE_LIMIT_ENABLED", NULL);

	if (value == NULL)
		return NULL;
	for (size_t i = 0; i < sizeof on / sizeof *on; i++)
	{
		if (strcmp(value, on[i]) == 0)
			return "t";
		if (strcmp(value, off[i]) == 0)
			return "f";
	}
	return "";
}

bool
rg_check_limit_settings(void)
{
	const char *enabled = enabled_setting();
	bool		valid = enabled == NULL || *enabled != '\0';

	if (!valid)
		fprintf(stderr, "RATE_LIMIT_ENABLED must be true or false\n");
	if (enabled != NULL && *enabled == 'f' && rg_in_production())
		fprintf(stderr, "RATE_LIMIT_ENABLED is false in production: nothing is limited\n");
	valid &= check_number("RATE_LIMIT_REQUESTS", 1000000000);
	valid &= check_number("RATE_LIMIT_WINDOW", 3660L * 86400);
	valid &= check_number("RATE_LIMIT_EXEC_PER_MIN", 1000000000);
	return valid;
}

/* Either may be set without the other. */
static bool
configure_user_limit(PGconn *conn)
{
	static const char update[] =
	"UPDATE relay_guard.rate_policy SET quota = coalesce($1::bigint, quota), "
	"\"window\" = coalesce(make_interval(secs => $2::int), \"window\") "
	"WHERE name = 'user' AND (quota, \"window\") IS DISTINCT FROM "
	"(coalesce($1::bigint, quota), coalesce(make_interval(secs => $2::int), \"window\")) "
	"RETURNING quota || ' in ' || \"window\"";
	const char *const values[] = {
		rg_setting("RATE_LIMIT_REQUESTS", NULL), rg_setting("RATE_LIMIT_WINDOW", NULL)
	};

	return (values[0] == NULL && values[1] == NULL) ||
		rg_sql_change(conn, update, 2, values, "rate policy user");
}

static bool
configure_exec_limit(PGconn *conn)
{
	static const char update[] =
	"UPDATE relay_guard.rate_policy SET quota = $1::bigint, \"window\" = '1 min' "
	"WHERE name = 'exec' AND (quota, \"window\") IS DISTINCT FROM ($1::bigint, interval '1 min') "
	"RETURNING quota || ' in ' || \"window\"";
	const char *const values[] = {rg_setting("RATE_LIMIT_EXEC_PER_MIN", NULL)};

	return values[0] == NULL || rg_sql_change(conn, update, 1, values, "rate policy exec");
}

static bool
configure_enabled(PGconn *conn)
{
	static const char update[] =
	"WITH changed AS (UPDATE relay_guard.rate_policy SET enabled = $1::boolean "
	"                 WHERE enabled <> $1::boolean RETURNING name) "
	"SELECT CASE WHEN $1::boolean THEN 'on' ELSE 'off' END || ' (' || string_agg(name, ', ' ORDER BY name) || ')' "
	"FROM changed HAVING count(*) > 0";
	const char *const values[] = {enabled_setting()};

	return values[0] == NULL || rg_sql_change(conn, update, 1, values, "rate policies");
}

bool
rg_configure_limits(PGconn *conn)
{
	return configure_user_limit(conn) && configure_exec_limit(conn) && configure_enabled(conn);
}
