/*
 * same_site.c
 *		Whether a page of this site has made a request; same_site.h has the
 *		contract.
 */
#include "same_site.h"

#include <strings.h>

#include "gateway_flags.h"

static RgSite
by_fetch_metadata(RgSlice site)
{
	if (rg_slice_is(site, "same-origin") || rg_slice_is(site, "none"))
		return RG_SITE_OWN;
	return rg_slice_is(site, "same-site") ? RG_SITE_SIBLING : RG_SITE_CROSS;
}

/* Schemes and hosts have no case. */
static bool
is_own(const RgRequest *request, RgSlice origin)
{
	RgSlice		own = rg_request_header(request, RG_ORIGIN_HEADER);

	return own.len > 0 && own.len == origin.len &&
		strncasecmp(own.data, origin.data, own.len) == 0;
}

static bool
is_allowed(const RgRequest *request, RgSlice origin)
{
	return is_own(request, origin) ||
		rg_slice_is(rg_request_header(request, RG_CORS_HEADER), "1");
}

/* scheme://authority of a URL. */
static RgSlice
origin_of(RgSlice url)
{
	size_t		len = 0;
	int			slashes = 0;

	while (len < url.len && url.data[len] != '?' && url.data[len] != '#' &&
		   (slashes += url.data[len] == '/') < 3)
		len++;
	return rg_slice(url.data, len);
}

RgSite
rg_site_of(const RgRequest *request)
{
	RgSlice		site = rg_request_header(request, "sec-fetch-site");
	RgSlice		origin = rg_request_header(request, "origin");
	RgSlice		referer = rg_request_header(request, "referer");

	if (site.data != NULL)
		return by_fetch_metadata(site);
	if (origin.data != NULL)
		return is_allowed(request, origin) ? RG_SITE_OWN : RG_SITE_OTHER_ORIGIN;
	if (referer.data != NULL)
		return is_own(request, origin_of(referer)) ? RG_SITE_OWN : RG_SITE_OTHER_REFERER;
	return RG_SITE_UNSAID;
}
