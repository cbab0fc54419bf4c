/*
 * rekey_scope.h
 *		Whose rights rekey() uses, and under which settings.
 */
#ifndef RG_REKEY_SCOPE_H
#define RG_REKEY_SCOPE_H

/* Another user's rights and pinned settings, for what is run through SPI. */
typedef struct RgRekeyScope
{
	Oid			user;			/* whose rights come back */
	int			context;
	int			guc_level;
} RgRekeyScope;

extern RgRekeyScope rg_rekey_enter(Oid user, const char *search_path);
extern void rg_rekey_leave(RgRekeyScope scope);

/* A setting that lasts until the GUC nest level ends. */
extern void rg_rekey_pin(const char *name, const char *value);

/* Raises an error unless the current user owns the table; false when it is gone. */
extern bool rg_rekey_require_owner(Oid relation);

#endif
