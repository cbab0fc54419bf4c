/*
 * envelope.h
 *		Authenticated encryption with a random nonce: XAES-256-GCM (C2SP).
 *
 * Envelope: version (1) | key id (4, big-endian) | nonce (24) | ciphertext |
 * tag (16).  Version 1 is XAES-256-GCM; what is authenticated beside the
 * ciphertext is version, key id and the caller's AAD, in that order.
 *
 * Pure C: shared by the extension, unit tests and fuzzers.
 */
#ifndef RG_ENVELOPE_H
#define RG_ENVELOPE_H

#include <stdint.h>

#include "slice.h"

#define RG_ENVELOPE_VERSION 1
#define RG_ENVELOPE_HEADER 5	/* version and key id */
#define RG_ENVELOPE_NONCE 24
#define RG_ENVELOPE_TAG 16
#define RG_ENVELOPE_OVERHEAD (RG_ENVELOPE_HEADER + RG_ENVELOPE_NONCE + RG_ENVELOPE_TAG)

/* A key, ready for use: cipher contexts that hold its schedule. */
typedef struct RgSealer RgSealer;

/* Copies the key into the sealer.  NULL when memory is short. */
extern RgSealer *rg_sealer_new(const uint8_t key[32], uint32_t key_id)
			__attribute__((warn_unused_result));
extern void rg_sealer_free(RgSealer *sealer);

/*
 * Seals plaintext into out, which holds its length + RG_ENVELOPE_OVERHEAD.
 * False when the cipher failed; out is then worthless.
 */
extern bool rg_envelope_seal(RgSealer *sealer, RgSlice aad, RgSlice plaintext,
							 uint8_t *out)
			__attribute__((warn_unused_result));

/*
 * Opens an envelope into out, which holds its length - RG_ENVELOPE_OVERHEAD.
 * False unless key id, AAD and every byte are what was sealed; nothing of the
 * plaintext is then in out.
 */
extern bool rg_envelope_open(RgSealer *sealer, RgSlice aad, RgSlice envelope,
							 uint8_t *out)
			__attribute__((warn_unused_result));

/* The key id of an envelope; 0 when it is none of a known version. */
extern uint32_t rg_envelope_key_id(RgSlice envelope);

/*
 * XAES-256-GCM as published, of which envelopes are made: the nonce is the
 * caller's, and what is authenticated is header and then AAD.  Sealed are the
 * ciphertext and its tag, RG_ENVELOPE_TAG bytes more than the plaintext.
 */
extern bool rg_xaes_seal(RgSealer *sealer, const uint8_t nonce[RG_ENVELOPE_NONCE],
						 RgSlice header, RgSlice aad, RgSlice plaintext, uint8_t *out)
			__attribute__((warn_unused_result));
extern bool rg_xaes_open(RgSealer *sealer, const uint8_t nonce[RG_ENVELOPE_NONCE],
						 RgSlice header, RgSlice aad, RgSlice sealed, uint8_t *out)
			__attribute__((warn_unused_result));

#endif
