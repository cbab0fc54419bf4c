/*
 * session_config.h
 *		The settings of sessions: what they allow, and how serve() learns it.
 */
#ifndef RG_SESSION_CONFIG_H
#define RG_SESSION_CONFIG_H

#include "config.h"
#include "frame.h"

/*
 * Whether ALLOW_DEV_ROUTES, COOKIE_SECURE and COOKIE_SAMESITE go with each other
 * and with ENVIRONMENT, every mistake told; then makes config->flags of them.
 */
extern bool rg_session_config_derive(RgConfig *config, FILE *errors)
			__attribute__((warn_unused_result));

/*
 * Adds the header that tells serve() (gateway_flags.h); secure: the client
 * speaks https.
 */
extern void rg_session_config_tell(const RgConfig *config, bool secure, RgRequest *request);

#endif
