/*
 * ratchet.h
 *		The ratchet of the audit log's seals: a key that each seal wears out.
 *
 * The key of step i + 1 is derived from that of step i (crypto_kdf of libsodium,
 * subkey 1, context "ratchet_"), which is then wiped.  So whoever takes the
 * ratchet can make the proofs of seals to come, and of no seal made before;
 * whoever keeps the key of step 0 elsewhere can check every one.
 *
 * As text, each line ended by a newline:
 *
 *		relay_guard audit ratchet 1
 *		step <number>
 *		key <base64 of 32 bytes>
 *
 * Pure C: shared by the extension, the gateway and unit tests.
 */
#ifndef RG_RATCHET_H
#define RG_RATCHET_H

#include <stdint.h>

#include "slice.h"

#define RG_RATCHET_KEY_BYTES 32

/* Room for its text and a NUL. */
#define RG_RATCHET_TEXT_SIZE 128

/* Room for a key in base64 and a NUL. */
#define RG_RATCHET_KEY_TEXT_SIZE 45

/* The steps that rg_ratchet_advance_to() goes at once: a second of work, years of seals. */
#define RG_RATCHET_MAX_ADVANCE 1000000

/* The owner wipes it. */
typedef struct RgRatchet
{
	int64_t		step;
	uint8_t		key[RG_RATCHET_KEY_BYTES];
} RgRatchet;

/* A random key at step 0; false when libsodium does not start. */
extern bool rg_ratchet_new(RgRatchet *ratchet)
			__attribute__((warn_unused_result));

/* Reads the text; false when it is none, and the ratchet is wiped then. */
extern bool rg_ratchet_parse(RgSlice text, RgRatchet *ratchet)
			__attribute__((warn_unused_result));

/* Writes the text with a NUL; returns its length. */
extern size_t rg_ratchet_format(const RgRatchet *ratchet, char text[RG_RATCHET_TEXT_SIZE]);

/* Writes the key in base64. */
extern void rg_ratchet_format_key(const RgRatchet *ratchet, char text[RG_RATCHET_KEY_TEXT_SIZE]);

/* To the next step. */
extern void rg_ratchet_advance(RgRatchet *ratchet);

/*
 * To a step that is not before its own; false when that is before it or too far
 * ahead, and the ratchet stays.
 */
extern bool rg_ratchet_advance_to(RgRatchet *ratchet, int64_t step)
			__attribute__((warn_unused_result));

extern void rg_ratchet_wipe(RgRatchet *ratchet);

#endif
