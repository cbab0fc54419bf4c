/*
 * context.c
 *		The guarded GUC that carries the identity of a transaction.
 *
 * A GUC is the only state that PostgreSQL itself scopes to transactions and
 * subtransactions and carries to parallel workers: plain C state keeps the
 * wrong tenant after ROLLBACK TO, PGC_INTERNAL settings never reach a worker.
 * A placeholder (app.user_id) would do the same, but anyone may SET it.  So
 * this one has a check hook that refuses every value it was not given by
 * rg_context_set() itself: SET, set_config, ALTER ROLE, PGOPTIONS, a function's
 * SET clause and a superuser's SET all end there.
 *
 * The value is the identity's fields in order, each "-" or "<length>:<bytes>".
 * The check hook turns it into one chunk, the GUC's "extra", that the readers
 * use without parsing.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inet.h"
#include "utils/memutils.h"

#include "context.h"
#include "errcodes.h"
#include "open_cursors.h"
#include "strict.h"
#include "uuid.h"

#if PG_VERSION_NUM >= 160000
#define alloc_extra(size) guc_malloc(LOG, (size))
#else
#define alloc_extra(size) malloc(size)
#endif

#ifndef GUC_NO_RESET
#define GUC_NO_RESET 0			/* PostgreSQL 15: a superuser can still clear */
#endif

#define NFIELDS (sizeof(RgIdentity) / sizeof(RgSlice))

/* The GUC's extra: every field behind a varlena header, ready to be copied. */
typedef struct Extra
{
	RgIdentity	identity;
	bool		has_uuid;		/* the next two are computed when asked for */
	bool		tried_bigint;
	bool		has_bigint;
	pg_uuid_t	user_uuid;
	int64		user_bigint;
	char		data[FLEXIBLE_ARRAY_MEMBER];
} Extra;

static char *context_value;
static Extra *current = NULL;

/* Raised around our own call of set_config_option(), and nowhere else. */
static bool setting = false;

/*
 * The last identity this transaction was given, the subtransaction that gave
 * it, and whether that was rolled back.  A superuser's RESET clears the GUC on
 * PostgreSQL 15; it does not clear this, so that a second identity cannot follow
 * in the same transaction.
 */
static char *established = NULL;
static SubTransactionId established_in;
static bool rolled_back;

/* Reads "-" or "<length>:<bytes>"; the caller's string is well-formed. */
static const char *
read_field(const char *in, RgSlice *field)
{
	char	   *end;

	if (*in == '-')
	{
		*field = rg_slice(NULL, 0);
		return in + 1;
	}
	field->len = strtoul(in, &end, 10);
	field->data = end + 1;
	return field->data + field->len;
}

static void
write_field(StringInfo out, RgSlice field)
{
	if (field.data == NULL)
		appendStringInfoChar(out, '-');
	else
	{
		char		digits[MAXINT8LEN + 2];
		int			ndigits = pg_lltoa(field.len, digits);

		digits[ndigits++] = ':';
		appendBinaryStringInfo(out, digits, ndigits);
		appendBinaryStringInfo(out, field.data, field.len);
	}
}

/* The address is binary and would end the string at its first zero. */
static RgSlice
hex_field(RgSlice field, char *out)
{
	if (field.data == NULL)
		return field;
	return rg_slice(out, hex_encode(field.data, field.len, out));
}

static char *
encode(const RgIdentity *identity)
{
	RgIdentity	copy = *identity;
	const RgSlice *fields = (const RgSlice *) &copy;
	char		hex[2 * sizeof(inet_struct) + 1];
	StringInfoData out;

	initStringInfo(&out);
	copy.client_ip = hex_field(identity->client_ip, hex);
	for (size_t i = 0; i < NFIELDS; i++)
		write_field(&out, fields[i]);
	return out.data;
}

/* Copies a field behind a varlena header; returns what follows it. */
static char *
place_field(char *out, RgSlice *field)
{
	if (field->data == NULL)
		return out;
	SET_VARSIZE(out, VARHDRSZ + field->len);
	memcpy(VARDATA(out), field->data, field->len);
	field->data = VARDATA(out);
	return out + MAXALIGN(VARHDRSZ + field->len);
}

static void
unhex_field(RgSlice *field)
{
	char	   *data = unconstify(char *, field->data);

	if (data == NULL)
		return;
	field->len = hex_decode(data, field->len, data);
	SET_VARSIZE(data - VARHDRSZ, VARHDRSZ + field->len);
}

/* Parses the value into one chunk of the GUC machinery's own; NULL if full. */
static Extra *
decode(const char *value)
{
	RgIdentity	identity;
	RgSlice    *fields = (RgSlice *) &identity;
	Size		size = offsetof(Extra, data) + MAXIMUM_ALIGNOF;
	Extra	   *extra;
	char	   *out;

	for (size_t i = 0; i < NFIELDS; i++)
	{
		value = read_field(value, &fields[i]);
		size += MAXALIGN(VARHDRSZ + fields[i].len);
	}
	extra = alloc_extra(size);
	if (extra == NULL)
		return NULL;
	out = (char *) MAXALIGN(extra->data);
	for (size_t i = 0; i < NFIELDS; i++)
		out = place_field(out, &fields[i]);
	unhex_field(&identity.client_ip);
	extra->identity = identity;
	extra->has_uuid = false;
	extra->tried_bigint = false;
	return extra;
}

/*
 * The one gate.  A parallel worker gets the leader's value, which has passed
 * here before, while it restores its GUCs; nothing of a client's runs then.
 */
static bool
check_context(char **newval, void **extra, GucSource source)
{
	if (**newval == '\0' && source == PGC_S_DEFAULT)
		return true;
	if (!setting && !(InitializingParallelWorker && source == PGC_S_SESSION))
	{
		GUC_check_errcode(ERRCODE_INSUFFICIENT_PRIVILEGE);
		GUC_check_errmsg("parameter \"relay_guard.context\" cannot be set");
		GUC_check_errhint("Call relay_guard.authenticate() with a token, or relay_guard.assume() from a trusted role.");
		return false;
	}
	if (**newval == '\0')
		return true;
	*extra = decode(*newval);
	return *extra != NULL;
}

/* Runs during abort too: nothing here may fail. */
static void
assign_context(const char *newval, void *extra)
{
	current = extra;
}

static const char *
show_context(void)
{
	return current != NULL ? "<set>" : "";
}

static void
on_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
		event == XACT_EVENT_PREPARE)
		established = NULL;		/* its memory goes with the transaction */
}

static void
on_subtransaction_end(SubXactEvent event, SubTransactionId subid,
					  SubTransactionId parent, void *arg)
{
	if (established == NULL || established_in != subid)
		return;
	if (event == SUBXACT_EVENT_ABORT_SUB)
		rolled_back = true;
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
		established_in = parent;
}

void
rg_context_init(void)
{
	DefineCustomStringVariable("relay_guard.context",
							   "The verified identity of the current transaction.",
							   "Set by relay_guard.authenticate() and relay_guard.assume() only.",
							   &context_value, "", PGC_SUSET,
							   GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE |
							   GUC_NO_RESET_ALL | GUC_NO_RESET |
							   GUC_DISALLOW_IN_FILE | GUC_DISALLOW_IN_AUTO_FILE,
							   check_context, assign_context, show_context);
	RegisterXactCallback(on_transaction_end, NULL);
	RegisterSubXactCallback(on_subtransaction_end, NULL);
}

const RgIdentity *
rg_context(void)
{
	return current != NULL ? &current->identity : NULL;
}

bool
rg_context_established(void)
{
	return current != NULL || established != NULL;
}

/*
 * A copy: COMMIT in a procedure and a superuser's RESET free the chunk while
 * the value may still be an argument of the statement that runs.
 */
struct varlena *
rg_context_datum(const RgSlice *field)
{
	struct varlena *copy = palloc(VARHDRSZ + field->len);

	memcpy(copy, field->data - VARHDRSZ, VARHDRSZ + field->len);
	return copy;
}

const pg_uuid_t *
rg_context_user_uuid(void)
{
	if (!current->has_uuid)
	{
		if (!rg_uuid_of(current->identity.user_id, current->user_uuid.data))
			ereport(ERROR,
					errcode(ERRCODE_OUT_OF_MEMORY),
					errmsg("could not compute the uuid of the user id"));
		current->has_uuid = true;
	}
	return &current->user_uuid;
}

/*
 * Reads a user id as a number in canonical form.  "007" and "+7" are other
 * users than "7", so they must not become the same number.
 */
static bool
parse_canonical_int8(RgSlice text, int64 *value)
{
	char		digits[MAXINT8LEN + 1];
	char		canonical[MAXINT8LEN + 1];
	char	   *end;

	if (text.len == 0 || text.len >= sizeof digits)
		return false;
	memcpy(digits, text.data, text.len);
	digits[text.len] = '\0';
	errno = 0;
	*value = strtoll(digits, &end, 10);
	if (errno != 0 || *end != '\0')
		return false;
	pg_lltoa(*value, canonical);
	return strcmp(digits, canonical) == 0;
}

bool
rg_context_user_bigint(int64 *value)
{
	if (!current->tried_bigint)
	{
		current->has_bigint = parse_canonical_int8(current->identity.user_id,
												   &current->user_bigint);
		current->tried_bigint = true;
	}
	*value = current->user_bigint;
	return current->has_bigint;
}

/*
 * PGC_S_SESSION and GUC_ACTION_LOCAL: PGC_S_OVERRIDE or SetConfigOption()
 * would set the reset value, outside the transaction; PostgreSQL 16 and later
 * refuse GUC_ACTION_SAVE for what cannot be reset.
 */
static void
assign_guarded(const char *value)
{
	setting = true;
	PG_TRY();
	{
		(void) set_config_option("relay_guard.context", value, PGC_SUSET,
								 PGC_S_SESSION, GUC_ACTION_LOCAL, true, ERROR, false);
	}
	PG_FINALLY();
	{
		setting = false;
	}
	PG_END_TRY();
}

/*
 * Whether what the transaction did for another identity may still be going on.
 * One that was rolled back has left nothing but cursors: those that were opened
 * before the savepoint and read after it survive, with its rows.
 */
static bool
belongs_to_another(const char *value)
{
	return established != NULL && strcmp(established, value) != 0 &&
		(!rolled_back || rg_open_cursors());
}

/*
 * An open cursor would follow the new identity: one a transaction, and none
 * beside the one that serve() gave to a route.
 */
static void
refuse_second_identity(const char *value)
{
	if (belongs_to_another(value) ||
		(current != NULL && strcmp(context_value, value) != 0))
		ereport(ERROR,
				errcode(ERRCODE_RG_FORBIDDEN),
				errmsg("this transaction belongs to another identity already"),
				errhint("End the transaction, then authenticate in the next one; after ROLLBACK TO it is enough to close all cursors."));
}

static void
establish(const char *value)
{
	if (established == NULL || strcmp(established, value) != 0)
		established = MemoryContextStrdup(TopTransactionContext, value);
	else if (!rolled_back)
		return;
	established_in = GetCurrentSubTransactionId();
	rolled_back = false;
}

void
rg_context_set(const RgIdentity *identity)
{
	char	   *value = encode(identity);

	refuse_second_identity(value);
	if (current != NULL && strcmp(context_value, value) == 0)
		return;
	rg_strict_check_identity();
	assign_guarded(value);
	establish(value);
}

void
rg_context_save(const RgIdentity *identity)
{
	if (identity != NULL)
		rg_strict_check_identity();
	assign_guarded(identity != NULL ? encode(identity) : "");
}
