/*
 * json_out.c
 *		The DestReceiver that makes JSON of rows.
 */
#include "postgres.h"

#include "executor/tuptable.h"
#include "utils/datum.h"
#include "utils/memutils.h"

#include "json_quote.h"
#include "json_out.h"
#include "json_render.h"

#define KEY_BLOCK 16

struct RgJsonShape
{
	MemoryContext context;
	TupleDesc	desc;
	int			ncolumns;
	bool		allocates;
	int		   *keys;			/* indexes of the columns for the cursor */
	RgJsonColumn columns[FLEXIBLE_ARRAY_MEMBER];
};

static bool
is_named(TupleDesc desc, int index, const char *name)
{
	Form_pg_attribute column = TupleDescAttr(desc, index);

	return !column->attisdropped && strcmp(NameStr(column->attname), name) == 0;
}

static void
check_column(TupleDesc desc, int index)
{
	const char *name = NameStr(TupleDescAttr(desc, index)->attname);

	for (int i = 0; i < index; i++)
		if (is_named(desc, i, name))
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_COLUMN),
					 errmsg("the statement returns two columns named \"%s\"", name),
					 errhint("Give one of them another name with AS.")));
}

void
rg_json_check_columns(TupleDesc desc)
{
	for (int i = 1; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped)
			check_column(desc, i);
}

/* "name": after the brace or comma that stands before it */
static void
set_key(RgJsonColumn *column, const char *name, bool first)
{
	StringInfoData key;

	initStringInfo(&key);
	appendStringInfoChar(&key, first ? '{' : ',');
	rg_json_quote(&key, name, strlen(name));
	appendStringInfoChar(&key, ':');
	enlargeStringInfo(&key, KEY_BLOCK);
	column->key = key.data;
	column->key_len = key.len;
}

static void
add_column(RgJsonShape *shape, int index)
{
	Form_pg_attribute attribute = TupleDescAttr(shape->desc, index);
	RgJsonColumn *column = &shape->columns[shape->ncolumns];

	if (attribute->attisdropped)
		return;
	column->index = index;
	set_key(column, NameStr(attribute->attname), shape->ncolumns == 0);
	rg_json_choose_render(column, attribute->atttypid, shape->context);
	shape->allocates |= column->allocates;
	shape->ncolumns++;
}

static RgJsonShape *
build_shape(TupleDesc desc, MemoryContext parent)
{
	MemoryContext context = AllocSetContextCreate(parent, "relay_guard JSON shape",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	RgJsonShape *shape = palloc0(offsetof(RgJsonShape, columns) +
								 desc->natts * sizeof(RgJsonColumn));

	shape->context = context;
	shape->desc = CreateTupleDescCopy(desc);
	for (int i = 0; i < desc->natts; i++)
		add_column(shape, i);
	MemoryContextSwitchTo(old);
	return shape;
}

static int
find_key(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
		if (is_named(desc, i, name))
			return i;
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("the statement returns no column named \"%s\"", name),
			 errhint("The route's keyset names columns of the result.")));
}

/* By name: after ALTER TABLE a column may stand elsewhere in SELECT *. */
static void
find_keys(RgJsonShape *shape, const RgJsonOut *out)
{
	shape->keys = MemoryContextAlloc(shape->context, sizeof(int) * Max(out->nkeys, 1));
	for (int i = 0; i < out->nkeys; i++)
		shape->keys[i] = find_key(shape->desc, out->key_names[i]);
}

/*
 * The shape's context hangs below the caller's only when it is complete, so
 * an error on the way leaves nothing behind for the life of the cache.
 */
static RgJsonShape *
new_shape(RgJsonOut *out, TupleDesc desc)
{
	RgJsonShape *shape;

	if (out->result != RG_JSON_VALUE)
		rg_json_check_columns(desc);
	shape = build_shape(desc, CurrentMemoryContext);
	find_keys(shape, out);
	if (out->result == RG_JSON_VALUE && shape->ncolumns == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("the statement returns no column"),
				 errhint("A route whose result is a value selects one column.")));
	MemoryContextSetParent(shape->context, out->shape_context);
	return shape;
}

static void
start(DestReceiver *self, int operation, TupleDesc desc)
{
	RgJsonOut  *out = (RgJsonOut *) self;
	RgJsonShape *shape;

	out->start = out->buf->len;
	if (out->result == RG_JSON_NONE)
		return;
	shape = *out->shape;
	if (shape != NULL && !equalTupleDescs(shape->desc, desc))
	{
		*out->shape = NULL;
		MemoryContextDelete(shape->context);
		shape = NULL;
	}
	if (shape == NULL)
		*out->shape = shape = new_shape(out, desc);
	if (shape->allocates)
		out->row_context = AllocSetContextCreate(CurrentMemoryContext,
												 "relay_guard JSON row",
												 ALLOCSET_DEFAULT_SIZES);
}

static inline void
render(RgJsonOut *out, RgJsonColumn *column, TupleTableSlot *slot)
{
	MemoryContext old;

	if (slot->tts_isnull[column->index])
		rg_json_append(out->buf, "null", 4);
	else if (!column->allocates)
		column->render(out, column, slot->tts_values[column->index]);
	else
	{
		old = MemoryContextSwitchTo(out->row_context);
		column->render(out, column, slot->tts_values[column->index]);
		MemoryContextSwitchTo(old);
	}
}

/* Keys are short and come with every value: blocks beat a call of memcpy(). */
static inline void
append_key(StringInfo buf, const RgJsonColumn *column)
{
	char	   *to = rg_json_reserve(buf, column->key_len + KEY_BLOCK);

	for (int i = 0; i < column->key_len; i += KEY_BLOCK)
		memcpy(to + i, column->key + i, KEY_BLOCK);
	buf->len += column->key_len;
}

static void
render_row(RgJsonOut *out, RgJsonShape *shape, TupleTableSlot *slot)
{
	if (shape->ncolumns == 0)
		rg_json_append(out->buf, "{", 1);
	for (int i = 0; i < shape->ncolumns; i++)
	{
		RgJsonColumn *column = &shape->columns[i];

		append_key(out->buf, column);
		render(out, column, slot);
	}
	rg_json_append(out->buf, "}", 1);
}

/* A copy that outlives the statement: no pointer to a TOAST table. */
static Datum
copy_key(Datum value, Form_pg_attribute attribute)
{
	if (attribute->attlen == -1)
		return PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
	return datumCopy(value, attribute->attbyval, attribute->attlen);
}

static void
capture_keys(RgJsonOut *out, TupleTableSlot *slot)
{
	MemoryContext old = MemoryContextSwitchTo(out->key_context);

	out->key_values = palloc0(out->nkeys * sizeof(Datum));
	out->key_nulls = palloc0(out->nkeys * sizeof(bool));
	out->key_types = palloc0(out->nkeys * sizeof(Oid));
	for (int i = 0; i < out->nkeys; i++)
	{
		int			index = (*out->shape)->keys[i];
		Form_pg_attribute attribute = TupleDescAttr(slot->tts_tupleDescriptor,
													index);

		out->key_types[i] = attribute->atttypid;
		out->key_nulls[i] = slot->tts_isnull[index];
		if (!out->key_nulls[i])
			out->key_values[i] = copy_key(slot->tts_values[index], attribute);
	}
	out->captured = true;
	MemoryContextSwitchTo(old);
}

static void
refuse_second_row(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_CARDINALITY_VIOLATION),
			 errmsg("the statement returned more than one row"),
			 errhint("Add LIMIT 1, or let the route's result be rows.")));
}

static void
put_row(RgJsonOut *out, TupleTableSlot *slot)
{
	RgJsonShape *shape = *out->shape;

	if (out->nrows > 1 && out->result != RG_JSON_ROWS)
		refuse_second_row();
	if (out->nrows > 1)
		rg_json_append(out->buf, ",", 1);
	if (out->result == RG_JSON_VALUE)
		render(out, &shape->columns[0], slot);
	else
		render_row(out, shape, slot);
	if (shape->allocates)
		MemoryContextReset(out->row_context);
	rg_json_check_room(out, 0);
}

static bool
receive(TupleTableSlot *slot, DestReceiver *self)
{
	RgJsonOut  *out = (RgJsonOut *) self;

	out->nrows++;
	if (out->result != RG_JSON_NONE || out->nrows == out->capture_at)
		slot_getallattrs(slot);
	if (out->result != RG_JSON_NONE)
		put_row(out, slot);
	if (out->nrows == out->capture_at)
		capture_keys(out, slot);
	return true;
}

/* The buffer ends in a NUL again, as a StringInfo should. */
static void
finish(DestReceiver *self)
{
	RgJsonOut  *out = (RgJsonOut *) self;

	*rg_json_reserve(out->buf, 1) = '\0';
}

static void
destroy(DestReceiver *self)
{
}

void
rg_json_out_init(RgJsonOut *out, StringInfo buf, RgJsonResult result,
				 RgJsonShape **shape, MemoryContext shape_context)
{
	memset(out, 0, sizeof *out);
	out->pub.receiveSlot = receive;
	out->pub.rStartup = start;
	out->pub.rShutdown = finish;
	out->pub.rDestroy = destroy;
	out->pub.mydest = DestNone;
	out->buf = buf;
	out->result = result;
	out->shape = shape;
	out->shape_context = shape_context;
	out->max_bytes = MaxAllocSize;
}
