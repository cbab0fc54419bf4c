/*
 * own_relation.h
 *		relay_guard's own tables, indexes and sequences by their names.
 */
#ifndef RG_OWN_RELATION_H
#define RG_OWN_RELATION_H

/* InvalidOid where the database does not have it. */
extern Oid	rg_own_relation(const char *name);

/* The same; error 42P01 where the database does not have it. */
extern Oid	rg_own_relation_required(const char *name);

#endif
