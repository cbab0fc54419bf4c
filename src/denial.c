/*
 * denial.c
 *		Noting a refusal; denial.h has the contract.
 */
#include "postgres.h"

#include <sys/socket.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/inet.h"

#include "admission.h"
#include "crypt.h"
#include "denial.h"
#include "denial_shared.h"
#include "denial_text.h"
#include "errcodes.h"
#include "identity.h"

/* The request that is being served, and whether something was noted of it. */
static const RgRequest *request = NULL;
static bool noted = false;

/*
 * Copying.  An identity's texts are whole or absent: a cut one could be another's.
 */

static void
put_whole(char *out, size_t size, RgSlice text)
{
	if (text.data == NULL || text.len >= size)
		return;
	memcpy(out, text.data, text.len);
	out[text.len] = '\0';
}

static uint8
put_address(uint8 *out, RgSlice address)
{
	if (address.data == NULL || address.len > RG_DENIAL_ADDRESS_SIZE)
		return 0;
	memcpy(out, address.data, address.len);
	return (uint8) address.len;
}

/* What is beyond /64 in IPv6 is the client's to choose. */
static uint8
put_network(uint8 *out, RgSlice address)
{
	uint8		len = put_address(out, address);

	if (len == 18 && out[0] == PGSQL_AF_INET6)
	{
		out[1] = 64;
		memset(out + 10, 0, 8);
	}
	return len;
}

/*
 * Who
 */

typedef struct Note
{
	const RgDenied *denied;
	RgSlice		request_id;
	RgSlice		client_ip;
} Note;

/* An identity has both, if they are known. */
static Note
describe(const RgDenied *denied, char inet_space[18])
{
	Note		note = {denied, denied->request_id, denied->client_ip};

	if (denied->identity != NULL)
	{
		note.request_id = denied->identity->request_id;
		note.client_ip = denied->identity->client_ip;
	}
	else if (request != NULL)
	{
		note.request_id = request->request_id;
		note.client_ip = rg_request_address(request, inet_space);
	}
	return note;
}

/* Only where a catalog can be read: what is noted at the end of a transaction has it already. */
static void
put_role(RgDenialWho *who)
{
	char	   *name;

	if (request != NULL || !IsTransactionState())
		return;
	name = GetUserNameFromId(GetAuthenticatedUserId(), true);
	if (name == NULL)
		return;
	strlcpy(who->role, name, sizeof who->role);
	pfree(name);
}

static void
put_code(RgDenialWho *who, RgSlice code)
{
	put_whole(who->code, sizeof who->code,
			  rg_denial_is_word(code, sizeof who->code) ? code : RG_SLICE("other"));
}

/* An address in plain SQL is what the application says it is. */
static void
identify(RgDenialWho *who, const Note *note)
{
	const RgDenied *denied = note->denied;

	put_code(who, denied->code);
	who->http_status = (int16) denied->http_status;
	put_role(who);
	if (denied->identity != NULL)
		put_whole(who->user_id, sizeof who->user_id, denied->identity->user_id);
	else
		who->address_len = put_network(who->address, note->client_ip);
}

/*
 * What
 */

static void
put_resource(RgDenialEvent *event, RgSlice label)
{
	RgSlice		table = rg_denial_label_table(label);

	if (label.data != NULL)
		rg_denial_clean(label, event->label, sizeof event->label);
	if (event->class != RG_DENIAL_VALUE)
		strlcpy(event->resource_type, "request", sizeof event->resource_type);
	else if (table.data == NULL)
		strlcpy(event->resource_type, "value", sizeof event->resource_type);
	else
		rg_denial_clean(table, event->resource_type, sizeof event->resource_type);
}

static void
fill(RgDenialEvent *event, const void *arg)
{
	const Note *note = arg;
	const RgDenied *denied = note->denied;

	put_resource(event, denied->label);
	event->values = denied->values;
	event->address_len = put_address(event->address, note->client_ip);
	put_whole(event->subject, sizeof event->subject, denied->subject);
	if (note->request_id.len > 0)
		rg_denial_clean(note->request_id, event->request_id, sizeof event->request_id);
	if (request != NULL)
		rg_denial_clean_request(request->method, request->path, event->request, sizeof event->request);
	if (denied->identity == NULL)
		return;
	put_whole(event->via, sizeof event->via, denied->identity->via);
	put_whole(event->workspace_id, sizeof event->workspace_id, denied->identity->workspace_id);
	put_whole(event->session_id, sizeof event->session_id, denied->identity->session_id);
}

void
rg_denial_note(const RgDenied *denied)
{
	char		inet_space[18];
	Note		note = describe(denied, inet_space);
	RgDenialWho who;

	noted = true;
	memset(&who, 0, sizeof who);
	identify(&who, &note);
	rg_denial_store(denied->class, &who, fill, &note);
}

void
rg_denial_note_credentials(FunctionCallInfo fcinfo, const char *code, RgSlice subject)
{
	RgDenied	denied = {
		.class = RG_DENIAL_CREDENTIALS,
		.code = rg_slice_of(code),
		.subject = subject,
		.request_id = rg_text_argument(fcinfo, 1),
		.client_ip = rg_inet_argument(fcinfo, 2),
	};

	if (rg_text_argument(fcinfo, 0).len > 0)
		rg_denial_note(&denied);
}

/*
 * Errors
 */

static bool
has_credentials(void)
{
	return rg_context() != NULL ||
		rg_request_header(request, "authorization").data != NULL ||
		rg_request_header(request, "x-api-key").data != NULL ||
		rg_request_header(request, "cookie").data != NULL;
}

/* Rates refuse all the time, and have numbers of their own. */
static bool
is_used_up(RgSlice code)
{
	return rg_slice_is(code, RG_CODE_QUOTA_EXHAUSTED) ||
		rg_slice_is(code, RG_CODE_INSUFFICIENT_QUOTA);
}

/* How an error is noted; false if it is not.  Nobody is refused who showed nothing. */
static bool
classify(int sqlerrcode, RgDenied *denied)
{
	switch (sqlerrcode)
	{
		case ERRCODE_RG_UNAUTHENTICATED:
			denied->class = RG_DENIAL_CREDENTIALS;
			denied->http_status = 401;
			return has_credentials();
		case ERRCODE_RG_FORBIDDEN:
		case ERRCODE_INSUFFICIENT_PRIVILEGE:
			denied->class = RG_DENIAL_FORBIDDEN;
			denied->http_status = 403;
			return true;
		case ERRCODE_RG_LIMITED:
			denied->class = RG_DENIAL_QUOTA;
			denied->http_status = 429;
			return is_used_up(denied->code);
		default:
			return false;
	}
}

void
rg_denial_note_error(int sqlerrcode, const char *detail)
{
	RgDenied	denied = {.code = rg_slice_of(detail),.identity = rg_context()};

	if (request == NULL || noted || !classify(sqlerrcode, &denied))
		return;
	if (denied.code.data == NULL)
		denied.code = denied.http_status == 401 ? RG_SLICE("unauthenticated") : RG_SLICE("forbidden");
	rg_denial_note(&denied);
}

/*
 * Values.  What is known of the reader is copied when the first does not open:
 * at the end of a transaction it may be gone.
 */

static struct
{
	bool		open;
	RgDenialEvent event;
}			values;

static void
fill_values(RgDenialEvent *event, const void *arg)
{
	RgDenialEvent known = *event;

	*event = values.event;
	event->sequence = known.sequence;
	event->at = known.at;
	event->left_out = known.left_out;
}

static void
flush_values(void)
{
	if (!values.open)
		return;
	values.open = false;
	rg_denial_store(RG_DENIAL_VALUE, &values.event.who, fill_values, NULL);
}

void
rg_denial_serving(const RgRequest *served)
{
	flush_values();
	request = served;
	noted = false;
}

static void
on_transaction_end(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_PRE_COMMIT && event != XACT_EVENT_PRE_PREPARE &&
		event != XACT_EVENT_PARALLEL_PRE_COMMIT)
		flush_values();
}

/* Another identity may follow one that is rolled back. */
static void
on_subtransaction_end(SubXactEvent event, SubTransactionId subid,
					  SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		flush_values();
}

static void
be_called_later(void)
{
	static bool done = false;

	if (done)
		return;
	done = true;
	RegisterXactCallback(on_transaction_end, NULL);
	RegisterSubXactCallback(on_subtransaction_end, NULL);
}

static bool
is_same(const char *kept, RgSlice text)
{
	return strlen(kept) == text.len && memcmp(kept, text.data != NULL ? text.data : "", text.len) == 0;
}

/* Texts that do not fit or had to be cleaned are never the same. */
static bool
continues(RgSlice label, const RgIdentity *identity)
{
	static const RgIdentity nobody;

	if (identity == NULL)
		identity = &nobody;
	return values.open && values.event.values < PG_UINT32_MAX &&
		is_same(values.event.label, label) &&
		is_same(values.event.who.user_id, identity->user_id) &&
		is_same(values.event.request_id, identity->request_id);
}

static void
open_note(RgSlice label, const RgIdentity *identity)
{
	char		inet_space[18];
	RgDenied	denied = {
		.class = RG_DENIAL_VALUE,
		.code = RG_SLICE(RG_CODE_DOES_NOT_OPEN),
		.identity = identity,
		.label = label,
		.values = 1,
	};
	Note		note = describe(&denied, inet_space);

	memset(&values.event, 0, sizeof values.event);
	values.event.class = RG_DENIAL_VALUE;
	identify(&values.event.who, &note);
	fill(&values.event, &note);
	values.open = true;
}

void
rg_denial_note_value(RgSlice aad)
{
	RgSlice		label = rg_denial_label(aad);
	const RgIdentity *identity = rg_context();

	if (continues(label, identity))
	{
		values.event.values++;
		return;
	}
	flush_values();
	be_called_later();
	open_note(label, identity);
}
