/*
 * crypt.c
 *		encrypt(), decrypt_...() and what belongs to them.
 */
#include "postgres.h"

#include <sodium.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "aad.h"
#include "crypt.h"
#include "decrypt_log.h"
#include "denial.h"
#include "errcodes.h"
#include "failure_totals.h"
#include "keyring.h"
#include "log_guard.h"
#include "opened.h"
#include "varlena_slice.h"

#define MAX_PLAINTEXT (MaxAllocSize - VARHDRSZ - RG_ENVELOPE_OVERHEAD)

/*
 * AAD
 */

/* In UTF-8, so that a dump opens in a database of another encoding. */
RgSlice
rg_crypt_aad(RgSlice *parts, int count)
{
	size_t		length;
	char	   *out;

	for (int i = 0; i < count; i++)
		if (parts[i].data != NULL)
			parts[i] = rg_plaintext_utf8(parts[i].data, parts[i].len);
	length = rg_aad_length(parts, count);
	out = palloc(length);
	rg_aad_write(parts, count, (uint8 *) out);
	return rg_slice(out, length);
}

PG_FUNCTION_INFO_V1(relay_guard_aad);

/* aad(VARIADIC text[]) */
Datum
relay_guard_aad(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	Datum	   *elements;
	bool	   *nulls;
	int			count;
	RgSlice    *parts;

	rg_log_guard_secret_used();
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	parts = palloc(count * sizeof *parts);
	for (int i = 0; i < count; i++)
		parts[i] = nulls[i] ? rg_slice(NULL, 0) : rg_datum_slice(elements[i]);
	PG_RETURN_DATUM(rg_slice_datum(rg_crypt_aad(parts, count)));
}

/*
 * Sealing
 */

bytea *
rg_crypt_seal(RgPlaintext kind, Datum value, RgSlice aad)
{
	RgSlice		plaintext = rg_plaintext_bytes(kind, value);
	bytea	   *envelope;

	if (plaintext.len > MAX_PLAINTEXT)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("a value of %zu bytes is too long to be encrypted", plaintext.len));
	envelope = palloc(VARHDRSZ + plaintext.len + RG_ENVELOPE_OVERHEAD);
	SET_VARSIZE(envelope, VARHDRSZ + plaintext.len + RG_ENVELOPE_OVERHEAD);
	rg_keyring_seal_to(RG_FOR_COLUMNS, aad, plaintext, (uint8 *) VARDATA(envelope));
	if (kind == RG_PLAIN_JSONB)
	{
		sodium_memzero((char *) plaintext.data, plaintext.len);
		pfree((char *) plaintext.data);
	}
	return envelope;
}

static RgSlice
aad_argument(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("the AAD must not be null"),
				errhint("Make it with relay_guard.aad(...), whose parts may be null."));
	return rg_datum_slice(PG_GETARG_DATUM(1));
}

static Datum
encrypt(FunctionCallInfo fcinfo, RgPlaintext kind)
{
	bytea	   *envelope;

	rg_log_guard_secret_used();
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	envelope = rg_crypt_seal(kind, PG_GETARG_DATUM(0), aad_argument(fcinfo));
	PG_RETURN_BYTEA_P(envelope);
}

PG_FUNCTION_INFO_V1(relay_guard_encrypt_text);
PG_FUNCTION_INFO_V1(relay_guard_encrypt_bytea);
PG_FUNCTION_INFO_V1(relay_guard_encrypt_jsonb);

/* encrypt(plaintext, aad bytea) */
Datum
relay_guard_encrypt_text(PG_FUNCTION_ARGS)
{
	return encrypt(fcinfo, RG_PLAIN_TEXT);
}

Datum
relay_guard_encrypt_bytea(PG_FUNCTION_ARGS)
{
	return encrypt(fcinfo, RG_PLAIN_BYTEA);
}

Datum
relay_guard_encrypt_jsonb(PG_FUNCTION_ARGS)
{
	return encrypt(fcinfo, RG_PLAIN_JSONB);
}

/*
 * Opening
 */

static void
refuse_unknown_version(RgSlice envelope)
{
	unsigned	version = envelope.len < RG_ENVELOPE_OVERHEAD ? RG_ENVELOPE_VERSION
	: (uint8) envelope.data[0];

	if (version != RG_ENVELOPE_VERSION)
		ereport(ERROR,
				errcode(ERRCODE_RG_UNAVAILABLE),
				errmsg("version %u of an encrypted value is not known", version),
				errhint("It was made by a newer relay_guard, or is no encrypted value: is_envelope() tells."));
}

/* Opens into a palloc'd varlena; NULL when it does not open. */
static struct varlena *
try_envelope(RgSlice envelope, RgSlice aad)
{
	struct varlena *bytes;
	size_t		size;

	if (rg_envelope_key_id(envelope) == 0)
		return NULL;
	size = VARHDRSZ + envelope.len - RG_ENVELOPE_OVERHEAD;
	bytes = palloc(size);
	SET_VARSIZE(bytes, size);
	if (rg_opened_take(envelope, aad, (uint8 *) VARDATA(bytes)) ||
		rg_keyring_open_to(RG_FOR_COLUMNS, aad, envelope, (uint8 *) VARDATA(bytes)))
		return bytes;
	pfree(bytes);
	return NULL;
}

/* The same, counted.  A key that is missing is an error and no failure. */
static struct varlena *
open_envelope(RgSlice envelope, RgSlice aad)
{
	struct varlena *bytes;

	refuse_unknown_version(envelope);
	bytes = try_envelope(envelope, aad);
	if (bytes == NULL)
		rg_failure_totals_add(RG_FAILURE_DECRYPT);
	return bytes;
}

bool
rg_crypt_open(RgPlaintext kind, RgSlice envelope, RgSlice aad, Datum *value)
{
	struct varlena *bytes = open_envelope(envelope, aad);

	if (bytes != NULL)
		*value = rg_plaintext_value(kind, bytes);
	return bytes != NULL;
}

bool
rg_crypt_opens(RgSlice envelope, RgSlice aad)
{
	struct varlena *bytes = open_envelope(envelope, aad);

	if (bytes == NULL)
		return false;
	rg_opened_keep(envelope, aad, rg_varlena_slice(bytes));
	sodium_memzero(VARDATA(bytes), VARSIZE(bytes) - VARHDRSZ);
	pfree(bytes);
	return true;
}

/* NULL when it is NULL; when it does not open, an error where a value is required, NULL elsewhere. */
static Datum
decrypt(FunctionCallInfo fcinfo, RgPlaintext kind, bool required)
{
	Datum		value = (Datum) 0;

	rg_log_guard_secret_used();
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	fcinfo->isnull = !rg_crypt_open(kind, rg_datum_slice(PG_GETARG_DATUM(0)), aad_argument(fcinfo),
									&value);
	if (fcinfo->isnull)
	{
		rg_decrypt_log(fcinfo);
		rg_denial_note_value(aad_argument(fcinfo));
	}
	if (fcinfo->isnull && required)
		ereport(ERROR,
				errcode(ERRCODE_RG_NOT_FOUND),
				errmsg("the value does not open"),
				errdetail(RG_CODE_DOES_NOT_OPEN),
				errhint("It was changed, or encrypted with another AAD: for another row, user or column."));
	return value;
}

PG_FUNCTION_INFO_V1(relay_guard_decrypt_text);
PG_FUNCTION_INFO_V1(relay_guard_decrypt_bytea);
PG_FUNCTION_INFO_V1(relay_guard_decrypt_jsonb);
PG_FUNCTION_INFO_V1(relay_guard_try_decrypt_text);
PG_FUNCTION_INFO_V1(relay_guard_try_decrypt_bytea);
PG_FUNCTION_INFO_V1(relay_guard_try_decrypt_jsonb);

/* decrypt_text(ciphertext bytea, aad bytea) and its like */
Datum
relay_guard_decrypt_text(PG_FUNCTION_ARGS)
{
	return decrypt(fcinfo, RG_PLAIN_TEXT, true);
}

Datum
relay_guard_decrypt_bytea(PG_FUNCTION_ARGS)
{
	return decrypt(fcinfo, RG_PLAIN_BYTEA, true);
}

Datum
relay_guard_decrypt_jsonb(PG_FUNCTION_ARGS)
{
	return decrypt(fcinfo, RG_PLAIN_JSONB, true);
}

Datum
relay_guard_try_decrypt_text(PG_FUNCTION_ARGS)
{
	return decrypt(fcinfo, RG_PLAIN_TEXT, false);
}

Datum
relay_guard_try_decrypt_bytea(PG_FUNCTION_ARGS)
{
	return decrypt(fcinfo, RG_PLAIN_BYTEA, false);
}

Datum
relay_guard_try_decrypt_jsonb(PG_FUNCTION_ARGS)
{
	return decrypt(fcinfo, RG_PLAIN_JSONB, false);
}

PG_FUNCTION_INFO_V1(relay_guard_reencrypt);

/* reencrypt(ciphertext bytea, aad bytea): the same value under the primary key */
Datum
relay_guard_reencrypt(PG_FUNCTION_ARGS)
{
	Datum		value = decrypt(fcinfo, RG_PLAIN_BYTEA, true);
	bytea	   *envelope;

	if (fcinfo->isnull)
		return value;
	envelope = rg_crypt_seal(RG_PLAIN_BYTEA, value, aad_argument(fcinfo));
	sodium_memzero(VARDATA(value), VARSIZE(value) - VARHDRSZ);
	PG_RETURN_BYTEA_P(envelope);
}

/*
 * What an envelope says of itself
 */

int32
rg_crypt_key_id(RgSlice value)
{
	uint32		key_id = rg_envelope_key_id(value);

	return key_id <= PG_INT32_MAX ? (int32) key_id : 0;
}

PG_FUNCTION_INFO_V1(relay_guard_is_envelope);
PG_FUNCTION_INFO_V1(relay_guard_key_id);

/*
 * is_envelope(bytea) → boolean.  A CHECK of it has the row in its error's detail,
 * and in an encrypted column what is none is somebody's plaintext.
 */
Datum
relay_guard_is_envelope(PG_FUNCTION_ARGS)
{
	bool		is = rg_crypt_key_id(rg_datum_slice(PG_GETARG_DATUM(0))) > 0;

	if (!is)
		rg_log_guard_secret_used();
	PG_RETURN_BOOL(is);
}

/* key_id(bytea) → integer, or NULL */
Datum
relay_guard_key_id(PG_FUNCTION_ARGS)
{
	int32		id = rg_crypt_key_id(rg_datum_slice(PG_GETARG_DATUM(0)));

	if (id == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT32(id);
}
