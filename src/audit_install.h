/*
 * audit_install.h
 *		Making and taking away the triggers of audited tables.
 */
#ifndef RG_AUDIT_INSTALL_H
#define RG_AUDIT_INSTALL_H

#include "audit_table.h"

/*
 * Makes the triggers of a table, which the caller has locked, and of all that is
 * part of it, whatever the rights of the user; replaces what is there.  An error
 * when one of them cannot be audited, or when it is part of a table, too, that is
 * not audited as this: what is written by way of that one would not be seen.
 */
extern void rg_audit_install(Oid root, const RgAuditDefinition *definition);

#endif
