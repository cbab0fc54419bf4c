/*
 * plaintext.c
 *		What can be encrypted, as bytes, and back.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include <sodium.h>

#include "plaintext.h"
#include "varlena_slice.h"

static const Oid types[] = {
	[RG_PLAIN_TEXT] = TEXTOID,
	[RG_PLAIN_BYTEA] = BYTEAOID,
	[RG_PLAIN_JSONB] = JSONBOID,
};

Oid
rg_plaintext_type(RgPlaintext kind)
{
	return types[kind];
}

/* Only in a database of SQL_ASCII can text be no UTF-8; PostgreSQL would quote it. */
RgSlice
rg_plaintext_utf8(const char *text, int len)
{
	char	   *converted;

	if (GetDatabaseEncoding() == PG_SQL_ASCII && !pg_verify_mbstr(PG_UTF8, text, len, true))
		ereport(ERROR,
				errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
				errmsg("text to be encrypted, and AAD, must be UTF-8 in a database of SQL_ASCII"),
				errhint("Convert it, or encrypt it as bytea."));
	converted = pg_server_to_any(text, len, PG_UTF8);

	return rg_slice(converted, converted == text ? (size_t) len : strlen(converted));
}

RgSlice
rg_plaintext_bytes(RgPlaintext kind, Datum value)
{
	struct varlena *bytes = PG_DETOAST_DATUM_PACKED(value);

	if (kind == RG_PLAIN_JSONB)
	{
		Jsonb	   *jsonb = DatumGetJsonbP(PointerGetDatum(bytes));
		StringInfoData text;

		initStringInfo(&text);
		JsonbToCString(&text, &jsonb->root, VARSIZE(jsonb));
		return rg_plaintext_utf8(text.data, text.len);
	}
	if (kind == RG_PLAIN_TEXT)
		return rg_plaintext_utf8(VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	return rg_varlena_slice(bytes);
}

/*
 * In the database's encoding, with a NUL behind it.  Bytes that were encrypted
 * as bytea, or in another encoding, may be no text here.
 */
static char *
server_text(struct varlena *bytes)
{
	char	   *text = VARDATA(bytes);
	int			len = VARSIZE(bytes) - VARHDRSZ;

	if (!pg_verify_mbstr(PG_UTF8, text, len, true))
		ereport(ERROR,
				errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
				errmsg("what was encrypted is no text"));
	if (GetDatabaseEncoding() == PG_UTF8)
		return pnstrdup(text, len);
	return (char *) pg_do_encoding_conversion((unsigned char *) pnstrdup(text, len), len,
											  PG_UTF8, GetDatabaseEncoding());
}

static Datum
parse(RgPlaintext kind, struct varlena *bytes)
{
	char	   *text;
	Datum		value;

	if (kind == RG_PLAIN_TEXT && GetDatabaseEncoding() == PG_UTF8 &&
		pg_verify_mbstr(PG_UTF8, VARDATA(bytes), VARSIZE(bytes) - VARHDRSZ, true))
		return PointerGetDatum(bytes);
	text = server_text(bytes);
	value = kind == RG_PLAIN_TEXT ? PointerGetDatum(cstring_to_text(text))
		: DirectFunctionCall1(jsonb_in, CStringGetDatum(text));
	sodium_memzero(text, strlen(text));
	pfree(text);
	sodium_memzero(VARDATA(bytes), VARSIZE(bytes) - VARHDRSZ);
	pfree(bytes);
	return value;
}

/*
 * The parsers' own errors quote what they could not read: those of wrong data
 * are replaced.
 */
Datum
rg_plaintext_value(RgPlaintext kind, struct varlena *bytes)
{
	MemoryContext context = CurrentMemoryContext;
	Datum		value;

	if (kind == RG_PLAIN_BYTEA)
		return PointerGetDatum(bytes);
	PG_TRY();
	{
		value = parse(kind, bytes);
	}
	PG_CATCH();
	{
		int			code = geterrcode();

		if (ERRCODE_TO_CATEGORY(code) != ERRCODE_DATA_EXCEPTION)
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		FlushErrorState();
		ereport(ERROR,
				errcode(code),
				errmsg("what was encrypted is no valid %s", format_type_be(types[kind])),
				errhint("It was encrypted as another type: decrypt it as that."));
	}
	PG_END_TRY();
	return value;
}
