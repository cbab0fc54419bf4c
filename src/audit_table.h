/*
 * audit_table.h
 *		Which tables are audited, as what, and whether nothing gets around it.
 *
 * All of it is in the catalog: triggers that call audit_change() on each table,
 * partition and inheritor.  Three statement triggers record changes, one
 * TRUNCATE; where statement triggers of sessions do not fire, which is where
 * changes are applied, the row trigger does, and only there.
 *
 * Tables that have partitions do without the row trigger.  PostgreSQL would clone
 * it, which takes the right to execute audit_change() of whoever makes a
 * partition, takes it away from partitions that are detached, and refuses to
 * attach tables that have it.
 *
 * The catalog is read without a lock on the table.
 */
#ifndef RG_AUDIT_TABLE_H
#define RG_AUDIT_TABLE_H

#include "nodes/pg_list.h"

/* How the names of the five begin; nobody else's trigger may be called so. */
#define RG_AUDIT_TRIGGER_PREFIX "relay_guard_audit_"

typedef enum RgAuditArgument
{
	RG_AUDIT_RESOURCE_TYPE,
	RG_AUDIT_KEY,				/* text form of a name[], as are the next */
	RG_AUDIT_REDACT,
	RG_AUDIT_OMIT,
	RG_AUDIT_ARGUMENTS
} RgAuditArgument;

/* What audit() was told: the arguments of the triggers. */
typedef struct RgAuditDefinition
{
	const char *arguments[RG_AUDIT_ARGUMENTS];
} RgAuditDefinition;

typedef struct RgAuditTriggerKind
{
	const char *name;
	int16		type;			/* TRIGGER_TYPE_... */
	char		enabled;		/* TRIGGER_FIRES_... */
	bool		old_rows;		/* transition tables */
	bool		new_rows;
} RgAuditTriggerKind;

#define RG_AUDIT_TRIGGERS 5

/* The row trigger is the last. */
extern const RgAuditTriggerKind rg_audit_triggers[RG_AUDIT_TRIGGERS];

/* How many of them a table has, the first ones. */
extern int	rg_audit_triggers_of(Oid relation);

typedef struct RgAuditState
{
	bool		audited;		/* any trigger calls audit_change() */
	bool		complete;		/* all are there, as audit() makes them */
	bool		at_odds;		/* their arguments differ */
	RgAuditDefinition definition;	/* of the first; palloc'd */
} RgAuditState;

/* Whether the name is one that only triggers of audit() may have. */
extern bool rg_audit_trigger_name(const char *name);

/* A list of an argument as name[], palloc'd. */
extern Datum rg_audit_names(const char *list);

/* audit_change(); InvalidOid when the database does not have it. */
extern Oid	rg_audit_function(void);

extern RgAuditState rg_audit_state(Oid relation);
extern bool rg_audited(Oid relation);
extern bool rg_audit_definitions_equal(const RgAuditDefinition *a, const RgAuditDefinition *b);

/* What a trigger of that oid is to the audit. */
typedef enum RgAuditTriggerRole
{
	RG_AUDIT_NO_TRIGGER,		/* nothing, or there is none */
	RG_AUDIT_OWN_TRIGGER,		/* as audit() makes it, whether or not it is
								 * enabled so */
	RG_AUDIT_FALSE_TRIGGER		/* takes the name of one of ours, or calls
								 * audit_change() in another way */
} RgAuditTriggerRole;

/* Tells which table it is on, and whether it is enabled as audit() leaves it. */
extern RgAuditTriggerRole rg_audit_trigger_role(Oid trigger, Oid *relation, bool *enabled);

/*
 * Whether those of our triggers on the table that are called name (all when NULL)
 * fire when they should.
 */
extern bool rg_audit_triggers_enabled(Oid relation, const char *name);

/* Has the table's triggers fire when they should, whatever they do at present. */
extern void rg_audit_enable_triggers(Oid relation);

/*
 * Tables, partitioned or by inheritance, that this one is directly part of, and
 * those that are directly part of it; palloc'd.
 */
extern List *rg_audit_parents(Oid relation);
extern List *rg_audit_children(Oid relation);

/* A table of the log itself, or another one of relay_guard's; a partition of one. */
extern bool rg_audit_is_log(Oid relation);

#endif
