/*
 * audit_seal_chain.c
 *		The table of seals.
 *
 * Seals are put into the table and its indexes as they are, without a plan: no
 * trigger, rule or right stops them.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "audit_columns.h"
#include "audit_insert.h"
#include "audit_month.h"
#include "audit_object.h"
#include "audit_seal_chain.h"
#include "audit_seal_ratchet.h"
#include "audit_subject.h"
#include "audit_write.h"
#include "keyring.h"
#include "own_relation.h"
#include "varlena_slice.h"

/* Columns of relay_guard.audit_seal */
enum
{
	COL_SEAL_ID,
	COL_EPOCH,
	COL_ROW_EPOCH,
	COL_SNAP,
	COL_MONTH,
	COL_ROWS,
	COL_IDS,
	COL_DIGEST,
	COL_UNWITNESSED,
	COL_FINDINGS,
	COL_SEALED_AT,
	COL_PREVIOUS,
	COL_ROOT,
	COL_KEY_ID,
	COL_MAC,
	COL_STEP,
	COL_PROOF,
	NCOLUMNS
};

static const RgLogColumn columns[NCOLUMNS] = {
	{"seal_id", INT8OID}, {"epoch", INT4OID}, {"row_epoch", INT4OID}, {"snap", PG_SNAPSHOTOID},
	{"month", DATEOID}, {"rows", INT8OID}, {"ids", INT8MULTIRANGEOID}, {"digest", BYTEAOID},
	{"unwitnessed", INT8OID}, {"findings", JSONBOID}, {"sealed_at", TIMESTAMPTZOID},
	{"previous", BYTEAOID}, {"root", BYTEAOID}, {"key_id", INT4OID}, {"mac", BYTEAOID},
	{"step", INT8OID}, {"proof", BYTEAOID}
};

/*
 * Before
 */

static bool
ask(const char *question)
{
	bool		isnull;

	if (SPI_execute(question, false, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not ask: %s", question);
	return DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

/*
 * pg_restore loads the seals' data when the log has partitions already, and
 * gives those their triggers last: until then a seal made here would stand in
 * the way of those to come.
 */
RgLogState
rg_seal_log_state(void)
{
	if (!ask("SELECT EXISTS (SELECT FROM pg_inherits WHERE inhparent = 'relay_guard.audit_log'::regclass)"))
		return RG_LOG_EMPTY;
	if (ask("SELECT EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = 'relay_guard.audit_log'::regclass"
			" AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = i.inhrelid AND t.tgname = 'audit_refuse'))"))
		return RG_LOG_UNFINISHED;
	if (ask("SELECT EXISTS (SELECT FROM pg_subscription_rel WHERE srrelid = 'relay_guard.audit_seal'::regclass)"))
		return RG_LOG_FOREIGN;
	return RG_LOG_READY;
}

static Relation
lock_table(void)
{
	Relation	table = table_open(rg_own_relation_required("audit_seal"), ShareRowExclusiveLock);

	rg_audit_require_columns(table, columns, NCOLUMNS);
	return table;
}

/* The one row that a query finds, if any; its parameter is the epoch. */
static bool
find(const char *query, int nargs, int32 epoch)
{
	Oid			types[] = {INT4OID};
	Datum		args[] = {Int32GetDatum(epoch)};

	if (SPI_execute_with_args(query, nargs, types, args, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read relay_guard.audit_seal");
	return SPI_processed == 1;
}

static Datum
found(int number, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, number, isnull);
}

/* What is no hash any more matches none: the verifier tells, sealing goes on. */
static void
copy_hash(uint8 out[RG_AUDIT_HASH_BYTES], int number)
{
	bool		isnull;
	Datum		value = found(number, &isnull);
	RgSlice		hash = isnull ? rg_slice(NULL, 0) : rg_datum_slice(value);

	memset(out, 0, RG_AUDIT_HASH_BYTES);
	if (hash.len > 0)
		memcpy(out, hash.data, Min(hash.len, RG_AUDIT_HASH_BYTES));
}

static void
take_proof(RgSealChain *chain)
{
	bool		isnull;

	chain->proved.step = DatumGetInt64(found(5, &isnull));
	copy_hash(chain->proved.root, 2);
	copy_hash(chain->proved.proof, 6);
}

static void
take_last_of_epoch(RgSealChain *chain)
{
	bool		isnull;
	bool		has_step;

	chain->begun = true;
	chain->before = SPI_datumTransfer(found(4, &isnull), false, -1);
	(void) found(5, &isnull);
	has_step = !isnull;
	(void) found(6, &isnull);
	chain->had_proof = !isnull;
	if (has_step && chain->had_proof)
		take_proof(chain);
}

#define LAST_SEAL(which) \
	"SELECT seal_id, root, epoch, snap, step, proof FROM relay_guard.audit_seal" which " ORDER BY seal_id DESC LIMIT 1"

/* Nearly always the last of all is the last of the epoch: no other is looked for. */
static void
read_last(RgSealChain *chain)
{
	bool		isnull;

	if (!find(LAST_SEAL(""), 0, 0))
		return;
	chain->last_id = DatumGetInt64(found(1, &isnull));
	copy_hash(chain->last_root, 2);
	if (DatumGetInt32(found(3, &isnull)) == chain->epoch ||
		find(LAST_SEAL(" WHERE epoch = $1"), 1, chain->epoch))
		take_last_of_epoch(chain);
}

/* By the index of those with a step, if the last has no proof. */
static void
read_last_proved(RgSealChain *chain)
{
	if (chain->begun && chain->proved.step < 0 && rg_seal_ratchet_wanted() &&
		find(LAST_SEAL(" WHERE step IS NOT NULL AND proof IS NOT NULL AND epoch = $1"), 1, chain->epoch))
		take_proof(chain);
}

void
rg_seal_chain_open(RgSealChain *chain)
{
	memset(chain, 0, sizeof *chain);
	chain->table = lock_table();
	chain->epoch = rg_audit_epoch();
	PushActiveSnapshot(GetLatestSnapshot());
	chain->snap = OidFunctionCall0(F_PG_CURRENT_SNAPSHOT);
	chain->snap_text = OidOutputFunctionCall(F_PG_SNAPSHOT_OUT, chain->snap);
	chain->proved.step = -1;
	read_last(chain);
	read_last_proved(chain);
}

void
rg_seal_chain_close(RgSealChain *chain)
{
	PopActiveSnapshot();
	table_close(chain->table, NoLock);
}

/*
 * A seal
 */

static RgSlice
ids_text(RgSealPart *part)
{
	StringInfoData text;

	initStringInfo(&text);
	rg_id_ranges_print(&part->ids, &text);
	return rg_slice(text.data, text.len);
}

static Jsonb *
findings_of(const RgSealPart *part)
{
	char	   *text = rg_seal_part_findings(part);

	if (text == NULL)
		return NULL;
	return DatumGetJsonbP(OidFunctionCall1(F_JSONB_IN, CStringGetDatum(text)));
}

static void
set(Datum *values, bool *nulls, int column, Datum value)
{
	values[column] = value;
	nulls[column] = false;
}

static void
set_bytes(Datum *values, bool *nulls, int column, RgSlice bytes)
{
	if (bytes.data != NULL)
		set(values, nulls, column, rg_slice_datum(bytes));
}

/* What the message says, as values. */
static void
set_message(Datum *values, bool *nulls, const RgAuditSeal *seal)
{
	char	   *ids = pnstrdup(seal->ids.data, seal->ids.len);

	set(values, nulls, COL_SEAL_ID, Int64GetDatum(seal->seal_id));
	set(values, nulls, COL_EPOCH, Int32GetDatum(seal->epoch));
	set(values, nulls, COL_ROW_EPOCH, Int32GetDatum(seal->row_epoch));
	set(values, nulls, COL_ROWS, Int64GetDatum(seal->rows));
	set(values, nulls, COL_IDS,
		OidFunctionCall3(F_MULTIRANGE_IN, CStringGetDatum(ids),
						 ObjectIdGetDatum(INT8MULTIRANGEOID), Int32GetDatum(-1)));
	set_bytes(values, nulls, COL_DIGEST, seal->digest);
	set(values, nulls, COL_UNWITNESSED, Int64GetDatum(seal->unwitnessed));
	set_bytes(values, nulls, COL_PREVIOUS, seal->previous);
	set(values, nulls, COL_KEY_ID, Int32GetDatum(seal->key_id));
	if (seal->step >= 0)
		set(values, nulls, COL_STEP, Int64GetDatum(seal->step));
}

/* What binds it. */
static void
set_binding(RgSealChain *chain, Datum *values, bool *nulls, const RgAuditSeal *seal)
{
	uint8		key[RG_KEY_BYTES];
	uint8		mac[RG_AUDIT_HASH_BYTES];
	uint8		proof[RG_AUDIT_HASH_BYTES];

	rg_audit_seal_root(seal, chain->last_root);
	rg_keyring_subkey(RG_FOR_AUDIT, (uint32) seal->key_id, key);
	rg_audit_seal_mac(key, chain->last_root, mac);
	sodium_memzero(key, sizeof key);
	set_bytes(values, nulls, COL_ROOT, rg_slice((char *) chain->last_root, sizeof chain->last_root));
	set_bytes(values, nulls, COL_MAC, rg_slice((char *) mac, sizeof mac));
	if (seal->step < 0)
		return;
	rg_seal_ratchet_prove(chain->last_root, proof);
	set_bytes(values, nulls, COL_PROOF, rg_slice((char *) proof, sizeof proof));
}

static void
insert(RgSealChain *chain, Datum *values, bool *nulls)
{
	TupleTableSlot *slot = table_slot_create(chain->table, NULL);
	RgInsert	target;

	memcpy(slot->tts_values, values, NCOLUMNS * sizeof *values);
	memcpy(slot->tts_isnull, nulls, NCOLUMNS * sizeof *nulls);
	ExecStoreVirtualTuple(slot);
	rg_insert_open(&target, chain->table);
	table_tuple_insert(chain->table, slot, GetCurrentCommandId(true), 0, NULL);
	rg_insert_index_entries(&target, slot);
	rg_insert_close(&target);
	ExecDropSingleTupleTableSlot(slot);
}

static RgAuditSeal
message_of(const RgSealChain *chain, RgSealPart *part, TimestampTz now, Jsonb *findings)
{
	RgAuditSeal seal = {
		.seal_id = chain->last_id + 1,
		.epoch = chain->epoch,
		.row_epoch = part->row_epoch,
		.snap = rg_slice_of(chain->snap_text),
		.month = rg_slice_of(rg_audit_date_text(part->month)),
		.rows = part->rows,
		.ids = ids_text(part),
		.unwitnessed = part->unwitnessed,
		.findings = rg_audit_utf8(rg_audit_json(findings).text),
		.sealed_at = rg_audit_unix_time(now),
		.key_id = (int32) rg_keyring_primary(),
		.step = rg_seal_ratchet_step(),
	};

	if (chain->last_id > 0)
		seal.previous = rg_slice((const char *) chain->last_root, sizeof chain->last_root);
	return seal;
}

void
rg_seal_chain_add(RgSealChain *chain, RgSealPart *part)
{
	TimestampTz now = GetCurrentTimestamp();
	Jsonb	   *findings = findings_of(part);
	RgAuditSeal seal = message_of(chain, part, now, findings);
	uint8		digest[RG_AUDIT_HASH_BYTES];
	int			natts = RelationGetDescr(chain->table)->natts;
	Datum	   *values = palloc0(natts * sizeof *values);
	bool	   *nulls = palloc(natts * sizeof *nulls);

	memset(nulls, true, natts * sizeof *nulls);
	crypto_generichash_final(&part->digest, digest, sizeof digest);
	seal.digest = rg_slice((char *) digest, sizeof digest);
	set_message(values, nulls, &seal);
	set(values, nulls, COL_SNAP, chain->snap);
	set(values, nulls, COL_MONTH, DateADTGetDatum(part->month));
	set(values, nulls, COL_SEALED_AT, TimestampTzGetDatum(now));
	if (findings != NULL)
		set(values, nulls, COL_FINDINGS, JsonbPGetDatum(findings));
	set_binding(chain, values, nulls, &seal);
	insert(chain, values, nulls);
	chain->last_id = seal.seal_id;
}
