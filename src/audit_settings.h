/*
 * audit_settings.h
 *		Settings of a session that decide how values are printed, and must not
 *		decide how the audit log shows them.
 */
#ifndef RG_AUDIT_SETTINGS_H
#define RG_AUDIT_SETTINGS_H

/* What each decides about; a bit. */
typedef enum RgAuditSetting
{
	RG_AUDIT_FLOATS = 1,		/* extra_float_digits */
	RG_AUDIT_DATES = 2,			/* DateStyle */
	RG_AUDIT_ZONES = 4,			/* TimeZone */
	RG_AUDIT_INTERVALS = 8,		/* IntervalStyle */
	RG_AUDIT_BYTES = 16,		/* bytea_output */
	RG_AUDIT_ANYTHING = 31
} RgAuditSetting;

/* Those that decide how values of the type look in JSON, or printed. */
extern int	rg_audit_settings_in_json(Oid type);
extern int	rg_audit_settings_printed(Oid type);

/*
 * Until rg_audit_settings_end(), which takes what this returns, values look the
 * same whoever writes them: floats exact, dates in ISO style and UTC, intervals
 * as postgres does, bytea in hex.  An error ends it, too.
 */
extern int	rg_audit_settings_begin(int settings);
extern void rg_audit_settings_end(int level);

/* The same for names of objects, which are printed with their schema. */
extern int	rg_audit_names_begin(void);

#endif
