/*
 * fuzz_envelope.c
 *		Envelopes: nothing opens but what was sealed here, for the same key id
 *		and AAD; what does not open leaves nothing behind.
 *
 * The first four bytes choose how a good envelope is damaged; then come AAD up
 * to a NUL, and a value, which is taken as an envelope and as a plaintext.
 */
#include <openssl/err.h>

#include "fuzz.h"

#include "envelope.h"

#define KEY_ID 7
#define UNTOUCHED 0xa5

/* How a good envelope is damaged; any of them may do nothing. */
typedef struct Damage
{
	uint8_t		place;			/* of all its bytes, in 1/256 */
	uint8_t		flip;			/* bits of the byte there */
	uint8_t		cut;			/* bytes off the end */
	uint8_t		append;			/* bytes to the end */
} Damage;

/*
 * Seals; has its key under another id; has another key, which never seals
 * anything: libFuzzer sees what is compared, and would learn envelopes by heart.
 */
typedef enum Role
{
	OWN, NAMESAKE, FOREIGN
} Role;

static RgSealer *
sealer(Role role)
{
	static RgSealer *made[3];
	uint8_t		key[32] = {role == FOREIGN};

	if (made[role] == NULL)
		made[role] = rg_sealer_new(key, role == NAMESAKE ? KEY_ID + 1 : KEY_ID);
	require(made[role] != NULL);
	return made[role];
}

/* Opens into a buffer of no more than its length, so that an overrun is seen. */
static uint8_t *
open_with(Role role, RgSlice aad, RgSlice envelope)
{
	size_t		len = envelope.len < RG_ENVELOPE_OVERHEAD ? 0
	: envelope.len - RG_ENVELOPE_OVERHEAD;
	uint8_t    *out = malloc(len + (len == 0));

	memset(out, UNTOUCHED, len);
	if (rg_envelope_open(sealer(role), aad, envelope, out))
		return out;
	for (size_t i = 1; i < len; i++)
		require(out[i] == out[0]);
	require(len == 0 || out[0] == 0 || out[0] == UNTOUCHED);
	free(out);
	require(ERR_peek_error() == 0);
	return NULL;
}

/* Whatever it is, it does not open; what it says of itself is what stands there. */
static void
check_foreign(RgSlice aad, RgSlice bytes)
{
	const uint8_t *in = (const uint8_t *) bytes.data;
	uint32_t	key_id = rg_envelope_key_id(bytes);

	require(open_with(FOREIGN, aad, bytes) == NULL);
	if (key_id == 0)
		return;
	require(bytes.len >= RG_ENVELOPE_OVERHEAD && in[0] == RG_ENVELOPE_VERSION);
	require(key_id == ((uint32_t) in[1] << 24 | in[2] << 16 | in[3] << 8 | in[4]));
}

/* Returns the damaged length; the envelope has room for that. */
static size_t
damage(const Damage *how, uint8_t *envelope, size_t len)
{
	envelope[how->place * len / 256] ^= how->flip;
	len -= how->cut < len ? how->cut : len;
	memset(envelope + len, 0, how->append);
	return len + how->append;
}

static void
check_sealing(RgSlice aad, RgSlice plain, const Damage *how)
{
	size_t		len = plain.len + RG_ENVELOPE_OVERHEAD;
	uint8_t    *good = malloc(len);
	uint8_t    *bad = malloc(len + UINT8_MAX);
	RgSlice		envelope = {(char *) good, len};
	RgSlice		longer = {aad.data, aad.len + 1};	/* the NUL or the value's
													 * first byte */
	uint8_t    *opened;
	size_t		bad_len;

	require(rg_envelope_seal(sealer(OWN), aad, plain, good));
	require(rg_envelope_key_id(envelope) == KEY_ID);
	opened = open_with(OWN, aad, envelope);
	require(opened != NULL && (plain.len == 0 || memcmp(opened, plain.data, plain.len) == 0));
	free(opened);
	require(open_with(NAMESAKE, aad, envelope) == NULL);
	if (plain.len > 0)
		require(open_with(OWN, longer, envelope) == NULL);

	memcpy(bad, good, len);
	bad_len = damage(how, bad, len);
	opened = open_with(OWN, aad, rg_slice((char *) bad, bad_len));
	require((opened != NULL) == (bad_len == len && memcmp(bad, good, len) == 0));
	free(opened);
	free(bad);
	free(good);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	RgSlice		value = rg_slice((const char *) data, size);
	RgSlice		aad;
	Damage		how;

	if (!take_bytes(&value, &how, sizeof how))
		return 0;
	aad = take_field(&value);
	check_foreign(aad, value);
	check_sealing(aad, value, &how);
	return 0;
}
