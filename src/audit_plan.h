/*
 * audit_plan.h
 *		How the rows of an audited table become values of the audit log.
 *
 * All of it comes from the table's trigger and its columns; a backend keeps it
 * until the table changes.
 */
#ifndef RG_AUDIT_PLAN_H
#define RG_AUDIT_PLAN_H

#include "commands/trigger.h"

#include "audit_value.h"

typedef struct RgAuditPlan
{
	char	   *resource_type;
	int			ncolumns;		/* that are recorded, in the order of jsonb's
								 * keys */
	RgAuditColumn *columns;
	int			nkeys;
	RgAuditColumn *keys;		/* in the order that audit() was told */
	int			settings;		/* that decide how they look; audit_settings.h */
	int			nomitted;
	RgAuditColumn *omitted;		/* a change of these alone is a change, too */
} RgAuditPlan;

/*
 * The plan of a trigger that calls audit_change(); stays until the end of the
 * transaction, even if the table changes meanwhile.  An error when the trigger
 * names a column that is not there.
 */
extern const RgAuditPlan *rg_audit_plan(Relation table, const Trigger *trigger);

#endif
