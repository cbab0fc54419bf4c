/*
 * webhook_config.h
 *		The settings of webhooks that are sent.
 */
#ifndef RG_WEBHOOK_CONFIG_H
#define RG_WEBHOOK_CONFIG_H

#include <stdbool.h>
#include <stdio.h>

struct RgConfig;

/*
 * Checks them and makes of them what is used, once the table of settings has been
 * read.  False, every mistake a line in errors, else.
 */
extern bool rg_webhook_config(struct RgConfig *config, FILE *errors)
			__attribute__((warn_unused_result));

#endif
