/*
 * audit_plan.c
 *		How the rows of an audited table become values of the audit log.
 *
 * A backend keeps the plan of each trigger until PostgreSQL says that its table
 * changed.  The plan that was is left to the end of the transaction, for a
 * trigger may be walking rows by it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "audit_plan.h"
#include "audit_settings.h"
#include "audit_table.h"
#include "encrypted_column.h"

typedef struct Entry
{
	Oid			trigger;		/* the key: first */
	Oid			table;
	bool		valid;
	MemoryContext context;
	RgAuditPlan *plan;			/* in context */
} Entry;

/* What the arguments name. */
typedef struct Names
{
	Datum	   *key;
	Datum	   *redact;
	Datum	   *omit;
	int			nkey;
	int			nredact;
	int			nomit;
} Names;

static HTAB *entries = NULL;

static void
on_invalidate(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS seq;
	Entry	   *entry;

	hash_seq_init(&seq, entries);
	while ((entry = hash_seq_search(&seq)) != NULL)
		if (relid == InvalidOid || entry->table == relid)
			entry->valid = false;
}

static void
create_cache(void)
{
	HASHCTL		control = {.keysize = sizeof(Oid),.entrysize = sizeof(Entry)};

	entries = hash_create("relay_guard audit plans", 64, &control, HASH_ELEM | HASH_BLOBS);
	CacheRegisterRelcacheCallback(on_invalidate, (Datum) 0);
}

/*
 * Arguments
 */

static void
names_of(const Trigger *trigger, RgAuditArgument argument, Datum **names, int *count)
{
	deconstruct_array(DatumGetArrayTypeP(rg_audit_names(trigger->tgargs[argument])), NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR,
					  names, NULL, count);
}

static bool
listed(const Datum *names, int count, const NameData * name)
{
	for (int i = 0; i < count; i++)
		if (namestrcmp((Name) name, NameStr(*DatumGetName(names[i]))) == 0)
			return true;
	return false;
}

static int
column_named(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (!attribute->attisdropped && namestrcmp(&attribute->attname, name) == 0)
			return i;
	}
	return -1;
}

/* A name that is no column may be a redacted one under its former name. */
static void
require_columns(Relation table, const Datum *names, int count)
{
	for (int i = 0; i < count; i++)
	{
		const char *name = NameStr(*DatumGetName(names[i]));

		if (column_named(RelationGetDescr(table), name) < 0)
			ereport(ERROR,
					errcode(ERRCODE_UNDEFINED_COLUMN),
					errmsg("table \"%s\" is audited with a column \"%s\" that it does not have",
						   RelationGetRelationName(table), name),
					errhint("Call relay_guard.audit() again with the columns of now."));
	}
}

static Names
read_names(Relation table, const Trigger *trigger)
{
	Names		names;

	if (trigger->tgnargs != RG_AUDIT_ARGUMENTS)
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("trigger \"%s\" does not say what it audits", trigger->tgname),
				errhint("relay_guard.audit() creates it."));
	names_of(trigger, RG_AUDIT_KEY, &names.key, &names.nkey);
	names_of(trigger, RG_AUDIT_REDACT, &names.redact, &names.nredact);
	names_of(trigger, RG_AUDIT_OMIT, &names.omit, &names.nomit);
	require_columns(table, names.key, names.nkey);
	require_columns(table, names.redact, names.nredact);
	require_columns(table, names.omit, names.nomit);
	return names;
}

/*
 * Columns
 */

static void
describe(RgAuditColumn *column, TupleDesc desc, int index)
{
	Form_pg_attribute attribute = TupleDescAttr(desc, index);

	memset(column, 0, sizeof *column);
	column->index = index;
	column->length = attribute->attlen;
	column->by_value = attribute->attbyval;
	column->type = attribute->atttypid;
	column->key = rg_audit_key_named(pstrdup(NameStr(attribute->attname)));
}

static bool
is_encrypted(const RgEncryptedColumn *encrypted, int nencrypted, AttrNumber attnum)
{
	for (int i = 0; i < nencrypted; i++)
		if (encrypted[i].attnum == attnum)
			return true;
	return false;
}

/* Values that are computed when they are read are not stored, so not changed. */
static bool
is_stored(Form_pg_attribute attribute)
{
	return !attribute->attisdropped &&
		(attribute->attgenerated == '\0' || attribute->attgenerated == ATTRIBUTE_GENERATED_STORED);
}

/* jsonb's own order: shorter names first. */
static int
compare_names(const void *a, const void *b)
{
	RgSlice		left = ((const RgAuditColumn *) a)->key.name;
	RgSlice		right = ((const RgAuditColumn *) b)->key.name;

	if (left.len != right.len)
		return left.len < right.len ? -1 : 1;
	return memcmp(left.data, right.data, left.len);
}

static void
add_column(RgAuditPlan *plan, TupleDesc desc, int index, const Names *names, bool encrypted)
{
	Form_pg_attribute attribute = TupleDescAttr(desc, index);
	RgAuditColumn *column;

	if (listed(names->omit, names->nomit, &attribute->attname))
	{
		describe(&plan->omitted[plan->nomitted++], desc, index);
		return;
	}
	column = &plan->columns[plan->ncolumns++];
	describe(column, desc, index);
	if (listed(names->redact, names->nredact, &attribute->attname))
		column->convert = rg_audit_redacted;
	else if (encrypted)
		column->convert = rg_audit_encrypted;
	else
	{
		rg_audit_choose_conversion(column, attribute->atttypid);
		plan->settings |= rg_audit_settings_in_json(attribute->atttypid);
	}
}

static void
add_columns(RgAuditPlan *plan, Relation table, const Names *names)
{
	TupleDesc	desc = RelationGetDescr(table);
	RgEncryptedColumn *encrypted;
	int			nencrypted = rg_encrypted_columns(table, &encrypted);

	plan->columns = palloc((desc->natts + 1) * sizeof *plan->columns);
	plan->omitted = palloc((names->nomit + 1) * sizeof *plan->omitted);
	for (int i = 0; i < desc->natts; i++)
		if (is_stored(TupleDescAttr(desc, i)))
			add_column(plan, desc, i, names, is_encrypted(encrypted, nencrypted, i + 1));
	qsort(plan->columns, plan->ncolumns, sizeof *plan->columns, compare_names);
}

static void
add_keys(RgAuditPlan *plan, TupleDesc desc, const Names *names)
{
	plan->keys = palloc((names->nkey + 1) * sizeof *plan->keys);
	for (int i = 0; i < names->nkey; i++)
	{
		RgAuditColumn *key = &plan->keys[plan->nkeys++];

		describe(key, desc, column_named(desc, NameStr(*DatumGetName(names->key[i]))));
		key->function = rg_audit_output(key->type);
		plan->settings |= rg_audit_settings_printed(key->type);
	}
}

static RgAuditPlan *
make_plan(Relation table, const Trigger *trigger)
{
	Names		names = read_names(table, trigger);
	RgAuditPlan *plan = palloc0(sizeof *plan);

	plan->resource_type = pstrdup(trigger->tgargs[RG_AUDIT_RESOURCE_TYPE]);
	add_columns(plan, table, &names);
	add_keys(plan, RelationGetDescr(table), &names);
	return plan;
}

/* Into a context of its own, which an error leaves to the end of the transaction. */
static void
refresh(Entry *entry, Relation table, const Trigger *trigger)
{
	MemoryContext context = AllocSetContextCreate(TopTransactionContext, "relay_guard audit plan",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	RgAuditPlan *plan = make_plan(table, trigger);

	MemoryContextSwitchTo(old);
	if (entry->context != NULL)
		MemoryContextSetParent(entry->context, TopTransactionContext);
	MemoryContextSetParent(context, CacheMemoryContext);
	entry->context = context;
	entry->plan = plan;
	entry->table = RelationGetRelid(table);
	entry->valid = true;
}

const RgAuditPlan *
rg_audit_plan(Relation table, const Trigger *trigger)
{
	Entry	   *entry;
	bool		found;

	if (entries == NULL)
		create_cache();
	entry = hash_search(entries, &trigger->tgoid, HASH_ENTER, &found);
	if (!found)
	{
		entry->table = RelationGetRelid(table);
		entry->valid = false;
		entry->context = NULL;
	}
	if (!entry->valid)
		refresh(entry, table, trigger);
	return entry->plan;
}
