/*
 * held.c
 *		Validators of bodies that the gateway keeps; held.h has the contract.
 */
#include "postgres.h"

#include <sodium.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base64url.h"
#include "cache_slot.h"
#include "counter.h"
#include "held.h"
#include "route.h"
#include "route_plan.h"

#define HEADER "x-relay-held"
#define MAC_BYTES 16
#define NANOSECONDS INT64CONST(1000000000)

StaticAssertDecl(RG_VALIDATOR_BYTES == sizeof(int64) + MAC_BYTES, "a validator is time and MAC");
StaticAssertDecl(RG_VALIDATOR_SIZE == RG_BASE64URL_SIZE(RG_VALIDATOR_BYTES), "as text");

/* What a validator is made of, while the tags are looked at. */
typedef struct Mac
{
	crypto_generichash_state state;
	bool		settled;		/* no slot is being invalidated */
} Mac;

static void
put_bytes(Mac *mac, const void *data, size_t len)
{
	crypto_generichash_update(&mac->state, data, len);
}

static void
put_number(Mac *mac, uint64 number)
{
	put_bytes(mac, &number, sizeof number);
}

/* Its length before it, so that no two lists of texts are the same bytes. */
static void
put_text(Mac *mac, RgSlice text)
{
	put_number(mac, text.data != NULL ? text.len : PG_UINT64_MAX);
	if (text.len > 0)
		put_bytes(mac, text.data, text.len);
}

static void
put_slot(Mac *mac, uint32 slot)
{
	uint64		generation;

	if (!rg_cache_slot_read(slot, &generation))
		mac->settled = false;
	put_number(mac, generation);
}

/*
 * All that a statement can ask for but the request's id: an answer does not
 * depend on that.
 */
static void
put_identity(Mac *mac, const RgIdentity *identity)
{
	put_text(mac, identity->user_id);
	put_text(mac, identity->workspace_id);
	put_text(mac, identity->role);
	put_text(mac, identity->via);
	put_text(mac, identity->scopes);
	put_text(mac, identity->claims);
	put_text(mac, identity->session_id);
	put_text(mac, identity->client_ip);
}

/*
 * Tags
 */

/* Types whose text is one for each value, whatever the session's settings. */
static bool
has_one_text(Oid type)
{
	return type == INT8OID || type == TEXTOID || type == UUIDOID || type == BOOLOID;
}

static int
find_value(const RgRoutePlan *plan, const char *name, size_t len)
{
	for (int i = 0; i < rg_parameters_count(plan->parameters); i++)
		if (strlen(plan->names[i]) == len && memcmp(plan->names[i], name, len) == 0)
			return i;
	return -1;
}

static void
append_slice(StringInfo text, RgSlice slice)
{
	appendBinaryStringInfo(text, slice.data != NULL ? slice.data : "", slice.len);
}

/* What is not there is empty. */
static void
append_value(StringInfo tag, const RgRoutePlan *plan, int index, ParamListInfo params)
{
	Oid			output;
	bool		varlena;

	if (params->params[index].isnull)
		return;
	getTypeOutputInfo(plan->types[index], &output, &varlena);
	appendStringInfoString(tag, OidOutputFunctionCall(output, params->params[index].value));
}

static void
append_variable(StringInfo tag, RgSlice name, const RgRoutePlan *plan,
				const RgIdentity *identity, ParamListInfo params)
{
	if (rg_slice_is(name, "user_id"))
		append_slice(tag, identity->user_id);
	else if (rg_slice_is(name, "workspace_id"))
		append_slice(tag, identity->workspace_id);
	else
		append_value(tag, plan, find_value(plan, name.data, name.len), params);
}

/* The next {variable} of a tag, as the text behind the brace; data NULL: none. */
static RgSlice
next_variable(const char *tag, const char **end)
{
	const char *brace = strchr(tag, '{');

	*end = brace != NULL ? strchr(brace, '}') : NULL;
	return *end != NULL ? rg_slice(brace + 1, *end - brace - 1) : rg_slice(NULL, 0);
}

static RgSlice
make_tag(const char *template, const RgRoutePlan *plan, const RgIdentity *identity,
		 ParamListInfo params)
{
	StringInfoData tag;
	const char *end;

	initStringInfo(&tag);
	for (;;)
	{
		RgSlice		name = next_variable(template, &end);

		if (name.data == NULL)
			break;
		appendBinaryStringInfo(&tag, template, name.data - 1 - template);
		append_variable(&tag, name, plan, identity, params);
		template = end + 1;
	}
	appendStringInfoString(&tag, template);
	return rg_slice(tag.data, tag.len);
}

/* A tag that cannot be invalidated is kept under none. */
static void
put_tag(Mac *mac, RgSlice tag)
{
	RgCacheKey	keys[RG_CACHE_TAG_KEYS];
	int			count = rg_cache_tag_keys(tag, keys);

	if (count == 0)
		mac->settled = false;
	for (int i = 0; i < count; i++)
		put_slot(mac, rg_cache_slot_of(&keys[i]));
}

/* Without tags there is still "*". */
static void
put_tags(Mac *mac, const RgRoute *route, const RgRoutePlan *plan,
		 const RgIdentity *identity, ParamListInfo params)
{
	static const RgCacheKey all = {{"", 0}, true};

	put_slot(mac, rg_cache_slot_of(&all));
	for (int i = 0; i < route->ncache_tags; i++)
		put_tag(mac, make_tag(route->cache_tags[i], plan, identity, params));
}

static void
check_variable(const RgRoute *route, const RgRoutePlan *plan, const char *tag, RgSlice name)
{
	int			index;

	if (rg_slice_is(name, "user_id") || rg_slice_is(name, "workspace_id"))
		return;
	index = find_value(plan, name.data, name.len);
	if (index < 0)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_PARAMETER),
				errmsg("the tag \"%s\" of route %s names a parameter that there is not", tag, plan->where),
				errhint("In braces stand user_id, workspace_id, or parameters of the route."));
	if (!has_one_text(plan->types[index]))
		ereport(ERROR,
				errcode(ERRCODE_DATATYPE_MISMATCH),
				errmsg("the tag \"%s\" of route %s cannot be made of parameter \"%s\"",
					   tag, plan->where, plan->names[index]),
				errhint("Use parameters of type integer, string, boolean or format uuid."));
}

void
rg_held_check_tags(const RgRoute *route, const RgRoutePlan *plan)
{
	for (int i = 0; i < route->ncache_tags; i++)
	{
		const char *end = route->cache_tags[i];
		RgSlice		name;

		while ((name = next_variable(end, &end)).data != NULL)
			check_variable(route, plan, route->cache_tags[i], name);
	}
}

/*
 * Validators
 */

static bool
read_catalogs(uint64 generations[2])
{
	bool		own = rg_cache_slot_read(rg_cache_slot_of_catalogs(MyDatabaseId), &generations[0]);
	bool		common = rg_cache_slot_read(rg_cache_slot_of_catalogs(InvalidOid), &generations[1]);

	return own && common;
}

/*
 * In a transaction that sees one snapshot from its start, or what it has not
 * committed, an answer is not what others would get; a standby does not learn
 * of invalidations.
 */
static bool
sees_what_others_see(void)
{
	return !IsolationUsesXactSnapshot() && !RecoveryInProgress() &&
		!TransactionIdIsValid(GetTopTransactionIdIfAny());
}

void
rg_held_begin(RgHeld *held, const RgRequest *request)
{
	held->shown = rg_request_header(request, HEADER);
	held->validator[0] = '\0';
	held->possible = held->shown.data != NULL && rg_cache_slot_available() &&
		sees_what_others_see() && read_catalogs(held->catalogs);
}

bool
rg_held_allowed(const RgRoute *route, const RgRoutePlan *plan, const RgRequest *request)
{
	return route->cache_seconds > 0 && route->status == 200 && plan->read_only &&
		request->body.len == 0;
}

static void
make_mac(Mac *mac, int64 time, const RgHeld *held, const RgRoute *route,
		 const RgRequest *request, const RgIdentity *identity)
{
	crypto_generichash_init(&mac->state, rg_cache_secret(), RG_CACHE_SECRET_BYTES, MAC_BYTES);
	mac->settled = true;
	put_number(mac, time);
	put_number(mac, MyDatabaseId);
	put_number(mac, held->catalogs[0]);
	put_number(mac, held->catalogs[1]);
	put_number(mac, route->id);
	put_text(mac, request->path);
	put_text(mac, request->query);
	put_identity(mac, identity);
}

/* The text of the validator of that time; "" when there is none now. */
static void
make_validator(int64 time, const RgHeld *held, const RgRoute *route, const RgRoutePlan *plan,
			   const RgRequest *request, const RgIdentity *identity, ParamListInfo params,
			   char *text)
{
	uint8		bytes[RG_VALIDATOR_BYTES];
	uint64		big_endian = pg_hton64(time);
	Mac			mac;

	make_mac(&mac, time, held, route, request, identity);
	put_tags(&mac, route, plan, identity, params);
	memcpy(bytes, &big_endian, sizeof big_endian);
	crypto_generichash_final(&mac.state, bytes + sizeof big_endian, MAC_BYTES);
	if (mac.settled)
		rg_base64url_encode(rg_slice((char *) bytes, sizeof bytes), text);
	else
		text[0] = '\0';
}

/* When the body that is shown was made; false for what is no validator. */
static bool
read_time(RgSlice shown, int64 *time)
{
	uint8		bytes[RG_VALIDATOR_SIZE];
	size_t		len;
	uint64		big_endian;

	if (shown.len != RG_VALIDATOR_SIZE - 1 ||
		!rg_base64url_decode(shown, bytes, sizeof bytes, &len) || len != RG_VALIDATOR_BYTES)
		return false;
	memcpy(&big_endian, bytes, sizeof big_endian);
	*time = (int64) pg_ntoh64(big_endian);
	return true;
}

/* By a clock that nobody sets. */
static bool
is_young(const RgRoute *route, int64 time, int64 now)
{
	return time <= now && now - time < route->cache_seconds * NANOSECONDS;
}

bool
rg_held_is_current(RgHeld *held, const RgRoute *route, const RgRoutePlan *plan,
				   const RgRequest *request, const RgIdentity *identity, ParamListInfo params)
{
	int64		now;
	int64		time;

	if (!held->possible)
		return false;
	now = rg_boot_now();
	if (read_time(held->shown, &time) && is_young(route, time, now))
	{
		make_validator(time, held, route, plan, request, identity, params, held->validator);
		if (held->validator[0] != '\0' &&
			sodium_memcmp(held->validator, held->shown.data, held->shown.len) == 0)
			return true;
	}
	make_validator(now, held, route, plan, request, identity, params, held->validator);
	return false;
}
