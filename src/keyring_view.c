/*
 * keyring_view.c
 *		What SQL sees of the key ring: never a byte of a key, but for
 *		keyring_new_line(), which makes one.
 */
#include "postgres.h"

#include <sodium.h>

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "keyring.h"
#include "ring_line.h"

PG_FUNCTION_INFO_V1(relay_guard_keyring_available);

Datum
relay_guard_keyring_available(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(rg_keyring_available());
}

static Datum
created_datum(const RgRingKey *key)
{
	return DirectFunctionCall3(timestamptz_in, CStringGetDatum(key->created),
							   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
}

static void
put_key(ReturnSetInfo *result, const RgRingKey *key)
{
	Datum		values[4] = {
		Int32GetDatum(key->id),
		CStringGetTextDatum(rg_ring_state_name(key->state)),
		BoolGetDatum(rg_keyring_locked()),
	};
	bool		nulls[4] = {false, false, false, key->created[0] == '\0'};

	if (!nulls[3])
		values[3] = created_datum(key);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(relay_guard_read_keyring);

/* read_keyring() → key_id, state, locked, created; no rows without a ring */
Datum
relay_guard_read_keyring(PG_FUNCTION_ARGS)
{
	const RgRing *ring = rg_keyring();

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; ring != NULL && i < ring->nkeys; i++)
		put_key((ReturnSetInfo *) fcinfo->resultinfo, &ring->keys[i]);
	return (Datum) 0;
}

static text *
make_line(void)
{
	RgRingKey	key;
	char		line[RG_RING_LINE_SIZE];
	text	   *result;

	rg_ring_key_new(&key, rg_ring_first_id(), RG_KEY_PRIMARY);
	result = cstring_to_text_with_len(line, rg_ring_line_write(&key, line) - 1);
	sodium_memzero(&key, sizeof key);
	sodium_memzero(line, sizeof line);
	return result;
}

PG_FUNCTION_INFO_V1(relay_guard_keyring_new_line);

/* keyring_new_line(): the line of a ring's first key, for superusers */
Datum
relay_guard_keyring_new_line(PG_FUNCTION_ARGS)
{
	if (!superuser())
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("only superusers make keys in SQL"),
				errhint("Use \"relay_gateway keyring new FILE\" as the server's user."));
	PG_RETURN_TEXT_P(make_line());
}
