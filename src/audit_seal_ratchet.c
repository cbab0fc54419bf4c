/*
 * audit_seal_ratchet.c
 *		The ratchet in use by a sealing.
 */
#include "postgres.h"

#include "utils/guc.h"

#include "audit_seal_ratchet.h"
#include "ratchet_file.h"

#define NONE (-1)

static char *ratchet_file = "";

/* Of the sealing that is under way; NONE: no ratchet. */
static RgRatchet ratchet = {.step = NONE};
static char path[MAXPGPATH];
static char problem[128];

static const char *const another = "it is another than that of the seal before";

/*
 * Set by whoever runs the server, with ALTER DATABASE where several databases
 * are sealed: each needs a file of its own.  Without one, whoever can read the
 * key ring can make seals anew that nobody can tell from the former.
 */
void
rg_seal_ratchet_init(void)
{
	DefineCustomStringVariable("relay_guard.audit_ratchet_file",
							   "File of the ratchet that proves the seals of this database's audit log.",
							   "Made by relay_gateway keyring audit-init; owned by the server's user, mode 0600.",
							   &ratchet_file, "", PGC_SUSET, GUC_SUPERUSER_ONLY,
							   NULL, NULL, NULL);
}

bool
rg_seal_ratchet_wanted(void)
{
	return ratchet_file[0] != '\0';
}

void
rg_seal_ratchet_close(void)
{
	rg_ratchet_wipe(&ratchet);
	ratchet.step = NONE;
}

static const char *
give_up(const char *why)
{
	rg_seal_ratchet_close();
	strlcpy(problem, why, sizeof problem);
	return problem;
}

/* The system's words may be in another encoding than the database's. */
static void
keep_ascii(char *text)
{
	for (; *text != '\0'; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

/* Whether a ratchet that has been advanced to its step made that proof. */
static bool
proves(const RgRatchet *advanced, const RgProvedSeal *seal)
{
	uint8		proof[RG_AUDIT_HASH_BYTES];

	rg_audit_seal_proof(advanced->key, seal->root, proof);
	return memcmp(proof, seal->proof, sizeof proof) == 0;
}

/* Behind a seal of its own, or else left where it is. */
static const char *
catch_up(const RgProvedSeal *last)
{
	RgRatchet	advanced = ratchet;
	const char *why = NULL;

	if (!rg_ratchet_advance_to(&advanced, last->step))
		why = ratchet.step > 0 ? give_up("it is too many steps behind") : another;
	else if (!proves(&advanced, last))
		why = another;
	else
	{
		rg_ratchet_advance(&advanced);
		ratchet = advanced;
	}
	rg_ratchet_wipe(&advanced);
	return why;
}

const char *
rg_seal_ratchet_open(const RgProvedSeal *last)
{
	rg_seal_ratchet_close();
	if (!rg_seal_ratchet_wanted())
		return give_up("relay_guard.audit_ratchet_file is not set");
	if (strlcpy(path, ratchet_file, sizeof path) >= sizeof path)
		return give_up("its name is too long");
	if (!rg_ratchet_file_read(path, &ratchet, problem, sizeof problem))
	{
		ratchet.step = NONE;
		keep_ascii(problem);
		return problem;
	}
	return ratchet.step <= last->step ? catch_up(last) : NULL;
}

int64
rg_seal_ratchet_step(void)
{
	return ratchet.step;
}

void
rg_seal_ratchet_prove(const uint8 root[RG_AUDIT_HASH_BYTES], uint8 proof[RG_AUDIT_HASH_BYTES])
{
	rg_audit_seal_proof(ratchet.key, root, proof);
	rg_ratchet_advance(&ratchet);
}

/* Should this fail, the next sealing does it. */
void
rg_seal_ratchet_commit(void)
{
	if (ratchet.step == NONE ||
		rg_ratchet_file_advance(path, ratchet.step, problem, sizeof problem))
		return;
	ereport(WARNING,
			errcode(ERRCODE_IO_ERROR),
			errmsg("ratchet \"%s\" could not be advanced: %s", path, problem),
			errhint("Until it is, who reads the file can forge the proof of the last seal."));
}
