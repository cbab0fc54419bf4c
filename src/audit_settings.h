/*
 * audit_settings.h
 *		Settings of a session that decide how values are printed, and must not
 *		decide how the audit log shows them.
 */
#ifndef RG_AUDIT_SETTINGS_H
#define RG_AUDIT_SETTINGS_H

/* Whether they decide how values of the type are printed. */
extern bool rg_audit_printed_by_settings(Oid type);

/*
 * Prints values the same whoever writes them (ISO dates in UTC, floats exact,
 * bytea in hex, intervals as postgres does) until rg_audit_settings_end(),
 * which takes what this returns; an error ends it, too.
 */
extern int	rg_audit_settings_begin(void);
extern void rg_audit_settings_end(int level);

/* From now to rg_audit_settings_end(), names are printed with their schema. */
extern int	rg_audit_names_begin(void);

#endif
