/*
 * same_site.h
 *		Whether a page of this site has made a request.
 *
 * Browsers say it in Sec-Fetch-Site, which no script can set (Fetch Metadata);
 * older ones have Origin, then Referer.
 *
 * Pure C: shared by the extension and unit tests.
 */
#ifndef RG_SAME_SITE_H
#define RG_SAME_SITE_H

#include "frame.h"

typedef enum RgSite
{
	RG_SITE_OWN,				/* our page, or the user by hand */
	RG_SITE_CROSS,
	RG_SITE_SIBLING,			/* another host or port of our site */
	RG_SITE_OTHER_ORIGIN,
	RG_SITE_OTHER_REFERER,
	RG_SITE_UNSAID				/* none of the three: an old browser, or none */
} RgSite;

/* Who has made it.  The gateway says what our own origin is (gateway_flags.h). */
extern RgSite rg_site_of(const RgRequest *request);

#endif
