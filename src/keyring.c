/*
 * keyring.c
 *		The server's key ring.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "errcodes.h"
#include "keyring.h"

#define MAX_FILE_SIZE 65536

static char *keyring_file;

static RgRing *ring = NULL;
static uint64 generation = 0;

/* The configuration reload that the ring was read after. */
static TimestampTz read_at_reload = -1;

/* Ready cipher contexts, made when first used, gone when the ring changes. */
static RgSealer *sealers[RG_PURPOSES][RG_RING_MAX_KEYS];

static void
drop_sealers(void)
{
	for (int purpose = 0; purpose < RG_PURPOSES; purpose++)
		for (int i = 0; i < RG_RING_MAX_KEYS; i++)
		{
			rg_sealer_free(sealers[purpose][i]);
			sealers[purpose][i] = NULL;
		}
}

/* What makes the open file unfit to hold keys, or NULL. */
static const char *
refuse_file(const struct stat *status)
{
	if (!S_ISREG(status->st_mode))
		return "it is not a regular file";
	if (status->st_uid != geteuid() && status->st_uid != 0)
		return "it belongs to another user";
	if (status->st_mode & (status->st_uid == 0 ? S_IRWXO | S_IWGRP : S_IRWXO | S_IRWXG))
		return "others may read it";
	if (status->st_size > MAX_FILE_SIZE)
		return "it is larger than 64 kB";
	return NULL;
}

/* Parses the open file; on failure says why in problem. */
static RgRing *
read_ring(int fd, char *problem, size_t size)
{
	struct stat status;
	const char *unfit = fstat(fd, &status) == 0 ? refuse_file(&status) : strerror(errno);
	char	   *text;
	ssize_t		len;
	RgRing	   *parsed = NULL;

	if (unfit != NULL)
	{
		strlcpy(problem, unfit, size);
		return NULL;
	}
	text = palloc(MAX_FILE_SIZE);
	len = read(fd, text, MAX_FILE_SIZE);
	if (len < 0)
		strlcpy(problem, strerror(errno), size);
	else
		parsed = rg_ring_parse(rg_slice(text, len), problem, size);
	sodium_memzero(text, MAX_FILE_SIZE);
	pfree(text);
	return parsed;
}

/*
 * Reads the file after the first use and after every reload of the
 * configuration.  A file that went bad leaves the ring that was good.
 */
static void
refresh(void)
{
	char		problem[128];
	RgRing	   *fresh = NULL;
	int			fd;

	if (read_at_reload == PgReloadTime)
		return;
	read_at_reload = PgReloadTime;
	if (keyring_file[0] == '\0')
		return;
	fd = open(keyring_file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		strlcpy(problem, strerror(errno), sizeof problem);
	else
	{
		fresh = read_ring(fd, problem, sizeof problem);
		close(fd);
	}
	if (fresh == NULL)
	{
		ereport(LOG_SERVER_ONLY,
				errcode(ERRCODE_CONFIG_FILE_ERROR),
				errmsg("key ring \"%s\" cannot be used: %s", keyring_file, problem),
				errhint("It must be a file of the server's user with mode 0600, made by relay_gateway keyring new."));
		return;
	}
	drop_sealers();
	if (ring != NULL)
		rg_ring_free(ring);
	ring = fresh;
	generation++;
}

void
rg_keyring_init(void)
{
	DefineCustomStringVariable("relay_guard.keyring_file",
							   "File that holds the key ring.",
							   "Owned by the server's user, mode 0600; read again after a reload of the configuration.",
							   &keyring_file, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY,
							   NULL, NULL, NULL);
	if (process_shared_preload_libraries_in_progress)
		refresh();
}

bool
rg_keyring_available(void)
{
	refresh();
	return ring != NULL;
}

/* From here on the process holds key bytes: no core dump may take them out. */
static void
require_ring(void)
{
	static bool dumpable = true;

	refresh();
	if (ring == NULL)
		ereport(ERROR,
				errcode(ERRCODE_RG_UNAVAILABLE),
				errmsg("the server has no key ring"),
				errhint("Make one with \"relay_gateway keyring new FILE\" as the server's user, set relay_guard.keyring_file to it and reload."));
	if (dumpable)
		(void) prctl(PR_SET_DUMPABLE, 0);
	dumpable = false;
}

uint64
rg_keyring_generation(void)
{
	refresh();
	return generation;
}

uint32
rg_keyring_primary(void)
{
	require_ring();
	return rg_ring_primary(ring)->id;
}

bool
rg_keyring_usable(uint32 key_id)
{
	const RgRingKey *key;

	require_ring();
	key = rg_ring_find(ring, key_id);
	return key != NULL && key->state != RG_KEY_RETIRED;
}

static const RgRingKey *
require_key(uint32 key_id)
{
	const RgRingKey *key;

	require_ring();
	key = rg_ring_find(ring, key_id);
	if (key == NULL)
		ereport(ERROR,
				errcode(ERRCODE_RG_UNAVAILABLE),
				errmsg("key %u is not in the key ring", key_id),
				errhint("Add that key's line to the file of relay_guard.keyring_file and reload."));
	if (key->state == RG_KEY_RETIRED)
		ereport(ERROR,
				errcode(ERRCODE_RG_UNAVAILABLE),
				errmsg("key %u is retired", key_id),
				errhint("Take \"retired\" off its line in the key ring and reload to use it again."));
	return key;
}

void
rg_keyring_subkey(RgPurpose purpose, uint32 key_id, uint8 subkey[RG_KEY_BYTES])
{
	rg_ring_subkey(require_key(key_id), purpose, subkey);
}

static RgSealer *
sealer_for(RgPurpose purpose, uint32 key_id)
{
	const RgRingKey *key = require_key(key_id);
	RgSealer  **sealer = &sealers[purpose][key - ring->keys];
	uint8		subkey[RG_KEY_BYTES];

	if (*sealer == NULL)
	{
		rg_ring_subkey(key, purpose, subkey);
		*sealer = rg_sealer_new(subkey, key_id);
		sodium_memzero(subkey, sizeof subkey);
	}
	if (*sealer == NULL)
		ereport(ERROR,
				errcode(ERRCODE_OUT_OF_MEMORY),
				errmsg("could not prepare an encryption key"));
	return *sealer;
}

void
rg_keyring_seal_to(RgPurpose purpose, RgSlice aad, RgSlice plaintext, uint8 *out)
{
	RgSealer   *sealer = sealer_for(purpose, rg_keyring_primary());

	if (!rg_envelope_seal(sealer, aad, plaintext, out))
		ereport(ERROR,
				errcode(ERRCODE_INTERNAL_ERROR),
				errmsg("encryption failed"));
}

bool
rg_keyring_open_to(RgPurpose purpose, RgSlice aad, RgSlice envelope, uint8 *out)
{
	RgSealer   *sealer = sealer_for(purpose, rg_envelope_key_id(envelope));

	return rg_envelope_open(sealer, aad, envelope, out);
}

RgSlice
rg_keyring_seal(RgPurpose purpose, RgSlice aad, RgSlice plaintext)
{
	size_t		len = plaintext.len + RG_ENVELOPE_OVERHEAD;
	char	   *out = palloc(len);

	rg_keyring_seal_to(purpose, aad, plaintext, (uint8 *) out);
	return rg_slice(out, len);
}

bool
rg_keyring_open(RgPurpose purpose, RgSlice aad, RgSlice envelope, RgSlice *plaintext)
{
	char	   *out;

	if (rg_envelope_key_id(envelope) == 0)
		return false;
	plaintext->len = envelope.len - RG_ENVELOPE_OVERHEAD;
	out = palloc(plaintext->len + 1);
	out[plaintext->len] = '\0';
	plaintext->data = out;
	return rg_keyring_open_to(purpose, aad, envelope, (uint8 *) out);
}

PG_FUNCTION_INFO_V1(relay_guard_keyring_available);

Datum
relay_guard_keyring_available(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(rg_keyring_available());
}
