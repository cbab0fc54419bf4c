/*
 * configure_provider.c
 *		The provider of language models of the environment, into the tables.
 *
 * OPENAI_API_KEY makes the upstream openai, of auth bearer, which rows of
 * relay_guard.model name as their provider.  Its timeouts stay what somebody has made
 * of them.
 */
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "configure.h"

#define KEY "OPENAI_API_KEY"
#define URL "OPENAI_BASE_URL"
#define DEFAULT_URL "https://api.openai.com/v1"
#define KEY_MAX 4096
#define URL_MAX 1024

/* What the table takes, but for "." and "..", which it refuses by itself. */
static const char url_pattern[] =
"^https?://([A-Za-z0-9][A-Za-z0-9.-]*|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5})?(/[A-Za-z0-9._~!$&'()*+,;=:@-]+)*$";

static bool
check_key(void)
{
	const char *key = rg_setting(KEY, NULL);
	size_t		len = key != NULL ? strlen(key) : 0;

	for (size_t i = 0; i < len; i++)
		if (key[i] <= ' ' || key[i] > '~' || len > KEY_MAX)
		{
			fprintf(stderr, KEY " must be up to %d characters of visible ASCII\n", KEY_MAX);
			return false;
		}
	return true;
}

/* As it is written, but for slashes at the end. */
static bool
read_url(char url[URL_MAX + 1])
{
	const char *value = rg_setting(URL, DEFAULT_URL);
	size_t		len = strlen(value);
	regex_t		pattern;
	bool		matches;

	while (len > 0 && value[len - 1] == '/')
		len--;
	if (len > URL_MAX)
		return false;
	memcpy(url, value, len);
	url[len] = '\0';
	if (regcomp(&pattern, url_pattern, REG_EXTENDED | REG_NOSUB) != 0)
		return false;
	matches = regexec(&pattern, url, 0, NULL, 0) == 0;
	regfree(&pattern);
	return matches;
}

static bool
is_plain(const char *url)
{
	static const char *const own[] = {"http://127.", "http://localhost", "http://[::1]"};

	for (size_t i = 0; i < sizeof own / sizeof *own; i++)
		if (strncmp(url, own[i], strlen(own[i])) == 0)
			return false;
	return strncmp(url, "http://", strlen("http://")) == 0;
}

static bool
check_url(void)
{
	char		url[URL_MAX + 1];

	if (!read_url(url))
	{
		fprintf(stderr, URL " must be a URL like " DEFAULT_URL ", without user, query and fragment\n");
		return false;
	}
	if (is_plain(url) && rg_in_production())
		fprintf(stderr, URL " is not https: keys and messages go over the network as they are\n");
	return true;
}

bool
rg_check_provider_settings(void)
{
	bool		valid = check_key();

	return check_url() && valid;
}

static bool
configure_upstream(PGconn *conn, const char *url)
{
	static const char insert[] =
	"INSERT INTO relay_guard.upstream AS u (name, url, auth, answer_timeout, idle_timeout) "
	"VALUES ('openai', $1, 'bearer', '5 min', '2 min') "
	"ON CONFLICT (name) DO UPDATE SET url = excluded.url, auth = excluded.auth "
	"WHERE (u.url, u.auth) IS DISTINCT FROM (excluded.url, excluded.auth) RETURNING url";
	const char *const values[] = {url};

	return rg_sql_change(conn, insert, 1, values, "upstream openai");
}

/* Counts the keys that it has had; NULL, told, on error. */
static char *
key_version(PGconn *conn)
{
	static const char look[] =
	"SELECT coalesce(max(version), 0) FROM relay_guard.webhook_secret WHERE name = 'upstream/openai'";
	char	   *version;

	return rg_sql_look_up(conn, look, 0, NULL, &version) ? version : NULL;
}

/* The key that is there already is stored no second time. */
static bool
configure_key(PGconn *conn, const char *key)
{
	const char *const values[] = {key};
	char	   *before = key_version(conn);
	char	   *after = NULL;
	bool		done = before != NULL &&
	rg_sql_run(conn, "SELECT relay_guard.upstream_secret_set('openai', $1, '0')", 1, values) &&
	(after = key_version(conn)) != NULL;

	if (done && strcmp(before, after) != 0)
		printf("upstream openai: key %s\n", strcmp(before, "0") == 0 ? "registered" : "replaced");
	free(before);
	free(after);
	return done;
}

bool
rg_configure_provider(PGconn *conn)
{
	const char *key = rg_setting(KEY, NULL);
	char		url[URL_MAX + 1];

	if (key == NULL)
		return true;
	return read_url(url) && configure_upstream(conn, url) && configure_key(conn, key);
}
