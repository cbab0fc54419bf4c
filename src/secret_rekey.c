/*
 * secret_rekey.c
 *		rekey_secrets(): stored secrets, sealed anew under the primary key.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "storage/itemptr.h"
#include "utils/builtins.h"

#include "envelope.h"
#include "errcodes.h"
#include "keyring.h"
#include "secret.h"
#include "varlena_slice.h"

/* A table whose column secret rg_secret_seal() made, with these two names. */
typedef struct SecretTable
{
	const char *name;
	const char *key1;			/* SQL expressions */
	const char *key2;
} SecretTable;

static const SecretTable tables[] = {
	{"jwt_key", "iss", "kid"},
	{"api_key_pepper", "''", "''"},
	{"webhook_secret", "name", "''"},
};

/* Columns of select_secrets() */
enum
{
	Anum_ctid = 1, Anum_key1, Anum_key2, Anum_secret
};

static void
run(const char *command, int expected)
{
	int			result = SPI_execute(command, false, 0);

	if (result != expected)
		elog(ERROR, "%s: %s", command, SPI_result_code_string(result));
}

/*
 * Writers wait, so that no secret comes in under the former key behind the
 * reader's back; readers do not.
 */
static void
lock_table(const SecretTable *table)
{
	run(psprintf("LOCK TABLE relay_guard.%s IN SHARE ROW EXCLUSIVE MODE", table->name), SPI_OK_UTILITY);
}

static void
select_secrets(const SecretTable *table)
{
	run(psprintf("SELECT ctid, %s::text, %s::text, secret FROM relay_guard.%s"
				 " WHERE secret IS NOT NULL ORDER BY 2, 3",
				 table->key1, table->key2, table->name), SPI_OK_SELECT);
}

static void
update_secret(const SecretTable *table, Datum ctid, RgSlice sealed)
{
	Oid			types[] = {BYTEAOID, TIDOID};
	Datum		values[] = {rg_slice_datum(sealed), ctid};
	const char *command = psprintf("UPDATE relay_guard.%s SET secret = $1 WHERE ctid = $2", table->name);
	int			result = SPI_execute_with_args(command, 2, types, values, NULL, false, 0);

	if (result != SPI_OK_UPDATE || SPI_processed != 1)
		elog(ERROR, "a secret of relay_guard.%s is gone", table->name);
}

static void
refuse(const SecretTable *table, const char *key1, const char *key2, uint32 key_id)
{
	ereport(ERROR,
			errcode(ERRCODE_RG_UNAVAILABLE),
			errmsg("the secret of relay_guard.%s (%s, %s) does not open", table->name, key1, key2),
			key_id == 0 ? errdetail("It is nothing that was sealed.") :
			rg_keyring_usable(key_id) ? errdetail("It was changed, or moved to this row.") :
			errdetail("It was sealed under key %u, which the key ring does not have or has retired.", key_id),
			errhint("Bring its key back into the key ring, or delete the row and register the secret again."));
}

/* Whether it was under another key than the primary one. */
static bool
rekey_secret(const SecretTable *table, Datum ctid, const char *key1, const char *key2, RgSlice sealed)
{
	uint32		key_id = rg_envelope_key_id(sealed);
	RgSlice		secret;

	if (key_id == rg_keyring_primary())
		return false;
	if (!rg_secret_try_open(table->name, key1, key2, sealed, &secret))
		refuse(table, key1, key2, key_id);
	sealed = rg_secret_seal(table->name, key1, key2, secret);
	rg_secret_wipe(secret);
	update_secret(table, ctid, sealed);
	return true;
}

static bool
rekey_row(const SecretTable *table, HeapTuple row, TupleDesc desc)
{
	bool		isnull;
	Datum		ctid = SPI_getbinval(row, desc, Anum_ctid, &isnull);
	RgSlice		sealed = rg_datum_slice(SPI_getbinval(row, desc, Anum_secret, &isnull));

	return rekey_secret(table, ctid, SPI_getvalue(row, desc, Anum_key1),
						SPI_getvalue(row, desc, Anum_key2), sealed);
}

static int64
rekey_table(const SecretTable *table)
{
	int64		changed = 0;
	SPITupleTable *rows;

	select_secrets(table);
	rows = SPI_tuptable;
	for (uint64 i = 0; i < rows->numvals; i++)
		changed += rekey_row(table, rows->vals[i], rows->tupdesc);
	SPI_freetuptable(rows);
	return changed;
}

/* Under an older snapshot, secrets that others have just stored are not seen. */
static void
require_read_committed(void)
{
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				errmsg("rekey_secrets() needs a transaction that is READ COMMITTED"),
				errhint("Begin it so, or set default_transaction_isolation for the role that calls it."));
}

PG_FUNCTION_INFO_V1(relay_guard_rekey_secrets);

/* rekey_secrets() → how many; SECURITY DEFINER, for admins */
Datum
relay_guard_rekey_secrets(PG_FUNCTION_ARGS)
{
	int64		changed = 0;

	require_read_committed();
	(void) rg_keyring_primary();	/* an error where there is no ring */
	SPI_connect();
	for (size_t i = 0; i < lengthof(tables); i++)
		lock_table(&tables[i]);
	for (size_t i = 0; i < lengthof(tables); i++)
		changed += rekey_table(&tables[i]);
	SPI_finish();
	PG_RETURN_INT64(changed);
}
