/*
 * own_relation.c
 *		relay_guard's own tables, indexes and sequences by their names.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "utils/lsyscache.h"

#include "own_relation.h"

Oid
rg_own_relation(const char *name)
{
	Oid			schema = get_namespace_oid("relay_guard", true);

	return OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
}

Oid
rg_own_relation_required(const char *name)
{
	Oid			relation = rg_own_relation(name);

	if (!OidIsValid(relation))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("relation relay_guard.%s does not exist", name),
				errhint("Run CREATE EXTENSION relay_guard in this database."));
	return relation;
}
