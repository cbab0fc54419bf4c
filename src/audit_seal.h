/*
 * audit_seal.h
 *		Sealing the audit log: what is new since the last seal is counted,
 *		hashed, and linked to it.
 */
#ifndef RG_AUDIT_SEAL_H
#define RG_AUDIT_SEAL_H

#include "audit_seal_message.h"

/* Settings and the callback of transactions; called from _PG_init. */
extern void rg_audit_seal_init(void);

/*
 * Seals what the present transaction, which has written nothing, can see; one
 * seal a month.  Returns their number.  The ratchet follows at the commit.
 */
extern int	rg_audit_seal(void);

#endif
