/*
 * audit_object.c
 *		JSON objects as jsonb and as text; audit_object.h says what for.
 *
 * What jsonb looks like is told by utils/jsonb.h: a count, an entry for each key
 * and then each value with its type and length, and the bytes of all of them.
 * It is what PostgreSQL stores since 9.4.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "audit_object.h"
#include "json_quote.h"

/* Room for a member; more is made when it is needed. */
#define MEMBER_BYTES 48

/* Before the first entry: the length of all, the count of keys. */
#define HEADER_BYTES (offsetof(Jsonb, root) + offsetof(JsonbContainer, children))

RgAuditKey
rg_audit_key_named(const char *name)
{
	StringInfoData label;
	RgAuditKey	key = {.name = rg_slice_of(name)};

	initStringInfo(&label);
	rg_json_quote(&label, name, key.name.len);
	appendStringInfoString(&label, ": ");
	key.label = rg_slice(label.data, label.len);
	return key;
}

static void
make_buffer(StringInfo buf, int size)
{
	buf->data = palloc(size);
	buf->maxlen = size;
	buf->len = 0;
	buf->cursor = 0;
}

/*
 * jsonb
 */

static Jsonb *
jsonb_of(RgAuditObject *object)
{
	return (Jsonb *) object->jsonb.data;
}

/* The next key's or value's entry.  Some hold where it ends rather than its length. */
static void
add_entry(RgAuditObject *object, JEntry type, uint32 len)
{
	int			i = object->nentries++;

	if (len > JENTRY_OFFLENMASK - object->size)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("a row is too large for the audit log"),
				errdetail("Its values as jsonb have more than %d bytes.", JENTRY_OFFLENMASK),
				errhint("Leave the largest column out: relay_guard.audit(..., omit => ...)."));
	object->size += len;
	jsonb_of(object)->root.children[i] =
		type | (i % JB_OFFSET_STRIDE == 0 ? object->size | JENTRY_HAS_OFF : len);
}

static void
add_bytes(RgAuditObject *object, JEntry type, const void *data, int len)
{
	rg_json_append(&object->jsonb, data, len);
	add_entry(object, type, len);
}

/* What is read in place stands at a multiple of four; the gap is part of it. */
static void
add_aligned(RgAuditObject *object, JEntry type, const void *data, int len)
{
	int			gap = INTALIGN(object->jsonb.len) - object->jsonb.len;

	memset(rg_json_reserve(&object->jsonb, gap + len), 0, gap);
	object->jsonb.len += gap;
	rg_json_append(&object->jsonb, data, len);
	add_entry(object, type, gap + len);
}

static void
add_value(RgAuditObject *object, const JsonbValue * value)
{
	switch (value->type)
	{
		case jbvNull:
			add_entry(object, JENTRY_ISNULL, 0);
			break;
		case jbvBool:
			add_entry(object, value->val.boolean ? JENTRY_ISBOOL_TRUE : JENTRY_ISBOOL_FALSE, 0);
			break;
		case jbvString:
			add_bytes(object, JENTRY_ISSTRING, value->val.string.val, value->val.string.len);
			break;
		case jbvNumeric:
			add_aligned(object, JENTRY_ISNUMERIC, value->val.numeric, VARSIZE(value->val.numeric));
			break;
		case jbvBinary:
			add_aligned(object, JENTRY_ISCONTAINER, value->val.binary.data, value->val.binary.len);
			break;
		default:
			elog(ERROR, "unexpected type %d of a value for the audit log", value->type);
	}
}

/*
 * Text
 */

static void
print(StringInfo text, const char *string)
{
	rg_json_append(text, string, strlen(string));
}

static void
print_value(StringInfo text, const JsonbValue * value)
{
	switch (value->type)
	{
		case jbvNull:
			print(text, "null");
			break;
		case jbvBool:
			print(text, value->val.boolean ? "true" : "false");
			break;
		case jbvString:
			rg_json_quote(text, value->val.string.val, value->val.string.len);
			break;
		case jbvNumeric:
			print(text, DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric))));
			break;
		default:
			(void) JsonbToCString(text, value->val.binary.data, value->val.binary.len);
	}
}

/*
 * Objects
 */

void
rg_audit_object_begin(RgAuditObject *object, int nkeys)
{
	int			start = HEADER_BYTES + 2 * nkeys * sizeof(JEntry);

	object->nkeys = nkeys;
	object->nentries = 0;
	object->size = 0;
	make_buffer(&object->jsonb, start + (nkeys + 1) * MEMBER_BYTES);
	make_buffer(&object->text, (nkeys + 1) * MEMBER_BYTES);
	object->jsonb.len = start;
	jsonb_of(object)->root.header = nkeys | JB_FOBJECT;
	print(&object->text, "{");
}

void
rg_audit_object_key(RgAuditObject *object, const RgAuditKey *key)
{
	add_bytes(object, JENTRY_ISSTRING, key->name.data, key->name.len);
}

void
rg_audit_object_value(RgAuditObject *object, const RgAuditKey *key,
					  const RgAuditValue *value)
{
	if (object->nentries > object->nkeys)
		print(&object->text, ", ");
	rg_json_append(&object->text, key->label.data, key->label.len);
	if (value->text.data != NULL)
		rg_json_append(&object->text, value->text.data, value->text.len);
	else
		print_value(&object->text, &value->json);
	add_value(object, &value->json);
}

RgAuditJson
rg_audit_object_end(RgAuditObject *object)
{
	RgAuditJson json;

	Assert(object->nentries == 2 * object->nkeys);
	print(&object->text, "}");
	json.stored = jsonb_of(object);
	SET_VARSIZE(json.stored, object->jsonb.len);
	json.text = rg_slice(object->text.data, object->text.len);
	return json;
}

RgAuditJson
rg_audit_json(Jsonb *value)
{
	StringInfoData text;
	RgAuditJson json = {value, {NULL, 0}};

	if (value == NULL)
		return json;
	initStringInfo(&text);
	(void) JsonbToCString(&text, &value->root, VARSIZE(value));
	json.text = rg_slice(text.data, text.len);
	return json;
}
