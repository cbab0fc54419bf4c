/*
 * decrypt_log.c
 *		Values that did not open, in the server's log.
 *
 * What a second leaves untold is told with the next value that does not open,
 * at the end of a later transaction, or when the backend ends.
 */
#include "postgres.h"

#include "access/xact.h"
#include "storage/ipc.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "context.h"
#include "decrypt_log.h"
#include "errcodes.h"

#define INTERVAL_MS 1000

static int64 untold = 0;
static TimestampTz told_at = 0;

/* The last of the untold ones. */
static char function_name[NAMEDATALEN];
static char request_id[129];

static void
note_function(Oid function)
{
	char	   *name = get_func_name(function);

	strlcpy(function_name, name != NULL ? name : "?", sizeof function_name);
	if (name != NULL)
		pfree(name);
}

static void
note_request(void)
{
	const RgIdentity *identity = rg_context();
	RgSlice		id = identity != NULL ? identity->request_id : rg_slice(NULL, 0);
	size_t		len = Min(id.len, sizeof request_id - 1);

	if (id.len > 0)
		memcpy(request_id, id.data, len);
	request_id[id.len > 0 ? len : 0] = '\0';
}

static void
tell(void)
{
	int64		count = untold;

	untold = 0;
	told_at = GetCurrentTimestamp();
	ereport(LOG_SERVER_ONLY,
			errcode(ERRCODE_RG_NOT_FOUND),
			errmsg_plural("%lld encrypted value did not open",
						  "%lld encrypted values did not open",
						  count, (long long) count),
			request_id[0] == '\0' ? errdetail("Last in function %s().", function_name)
			: errdetail("Last in function %s(), request %s.", function_name, request_id),
			errhint("What was read had been changed, or moved from another row, user or column."),
			errhidestmt(true), errhidecontext(true));
}

static void
tell_if_due(void)
{
	if (untold > 0 && TimestampDifferenceExceeds(told_at, GetCurrentTimestamp(), INTERVAL_MS))
		tell();
}

static void
on_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT)
		tell_if_due();
}

static void
on_backend_exit(int code, Datum arg)
{
	if (untold > 0)
		tell();
}

static void
be_called_later(void)
{
	static bool done = false;

	if (done)
		return;
	done = true;
	RegisterXactCallback(on_transaction_end, NULL);
	before_shmem_exit(on_backend_exit, (Datum) 0);
}

void
rg_decrypt_log(FunctionCallInfo fcinfo)
{
	be_called_later();
	note_function(fcinfo->flinfo != NULL ? fcinfo->flinfo->fn_oid : InvalidOid);
	note_request();
	untold++;
	tell_if_due();
}
