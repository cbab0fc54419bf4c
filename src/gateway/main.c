/*
 * main.c
 *		relay_gateway's command line.
 */
#include <curl/curl.h>
#include <event2/event.h>
#include <jansson.h>
#include <libpq-fe.h>
#include <openssl/crypto.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "commands.h"
#include "config.h"
#include "config_names.h"
#include "master.h"

static void
print_help(void)
{
	puts("relay_gateway: the HTTP front-end of relay_guard\n"
		 "\n"
		 "  relay_gateway                     serves until SIGTERM; SIGHUP reads the configuration again\n"
		 "  relay_gateway --check             prints the configuration, all its mistakes, and what is perhaps misspelt\n"
		 "  relay_gateway configure           writes settings of the environment to the database\n"
		 "  relay_gateway keys                fetches the identity provider's keys once, as for cron\n"
		 "  relay_gateway keyring new [FILE]  makes a key ring with one random key\n"
		 "  relay_gateway keyring add FILE [--active]         adds a key, which becomes primary, or only active\n"
		 "  relay_gateway keyring promote FILE ID [--retired] makes a key primary, one that is retired if so meant\n"
		 "  relay_gateway keyring retire FILE ID              lets a key open nothing any more\n"
		 "  relay_gateway keyring list FILE                   shows ids, states and ages\n"
		 "  relay_gateway keyring fetch [--force] [--timeout SECONDS] FILE COMMAND [ARGUMENT...]\n"
		 "                                    writes what a command prints to FILE, if that is a key ring that\n"
		 "                                    lacks no key of the present one\n"
		 "  relay_gateway keyring audit-init FILE             makes the ratchet of the audit log's seals; prints\n"
		 "                                    its first key, once: keep that away from this host\n"
		 "  relay_gateway --version | --help\n"
		 "\n"
		 "Settings come from the environment, or from a file of NAME=value lines that\n"
		 "RELAY_CONFIG names:\n");
	rg_config_help(stdout);
}

static int
check(void)
{
	RgConfig   *config = rg_config_load_to_serve(stderr);

	RgEnvFile	file;

	if (config == NULL || !rg_env_file_configured(&file, stderr))
		return EXIT_FAILURE;
	rg_config_names_warn(&file, stderr);
	rg_config_print(config, stdout);
	rg_config_names_print(&file, stdout);
	rg_env_file_free(&file);
	rg_config_free(config);
	return EXIT_SUCCESS;
}

/* What it runs with may be another than what it was built with. */
static void
print_version(void)
{
	int			libpq = PQlibVersion();

	puts("relay_gateway " RG_VERSION);
	printf("libpq %d.%d\nlibevent %s\n%s\nlibsodium %s\njansson %s\n%s\n",
		   libpq / 10000, libpq % 10000, event_get_version(), OpenSSL_version(OPENSSL_VERSION),
		   sodium_version_string(), jansson_version_str(), curl_version());
}

static int
serve(void)
{
	RgConfig   *config = rg_config_load_to_serve(stderr);

	return config ? rg_master_run(config) : EXIT_FAILURE;
}

static int
fail_usage(void)
{
	fputs("relay_gateway does not know these arguments; see relay_gateway --help\n", stderr);
	return 2;
}

static bool
is(const char *argument, const char *word)
{
	return argument != NULL && strcmp(argument, word) == 0;
}

static int
keyring(int argc, char **argv)
{
	int			status = rg_keyring_command(argc, argv);

	return status == 2 ? fail_usage() : status;
}

int
main(int argc, char **argv)
{
	if (sodium_init() < 0)
	{
		fputs("libsodium cannot start\n", stderr);
		return EXIT_FAILURE;
	}
	if (argc == 1)
		return serve();
	if (argc == 2 && is(argv[1], "--check"))
		return check();
	if (argc == 2 && is(argv[1], "configure"))
		return rg_configure();
	if (argc == 2 && is(argv[1], "keys"))
		return rg_keys_once();
	if (argc >= 3 && is(argv[1], "keyring"))
		return keyring(argc - 2, argv + 2);
	if (argc == 2 && is(argv[1], "--help"))
		print_help();
	else if (argc == 2 && is(argv[1], "--version"))
		print_version();
	else
		return fail_usage();
	return EXIT_SUCCESS;
}
