/*
 * file_out.c
 *		A row becomes a file; file_out.h has the contract.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "file_header.h"
#include "file_out.h"
#include "varlena_slice.h"

#define DEFAULT_TYPE "application/octet-stream"

/*
 * Columns
 */

static AttrNumber *
place_of(RgFileColumns *columns, const char *name, Oid *type)
{
	*type = TEXTOID;
	if (strcmp(name, "content_type") == 0)
		return &columns->type;
	if (strcmp(name, "file_name") == 0)
		return &columns->name;
	*type = BYTEAOID;
	if (strcmp(name, "content") == 0)
		return &columns->content;
	*type = TIMESTAMPTZOID;
	return strcmp(name, "modified") == 0 ? &columns->modified : NULL;
}

static void
take_column(Form_pg_attribute attribute, RgFileColumns *columns)
{
	Oid			type;
	AttrNumber *place = place_of(columns, NameStr(attribute->attname), &type);

	if (place == NULL)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("column \"%s\" says nothing of a file", NameStr(attribute->attname)),
				errhint("A route of result file returns content and, if wanted, content_type, file_name and modified."));
	if (!IsBinaryCoercible(attribute->atttypid, type))
		ereport(ERROR,
				errcode(ERRCODE_DATATYPE_MISMATCH),
				errmsg("column \"%s\" of a file has type %s, not %s", NameStr(attribute->attname),
					   format_type_be(attribute->atttypid), format_type_be(type)));
	*place = attribute->attnum;
}

void
rg_file_columns(TupleDesc desc, RgFileColumns *columns)
{
	memset(columns, 0, sizeof *columns);
	for (int i = 0; i < desc->natts; i++)
		take_column(TupleDescAttr(desc, i), columns);
	if (columns->content == 0)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_COLUMN),
				errmsg("a file needs a column \"content\" of type bytea"));
}

/*
 * The row
 */

/* Empty: it is not there, or NULL. */
static RgSlice
text_of(TupleTableSlot *slot, AttrNumber column)
{
	if (column == 0 || slot->tts_isnull[column - 1])
		return rg_slice(NULL, 0);
	return rg_datum_slice(slot->tts_values[column - 1]);
}

/* Its size is known before it is fetched. */
static void
put_content(RgFileOut *out, Datum content)
{
	RgAnswer   *answer = out->answer;
	Size		size = toast_raw_datum_size(content) - VARHDRSZ;
	RgSlice		bytes;

	if (size > (Size) answer->route->max_response)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("the file has more than %d bytes", answer->route->max_response));
	bytes = rg_datum_slice(content);
	appendBinaryStringInfo(&answer->out, bytes.data, bytes.len);
}

static void
put_type(RgAnswer *answer, RgSlice type)
{
	answer->content_type = rg_file_type_valid(type) ? pnstrdup(type.data, type.len) : DEFAULT_TYPE;
}

static void
put_disposition(RgAnswer *answer, RgSlice name)
{
	char		line[RG_FILE_DISPOSITION_MAX];
	RgText		text = {line, sizeof line, 0};

	rg_file_disposition_put(&text, rg_file_type_inert(rg_slice_of(answer->content_type)), name);
	Assert(text.len <= text.cap);
	appendBinaryStringInfo(answer->body_lines, line, text.len);
}

/* No later than now, whatever the row says (RFC 9110, 8.8.2.1); 0: none. */
static pg_time_t
modified_at(TupleTableSlot *slot, AttrNumber column)
{
	TimestampTz at;

	if (column == 0 || slot->tts_isnull[column - 1])
		return 0;
	at = DatumGetTimestampTz(slot->tts_values[column - 1]);
	return TIMESTAMP_NOT_FINITE(at) ? 0 : timestamptz_to_time_t(Min(at, GetCurrentTimestamp()));
}

/* What was before 1970 no client of HTTP asks for. */
static void
put_modified(RgAnswer *answer, pg_time_t at)
{
	char		date[64];

	if (at <= 0)
		return;
	pg_strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", pg_gmtime(&at));
	appendStringInfo(answer->body_lines, "Last-Modified: %s\r\n", date);
}

/*
 * The file is no page of this site, whatever it holds.  Who reads it may ask for a part of
 * it: the gateway knows a file by that line.
 */
static void
put_lines(RgAnswer *answer)
{
	appendStringInfoString(answer->body_lines,
						   "Content-Security-Policy: default-src 'none'; sandbox\r\n"
						   "Accept-Ranges: bytes\r\n");
}

static void
put_row(RgFileOut *out, TupleTableSlot *slot)
{
	const RgFileColumns *columns = &out->columns;
	MemoryContext old = MemoryContextSwitchTo(out->context);
	AttrNumber	content = columns->content;

	out->found = !slot->tts_isnull[content - 1];
	if (out->found)
	{
		out->answer->body_lines = makeStringInfo();
		put_content(out, slot->tts_values[content - 1]);
		put_type(out->answer, text_of(slot, columns->type));
		put_disposition(out->answer, text_of(slot, columns->name));
		put_modified(out->answer, modified_at(slot, columns->modified));
		put_lines(out->answer);
	}
	MemoryContextSwitchTo(old);
}

/*
 * The receiver
 */

/* Once more: ALTER TABLE may have changed what SELECT * returns. */
static void
start(DestReceiver *self, int operation, TupleDesc desc)
{
	RgFileOut  *out = (RgFileOut *) self;

	rg_file_columns(desc, &out->columns);
}

static bool
receive(TupleTableSlot *slot, DestReceiver *self)
{
	RgFileOut  *out = (RgFileOut *) self;

	if (out->nrows++ > 0)
		ereport(ERROR,
				errcode(ERRCODE_CARDINALITY_VIOLATION),
				errmsg("the statement returned more than one row"),
				errhint("Add LIMIT 1."));
	slot_getallattrs(slot);
	put_row(out, slot);
	return true;
}

static void
finish(DestReceiver *self)
{
}

void
rg_file_out_init(RgFileOut *out, RgAnswer *answer)
{
	memset(out, 0, sizeof *out);
	out->pub.receiveSlot = receive;
	out->pub.rStartup = start;
	out->pub.rShutdown = finish;
	out->pub.rDestroy = finish;
	out->pub.mydest = DestNone;
	out->answer = answer;
	out->context = CurrentMemoryContext;
}
