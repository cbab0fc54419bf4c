/*
 * encrypted_read.c
 *		What the views that decrypt call beside try_decrypt_...().
 */
#include "postgres.h"

#include "fmgr.h"
#include "nodes/supportnodes.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

#include "crypt.h"
#include "decrypt_log.h"
#include "denial.h"
#include "log_guard.h"
#include "varlena_slice.h"

PG_FUNCTION_INFO_V1(relay_guard_opens);

/* opens(ciphertext bytea, aad bytea) → boolean: whether a view shows the row */
Datum
relay_guard_opens(PG_FUNCTION_ARGS)
{
	bool		opens;

	rg_log_guard_secret_used();
	if (PG_ARGISNULL(0))
		PG_RETURN_BOOL(true);
	if (PG_ARGISNULL(1))
		PG_RETURN_BOOL(false);
	opens = rg_crypt_opens(rg_datum_slice(PG_GETARG_DATUM(0)), rg_datum_slice(PG_GETARG_DATUM(1)));
	if (!opens)
	{
		rg_decrypt_log(fcinfo);
		rg_denial_note_value(rg_datum_slice(PG_GETARG_DATUM(1)));
	}
	PG_RETURN_BOOL(opens);
}

PG_FUNCTION_INFO_V1(relay_guard_opens_support);

/*
 * Nearly every value opens.  PostgreSQL would take it for one in three, and
 * plan for a tenth of the rows of a table with two encrypted columns.
 */
Datum
relay_guard_opens_support(PG_FUNCTION_ARGS)
{
	Node	   *request = (Node *) PG_GETARG_POINTER(0);

	if (!IsA(request, SupportRequestSelectivity))
		PG_RETURN_POINTER(NULL);
	((SupportRequestSelectivity *) request)->selectivity = 1.0;
	PG_RETURN_POINTER(request);
}
