/*
 * json_render.c
 *		One column's values as JSON.
 *
 * The types that answers are made of have a function each.  Other types go
 * through their output function, or through to_json() itself where that does
 * more: arrays, composites and types with a cast to json.
 */
#include "postgres.h"

#include <math.h>

#include "access/detoast.h"
#include "access/transam.h"
#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "nodes/makefuncs.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "json_quote.h"
#include "json_render.h"

/* Days since 2000-01-01 that are written with four digits of the year */
#define FIRST_DAY (1721426 - POSTGRES_EPOCH_JDATE)	/* 0001-01-01 */
#define LAST_DAY (5373484 - POSTGRES_EPOCH_JDATE)	/* 9999-12-31 */
#define DATE_TIME_SIZE 40
#define DAY_LENGTH 10			/* YYYY-MM-DD */

/* A jsonb value of so many bytes is rendered in an eighth of them at least. */
#define JSONB_MIN_SHRINK 8

void
rg_json_check_room(const RgJsonOut *out, Size bytes)
{
	Size		used = out->buf->len - out->start;

	if (unlikely(bytes > out->max_bytes || used > out->max_bytes - bytes))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the answer is larger than %zu bytes", out->max_bytes),
				 errhint("Return fewer rows or columns, or raise the route's max_response.")));
}

static void
put_string(StringInfo buf, const char *text)
{
	rg_json_append(buf, text, strlen(text));
}

static void
render_int2(RgJsonOut *out, RgJsonColumn *column, Datum value)
{
	char	   *at = rg_json_reserve(out->buf, MAXINT8LEN);

	out->buf->len += pg_itoa(DatumGetInt16(value), at);
}

static void
render_int4(RgJsonOut *out, RgJsonColumn *column, Datum value)
{
	char	   *at = rg_json_reserve(out->buf, MAXINT8LEN);

	out->buf->len += pg_ltoa(DatumGetInt32(value), at);
}

static void
render_int8(RgJsonOut *out, RgJsonColumn *column, Datum value)
{
	char	   *at = rg_json_reserve(out->buf, MAXINT8LEN);

	out->buf->len += pg_lltoa(DatumGetInt64(value), at);
}

static void
render_bool(RgJsonOut *out, RgJsonColumn *column, Datum value)
{
	put_string(out->buf, DatumGetBool(value) ? "true" : "false");
}

/* JSON has no NaN and no infinities: like to_json(), as strings. */
static bool
put_not_finite(StringInfo buf, double number)
{
	if (likely(isfinite(number)))
		return false;
	put_string(buf, isnan(number) ? "\"NaN\"" :
			   number < 0 ? "\"-Infinity\"" : "\"Infinity\"");
	return true;
}

static void
render_float4(RgJsonOut *out, RgJsonColumn *column, Datum value)
{
	float4		number = DatumGetFloat4(value);
	char	   *at = rg_json_reserve(out->buf, FLOAT_SHORTEST_DECIMAL_LEN);

	if (!put_not_finite(out->buf, number))
		out->buf->len += float_to_shortest_decimal_bufn(number, at);
}

static void
render_float8(RgJsonOut *out, RgJsonColumn *column, Datum value)
{
	float8		number = DatumGetFloat8(value);
	char	   *at = rg_json_reserve(out->buf, DOUBLE_SHORTEST_DECIMAL_LEN);

	if (!put_not_finite(out->buf, number))
		out->buf->len += double_to_shortest_decimal_bufn(number, at);
}

static void
render_numeric(RgJsonOut *out, RgJsonColumn *column, Datum value)
{
	char	   *text = DatumGetCString(DirectFunctionCall1(numeric_out, value));
	char		last = text[strlen(text) - 1];

	if (last >= '0' && last <= '9')
		put_string(out->buf, text);
	else
		rg_json_quote(out->buf, text, strlen(text));
}

/*
 * Text that is compressed or out of line; its size is known before it is
 * fetched.
 */
static void
render_toasted(RgJsonOut *out, struct varlena *toasted)
{
	struct varlena *text;

	rg_json_check_room(out, toast_raw_datum_size(PointerGetDatum(toasted)) -
					   VARHDRSZ);
	text = pg_detoast_datum_packed(toasted);
	rg_json_quote(out->buf, VARDATA_ANY(text), VARSIZE_ANY_EXHDR(text));
	pfree(text);
}

static void
render_text(RgJsonOut *out, RgJsonColumn *column, Datum value)
{
	struct varlena *text = (struct varlena *) DatumGetPointer(value);

	if (unlikely(VARATT_IS_COMPRESSED(text) || VARATT_IS_EXTERNAL(text)))
	{
		render_toasted(out, text);
		return;
	}
	rg_json_check_room(out, VARSIZE_ANY_EXHDR(text));
	rg_json_quote(out->buf, VARDATA_ANY(text), VARSIZE_ANY_EXHDR(text));
}

static void
render_json(RgJsonOut *out, RgJsonColumn *column, Datum value)
{
	text	   *json;

	rg_json_check_room(out, toast_raw_datum_size(value) - VARHDRSZ);
	json = DatumGetTextPP(value);
	rg_json_append(out->buf, VARDATA_ANY(json), VARSIZE_ANY_EXHDR(json));
}

static void
render_jsonb(RgJsonOut *out, RgJsonColumn *column, Datum value)
{
	Size		size = toast_raw_datum_size(value);
	Jsonb	   *jsonb;

	rg_json_check_room(out, size / JSONB_MIN_SHRINK);
	jsonb = DatumGetJsonbP(value);
	(void) JsonbToCString(out->buf, &jsonb->root, VARSIZE(jsonb));
}

static void
render_uuid(RgJsonOut *out, RgJsonColumn *column, Datum value)
{
	static const char hex[] = "0123456789abcdef";
	const pg_uuid_t *uuid = DatumGetUUIDP(value);
	char	   *at = rg_json_reserve(out->buf, 2 * UUID_LEN + 6);

	*at++ = '"';
	for (int i = 0; i < UUID_LEN; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*at++ = '-';
		*at++ = hex[uuid->data[i] >> 4];
		*at++ = hex[uuid->data[i] & 15];
	}
	*at++ = '"';
	out->buf->len = at - out->buf->data;
}

static inline char *
put_two(char *at, int number)
{
	at[0] = '0' + number / 10;
	at[1] = '0' + number % 10;
	return at + 2;
}

static void
write_day(char *at, int64 day)
{
	int			year;
	int			month;
	int			mday;

	j2date((int) day + POSTGRES_EPOCH_JDATE, &year, &month, &mday);
	at = put_two(put_two(at, year / 100), year % 100);
	*at++ = '-';
	at = put_two(at, month);
	*at++ = '-';
	put_two(at, mday);
}

static char *
put_day(char *at, int64 day)
{
	static int64 known = FIRST_DAY - 1; /* the rows of a page share few days */
	static char text[DAY_LENGTH];

	if (day != known)
	{
		write_day(text, day);
		known = day;
	}
	memcpy(at, text, DAY_LENGTH);
	return at + DAY_LENGTH;
}

/* hh:mm:ss and as much of the fraction as is not zero */
static char *
put_time(char *at, int64 usecs)
{
	int			second = usecs / USECS_PER_SEC;
	int			fraction = usecs % USECS_PER_SEC;

	at = put_two(at, second / SECS_PER_HOUR);
	*at++ = ':';
	at = put_two(at, second / SECS_PER_MINUTE % MINS_PER_HOUR);
	*at++ = ':';
	at = put_two(at, second % SECS_PER_MINUTE);
	if (fraction == 0)
		return at;
	*at++ = '.';
	at = put_two(at, fraction / 10000);
	at = put_two(at, fraction / 100 % 100);
	at = put_two(at, fraction % 100);
	while (at[-1] == '0')
		at--;
	return at;
}

/* Infinities, years of other than four digits, and years before Christ */
static void
put_odd_date_time(StringInfo buf, Datum value, Oid type)
{
	char		text[MAXDATELEN + 1];
	int			utc = 0;

	JsonEncodeDateTime(text, value, type, type == TIMESTAMPTZOID ? &utc : NULL);
	rg_json_quote(buf, text, strlen(text));
}

static void
put_date_time(StringInfo buf, int64 value, Oid type)
{
	int64		day = value / USECS_PER_DAY;
	int64		usecs = value % USECS_PER_DAY;
	char	   *at;

	if (usecs < 0)
	{
		usecs += USECS_PER_DAY;
		day--;
	}
	if (unlikely(day < FIRST_DAY || day > LAST_DAY))
	{
		put_odd_date_time(buf, TimestampTzGetDatum(value), type);
		return;
	}
	at = rg_json_reserve(buf, DATE_TIME_SIZE);
	*at++ = '"';
	at = put_day(at, day);
	*at++ = 'T';
	at = put_time(at, usecs);
	if (type == TIMESTAMPTZOID)
		*at++ = 'Z';
	*at++ = '"';
	buf->len = at - buf->data;
}

static void
render_timestamptz(RgJsonOut *out, RgJsonColumn *column, Datum value)
{
	put_date_time(out->buf, DatumGetTimestampTz(value), TIMESTAMPTZOID);
}

static void
render_timestamp(RgJsonOut *out, RgJsonColumn *column, Datum value)
{
	put_date_time(out->buf, DatumGetTimestamp(value), TIMESTAMPOID);
}

static void
render_date(RgJsonOut *out, RgJsonColumn *column, Datum value)
{
	DateADT		date = DatumGetDateADT(value);
	char	   *at;

	if (unlikely(date < FIRST_DAY || date > LAST_DAY))
	{
		put_odd_date_time(out->buf, value, DATEOID);
		return;
	}
	at = rg_json_reserve(out->buf, DATE_TIME_SIZE);
	*at++ = '"';
	at = put_day(at, date);
	*at++ = '"';
	out->buf->len = at - out->buf->data;
}

static void
render_by_output(RgJsonOut *out, RgJsonColumn *column, Datum value)
{
	char	   *text = OutputFunctionCall(&column->function, value);

	rg_json_check_room(out, strlen(text));
	rg_json_quote(out->buf, text, strlen(text));
}

static void
render_by_to_json(RgJsonOut *out, RgJsonColumn *column, Datum value)
{
	text	   *json = DatumGetTextPP(FunctionCall1(&column->function, value));

	rg_json_check_room(out, VARSIZE_ANY_EXHDR(json));
	rg_json_append(out->buf, VARDATA_ANY(json), VARSIZE_ANY_EXHDR(json));
}

static const struct
{
	Oid			type;
	RgJsonRender render;
	bool		allocates;
}			renders[] = {
	{INT2OID, render_int2, false},
	{INT4OID, render_int4, false},
	{INT8OID, render_int8, false},
	{TEXTOID, render_text, false},
	{VARCHAROID, render_text, false},
	{BPCHAROID, render_text, false},
	{BOOLOID, render_bool, false},
	{TIMESTAMPTZOID, render_timestamptz, false},
	{TIMESTAMPOID, render_timestamp, false},
	{DATEOID, render_date, false},
	{UUIDOID, render_uuid, false},
	{FLOAT4OID, render_float4, false},
	{FLOAT8OID, render_float8, false},
	{NUMERICOID, render_numeric, true},
	{JSONOID, render_json, true},
	{JSONBOID, render_jsonb, true},
};

/* Does to_json() do more than quote the output function's text? */
static bool
needs_to_json(Oid type)
{
	Oid			cast;

	if (type_is_rowtype(type) || OidIsValid(get_element_type(type)) ||
		type == ANYARRAYOID || type == RECORDARRAYOID)
		return true;
	return type >= FirstNormalObjectId &&
		find_coercion_pathway(JSONOID, type, COERCION_EXPLICIT, &cast) ==
		COERCION_PATH_FUNC;
}

/* to_json() finds the type of its argument in the expression that calls it. */
static void
choose_to_json(RgJsonColumn *column, Oid type, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	Const	   *argument = makeNullConst(type, -1, InvalidOid);
	FuncExpr   *call = makeFuncExpr(F_TO_JSON, JSONOID, list_make1(argument),
									InvalidOid, InvalidOid,
									COERCE_EXPLICIT_CALL);

	fmgr_info_cxt(F_TO_JSON, &column->function, context);
	fmgr_info_set_expr((Node *) call, &column->function);
	column->render = render_by_to_json;
	MemoryContextSwitchTo(old);
}

static void
choose_output(RgJsonColumn *column, Oid type, MemoryContext context)
{
	Oid			function;
	bool		is_varlena;

	getTypeOutputInfo(type, &function, &is_varlena);
	fmgr_info_cxt(function, &column->function, context);
	column->render = render_by_output;
}

void
rg_json_choose_render(RgJsonColumn *column, Oid type, MemoryContext context)
{
	Oid			base = getBaseType(type);

	for (size_t i = 0; i < lengthof(renders); i++)
		if (renders[i].type == base)
		{
			column->render = renders[i].render;
			column->allocates = renders[i].allocates;
			return;
		}
	column->allocates = true;
	if (needs_to_json(base))
		choose_to_json(column, base, context);
	else
		choose_output(column, base, context);
}
