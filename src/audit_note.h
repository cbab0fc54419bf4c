/*
 * audit_note.h
 *		What the audit log says of audited tables themselves.
 */
#ifndef RG_AUDIT_NOTE_H
#define RG_AUDIT_NOTE_H

#include "audit_table.h"

/* schema.table, quoted where it must be. */
extern const char *rg_audit_table_name(Oid relation);

/* How the table is audited from here on, or was until here. */
extern void rg_audit_note_definition(const char *action, Oid relation,
									 const RgAuditDefinition *definition);

/*
 * That a column is gone, or is called to from here on; nothing when the table is
 * not audited.  What is read under a name is another column's value after that.
 */
extern void rg_audit_note_column(Oid relation, const char *what, const char *column, const char *to);

#endif
