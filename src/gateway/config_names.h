/*
 * config_names.h
 *		Which names are settings, so that a misspelt one is not taken for silence.
 */
#ifndef RG_CONFIG_NAMES_H
#define RG_CONFIG_NAMES_H

#include <stdio.h>

#include "env_file.h"

/*
 * Whether every name in the file that RELAY_CONFIG names is a setting, of the
 * gateway, of relay_gateway configure, or of libpq; others are told.
 */
extern bool rg_config_names_check(const RgEnvFile *file, FILE *errors)
			__attribute__((warn_unused_result));

/*
 * For --check: names of the environment that are nearly a setting's, and settings
 * that nothing reads.  The environment is everybody's, so these are no mistakes.
 */
extern void rg_config_names_warn(const RgEnvFile *file, FILE *out);

/* Prints what is set for relay_gateway configure, NAME=value lines, secrets masked. */
extern void rg_config_names_print(const RgEnvFile *file, FILE *out);

#endif
