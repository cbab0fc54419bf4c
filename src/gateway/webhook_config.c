/*
 * webhook_config.c
 *		Settings of webhooks; webhook_config.h has the contract.
 */
#include "webhook_config.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "config.h"

static bool
parse_networks(RgConfig *config, FILE *errors)
{
	RgSlice		bad;

	if (rg_networks_parse(rg_slice_of(config->webhook_networks_text), &config->webhook_networks, &bad))
		return true;
	fprintf(errors, "WEBHOOK_ALLOW_NETWORKS holds \"%.*s\", which is no network such as "
			"10.1.0.0/16, or there are more than %d\n", (int) bad.len, bad.data, RG_MAX_NETWORKS);
	return false;
}

static bool
contains(const RgConfig *config, RgSlice text)
{
	RgAddress	address;

	return rg_address_parse(text, &address) &&
		rg_networks_contain(&config->webhook_networks, &address);
}

/* Of them no receiver has an address, but a cloud's credentials. */
static bool
check_networks(const RgConfig *config, FILE *errors)
{
	if (!contains(config, RG_SLICE("169.254.169.254")) && !contains(config, RG_SLICE("fd00:ec2::254")))
		return true;
	fputs("WEBHOOK_ALLOW_NETWORKS must not hold 169.254.169.254 or fd00:ec2::254, which tell "
		  "clouds' credentials; name networks of your own\n", errors);
	return false;
}

static bool
check_ca_file(const RgConfig *config, FILE *errors)
{
	if (*config->webhook_ca_file == '\0' || access(config->webhook_ca_file, R_OK) == 0)
		return true;
	fprintf(errors, "WEBHOOK_CA_FILE names %s, which cannot be read: %s\n",
			config->webhook_ca_file, strerror(errno));
	return false;
}

bool
rg_webhook_config(RgConfig *config, FILE *errors)
{
	return (parse_networks(config, errors) && check_networks(config, errors)) &
		check_ca_file(config, errors);
}
