/*
 * keyring_audit.h
 *		relay_gateway keyring audit-init
 */
#ifndef RG_KEYRING_AUDIT_H
#define RG_KEYRING_AUDIT_H

#include <stdbool.h>

/*
 * Makes the file of a new ratchet, mode 0600, and prints its first key to stdout,
 * which nobody can have from the file later.  Says on stderr why it fails.
 */
extern bool rg_keyring_audit_init(const char *path)
			__attribute__((warn_unused_result));

#endif
