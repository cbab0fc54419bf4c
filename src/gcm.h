/*
 * gcm.h
 *		AES-256-GCM with a key of its own for every message (NIST SP 800-38D,
 *		nonces of 96 bits, tags of 128).
 *
 * A message is rg_gcm_start(), any number of rg_gcm_authenticate(), then
 * rg_gcm_seal() or rg_gcm_open().
 *
 * Pure C.
 */
#ifndef RG_GCM_H
#define RG_GCM_H

#include <openssl/types.h>
#include <stdint.h>

#include "slice.h"

#define RG_GCM_KEY 32
#define RG_GCM_NONCE 12
#define RG_GCM_TAG 16

/* For any number of messages; freed with EVP_CIPHER_CTX_free().  NULL when memory is short. */
extern EVP_CIPHER_CTX *rg_gcm_new(void)
			__attribute__((warn_unused_result));

/* Begins a message, which is to be sealed or to be opened. */
extern bool rg_gcm_start(EVP_CIPHER_CTX *gcm, const uint8_t key[RG_GCM_KEY],
						 const uint8_t nonce[RG_GCM_NONCE], bool sealing)
			__attribute__((warn_unused_result));

/* What is authenticated beside the message; further data is appended to it. */
extern bool rg_gcm_authenticate(EVP_CIPHER_CTX *gcm, RgSlice data)
			__attribute__((warn_unused_result));

/* Writes ciphertext and tag to out, which holds plaintext.len + RG_GCM_TAG. */
extern bool rg_gcm_seal(EVP_CIPHER_CTX *gcm, RgSlice plaintext, uint8_t *out)
			__attribute__((warn_unused_result));

/*
 * Opens ciphertext and tag into out, which holds sealed.len - RG_GCM_TAG.
 * False unless all is authentic; out is then wiped.
 */
extern bool rg_gcm_open(EVP_CIPHER_CTX *gcm, RgSlice sealed, uint8_t *out)
			__attribute__((warn_unused_result));

#endif
