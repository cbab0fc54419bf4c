/*
 * keyring_fetch.h
 *		A key ring that another program hands out, such as a KMS's client.
 */
#ifndef RG_KEYRING_FETCH_H
#define RG_KEYRING_FETCH_H

#include <stdbool.h>

/*
 * Runs a command (its words, NULL at the end; no shell) and makes what it
 * prints the content of the file.  Unless that takes longer than so many
 * seconds, the command fails, or it prints no ring; or the ring lacks a key
 * of the present file, or has it otherwise, and force does not say that this is
 * meant: what was sealed under such a key would be lost.  Says why on stderr.
 */
extern bool rg_keyring_fetch(const char *path, char **command, int seconds, bool force)
			__attribute__((warn_unused_result));

#endif
