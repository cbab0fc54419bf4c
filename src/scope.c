/*
 * scope.c
 *		Whom a limit counts apart; scope.h has the contract.
 */
#include "postgres.h"

#include <arpa/inet.h>

#include "utils/inet.h"

#include "context.h"
#include "scope.h"

#define ADDRESS_LEN 16
#define NETWORK_LEN 8			/* of an IPv6 address: its /64 */

static const unsigned char v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* In the order of RgIdentifyBy. */
static const char *const names[] = {
	"ip", "user", "workspace", "api_key", "anonymous", "global"
};

static const char *const needs[] = {
	"a client address", "a user", "a workspace", "an API key", "a user", "nothing"
};

const char *
rg_scope_needs(RgIdentifyBy by)
{
	return needs[by];
}

const char *
rg_scope_name(RgIdentifyBy by)
{
	return names[by];
}

bool
rg_scope_named(const char *name, RgIdentifyBy *by)
{
	for (int i = 0; i < (int) lengthof(names); i++)
		if (strcmp(name, names[i]) == 0)
		{
			*by = i;
			return true;
		}
	return false;
}

/* IPv6 is handed out by /64: a key for each address would limit nobody. */
static RgSlice
network_of(const unsigned char *address, char *scratch)
{
	if (memcmp(address, v4_prefix, sizeof v4_prefix) == 0)
		return rg_slice((const char *) address, ADDRESS_LEN);
	memset(scratch, 0, ADDRESS_LEN);
	memcpy(scratch, address, NETWORK_LEN);
	return rg_slice(scratch, ADDRESS_LEN);
}

RgSlice
rg_scope_address_key(RgSlice inet, char *scratch)
{
	const inet_struct *address = (const inet_struct *) inet.data;

	if (address->family != PGSQL_AF_INET)
		return network_of(address->ipaddr, scratch);
	memcpy(scratch, v4_prefix, sizeof v4_prefix);
	memcpy(scratch + sizeof v4_prefix, address->ipaddr, 4);
	return rg_slice(scratch, ADDRESS_LEN);
}

static RgSlice
address_key(const unsigned char *client_ip, const RgIdentity *identity, char *scratch)
{
	if (client_ip != NULL)
		return network_of(client_ip, scratch);
	if (identity != NULL && identity->client_ip.data != NULL)
		return rg_scope_address_key(identity->client_ip, scratch);
	return rg_slice(NULL, 0);
}

bool
rg_scope_is_anonymous(RgSlice user_id)
{
	return user_id.len > 5 && memcmp(user_id.data, "anon:", 5) == 0;
}

static RgSlice
identity_key(RgIdentifyBy by, const RgIdentity *identity)
{
	const RgSlice none = rg_slice(NULL, 0);

	if (identity == NULL)
		return none;
	switch (by)
	{
		case RG_BY_WORKSPACE:
			return identity->workspace_id;
		case RG_BY_API_KEY:
			return rg_slice_is(identity->via, "api_key") ? identity->user_id : none;
		case RG_BY_ANONYMOUS:
			return rg_scope_is_anonymous(identity->user_id) ? identity->user_id : none;
		default:
			return identity->user_id;
	}
}

bool
rg_scope_key(RgIdentifyBy by, const unsigned char *client_ip,
			 const RgIdentity *identity, char *scratch, RgSlice *key)
{
	if (by == RG_BY_GLOBAL)
		*key = RG_SLICE("*");
	else if (by == RG_BY_IP)
		*key = address_key(client_ip, identity, scratch);
	else
		*key = identity_key(by, identity);
	return key->len > 0;
}

RgSlice
rg_scope_readable(RgIdentifyBy by, RgSlice key, char *name)
{
	const unsigned char *address = (const unsigned char *) key.data;

	if (by != RG_BY_IP || key.len != ADDRESS_LEN)
		return key;
	if (memcmp(address, v4_prefix, sizeof v4_prefix) == 0)
		inet_ntop(AF_INET, address + sizeof v4_prefix, name, RG_SCOPE_SCRATCH);
	else if (inet_ntop(AF_INET6, address, name, RG_SCOPE_SCRATCH) != NULL)
		strcat(name, "/64");
	return rg_slice(name, strlen(name));
}
