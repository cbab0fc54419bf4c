/*
 * rekey_scope.c
 *		Whose rights rekey() uses, and under which settings.
 *
 * Who may call rekey() need not trust the table's owner (he may be a
 * superuser), and what the owner attached to the table runs here: triggers,
 * functions in indexes and constraints, operators and types.  So it runs as the
 * owner, in a security-restricted operation, on a pinned search_path.  Settings
 * that are pinned, or that it changes, are put back.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/syscache.h"

#include "rekey_scope.h"

#define SCOPE_CONTEXT (SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION | SECURITY_NOFORCE_RLS)

void
rg_rekey_pin(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

RgRekeyScope
rg_rekey_enter(Oid user, const char *search_path)
{
	RgRekeyScope scope;

	GetUserIdAndSecContext(&scope.user, &scope.context);
	SetUserIdAndSecContext(user, scope.context | SCOPE_CONTEXT);
	scope.guc_level = NewGUCNestLevel();
	rg_rekey_pin("search_path", search_path);
	rg_rekey_pin("row_security", "on");
	rg_rekey_pin("datestyle", "ISO");
	rg_rekey_pin("intervalstyle", "postgres");
	rg_rekey_pin("extra_float_digits", "3");
	return scope;
}

void
rg_rekey_leave(RgRekeyScope scope)
{
	AtEOXact_GUC(false, scope.guc_level);
	SetUserIdAndSecContext(scope.user, scope.context);
}

bool
rg_rekey_require_owner(Oid relation)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	Form_pg_class class;

	if (!HeapTupleIsValid(tuple))
		return false;
	class = (Form_pg_class) GETSTRUCT(tuple);
	if (!has_privs_of_role(GetUserId(), class->relowner))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, NameStr(class->relname));
	ReleaseSysCache(tuple);
	return true;
}
