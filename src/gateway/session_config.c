/*
 * session_config.c
 *		The settings of sessions; session_config.h has the contract.
 */
#include "session_config.h"

#include "gateway_flags.h"

/* The choices of config.c, in their order. */
enum
{
	SECURE_AUTO, SECURE_TRUE, SECURE_FALSE
};
enum
{
	SAMESITE_LAX, SAMESITE_STRICT, SAMESITE_NONE
};

/* Without TLS there is no __Host- cookie that a browser would send back. */
static bool
allows_plain_cookies(const RgConfig *config)
{
	if (config->cookie_secure == SECURE_AUTO)
		return config->environment == RG_DEVELOPMENT || config->environment == RG_TEST;
	return config->cookie_secure == SECURE_FALSE;
}

static bool
check(const RgConfig *config, FILE *errors)
{
	bool		production = config->environment == RG_PRODUCTION;
	bool		valid = true;

	if (production && config->allow_dev_routes == 1)
	{
		fputs("ALLOW_DEV_ROUTES must be 0 in production: it lets everybody sign in\n", errors);
		valid = false;
	}
	if (production && config->cookie_secure == SECURE_FALSE)
	{
		fputs("COOKIE_SECURE must not be false in production: whoever listens could be any user\n", errors);
		valid = false;
	}
	if (config->cookie_samesite == SAMESITE_NONE && config->cookie_secure == SECURE_FALSE)
	{
		fputs("COOKIE_SAMESITE is none, which browsers take with COOKIE_SECURE alone\n", errors);
		valid = false;
	}
	return valid;
}

static void
add_flag(char flags[RG_FLAGS_SIZE], const char *flag)
{
	if (flags[0] != '\0')
		strcat(flags, ",");
	strcat(flags, flag);
}

static void
make_flags(const RgConfig *config, bool secure, char flags[RG_FLAGS_SIZE])
{
	if (config->allow_dev_routes == 1)
		add_flag(flags, RG_FLAG_DEV);
	if (!secure && allows_plain_cookies(config))
		add_flag(flags, RG_FLAG_PLAIN_COOKIES);
	if (config->cookie_samesite == SAMESITE_STRICT)
		add_flag(flags, RG_FLAG_SAMESITE_STRICT);
	if (config->cookie_samesite == SAMESITE_NONE)
		add_flag(flags, RG_FLAG_SAMESITE_NONE);
}

bool
rg_session_config_derive(RgConfig *config, FILE *errors)
{
	config->allow_dev_routes %= 2;
	config->cookie_samesite %= 3;
	if (!check(config, errors))
		return false;
	make_flags(config, false, config->flags[false]);
	make_flags(config, true, config->flags[true]);
	return true;
}

void
rg_session_config_tell(const RgConfig *config, bool secure, RgRequest *request)
{
	RgHeader   *header;

	if (config->flags[secure][0] == '\0' || request->nheaders == RG_FRAME_MAX_HEADERS)
		return;
	header = &request->headers[request->nheaders++];
	header->name = RG_SLICE(RG_FLAGS_HEADER);
	header->value = rg_slice_of(config->flags[secure]);
}
