/*
 * issuer.c
 *		Who may issue tokens, and with which keys.
 */
#include "postgres.h"

#include <sodium.h>

#include "utils/builtins.h"
#include "utils/memutils.h"

#include "api_key.h"
#include "config_cache.h"
#include "issuer.h"
#include "keyring.h"
#include "secret.h"

/* Columns of relay_guard.issuer and relay_guard.jwt_key */
enum
{
	Anum_issuer_iss, Anum_issuer_aud, Anum_issuer_subject_prefix,
	Anum_issuer_roles, Anum_issuer_leeway
};
enum
{
	Anum_jwt_key_iss, Anum_jwt_key_kid, Anum_jwt_key_alg, Anum_jwt_key_secret,
	Anum_jwt_key_created_at, Anum_jwt_key_retired_at
};

typedef struct Issuers
{
	int			count;
	RgIssuer   *issuers;
} Issuers;

/* A key of the table; its secret is unsealed when it is first needed. */
typedef struct Key
{
	struct Key *next;
	const char *iss;
	const char *kid;
	RgSlice		sealed;
	RgVerifier *verifier;
	MemoryContextCallback cleanup;
} Key;

static const RgIssuer builtin = {
	.iss = RG_BUILTIN_ISSUER,
	.aud = RG_BUILTIN_ISSUER,
	.subject_prefix = "",
	.leeway = 30,
	.builtin = true,
};

/* Its keys, made of the ring's; remade when the ring changes. */
static struct
{
	uint64		generation;
	int			count;
	uint32		ids[RG_RING_MAX_KEYS];
	RgVerifier *verifiers[RG_RING_MAX_KEYS];
}			ring_keys;

static void *
load_issuers(TableScanDesc scan, MemoryContext context, void *previous)
{
	Issuers    *all = palloc0(sizeof *all);
	int			size = 4;
	Datum	   *values;
	bool	   *nulls;

	all->issuers = palloc(sizeof(RgIssuer) * size);
	while (rg_config_next(scan, &values, &nulls))
	{
		RgIssuer   *issuer;

		if (all->count == size)
			all->issuers = repalloc(all->issuers, sizeof(RgIssuer) * (size *= 2));
		issuer = &all->issuers[all->count++];
		issuer->iss = TextDatumGetCString(values[Anum_issuer_iss]);
		issuer->aud = TextDatumGetCString(values[Anum_issuer_aud]);
		issuer->subject_prefix = TextDatumGetCString(values[Anum_issuer_subject_prefix]);
		issuer->roles = rg_config_texts(values[Anum_issuer_roles], &issuer->nroles);
		issuer->leeway = DatumGetInt32(values[Anum_issuer_leeway]);
		issuer->builtin = false;
	}
	return all;
}

static void
free_verifier(void *arg)
{
	rg_verifier_free(((Key *) arg)->verifier);
}

static void *
load_keys(TableScanDesc scan, MemoryContext context, void *previous)
{
	Key		   *first = NULL;
	Datum	   *values;
	bool	   *nulls;

	while (rg_config_next(scan, &values, &nulls))
	{
		bytea	   *sealed = DatumGetByteaPCopy(values[Anum_jwt_key_secret]);
		Key		   *key;

		if (!nulls[Anum_jwt_key_retired_at])
			continue;
		key = palloc0(sizeof *key);
		key->iss = TextDatumGetCString(values[Anum_jwt_key_iss]);
		key->kid = TextDatumGetCString(values[Anum_jwt_key_kid]);
		key->sealed = rg_slice(VARDATA(sealed), VARSIZE(sealed) - VARHDRSZ);
		key->cleanup.func = free_verifier;
		key->cleanup.arg = key;
		MemoryContextRegisterResetCallback(context, &key->cleanup);
		key->next = first;
		first = key;
	}
	return first;
}

static RgConfigCache issuer_cache = {.table = "issuer",.load = load_issuers};
static RgConfigCache key_cache = {.table = "jwt_key",.load = load_keys};

void
rg_issuer_init(void)
{
	rg_config_register(&issuer_cache);
	rg_config_register(&key_cache);
}

uint64
rg_issuer_generation(void)
{
	return issuer_cache.generation + key_cache.generation + rg_keyring_generation();
}

const RgIssuer *
rg_issuer_find(const char *iss)
{
	const Issuers *all;

	if (strcmp(iss, builtin.iss) == 0)
		return &builtin;
	all = rg_config_get(&issuer_cache);
	for (int i = 0; i < all->count; i++)
		if (strcmp(all->issuers[i].iss, iss) == 0)
			return &all->issuers[i];
	return NULL;
}

static bool
starts_with(const char *string, const char *prefix)
{
	return strncmp(string, prefix, strlen(prefix)) == 0;
}

bool
rg_issuer_reserved(const RgIssuer *issuer, const char *id)
{
	const Issuers *all;

	if (issuer->builtin)
		return false;
	if (starts_with(id, "anon:") || starts_with(id, RG_API_KEY_USER_PREFIX))
		return true;
	all = rg_config_get(&issuer_cache);
	for (int i = 0; i < all->count; i++)
	{
		const RgIssuer *other = &all->issuers[i];

		if (strlen(other->subject_prefix) > strlen(issuer->subject_prefix) &&
			starts_with(id, other->subject_prefix))
			return true;
	}
	return false;
}

const char *
rg_issuer_role(const RgIssuer *issuer, const char *claimed)
{
	if (claimed[0] == '\0')
		return "user";
	if (issuer->builtin || strcmp(claimed, "anonymous") == 0)
		return claimed;
	for (int i = 0; i < issuer->nroles; i++)
		if (strcmp(issuer->roles[i], claimed) == 0)
			return claimed;
	return "user";
}

/* Makes the verifier from the sealed secret, which is wiped after. */
static RgVerifier *
unseal(Key *key)
{
	RgSlice		secret;

	if (key->verifier != NULL)
		return key->verifier;
	secret = rg_secret_open("jwt_key", key->iss, key->kid, key->sealed);
	key->verifier = rg_verifier_hs256(secret);
	sodium_memzero(unconstify(char *, secret.data), secret.len);
	if (key->verifier == NULL)
		ereport(ERROR,
				errcode(ERRCODE_OUT_OF_MEMORY),
				errmsg("could not prepare a token key"));
	return key->verifier;
}

static RgVerifier *
stored_key(const RgIssuer *issuer, const char *kid)
{
	Key		   *found = NULL;

	for (Key *key = rg_config_get(&key_cache); key != NULL; key = key->next)
	{
		if (strcmp(key->iss, issuer->iss) != 0)
			continue;
		if (kid[0] != '\0' && strcmp(key->kid, kid) != 0)
			continue;
		if (found != NULL)
			return NULL;		/* several live keys and no kid to choose by */
		found = key;
	}
	return found != NULL ? unseal(found) : NULL;
}

static void
forget_ring_keys(void)
{
	for (int i = 0; i < ring_keys.count; i++)
		rg_verifier_free(ring_keys.verifiers[i]);
	ring_keys.count = 0;
	ring_keys.generation = rg_keyring_generation();
}

static RgVerifier *
ring_key(uint32 id)
{
	uint8		subkey[RG_KEY_BYTES];
	RgVerifier *verifier;

	if (ring_keys.generation != rg_keyring_generation())
		forget_ring_keys();
	for (int i = 0; i < ring_keys.count; i++)
		if (ring_keys.ids[i] == id)
			return ring_keys.verifiers[i];
	rg_keyring_subkey(RG_FOR_TOKENS, id, subkey);
	verifier = rg_verifier_hs256(rg_slice((char *) subkey, sizeof subkey));
	sodium_memzero(subkey, sizeof subkey);
	if (verifier == NULL)
		ereport(ERROR,
				errcode(ERRCODE_OUT_OF_MEMORY),
				errmsg("could not prepare a token key"));
	ring_keys.ids[ring_keys.count] = id;
	ring_keys.verifiers[ring_keys.count++] = verifier;
	return verifier;
}

/* A kid of the built-in issuer is "ring-<key id>". */
static uint32
ring_key_id(const char *kid)
{
	char	   *end;
	unsigned long id;

	if (!starts_with(kid, "ring-") || kid[5] < '1' || kid[5] > '9' || strlen(kid) > 15)
		return 0;
	id = strtoul(kid + 5, &end, 10);
	return *end == '\0' && id <= PG_INT32_MAX ? (uint32) id : 0;
}

RgVerifier *
rg_issuer_key(const RgIssuer *issuer, const char *kid)
{
	uint32		id;

	if (!issuer->builtin)
		return stored_key(issuer, kid);
	if (!rg_keyring_available())
		return NULL;
	id = kid[0] != '\0' ? ring_key_id(kid) : rg_keyring_primary();
	return id != 0 && rg_keyring_usable(id) ? ring_key(id) : NULL;
}

RgVerifier *
rg_issuer_signer(char *kid, size_t size)
{
	uint32		id = rg_keyring_primary();

	snprintf(kid, size, "ring-%u", id);
	return ring_key(id);
}
