/*
 * keys.c
 *		Fetches key sets, again and again or once; keys.h has the contract.
 */
#include "keys.h"

#include <curl/curl.h>
#include <signal.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "clock.h"
#include "commands.h"
#include "keys_fetch.h"
#include "keys_import.h"
#include "keys_schedule.h"
#include "log.h"

#define TICK_US 250000

typedef struct Keys
{
	const RgConfig *config;
	RgKeysSchedule schedule;
	RgKeysAnswer *fetched;
	RgKeysAnswer *imported;		/* the last one that was */
	RgKeysAnswer answers[2];	/* which those are */
	int			count;			/* of live keys then; -1: none imported yet */
	bool		changed;		/* by the last import */
} Keys;

/* Shared by all processes: unknown keys were named since the last fetch. */
static atomic_bool * wanted;

bool
rg_keys_share(void)
{
	void	   *page = mmap(NULL, sizeof *wanted, PROT_READ | PROT_WRITE,
							MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return false;
	wanted = page;
	return true;
}

void
rg_keys_want(void)
{
	atomic_store(wanted, true);
}

static Keys *
new_keys(const RgConfig *config)
{
	Keys	   *keys = calloc(1, sizeof *keys);

	if (keys == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
	{
		free(keys);
		return NULL;
	}
	keys->config = config;
	keys->fetched = &keys->answers[0];
	keys->imported = &keys->answers[1];
	keys->count = -1;
	return keys;
}

static void
free_keys(Keys *keys)
{
	free(keys);
	curl_global_cleanup();
}

static bool
import(Keys *keys, const char *set)
{
	const RgConfig *config = keys->config;
	RgKeysAnswer *answer = keys->fetched;
	int			count = rg_keys_import(config->keys_database_url, config->jwt_iss, set,
									   answer->reason, sizeof answer->reason);

	if (count < 0)
		return false;
	keys->changed = count != keys->count || strcmp(set, keys->imported->body) != 0;
	keys->count = count;
	return true;
}

static void
swap_answers(Keys *keys)
{
	RgKeysAnswer *imported = keys->fetched;

	keys->fetched = keys->imported;
	keys->imported = imported;
}

/*
 * A set counts as the provider's only once the database has it, so that a
 * failed import is tried again with the whole set; and one that is still good
 * is imported again, for somebody may have changed the tables meanwhile.
 */
static bool
refresh(Keys *keys)
{
	RgKeysAnswer *answer = keys->fetched;

	keys->changed = false;
	if (!rg_keys_fetch(keys->config->jwks_url, keys->imported->etag, answer))
		return false;
	if (!import(keys, answer->unchanged ? keys->imported->body : answer->body))
		return false;
	if (!answer->unchanged)
		swap_answers(keys);
	else if (answer->max_age >= 0)
		keys->imported->max_age = answer->max_age;
	return true;
}

static int64_t
lifetime(const Keys *keys)
{
	return keys->imported->max_age < 0 ? RG_KEYS_LIFETIME : keys->imported->max_age;
}

static void
log_success(const Keys *keys)
{
	char		count[12];

	snprintf(count, sizeof count, "%d", keys->count);
	if (keys->changed)
		rg_log(RG_LOG_INFO, "keys were imported", "issuer", keys->config->jwt_iss,
			   "live", count, NULL);
	else if (keys->schedule.failures > 0)
		rg_log(RG_LOG_INFO, "keys can be fetched again", "issuer", keys->config->jwt_iss, NULL);
}

static void
attempt(Keys *keys)
{
	rg_keys_schedule_start(&keys->schedule, rg_now());
	atomic_store(wanted, false);
	if (refresh(keys))
	{
		log_success(keys);
		rg_keys_schedule_success(&keys->schedule, rg_now(), lifetime(keys),
								 randombytes_random());
		return;
	}
	rg_log(RG_LOG_WARNING, "keys could not be fetched, the former ones stay",
		   "issuer", keys->config->jwt_iss, "reason", keys->fetched->reason, NULL);
	rg_keys_schedule_failure(&keys->schedule, rg_now(), randombytes_random());
}

/*
 * There is nothing to be finished at the end, so SIGTERM keeps its default;
 * SIGINT stays blocked, since a terminal sends it to the master as well.
 */
static void
follow_master(pid_t master)
{
	sigset_t	signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_UNBLOCK, &signals, NULL);
	prctl(PR_SET_NAME, "relay_keys");
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != master)
		raise(SIGTERM);
}

int
rg_keys_run(const RgConfig *config, pid_t master)
{
	Keys	   *keys = new_keys(config);

	follow_master(master);
	if (keys == NULL)
		return EXIT_FAILURE;
	rg_keys_schedule_init(&keys->schedule, rg_now());
	for (;;)
	{
		if (rg_keys_schedule_due(&keys->schedule, rg_now(), atomic_load(wanted)))
			attempt(keys);
		usleep(TICK_US);
	}
}

static bool
refresh_once(const RgConfig *config)
{
	Keys	   *keys = new_keys(config);
	bool		done = keys != NULL && refresh(keys);

	if (done)
		printf("issuer %s: %d live keys\n", config->jwt_iss, keys->count);
	else
		fprintf(stderr, "keys could not be fetched, the former ones stay: %s\n",
				keys ? keys->fetched->reason : "out of memory");
	if (keys != NULL)
		free_keys(keys);
	return done;
}

int
rg_keys_once(void)
{
	RgConfig   *config = rg_config_load(stderr);
	bool		done = false;

	if (config != NULL && *config->jwks_url == '\0')
		fputs("SUPABASE_JWKS_URL is not set: there is nothing to fetch\n", stderr);
	else if (config != NULL)
		done = refresh_once(config);
	if (config != NULL)
		rg_config_free(config);
	return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
