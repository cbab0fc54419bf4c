/*
 * cursor.c
 *		Cursors of lists; cursor.h says what they are.
 *
 * Sealed: for each keyset column its type's oid, then -1 for NULL or a length
 * and the value as the type's send function gives it; integers of four bytes,
 * big-endian.
 */
#include "postgres.h"

#include "libpq/pqformat.h"
#include "utils/lsyscache.h"

#include "base64url.h"
#include "context.h"
#include "cursor.h"
#include "keyring.h"

/* Binds the cursor to its route and user. */
static RgSlice
cursor_aad(const RgRoute *route)
{
	const RgIdentity *identity = rg_context();
	StringInfoData aad;

	initStringInfo(&aad);
	appendStringInfo(&aad, "cursor %s %s", route->method, route->path);
	appendStringInfoChar(&aad, '\0');
	if (identity != NULL)
		appendBinaryStringInfo(&aad, identity->user_id.data, identity->user_id.len);
	return rg_slice(aad.data, aad.len);
}

static void
put_key(StringInfo buf, const RgKeyColumn *key, Datum value, bool isnull)
{
	bytea	   *sent;

	pq_sendint32(buf, key->type);
	if (isnull)
	{
		pq_sendint32(buf, (uint32) -1);
		return;
	}
	sent = OidSendFunctionCall(key->send, value);
	pq_sendint32(buf, VARSIZE(sent) - VARHDRSZ);
	pq_sendbytes(buf, VARDATA(sent), VARSIZE(sent) - VARHDRSZ);
}

void
rg_cursor_append(StringInfo buf, RgRoutePlan *plan, const RgRoute *route, const RgJsonOut *out)
{
	StringInfoData plain;
	RgSlice		sealed;

	initStringInfo(&plain);
	for (int i = 0; i < plan->nkeys; i++)
		put_key(&plain, &plan->keys[i], out->key_values[i], out->key_nulls[i]);
	sealed = rg_keyring_seal(RG_FOR_CURSORS, cursor_aad(route),
							 rg_slice(plain.data, plain.len));
	enlargeStringInfo(buf, RG_BASE64URL_SIZE(sealed.len));
	buf->len += rg_base64url_encode(sealed, buf->data + buf->len);
}

/* Reads one key; false where the keyset has changed since. */
static bool
take_key(StringInfo buf, const RgKeyColumn *key, Datum *value, bool *isnull)
{
	StringInfoData field;
	int			len;

	if (buf->len - buf->cursor < 8 || pq_getmsgint(buf, 4) != key->type)
		return false;
	len = (int) pq_getmsgint(buf, 4);
	*isnull = len == -1;
	if (*isnull)
		return true;
	if (len < 0 || len > buf->len - buf->cursor)
		return false;
	initStringInfo(&field);
	appendBinaryStringInfo(&field, pq_getmsgbytes(buf, len), len);
	*value = OidReceiveFunctionCall(key->receive, &field, key->ioparam, -1);
	return true;
}

static bool
decode(RgSlice cursor, RgSlice *sealed)
{
	char	   *out = palloc(cursor.len);

	sealed->data = out;
	return rg_base64url_decode(cursor, out, cursor.len, &sealed->len);
}

bool
rg_cursor_open(RgRoutePlan *plan, const RgRoute *route, RgSlice cursor,
			   Datum *values, bool *nulls)
{
	RgSlice		sealed,
				plain;
	StringInfoData buf;

	/* A key that the ring does not have is the client's error here */
	if (!decode(cursor, &sealed) || !rg_keyring_usable(rg_envelope_key_id(sealed)) ||
		!rg_keyring_open(RG_FOR_CURSORS, cursor_aad(route), sealed, &plain))
		return false;
	initStringInfo(&buf);
	appendBinaryStringInfo(&buf, plain.data, plain.len);
	for (int i = 0; i < plan->nkeys; i++)
		if (!take_key(&buf, &plan->keys[i], &values[i], &nulls[i]))
			return false;
	return buf.cursor == buf.len;
}
