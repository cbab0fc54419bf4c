/*
 * edge_config.h
 *		The settings of CORS, security headers, hosts and proxies.
 */
#ifndef RG_EDGE_CONFIG_H
#define RG_EDGE_CONFIG_H

#include <stdbool.h>
#include <stdio.h>

struct RgConfig;

/*
 * Checks them and makes of them what is used, once the table of settings and
 * TRUSTED_PROXIES have been read.  False, every mistake a line in errors, else.
 */
extern bool rg_edge_config(struct RgConfig *config, FILE *errors)
			__attribute__((warn_unused_result));

#endif
