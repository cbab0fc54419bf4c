/*
 * issuer.c
 *		Who may issue tokens, and with which keys.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "api_key.h"
#include "config_cache.h"
#include "errcodes.h"
#include "issuer.h"
#include "jwk.h"
#include "keyring.h"
#include "secret.h"

/* Columns of relay_guard.issuer and relay_guard.jwt_key */
enum
{
	Anum_issuer_iss, Anum_issuer_aud, Anum_issuer_subject_prefix,
	Anum_issuer_roles, Anum_issuer_leeway,
	Natts_issuer
};
enum
{
	Anum_jwt_key_iss, Anum_jwt_key_kid, Anum_jwt_key_alg, Anum_jwt_key_secret,
	Anum_jwt_key_public_key, Anum_jwt_key_source, Anum_jwt_key_created_at,
	Anum_jwt_key_retired_at,
	Natts_jwt_key
};

typedef struct Issuers
{
	int			count;
	RgIssuer   *issuers;
} Issuers;

/* A live key of the table; its verifier is made when it is first needed. */
typedef struct Key
{
	struct Key *next;
	const char *iss;
	const char *kid;
	const char *alg;
	RgSlice		sealed;			/* HS256 */
	const char *jwk;			/* all others */
	RgVerifier *verifier;
	bool		unusable;		/* a JWK that is none */
	uint64		ring_generation;	/* that the secret was opened under */
	MemoryContextCallback cleanup;
} Key;

static RgIssuer builtin = {
	.iss = RG_BUILTIN_ISSUER,
	.aud = NULL,				/* filled in by find_builtin() */
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

static Key *
copy_key(MemoryContext context, const Datum *values, const bool *nulls)
{
	Key		   *key = palloc0(sizeof *key);

	key->iss = TextDatumGetCString(values[Anum_jwt_key_iss]);
	key->kid = TextDatumGetCString(values[Anum_jwt_key_kid]);
	key->alg = TextDatumGetCString(values[Anum_jwt_key_alg]);
	if (!nulls[Anum_jwt_key_secret])
	{
		bytea	   *sealed = DatumGetByteaPCopy(values[Anum_jwt_key_secret]);

		key->sealed = rg_slice(VARDATA(sealed), VARSIZE(sealed) - VARHDRSZ);
	}
	if (!nulls[Anum_jwt_key_public_key])
	{
		Jsonb	   *jwk = DatumGetJsonbP(values[Anum_jwt_key_public_key]);

		key->jwk = JsonbToCString(NULL, &jwk->root, VARSIZE(jwk));
	}
	key->cleanup.func = free_verifier;
	key->cleanup.arg = key;
	MemoryContextRegisterResetCallback(context, &key->cleanup);
	return key;
}

static void *
load_keys(TableScanDesc scan, MemoryContext context, void *previous)
{
	Key		   *first = NULL;
	Datum	   *values;
	bool	   *nulls;

	while (rg_config_next(scan, &values, &nulls))
	{
		Key		   *key;

		if (!nulls[Anum_jwt_key_retired_at])
			continue;
		key = copy_key(context, values, nulls);
		key->next = first;
		first = key;
	}
	return first;
}

static RgConfigCache issuer_cache = {.table = "issuer",.natts = Natts_issuer,.load = load_issuers};
static RgConfigCache key_cache = {.table = "jwt_key",.natts = Natts_jwt_key,.load = load_keys};

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

/*
 * The key ring is the server's, and who is trusted differs from database to
 * database: a token is for the one that made it.  By name, so that tokens
 * survive a dump and pg_upgrade.
 */
static const RgIssuer *
find_builtin(void)
{
	static char audience[sizeof RG_BUILTIN_ISSUER + 1 + NAMEDATALEN];
	Name		database;

	if (builtin.aud != NULL)
		return &builtin;
	database = DatumGetName(DirectFunctionCall1(current_database, (Datum) 0));
	snprintf(audience, sizeof audience, "%s/%s", RG_BUILTIN_ISSUER, NameStr(*database));
	builtin.aud = audience;
	return &builtin;
}

const RgIssuer *
rg_issuer_find(const char *iss)
{
	const Issuers *all;

	if (strcmp(iss, builtin.iss) == 0)
		return find_builtin();
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

static RgVerifier *
secret_verifier(RgSlice secret)
{
	RgVerifier *verifier = rg_verifier_hs256(secret);

	rg_secret_wipe(secret);
	if (verifier == NULL)
		ereport(ERROR,
				errcode(ERRCODE_OUT_OF_MEMORY),
				errmsg("could not prepare a token key"));
	return verifier;
}

/*
 * Of a sealed secret, made anew when the ring has changed: what opens no more
 * verifies no more.  One that does not open is tried again each time, since
 * that is when the ring is looked for.
 */
static RgVerifier *
prepare_sealed(Key *key)
{
	uint64		generation = rg_keyring_generation();
	RgSlice		secret;

	if (key->verifier != NULL && key->ring_generation == generation)
		return key->verifier;
	rg_verifier_free(key->verifier);
	key->verifier = NULL;
	if (rg_secret_try_open("jwt_key", key->iss, key->kid, key->sealed, &secret))
		key->verifier = secret_verifier(secret);
	key->ring_generation = generation;
	return key->verifier;
}

/* The key's verifier; NULL when none can be made. */
static RgVerifier *
prepare(Key *key)
{
	if (key->jwk == NULL)
		return prepare_sealed(key);
	if (key->verifier == NULL && !key->unusable)
		key->verifier = rg_jwk_verifier(rg_slice_of(key->jwk));
	key->unusable = key->verifier == NULL;
	return key->verifier;
}

/* Says what is wrong with a key that cannot be used. */
static void
refuse_unusable(const Key *key)
{
	if (key->sealed.data != NULL)
		(void) rg_secret_open("jwt_key", key->iss, key->kid, key->sealed);
	ereport(ERROR,
			errcode(ERRCODE_RG_UNAVAILABLE),
			errmsg("the key of relay_guard.jwt_key (%s, %s) cannot be used", key->iss, key->kid),
			errhint("Its row was changed by hand: delete it and register the key again."));
}

static RgVerifier *
named_key(const RgIssuer *issuer, const char *kid)
{
	for (Key *key = rg_config_get(&key_cache); key != NULL; key = key->next)
	{
		if (strcmp(key->kid, kid) != 0 || strcmp(key->iss, issuer->iss) != 0)
			continue;
		if (prepare(key) == NULL)
			refuse_unusable(key);
		return key->verifier;
	}
	return NULL;
}

/* Several usable keys of the algorithm and no kid to choose by: none. */
static RgVerifier *
only_key(const RgIssuer *issuer, const char *alg)
{
	Key		   *found = NULL;
	Key		   *other = NULL;
	const Key  *unusable = NULL;

	for (Key *key = rg_config_get(&key_cache); key != NULL; key = key->next)
	{
		if (strcmp(key->iss, issuer->iss) != 0)
			continue;
		if (strcmp(key->alg, alg) != 0)
			other = key;
		else if (prepare(key) == NULL)
			unusable = key;
		else if (found != NULL)
			return NULL;
		else
			found = key;
	}
	if (found != NULL)
		return found->verifier;
	if (unusable != NULL)
		refuse_unusable(unusable);
	return other != NULL ? prepare(other) : NULL;
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
	verifier = secret_verifier(rg_slice((char *) subkey, sizeof subkey));
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
rg_issuer_key(const RgIssuer *issuer, const char *kid, const char *alg)
{
	uint32		id;

	if (!issuer->builtin)
		return kid[0] != '\0' ? named_key(issuer, kid) : only_key(issuer, alg);
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
