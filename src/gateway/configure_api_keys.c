/*
 * configure_api_keys.c
 *		The API keys of the environment, into the tables.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "configure.h"

typedef struct EnvKey
{
	const char *variable;
	const char *name;			/* of its row */
	const char *role;
	bool		in_production;	/* may it be used there? */
} EnvKey;

static const EnvKey keys[] = {
	{"ADMIN_API_KEY", "env-admin", "admin", true},
	{"DEV_API_KEY", "env-dev", "user", false},
};

#define NKEYS (sizeof keys / sizeof *keys)

static bool
check_key(const EnvKey *key)
{
	if (!rg_check_secret_setting(key->variable))
		return false;
	if (key->in_production || !rg_in_production() || rg_setting(key->variable, NULL) == NULL)
		return true;
	fprintf(stderr, "%s is not for production\n", key->variable);
	return false;
}

/* One key for two purposes would have the rights of either. */
static bool
check_different(void)
{
	const char *admin = rg_setting(keys[0].variable, NULL);
	const char *dev = rg_setting(keys[1].variable, NULL);

	if (admin == NULL || dev == NULL || strcmp(admin, dev) != 0)
		return true;
	fprintf(stderr, "DEV_API_KEY must differ from ADMIN_API_KEY\n");
	return false;
}

bool
rg_check_api_key_settings(void)
{
	bool		valid = true;

	for (size_t i = 0; i < NKEYS; i++)
		valid &= check_key(&keys[i]);
	return check_different() && valid;
}

/* Registers the key that is set, or ends the one that was. */
static bool
configure_key(PGconn *conn, const EnvKey *key)
{
	const char *secret = rg_setting(key->variable, NULL);
	const char *const set[] = {key->name, secret, key->role};
	const char *const unset[] = {key->name};
	char	   *changed;
	bool		done = secret != NULL ?
	rg_sql_look_up(conn, "SELECT relay_guard.api_key_set($1, $2, $3)", 3, set, &changed) :
	rg_sql_look_up(conn, "SELECT relay_guard.api_key_unset($1)", 1, unset, &changed);

	if (!done)
		return false;
	if (changed != NULL && *changed == 't')
		printf("API key %s: %s\n", key->name, secret != NULL ? "registered" : "removed");
	free(changed);
	return true;
}

bool
rg_configure_api_keys(PGconn *conn)
{
	for (size_t i = 0; i < NKEYS; i++)
		if (!configure_key(conn, &keys[i]))
			return false;
	return true;
}
