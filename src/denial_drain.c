/*
 * denial_drain.c
 *		From shared memory into the audit log; denial.h has the contract.
 *
 * Events stay where they are until the transaction that wrote them has
 * committed, so an error loses none and a retry writes none twice.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "audit_write.h"
#include "denial.h"
#include "denial_shared.h"
#include "own_relation.h"

#define AT_ONCE 32				/* rows of a transaction */

/*
 * Details
 */

static void
put_name(StringInfo out, const char *name)
{
	appendStringInfo(out, "%c\"%s\":", out->len == 0 ? '{' : ',', name);
}

static void
put_text(StringInfo out, const char *name, const char *value)
{
	if (value[0] == '\0')
		return;
	put_name(out, name);
	escape_json(out, value);
}

static void
put_number(StringInfo out, const char *name, uint64 value)
{
	if (value == 0)
		return;
	put_name(out, name);
	appendStringInfo(out, UINT64_FORMAT, value);
}

static void
put_time(StringInfo out, const char *name, TimestampTz at)
{
	char		text[MAXDATELEN + 1];

	put_name(out, name);
	JsonEncodeDateTime(text, TimestampTzGetDatum(at), TIMESTAMPTZOID, NULL);
	escape_json(out, text);
}

static Jsonb *
make_details(const RgDenialEvent *event)
{
	StringInfoData out;

	initStringInfo(&out);
	put_text(&out, "class", rg_denial_class_name(event->class));
	put_text(&out, "code", event->who.code);
	put_number(&out, "http_status", event->who.http_status);
	put_text(&out, "label", event->label);
	put_number(&out, "values", event->values);
	if (event->class == RG_DENIAL_VALUE)
		put_text(&out, "request", event->request);
	put_text(&out, "subject", event->subject);
	put_text(&out, "session_role", event->who.role);
	put_number(&out, "left_out", event->left_out);
	put_time(&out, event->count_only ? "counted_until" : "denied_at", event->at);
	appendStringInfoChar(&out, '}');
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(out.data)));
}

/*
 * Writing
 */

static RgSlice
address_of(const RgDenialEvent *event)
{
	if (event->count_only)
		return rg_slice(event->who.address_len > 0 ? (const char *) event->who.address : NULL,
						event->who.address_len);
	return rg_slice(event->address_len > 0 ? (const char *) event->address : NULL,
					event->address_len);
}

static void
write_event(const RgDenialEvent *event)
{
	RgIdentity	identity = {
		.user_id = rg_slice_of(event->who.user_id),
		.workspace_id = rg_slice_of(event->workspace_id),
		.via = rg_slice_of(event->via),
		.session_id = rg_slice_of(event->session_id),
		.request_id = rg_slice_of(event->request_id),
		.client_ip = address_of(event),
	};
	RgAuditBatch *batch = rg_audit_begin_as(&identity, "denied",
											event->resource_type[0] != '\0' ? event->resource_type : "request",
											"system", "denied");
	MemoryContext old = MemoryContextSwitchTo(rg_audit_scratch(batch));
	Jsonb	   *details = make_details(event);

	MemoryContextSwitchTo(old);
	rg_audit_add(batch, event->class == RG_DENIAL_VALUE ? rg_slice(NULL, 0) : rg_slice_of(event->request),
				 NULL, NULL, details);
	(void) rg_audit_end(batch);
}

/* A log that nobody has set up has no partition at all. */
static bool
has_log(void)
{
	Oid			log = rg_own_relation("audit_log");

	return OidIsValid(log) && has_subclass(log) &&
		find_inheritance_children(log, AccessShareLock) != NIL;
}

/* In a transaction of its own; whether they were written, or are not wanted. */
static bool
write_events(const RgDenialEvent *events, int count)
{
	bool		wanted;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	wanted = has_log();
	for (int i = 0; wanted && i < count; i++)
		write_event(&events[i]);
	PopActiveSnapshot();
	CommitTransactionCommand();
	return wanted;
}

static void
try_later(MemoryContext context)
{
	MemoryContextSwitchTo(context);
	EmitErrorReport();
	FlushErrorState();
	AbortCurrentTransaction();
	MemoryContextSwitchTo(context);
	rg_denial_failed();
}

/* False when nothing more is to be done just now. */
static bool
drain_some(RgDenialEvent *events, MemoryContext context)
{
	volatile bool wanted = false;
	volatile bool failed = false;
	int			count = rg_denial_copy(events, AT_ONCE, ShutdownRequestPending);

	if (count == 0)
		return false;
	PG_TRY();
	{
		wanted = write_events(events, count);
	}
	PG_CATCH();
	{
		failed = true;
		HOLD_INTERRUPTS();
		try_later(context);
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	if (!failed)
		rg_denial_done(events[count - 1].sequence, wanted);
	return !failed && count == AT_ONCE;
}

static void
drain(void)
{
	MemoryContext context = CurrentMemoryContext;
	RgDenialEvent *events = palloc(AT_ONCE * sizeof *events);

	while (drain_some(events, context))
		CHECK_FOR_INTERRUPTS();
	MemoryContextSwitchTo(context);
	pfree(events);
}

bool
rg_denial_drain(void)
{
	if (rg_denial_state() == RG_DENIAL_WAITING ||
		(ShutdownRequestPending && rg_denial_state() != RG_DENIAL_NOTHING))
		drain();
	return rg_denial_state() != RG_DENIAL_NOTHING;
}
