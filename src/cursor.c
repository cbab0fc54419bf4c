/*
 * cursor.c
 *		Cursors of lists; cursor.h says what they are, cursor_text.h of which bytes.
 */
#include "postgres.h"

#include "utils/lsyscache.h"

#include "base64url.h"
#include "context.h"
#include "cursor.h"
#include "cursor_text.h"
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
put_key(StringInfo buf, const RgKeyColumn *key, Datum datum, bool isnull)
{
	RgCursorValue value = {.type = key->type,.null = isnull};
	bytea	   *sent;

	if (!isnull)
	{
		sent = OidSendFunctionCall(key->send, datum);
		value.sent = rg_slice(VARDATA(sent), VARSIZE(sent) - VARHDRSZ);
	}
	enlargeStringInfo(buf, rg_cursor_size(&value));
	buf->len += rg_cursor_put(&value, buf->data + buf->len);
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
take_key(RgSlice *rest, const RgKeyColumn *key, Datum *datum, bool *isnull)
{
	RgCursorValue value;
	StringInfoData field;

	if (!rg_cursor_take(rest, &value) || value.type != key->type)
		return false;
	*isnull = value.null;
	if (value.null)
		return true;
	initStringInfo(&field);
	appendBinaryStringInfo(&field, value.sent.data, value.sent.len);
	*datum = OidReceiveFunctionCall(key->receive, &field, key->ioparam, -1);
	return true;
}

bool
rg_cursor_open(RgRoutePlan *plan, const RgRoute *route, RgSlice cursor,
			   Datum *values, bool *nulls)
{
	RgSlice		sealed,
				rest;

	/* A key that the ring does not have is the client's error here */
	if (!rg_cursor_decode(cursor, palloc(cursor.len), &sealed) ||
		!rg_keyring_usable(rg_envelope_key_id(sealed)) ||
		!rg_keyring_open(RG_FOR_CURSORS, cursor_aad(route), sealed, &rest))
		return false;
	for (int i = 0; i < plan->nkeys; i++)
		if (!take_key(&rest, &plan->keys[i], &values[i], &nulls[i]))
			return false;
	return rest.len == 0;
}
