/*
 * security_headers.c
 *		Security headers; security_headers.h has the contract.
 */
#include "security_headers.h"

#define MAX_VALUE 2048

bool
rg_security_value_valid(const char *value)
{
	size_t		len = strlen(value);

	for (size_t i = 0; i < len; i++)
		if (value[i] < 0x20 || value[i] > 0x7e)
			return false;
	return len <= MAX_VALUE;
}

bool
rg_security_sources_valid(const char *sources)
{
	return rg_security_value_valid(sources) && strpbrk(sources, ";,") == NULL;
}

static void
put_header(RgText *text, RgSlice name, const char *value)
{
	if (*value == '\0' || strcmp(value, "off") == 0)
		return;
	rg_text_put(text, name);
	rg_text_put(text, rg_slice(value, strlen(value)));
	rg_text_put(text, RG_SLICE("\r\n"));
}

static void
put_usual_policy(RgText *text, const char *connect_sources)
{
	rg_text_put(text, RG_SLICE("Content-Security-Policy: default-src 'self'; "
							   "script-src 'self'; style-src 'self'; "
							   "img-src 'self' data:; connect-src 'self'"));
	if (*connect_sources != '\0')
		rg_text_char(text, ' ');
	rg_text_put(text, rg_slice(connect_sources, strlen(connect_sources)));
	rg_text_put(text, RG_SLICE("; frame-ancestors 'none'; base-uri 'self'; "
							   "form-action 'self'\r\n"));
}

void
rg_security_headers_put(RgText *text, const RgSecurityHeaders *headers, bool secure)
{
	rg_text_put(text, RG_SLICE("X-Content-Type-Options: nosniff\r\n"));
	put_header(text, RG_SLICE("X-Frame-Options: "), headers->frame_options);
	put_header(text, RG_SLICE("Referrer-Policy: "), headers->referrer_policy);
	if (*headers->content_security_policy == '\0')
		put_usual_policy(text, headers->connect_sources);
	else
		put_header(text, RG_SLICE("Content-Security-Policy: "),
				   headers->content_security_policy);
	put_header(text, RG_SLICE("Cross-Origin-Opener-Policy: "), headers->opener_policy);
	put_header(text, RG_SLICE("Cross-Origin-Resource-Policy: "), headers->resource_policy);
	put_header(text, RG_SLICE("Permissions-Policy: "), headers->permissions_policy);
	rg_text_put(text, RG_SLICE("X-Permitted-Cross-Domain-Policies: none\r\n"
							   "X-XSS-Protection: 0\r\n"));
	if (secure)
		put_header(text, RG_SLICE("Strict-Transport-Security: "),
				   headers->transport_security);
}
