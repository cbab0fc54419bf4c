/*
 * keyring.c
 *		The server's key ring.
 */
#include "postgres.h"

#include <sodium.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "errcodes.h"
#include "keyring.h"
#include "ring_file.h"

/* How long new values may still be sealed under a former primary key. */
#define LOOK_MS 100

static char *keyring_file;
static const char *path = "";	/* its value, in assign_file() already */

static RgRing *ring = NULL;
static uint64 generation = 0;

/* The file as it was when last looked at; zeros where there was none. */
static struct stat seen;
static bool bad = true;			/* it was no ring then */
static uint64 looked_at;		/* ms */

/* The process and reload of the configuration that refresh() was for. */
static pid_t refreshed_by = 0;
static TimestampTz refreshed_at_reload;

/* The process that guarded this ring, and whether that could lock its memory. */
static pid_t guarded_by = 0;
static bool locked = false;

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

/* Reads and parses the file; on failure says why in problem. */
static RgRing *
read_ring(char *problem, size_t size)
{
	int			fd = rg_ring_file_open(path, &seen, problem, size);
	RgRingText	text = {NULL, 0};
	RgRing	   *parsed = NULL;

	if (fd < 0)
		return NULL;
	if (rg_ring_file_read(fd, &seen, &text, problem, size))
		parsed = rg_ring_parse(rg_slice(text.data, text.len), problem, size);
	rg_ring_text_free(&text);
	close(fd);
	return parsed;
}

static void
replace_ring(RgRing *fresh)
{
	if (ring != NULL && rg_ring_equal(fresh, ring))
	{
		rg_ring_free(fresh);
		return;
	}
	drop_sealers();
	rg_ring_free(ring);
	ring = fresh;
	guarded_by = 0;
	generation++;
}

/* Whatever statement is under way, it has no part in this, but may hold secrets. */
static void
log_problem(const char *problem)
{
	ereport(LOG_SERVER_ONLY,
			errcode(ERRCODE_CONFIG_FILE_ERROR),
			errmsg("key ring \"%s\" cannot be used: %s", path, problem),
			ring ? errdetail("The ring that was read before stays in use.") : 0,
			errhint("It must be a file of the server's user with mode 0600, made by relay_gateway keyring new."),
			errhidestmt(true),
			errhidecontext(true));
}

/* A file that went bad leaves the ring that was good. */
static void
read_file(bool tell)
{
	char		problem[128];
	RgRing	   *fresh = read_ring(problem, sizeof problem);

	bad = fresh == NULL;
	if (fresh != NULL)
		replace_ring(fresh);
	else if (tell)
		log_problem(problem);
}

static uint64
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*
 * Reads the file if it is not what it was; or was bad, since the reason may have
 * been another one, such as too many open files.  That is told once of a file,
 * and again if so wished.
 */
static void
look(bool again)
{
	struct stat status;
	bool		same;

	looked_at = now_ms();
	if (path[0] == '\0')
		return;
	if (lstat(path, &status) != 0)
		memset(&status, 0, sizeof status);
	same = rg_ring_file_same(&status, &seen);
	if (same && !bad)
		return;
	seen = status;
	read_file(again || !same);
}

/*
 * At a process's first use, whose copy of the ring may be its postmaster's of
 * long ago, and after every reload of the configuration.
 */
static void
refresh(void)
{
	bool		inherited = refreshed_by != MyProcPid && refreshed_by != 0;

	if (refreshed_by == MyProcPid && refreshed_at_reload == PgReloadTime)
		return;
	refreshed_by = MyProcPid;
	refreshed_at_reload = PgReloadTime;
	look(!inherited);
}

/*
 * Before a new value is sealed: a backend reads its configuration again only
 * between a client's statements, and one that fills a table for an hour must
 * not do that under a key that was replaced meanwhile.
 */
static void
refresh_for_sealing(void)
{
	refresh();
	if (now_ms() - looked_at >= LOOK_MS)
		look(false);
}

/*
 * A reload assigns even what has not changed.  That is where the postmaster
 * looks, which would otherwise hand new backends the ring of its start: while
 * the file is bad, they have nothing else.
 */
static void
assign_file(const char *value, void *extra)
{
	path = value;
	if (IsPostmasterEnvironment && !IsUnderPostmaster && refreshed_by == MyProcPid)
		look(true);
}

void
rg_keyring_init(void)
{
	DefineCustomStringVariable("relay_guard.keyring_file",
							   "File that holds the key ring.",
							   "Owned by the server's user, mode 0600; read again after a reload of the configuration.",
							   &keyring_file, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY,
							   NULL, assign_file, NULL);
	if (process_shared_preload_libraries_in_progress)
		refresh();
}

/*
 * From here on the process holds key bytes: no core dump may take them out, and
 * its copy of the ring is locked into memory, since locks do not outlast a fork.
 */
static void
guard(void)
{
	if (guarded_by == MyProcPid)
		return;
	(void) prctl(PR_SET_DUMPABLE, 0);
	locked = sodium_mlock(ring, sizeof *ring) == 0;
	guarded_by = MyProcPid;
}

const RgRing *
rg_keyring(void)
{
	refresh();
	if (ring == NULL)
		look(false);
	if (ring != NULL)
		guard();
	return ring;
}

bool
rg_keyring_configured(void)
{
	return path[0] != '\0';
}

bool
rg_keyring_available(void)
{
	return rg_keyring() != NULL;
}

bool
rg_keyring_locked(void)
{
	return locked;
}

static void
require_ring(void)
{
	if (rg_keyring() == NULL)
		ereport(ERROR,
				errcode(ERRCODE_RG_UNAVAILABLE),
				errmsg("the server has no key ring"),
				errhint("Make one with \"relay_gateway keyring new FILE\" as the server's user, or bring the old one back, set relay_guard.keyring_file to it and reload."));
}

uint64
rg_keyring_generation(void)
{
	refresh();
	return generation;
}

static const RgRingKey *
primary(void)
{
	refresh_for_sealing();
	require_ring();
	return rg_ring_primary(ring);
}

uint32
rg_keyring_primary(void)
{
	return primary()->id;
}

static bool
usable(const RgRingKey *key)
{
	return key != NULL && key->state != RG_KEY_RETIRED;
}

/*
 * The key of that id, or NULL.  Before a value is refused for its key the file
 * is looked at once more: during a rotation other backends write under a key
 * that this one has not heard of.
 */
static const RgRingKey *
find_key(uint32 key_id)
{
	const RgRingKey *key;

	require_ring();
	key = rg_ring_find(ring, key_id);
	if (usable(key))
		return key;
	look(false);
	guard();
	return rg_ring_find(ring, key_id);
}

bool
rg_keyring_usable(uint32 key_id)
{
	return usable(find_key(key_id));
}

static const RgRingKey *
require_key(uint32 key_id)
{
	const RgRingKey *key = find_key(key_id);

	if (key == NULL)
		ereport(ERROR,
				errcode(ERRCODE_RG_UNAVAILABLE),
				errmsg("key %u is not in the key ring", key_id),
				errhint("Add that key's line to the file of relay_guard.keyring_file."));
	if (key->state == RG_KEY_RETIRED)
		ereport(ERROR,
				errcode(ERRCODE_RG_UNAVAILABLE),
				errmsg("key %u is retired", key_id),
				errhint("Take \"retired\" off its line in the key ring to use it again."));
	return key;
}

void
rg_keyring_subkey(RgPurpose purpose, uint32 key_id, uint8 subkey[RG_KEY_BYTES])
{
	rg_ring_subkey(require_key(key_id), purpose, subkey);
}

bool
rg_keyring_audit_key(uint32 key_id, uint8 subkey[RG_KEY_BYTES])
{
	const RgRingKey *key = rg_keyring_available() ? find_key(key_id) : NULL;

	if (key != NULL)
		rg_ring_subkey(key, RG_FOR_AUDIT, subkey);
	return key != NULL;
}

static RgSealer *
sealer_for(RgPurpose purpose, const RgRingKey *key)
{
	RgSealer  **sealer = &sealers[purpose][key - ring->keys];
	uint8		subkey[RG_KEY_BYTES];

	if (*sealer == NULL)
	{
		rg_ring_subkey(key, purpose, subkey);
		*sealer = rg_sealer_new(subkey, key->id);
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
	RgSealer   *sealer = sealer_for(purpose, primary());

	if (!rg_envelope_seal(sealer, aad, plaintext, out))
		ereport(ERROR,
				errcode(ERRCODE_INTERNAL_ERROR),
				errmsg("encryption failed"));
}

bool
rg_keyring_open_to(RgPurpose purpose, RgSlice aad, RgSlice envelope, uint8 *out)
{
	RgSealer   *sealer = sealer_for(purpose, require_key(rg_envelope_key_id(envelope)));

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
