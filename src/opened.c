/*
 * opened.c
 *		Values that were opened a moment ago; opened.h has the contract.
 */
#include "postgres.h"

#include <sodium.h>

#include "access/xact.h"

#include "envelope.h"
#include "keyring.h"
#include "opened.h"

/* As many encrypted columns of a row, and values as long, are worth it. */
#define PLACES 4
#define MAX_PLAINTEXT 2048
#define MAX_AAD 512

typedef struct Opened
{
	size_t		envelope_len;	/* 0: not in use */
	size_t		aad_len;
	uint64		generation;		/* of the key ring */
	char		envelope[MAX_PLAINTEXT + RG_ENVELOPE_OVERHEAD];
	char		aad[MAX_AAD];
	char		plaintext[MAX_PLAINTEXT];
} Opened;

static Opened places[PLACES];
static int	next_place = 0;

static void
forget(Opened *opened)
{
	if (opened->envelope_len > 0)
		sodium_memzero(opened->plaintext, opened->envelope_len - RG_ENVELOPE_OVERHEAD);
	opened->envelope_len = 0;
}

static void
forget_all(XactEvent event, void *arg)
{
	for (int i = 0; i < PLACES; i++)
		forget(&places[i]);
}

static void
forget_with_transaction(void)
{
	static bool done = false;

	if (!done)
		RegisterXactCallback(forget_all, NULL);
	done = true;
}

void
rg_opened_keep(RgSlice envelope, RgSlice aad, RgSlice plaintext)
{
	Opened	   *opened = &places[next_place];

	if (plaintext.len > MAX_PLAINTEXT || aad.len > MAX_AAD)
		return;
	forget_with_transaction();
	next_place = (next_place + 1) % PLACES;
	forget(opened);
	memcpy(opened->envelope, envelope.data, envelope.len);
	memcpy(opened->aad, aad.data, aad.len);
	memcpy(opened->plaintext, plaintext.data, plaintext.len);
	opened->envelope_len = envelope.len;
	opened->aad_len = aad.len;
	opened->generation = rg_keyring_generation();
}

static bool
is_of(const Opened *opened, RgSlice envelope, RgSlice aad)
{
	return opened->envelope_len == envelope.len && opened->aad_len == aad.len &&
		memcmp(opened->envelope, envelope.data, envelope.len) == 0 &&
		memcmp(opened->aad, aad.data, aad.len) == 0;
}

bool
rg_opened_take(RgSlice envelope, RgSlice aad, uint8 *plaintext)
{
	for (int i = 0; i < PLACES; i++)
	{
		if (!is_of(&places[i], envelope, aad))
			continue;
		if (places[i].generation != rg_keyring_generation())
			return false;
		memcpy(plaintext, places[i].plaintext, envelope.len - RG_ENVELOPE_OVERHEAD);
		forget(&places[i]);
		return true;
	}
	return false;
}
