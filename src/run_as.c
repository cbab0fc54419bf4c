/*
 * run_as.c
 *		Whose rights a route's statement runs with.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "run_as.h"

#define MAX_CHECKED 16

/* Roles that were found fit; forgotten when any role changes. */
static Oid	checked[MAX_CHECKED];
static int	nchecked = 0;
static uint64 role_changes = 0;

static void
on_role_change(Datum arg, int cacheid, uint32 hashvalue)
{
	nchecked = 0;
	role_changes++;
}

void
rg_run_as_init(void)
{
	CacheRegisterSyscacheCallback(AUTHOID, on_role_change, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, on_role_change, (Datum) 0);
}

static bool
has_dangerous_membership(Oid role)
{
	return has_privs_of_role(role, ROLE_PG_READ_ALL_DATA) ||
		has_privs_of_role(role, ROLE_PG_WRITE_ALL_DATA) ||
		has_privs_of_role(role, ROLE_PG_READ_SERVER_FILES) ||
		has_privs_of_role(role, ROLE_PG_WRITE_SERVER_FILES) ||
		has_privs_of_role(role, ROLE_PG_EXECUTE_SERVER_PROGRAM);
}

/* An owner may switch row-level security off. */
static bool
owns_protected_table(Oid role)
{
	Relation	classes = table_open(RelationRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(classes, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	bool		found = false;

	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_class class = (Form_pg_class) GETSTRUCT(tuple);

		found = class->relrowsecurity && has_privs_of_role(role, class->relowner);
	}
	systable_endscan(scan);
	table_close(classes, AccessShareLock);
	return found;
}

/* What makes the role unfit, as the end of "role … "; NULL when it is fit. */
static const char *
find_objection(Oid role)
{
	if (role < FirstNormalObjectId && !superuser_arg(role))
		return "is a predefined role";
	if (superuser_arg(role))
		return "is a superuser";
	if (has_bypassrls_privilege(role))
		return "bypasses row-level security";
	if (has_createrole_privilege(role))
		return "may create roles";
	if (has_dangerous_membership(role))
		return "may read or write all data or files of the server, or run programs";
	if (owns_protected_table(role))
		return "owns, or is a member of the owner of, a table with row-level security";
	return NULL;
}

static bool
was_checked(Oid role)
{
	for (int i = 0; i < nchecked; i++)
		if (checked[i] == role)
			return true;
	return false;
}

void
rg_run_as_check(Oid role)
{
	uint64		changes = role_changes;
	const char *objection;

	if (was_checked(role))
		return;
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(role)))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("the role that a route runs as does not exist"),
				errdetail("Its oid was %u.", role),
				errhint("Set run_as of the route to another role."));
	objection = find_objection(role);
	if (objection != NULL)
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("a route cannot run as role \"%s\"", GetUserNameFromId(role, false)),
				errdetail("The role %s.", objection),
				errhint("Use a role without login that owns nothing and was granted what routes need."));
	if (changes != role_changes)
		return;					/* while it was looked at: not to be kept */
	if (nchecked == MAX_CHECKED)
		nchecked = 0;
	checked[nchecked++] = role;
}

RgRunAs
rg_run_as_enter(Oid role, const char *search_path)
{
	RgRunAs		before;

	GetUserIdAndSecContext(&before.user, &before.context);
	SetUserIdAndSecContext(role, before.context | SECURITY_LOCAL_USERID_CHANGE);
	if (strcmp(namespace_search_path, search_path) != 0)
		(void) set_config_option("search_path", search_path, PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, ERROR, false);
	return before;
}

void
rg_run_as_leave(RgRunAs before)
{
	SetUserIdAndSecContext(before.user, before.context);
}
