/*
 * edge_config.c
 *		Settings of CORS, security headers, hosts and proxies; edge_config.h has
 *		the contract.
 */
#include "edge_config.h"

#include "config.h"
#include "http1.h"
#include "origin.h"

#define MAX_CORS_HEADERS 1024

static bool
derive_origins(RgConfig *config, FILE *errors)
{
	RgSlice		bad;
	const char *why;

	if (rg_cors_parse(rg_slice_of(config->cors_text), &config->cors, &bad, &why))
		return true;
	fprintf(errors, "CORS_ORIGINS holds \"%.*s\", which no page's requests come from: %s\n",
			(int) bad.len, bad.data, why);
	return false;
}

/* Whatever answers to anybody must be read by anybody; that is no accident's to decide. */
static bool
check_wildcard(const RgConfig *config, FILE *errors)
{
	if (config->cors.wildcard == 0 || config->environment != RG_PRODUCTION)
		return true;
	fputs("CORS_ORIGINS must name origins in production, and not be *\n", errors);
	return false;
}

/* A list of header names, as it stands in an answer. */
static bool
check_cors_headers(const RgConfig *config, FILE *errors)
{
	const char *text = config->cors_headers;
	size_t		len = strlen(text);
	bool		valid = len <= MAX_CORS_HEADERS;

	for (size_t i = 0; i < len; i++)
		valid &= rg_http_token_char(text[i]) || text[i] == ',' || text[i] == ' ';
	if (!valid || strchr(text, '*') != NULL)
		fputs("CORS_HEADERS must be names of headers, separated by commas\n", errors);
	return valid && strchr(text, '*') == NULL;
}

static bool
check_hosts(const RgConfig *config, FILE *errors)
{
	RgSlice		bad;

	if (rg_hosts_check(rg_slice_of(config->allowed_hosts_text), &bad))
		return true;
	fprintf(errors, "ALLOWED_HOSTS holds \"%.*s\", which is no name of a host, or has a port\n",
			(int) bad.len, bad.data);
	return false;
}

/* Who may write such a header may be whom he likes. */
static bool
check_proxy_protocol(const RgConfig *config, FILE *errors)
{
	if (config->proxy_protocol != RG_ON || config->trusted_proxies.count > 0)
		return true;
	fputs("PROXY_PROTOCOL is on, but TRUSTED_PROXIES names nobody who may connect\n", errors);
	return false;
}

static bool
check_value(const char *name, const char *value, FILE *errors)
{
	if (rg_security_value_valid(value))
		return true;
	fprintf(errors, "%s must be printable ASCII of at most 2048 characters\n", name);
	return false;
}

static bool
check_size(const RgSecurityHeaders *security, FILE *errors)
{
	RgText		counted = {NULL, 0, 0};

	rg_security_headers_put(&counted, security, true);
	if (counted.len <= RG_SECURITY_HEADERS_MAX)
		return true;
	fprintf(errors, "CONTENT_SECURITY_POLICY and the other security headers have more than %d "
			"bytes together\n", RG_SECURITY_HEADERS_MAX);
	return false;
}

static bool
derive_security(RgConfig *config, FILE *errors)
{
	const RgSecurityHeaders security = {
		.content_security_policy = config->content_security_policy,
		.connect_sources = config->csp_connect_src,
		.frame_options = config->frame_options,
		.referrer_policy = config->referrer_policy,
		.opener_policy = config->opener_policy,
		.resource_policy = config->resource_policy,
		.permissions_policy = config->permissions_policy,
		.transport_security = config->transport_security,
	};
	bool		valid = rg_security_sources_valid(security.connect_sources);

	if (!valid)
		fputs("CSP_CONNECT_SRC must be sources separated by blanks, without ; and ,\n", errors);
	valid &= check_value("CONTENT_SECURITY_POLICY", security.content_security_policy, errors);
	valid &= check_value("X_FRAME_OPTIONS", security.frame_options, errors);
	valid &= check_value("REFERRER_POLICY", security.referrer_policy, errors);
	valid &= check_value("CROSS_ORIGIN_OPENER_POLICY", security.opener_policy, errors);
	valid &= check_value("CROSS_ORIGIN_RESOURCE_POLICY", security.resource_policy, errors);
	valid &= check_value("PERMISSIONS_POLICY", security.permissions_policy, errors);
	valid &= check_value("STRICT_TRANSPORT_SECURITY", security.transport_security, errors);
	config->security = security;
	return valid && check_size(&security, errors);
}

bool
rg_edge_config(RgConfig *config, FILE *errors)
{
	bool		valid = derive_origins(config, errors);

	valid &= check_wildcard(config, errors);
	valid &= check_cors_headers(config, errors);
	valid &= check_hosts(config, errors);
	valid &= check_proxy_protocol(config, errors);
	return valid & derive_security(config, errors);
}
