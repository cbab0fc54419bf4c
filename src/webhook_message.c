/*
 * webhook_message.c
 *		What webhook_send() needs in C.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "context.h"
#include "log_guard.h"
#include "record.h"
#include "serving.h"
#include "uuid.h"
#include "varlena_slice.h"
#include "webhook_message.h"

#define ID_PREFIX "msg_"
#define UNIX_TO_POSTGRES_MS ((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * 1000)

static int	keep_days = 30;

/*
 * Read by webhook_expire().  Longer than the three days and more that attempts go
 * on for: what was given up can be sent again by hand, and asked about, until then.
 */
void
rg_webhook_message_init(void)
{
	DefineCustomIntVariable("relay_guard.webhook_keep_days",
							"How many days webhooks are kept that were delivered or given up.",
							"Counted from when they were written; those that are still to be sent are kept longer.",
							&keep_days, 30, 1, 3650, PGC_SIGHUP, 0, NULL, NULL, NULL);
}

static text *
new_id(void)
{
	uint8		uuid[16];
	char		id[] = ID_PREFIX "00000000-0000-0000-0000-000000000000";

	rg_uuid_v7(GetCurrentTimestamp() / 1000 + UNIX_TO_POSTGRES_MS, uuid);
	rg_uuid_text(uuid, id + strlen(ID_PREFIX));
	return cstring_to_text(id);
}

/* Of the request that is being served, or of the identity; data NULL: of none. */
static RgSlice
current_request(void)
{
	const RgServing *serving = rg_serving();
	const RgIdentity *identity = rg_context();

	if (serving != NULL && serving->request->request_id.len > 0)
		return serving->request->request_id;
	return identity != NULL ? identity->request_id : rg_slice(NULL, 0);
}

PG_FUNCTION_INFO_V1(relay_guard_webhook_payload_used);

/* webhook_payload_used(), first thing in webhook_send() */
Datum
relay_guard_webhook_payload_used(PG_FUNCTION_ARGS)
{
	rg_log_guard_secret_used();
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(relay_guard_webhook_message_new);

/*
 * webhook_message_new() → id, request.  A gateway that is told asks at once; it
 * asks in vain when a savepoint takes the message back.
 */
Datum
relay_guard_webhook_message_new(PG_FUNCTION_ARGS)
{
	static const RgRecordColumn columns[] = {{"public_id", TEXTOID}, {"request_id", TEXTOID}};
	static RgRecordType type = {columns, lengthof(columns), NULL};
	RgSlice		request = current_request();
	Datum		values[lengthof(columns)] = {PointerGetDatum(new_id())};
	bool		nulls[lengthof(columns)] = {false};

	if (rg_serving() != NULL)
		rg_serving()->answer->signals |= RG_SIGNAL_WEBHOOK;
	nulls[1] = request.data == NULL;
	if (!nulls[1])
		values[1] = rg_slice_datum(request);
	return rg_record(&type, values, nulls);
}
