/*
 * openapi.c
 *		Keeping /openapi.json; openapi.h has the contract.
 *
 * SQL makes the document, in about a tenth of a second: too long for whoever asks
 * for it again and again.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"

#include "config_cache.h"
#include "openapi.h"

/* The tables that it is made of */
static RgConfigCache sources[] = {
	{.table = "route"},
	{.table = "rate_policy"},
	{.table = "quota_policy"},
};

static struct varlena *kept = NULL;
static uint64 kept_generation;

void
rg_openapi_init(void)
{
	for (size_t i = 0; i < lengthof(sources); i++)
		rg_config_register(&sources[i]);
}

/* None ever goes down, so a sum that is the same means that all of them are. */
static uint64
generation(void)
{
	uint64		sum = 0;

	for (size_t i = 0; i < lengthof(sources); i++)
		sum += rg_config_generation(&sources[i]);
	return sum;
}

/* Under a snapshot of its own, unless the transaction has one for good. */
static struct varlena *
make_document(void)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext inner;
	struct varlena *document;
	bool		isnull;

	SPI_connect();
	if (SPI_execute("SELECT relay_guard.openapi_routes()::text", false, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "relay_guard.openapi_routes() returned no row");
	document = DatumGetTextPP(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	inner = MemoryContextSwitchTo(context);
	document = cstring_to_text_with_len(VARDATA_ANY(document), VARSIZE_ANY_EXHDR(document));
	MemoryContextSwitchTo(inner);
	SPI_finish();
	return document;
}

static void
keep(const struct varlena *document, uint64 as_of)
{
	struct varlena *copy = MemoryContextAlloc(TopMemoryContext, VARSIZE(document));

	memcpy(copy, document, VARSIZE(document));
	if (kept != NULL)
		pfree(kept);
	kept = copy;
	kept_generation = as_of;
}

PG_FUNCTION_INFO_V1(relay_guard_openapi_kept);

/*
 * openapi_kept() → the text of openapi_routes().  It is kept when nothing has
 * changed while it was made, and not from a snapshot that may be older.
 */
Datum
relay_guard_openapi_kept(PG_FUNCTION_ARGS)
{
	uint64		as_of = generation();
	struct varlena *document;

	if (kept != NULL && kept_generation == as_of)
		PG_RETURN_TEXT_P(cstring_to_text_with_len(VARDATA(kept), VARSIZE(kept) - VARHDRSZ));
	document = make_document();
	AcceptInvalidationMessages();
	if (!IsolationUsesXactSnapshot() && generation() == as_of)
		keep(document, as_of);
	PG_RETURN_TEXT_P(document);
}
