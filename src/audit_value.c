/*
 * audit_value.c
 *		Values of an audited table as the audit log shows them: as to_jsonb()
 *		does, with times in UTC whatever the session's time zone.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "executor/tuptable.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"

#include "audit_settings.h"
#include "audit_value.h"
#include "crypt.h"
#include "json_text.h"
#include "varlena_slice.h"

static void
set_string(JsonbValue * result, const char *data, int len)
{
	result->type = jbvString;
	result->val.string.val = (char *) data;
	result->val.string.len = len;
}

/*
 * Conversions
 */

static void
convert_bool(const RgAuditColumn *column, Datum value, RgAuditValue *result)
{
	result->json.type = jbvBool;
	result->json.val.boolean = DatumGetBool(value);
}

static void
convert_integer(const RgAuditColumn *column, Datum value, RgAuditValue *result)
{
	int64		number = column->length == 2 ? DatumGetInt16(value)
	: column->length == 4 ? DatumGetInt32(value) : DatumGetInt64(value);
	char	   *text = palloc(MAXINT8LEN + 1);

	result->json.type = jbvNumeric;
	result->json.val.numeric = int64_to_numeric(number);
	result->text = rg_slice(text, pg_lltoa(number, text));
}

/* NaN and the infinities, which JSON does not have, are strings. */
static void
convert_numeric(const RgAuditColumn *column, Datum value, RgAuditValue *result)
{
	Numeric		number = DatumGetNumeric(value);
	char	   *text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(number)));

	if (numeric_is_nan(number) || numeric_is_inf(number))
	{
		set_string(&result->json, text, strlen(text));
		return;
	}
	result->json.type = jbvNumeric;
	result->json.val.numeric = number;
	result->text = rg_slice_of(text);
}

static void
convert_output(const RgAuditColumn *column, Datum value, RgAuditValue *result)
{
	char	   *text = OutputFunctionCall(column->function, value);

	set_string(&result->json, text, strlen(text));
}

/* Half a character is one value of "char": shown as PostgreSQL 16 prints it. */
static void
convert_char(const RgAuditColumn *column, Datum value, RgAuditValue *result)
{
	unsigned char byte = (unsigned char) DatumGetChar(value);
	char	   *text = palloc0(5);

	if (byte < 0x80)
		text[0] = byte;
	else
		snprintf(text, 5, "\\%03o", byte);
	set_string(&result->json, text, strlen(text));
}

/* Names of objects, whatever the session's search_path. */
static void
convert_name(const RgAuditColumn *column, Datum value, RgAuditValue *result)
{
	int			level = rg_audit_names_begin();

	convert_output(column, value, result);
	rg_audit_settings_end(level);
}

static void
convert_text(const RgAuditColumn *column, Datum value, RgAuditValue *result)
{
	RgSlice		text = rg_datum_slice(value);

	set_string(&result->json, text.data, text.len);
}

static void
convert_time(const RgAuditColumn *column, Datum value, RgAuditValue *result)
{
	const int	utc = 0;
	char	   *text = palloc(MAXDATELEN + 1);

	JsonEncodeDateTime(text, value, column->type, &utc);
	set_string(&result->json, text, strlen(text));
}

/* A whole jsonb: a scalar is taken out of it, anything else taken over. */
static void
set_jsonb(JsonbValue * result, Jsonb *jsonb)
{
	if (JB_ROOT_IS_SCALAR(jsonb))
	{
		(void) JsonbExtractScalar(&jsonb->root, result);
		return;
	}
	result->type = jbvBinary;
	result->val.binary.data = &jsonb->root;
	result->val.binary.len = VARSIZE(jsonb) - VARHDRSZ;
}

static void
convert_jsonb(const RgAuditColumn *column, Datum value, RgAuditValue *result)
{
	set_jsonb(&result->json, DatumGetJsonbP(value));
}

/*
 * The type json takes escapes and numbers that jsonb does not, such as \u0000;
 * such a value is shown as a string of its text.  Parsing it has no effects that
 * an error would leave behind.
 */
static void
convert_json(const RgAuditColumn *column, Datum value, RgAuditValue *result)
{
	MemoryContext context = CurrentMemoryContext;
	char	   *printed = TextDatumGetCString(value);

	PG_TRY();
	{
		set_jsonb(&result->json, DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(printed))));
	}
	PG_CATCH();
	{
		if (ERRCODE_TO_CATEGORY(geterrcode()) != ERRCODE_DATA_EXCEPTION)
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		FlushErrorState();
		set_string(&result->json, printed, strlen(printed));
	}
	PG_END_TRY();
}

static void
convert_other(const RgAuditColumn *column, Datum value, RgAuditValue *result)
{
	set_jsonb(&result->json, DatumGetJsonbP(FunctionCall1(column->function, value)));
}

void
rg_audit_redacted(const RgAuditColumn *column, Datum value, RgAuditValue *result)
{
	static const char shown[] = "[redacted]";

	set_string(&result->json, shown, sizeof shown - 1);
}

static char *
sha256_hex(RgSlice bytes)
{
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
	char	   *hex = palloc(2 * sizeof digest);
	pg_cryptohash_ctx *hash = pg_cryptohash_create(PG_SHA256);

	if (hash == NULL || pg_cryptohash_init(hash) < 0 ||
		pg_cryptohash_update(hash, (const uint8 *) bytes.data, bytes.len) < 0 ||
		pg_cryptohash_final(hash, digest, sizeof digest) < 0)
		ereport(ERROR,
				errcode(ERRCODE_INTERNAL_ERROR),
				errmsg("could not hash an encrypted value"));
	pg_cryptohash_free(hash);
	hex_encode((const char *) digest, sizeof digest, hex);
	return hex;
}

static void
push_member(JsonbParseState * *state, const char *name, JsonbValue * value)
{
	JsonbValue	key;

	set_string(&key, name, strlen(name));
	pushJsonbValue(state, WJB_KEY, &key);
	pushJsonbValue(state, WJB_VALUE, value);
}

void
rg_audit_encrypted(const RgAuditColumn *column, Datum value, RgAuditValue *result)
{
	RgSlice		envelope = rg_datum_slice(value);
	JsonbParseState *state = NULL;
	JsonbValue	key_id,
				digest;

	key_id.type = jbvNumeric;
	key_id.val.numeric = int64_to_numeric(rg_crypt_key_id(envelope));
	set_string(&digest, sha256_hex(envelope), 2 * PG_SHA256_DIGEST_LENGTH);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_member(&state, "key_id", &key_id);
	push_member(&state, "digest", &digest);
	set_jsonb(&result->json, JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

/* to_jsonb(anyelement) learns the type of its argument from the call's expression. */
static FmgrInfo *
to_jsonb_of(Oid type)
{
	FmgrInfo   *function = palloc(sizeof *function);
	Param	   *argument = makeNode(Param);

	argument->paramkind = PARAM_EXTERN;
	argument->paramtype = type;
	argument->paramtypmod = -1;
	fmgr_info(F_TO_JSONB, function);
	fmgr_info_set_expr((Node *) makeFuncExpr(F_TO_JSONB, JSONBOID, list_make1(argument),
											 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL),
					   function);
	return function;
}

FmgrInfo *
rg_audit_output(Oid type)
{
	FmgrInfo   *function = palloc(sizeof *function);
	Oid			output;
	bool		varlena;

	getTypeOutputInfo(type, &output, &varlena);
	fmgr_info(output, function);
	return function;
}

static RgAuditConvert
conversion_of(Oid type)
{
	switch (type)
	{
		case BOOLOID:
			return convert_bool;
		case INT2OID:
		case INT4OID:
		case INT8OID:
			return convert_integer;
		case NUMERICOID:
			return convert_numeric;
		case TEXTOID:
		case VARCHAROID:
			return convert_text;
		case CHAROID:
			return convert_char;
		case UUIDOID:
		case INETOID:
		case CIDROID:
		case NAMEOID:
			return convert_output;
		case REGCLASSOID:
		case REGTYPEOID:
		case REGPROCOID:
		case REGPROCEDUREOID:
		case REGOPEROID:
		case REGOPERATOROID:
		case REGCONFIGOID:
		case REGDICTIONARYOID:
		case REGCOLLATIONOID:
			return convert_name;
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return convert_time;
		case JSONOID:
			return convert_json;
		case JSONBOID:
			return convert_jsonb;
		default:
			return convert_other;
	}
}

void
rg_audit_choose_conversion(RgAuditColumn *column, Oid type)
{
	column->type = getBaseType(type);
	column->convert = conversion_of(column->type);
	column->function = column->convert == convert_other ? to_jsonb_of(type) : rg_audit_output(column->type);
}

/*
 * Rows
 */

/* A value that was not touched keeps its place in the TOAST table. */
static bool
same_toast(Datum a, Datum b)
{
	struct varlena *left = (struct varlena *) DatumGetPointer(a);
	struct varlena *right = (struct varlena *) DatumGetPointer(b);

	return VARATT_IS_EXTERNAL(left) && VARATT_IS_EXTERNAL(right) &&
		VARSIZE_EXTERNAL(left) == VARSIZE_EXTERNAL(right) &&
		memcmp(left, right, VARSIZE_EXTERNAL(left)) == 0;
}

bool
rg_audit_unchanged(const RgAuditColumn *column, TupleTableSlot *old_row,
				   TupleTableSlot *new_row)
{
	int			i = column->index;
	Datum		before = old_row->tts_values[i];
	Datum		after = new_row->tts_values[i];

	if (old_row->tts_isnull[i] || new_row->tts_isnull[i])
		return old_row->tts_isnull[i] == new_row->tts_isnull[i];
	if (column->length == -1 && same_toast(before, after))
		return true;
	return datum_image_eq(before, after, column->by_value, column->length);
}

static void
put_column(RgAuditObject *object, const RgAuditColumn *column, TupleTableSlot *row)
{
	RgAuditValue value = {.json.type = jbvNull};

	if (!row->tts_isnull[column->index])
		column->convert(column, row->tts_values[column->index], &value);
	rg_audit_object_value(object, &column->key, &value);
}

static int
count(const bool *chosen, int ncolumns)
{
	int			n = 0;

	for (int i = 0; i < ncolumns; i++)
		n += chosen == NULL || chosen[i];
	return n;
}

RgAuditJson
rg_audit_object(const RgAuditColumn *columns, int ncolumns, TupleTableSlot *row,
				const bool *chosen)
{
	RgAuditObject object;

	rg_audit_object_begin(&object, count(chosen, ncolumns));
	for (int i = 0; i < ncolumns; i++)
		if (chosen == NULL || chosen[i])
			rg_audit_object_key(&object, &columns[i].key);
	for (int i = 0; i < ncolumns; i++)
		if (chosen == NULL || chosen[i])
			put_column(&object, &columns[i], row);
	return rg_audit_object_end(&object);
}

/* Keys are shown by their output functions, NULL as nothing. */
static RgSlice
key_text(const RgAuditColumn *key, TupleTableSlot *row)
{
	if (row->tts_isnull[key->index])
		return rg_slice(NULL, 0);
	if (key->type == TEXTOID || key->type == VARCHAROID)
		return rg_datum_slice(row->tts_values[key->index]);
	return rg_slice_of(OutputFunctionCall(key->function, row->tts_values[key->index]));
}

static JsonbValue *
push_keys(const RgAuditColumn *keys, int nkeys, TupleTableSlot *row)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < nkeys; i++)
	{
		RgSlice		text = key_text(&keys[i], row);
		JsonbValue	element = {.type = jbvNull};

		if (text.data != NULL)
			set_string(&element, text.data, text.len);
		pushJsonbValue(&state, WJB_ELEM, &element);
	}
	return pushJsonbValue(&state, WJB_END_ARRAY, NULL);
}

static RgSlice
keys_text(const RgAuditColumn *keys, int nkeys, TupleTableSlot *row)
{
	if (nkeys == 0)
		return rg_slice(NULL, 0);
	if (nkeys == 1)
		return key_text(keys, row);
	return rg_audit_json(JsonbValueToJsonb(push_keys(keys, nkeys, row))).text;
}

/* A longer one does not fit in the log's index. */
RgSlice
rg_audit_key(const RgAuditColumn *keys, int nkeys, TupleTableSlot *row)
{
	RgSlice		key = keys_text(keys, nkeys, row);

	if (key.len <= RG_AUDIT_KEY_BYTES)
		return key;
	return rg_slice_of(psprintf("sha256:%.*s", 2 * PG_SHA256_DIGEST_LENGTH, sha256_hex(key)));
}
