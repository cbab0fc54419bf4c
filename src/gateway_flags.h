/*
 * gateway_flags.h
 *		What the gateway says of itself with each request.
 *
 * Settings of the gateway's environment that only serve() can act upon come in
 * the header x-relay-flags, words parted by commas.  It is the gateway's own:
 * none of that name is taken from a client.  Without the header none is set,
 * and that is always the safe side.
 *
 * Pure C: shared by the extension, the gateway and unit tests.
 */
#ifndef RG_GATEWAY_FLAGS_H
#define RG_GATEWAY_FLAGS_H

#include "frame.h"

#define RG_FLAGS_HEADER "x-relay-flags"
#define RG_ORIGIN_HEADER "x-relay-origin"	/* scheme://host as the client
											 * sees it */
#define RG_CORS_HEADER "x-relay-cors"	/* 1: Origin is one of CORS_ORIGINS */

#define RG_FLAG_DEV "dev"		/* routes for development are there */
#define RG_FLAG_PLAIN_COOKIES "plain-cookies"	/* http, and allowed */
#define RG_FLAG_SAMESITE_STRICT "samesite-strict"
#define RG_FLAG_SAMESITE_NONE "samesite-none"

/* Whether the gateway has set that flag for this request. */
extern bool rg_gateway_flag(const RgRequest *request, RgSlice flag);

#endif
