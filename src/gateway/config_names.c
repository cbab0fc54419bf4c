/*
 * config_names.c
 *		Names of settings; config_names.h has the contract.
 */
#include "config_names.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"

#define MAX_NAME 64
#define NEAR 2					/* letters to change, add or leave out */
#define MIN_NEAR_NAME 7			/* shorter names are near to too many */

typedef enum Use
{
	FOR_CONFIGURE,
	SECRET_FOR_CONFIGURE,
	FOR_SCRIPTS,				/* ops/run and its like */
	FOR_NOTHING					/* of the systems that this one replaces */
} Use;

/* Those that are not in the table of config.c. */
static const struct
{
	const char *name;
	Use			use;
}			others[] =

{
	{"SUPABASE_JWT_SECRET", SECRET_FOR_CONFIGURE},
	{"SUPABASE_JWT_AUD", FOR_CONFIGURE},
	{"ADMIN_API_KEY", SECRET_FOR_CONFIGURE},
	{"DEV_API_KEY", SECRET_FOR_CONFIGURE},
	{"RATE_LIMIT_ENABLED", FOR_CONFIGURE},
	{"RATE_LIMIT_REQUESTS", FOR_CONFIGURE},
	{"RATE_LIMIT_WINDOW", FOR_CONFIGURE},
	{"RATE_LIMIT_EXEC_PER_MIN", FOR_CONFIGURE},
	{"LLM_BUDGET_DAILY_USD", FOR_CONFIGURE},
	{"LLM_BUDGET_HARD_USD", FOR_CONFIGURE},
	{"OPENAI_API_KEY", SECRET_FOR_CONFIGURE},
	{"OPENAI_BASE_URL", FOR_CONFIGURE},
	{"RELAY_CONFIG", FOR_SCRIPTS},
	{"RELAY_HOME", FOR_SCRIPTS},
	{"RELAY_URL", FOR_SCRIPTS},
	{"RELAY_CACHE", FOR_SCRIPTS},
	{"AUDIT_RATCHET_FILE", FOR_SCRIPTS},
	{"ACTIONS_SIGNING_SECRET", FOR_NOTHING},
	{"FEATURE_FLAG_MAGIC_BOX", FOR_NOTHING},
};

#define NOTHERS (sizeof others / sizeof others[0])

/* The number-th of all names; NULL after the last. */
static const char *
name_at(size_t number)
{
	const char *name = rg_config_name(number);
	size_t		own = 0;

	if (name != NULL)
		return name;
	while (rg_config_name(own) != NULL)
		own++;
	return number - own < NOTHERS ? others[number - own].name : NULL;
}

static bool
is_known(const char *name)
{
	const char *known;

	for (size_t i = 0; (known = name_at(i)) != NULL; i++)
		if (strcmp(known, name) == 0)
			return true;
	return strncmp(name, "PG", 2) == 0;
}

static int
least(int a, int b, int c)
{
	int			less = a < b ? a : b;

	return less < c ? less : c;
}

/* Levenshtein's distance; names beyond MAX_NAME are far from all. */
static int
distance(const char *a, const char *b)
{
	int			row[MAX_NAME + 1];
	int			len = strlen(b);

	if (len > MAX_NAME || strlen(a) > MAX_NAME)
		return MAX_NAME;
	for (int j = 0; j <= len; j++)
		row[j] = j;
	for (int i = 1; a[i - 1] != '\0'; i++)
	{
		int			diagonal = row[0];

		row[0] = i;
		for (int j = 1; j <= len; j++)
		{
			int			above = row[j];

			row[j] = least(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[len];
}

/* The setting that a name was perhaps meant to be, or NULL. */
static const char *
nearest(const char *name)
{
	const char *known;
	const char *found = NULL;
	int			found_at = NEAR + 1;

	for (size_t i = 0; (known = name_at(i)) != NULL; i++)
	{
		int			apart = strlen(name) < MIN_NEAR_NAME ? MAX_NAME : distance(name, known);

		if (apart >= found_at)
			continue;
		found = known;
		found_at = apart;
	}
	return found;
}

bool
rg_config_names_check(const RgEnvFile *file, FILE *errors)
{
	bool		valid = true;

	for (int i = 0; i < file->count; i++)
	{
		const char *meant = nearest(file->names[i]);

		if (is_known(file->names[i]))
			continue;
		valid = false;
		fprintf(errors, meant ? "%s in RELAY_CONFIG is no setting; was %s meant?\n"
				: "%s in RELAY_CONFIG is no setting; relay_gateway --help lists them\n",
				file->names[i], meant);
	}
	return valid;
}

static void
warn_of(const char *variable, FILE *out)
{
	char		name[MAX_NAME + 1];
	size_t		len = strcspn(variable, "=");
	const char *meant;

	if (len > MAX_NAME)
		return;
	memcpy(name, variable, len);
	name[len] = '\0';
	meant = is_known(name) ? NULL : nearest(name);
	if (meant != NULL)
		fprintf(out, "warning: %s in the environment is no setting; was %s meant?\n", name, meant);
}

void
rg_config_names_warn(const RgEnvFile *file, FILE *out)
{
	for (char **variable = environ; *variable != NULL; variable++)
		warn_of(*variable, out);
	for (size_t i = 0; i < NOTHERS; i++)
		if (others[i].use == FOR_NOTHING && rg_env_setting(file, others[i].name) != NULL)
			fprintf(out, "warning: %s is set, but nothing reads it\n", others[i].name);
}

void
rg_config_names_print(const RgEnvFile *file, FILE *out)
{
	for (size_t i = 0; i < NOTHERS; i++)
	{
		const char *value = rg_env_setting(file, others[i].name);

		if (value != NULL && others[i].use <= SECRET_FOR_CONFIGURE)
			fprintf(out, "%s=%s\n", others[i].name,
					others[i].use == SECRET_FOR_CONFIGURE ? "****" : value);
	}
}
