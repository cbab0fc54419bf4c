/*
 * strict.h
 *		relay_guard.strict: what outlives a transaction and an identity do not
 *		meet in one.
 */
#ifndef RG_STRICT_H
#define RG_STRICT_H

#include "nodes/nodes.h"

/* Defines the setting, installs the hooks; called from _PG_init. */
extern void rg_strict_init(void);

/*
 * Raises an error when strict mode does not let that utility statement run in
 * this transaction.
 */
extern void rg_strict_check_statement(Node *statement);

/*
 * Raises an error when strict mode does not let this transaction have an
 * identity, for what it did before.
 */
extern void rg_strict_check_identity(void);

#endif
