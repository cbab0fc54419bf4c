/*
 * envelope.c
 *		XAES-256-GCM envelopes; envelope.h describes them.
 *
 * XAES-256-GCM derives a fresh AES-256-GCM key from the first half of a 24-byte
 * nonce (CMAC in counter mode, NIST SP 800-108r1), so nonces may be random
 * without a count of messages.  https://c2sp.org/XAES-256-GCM
 */
#include "envelope.h"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <stdlib.h>

#include "gcm.h"
#include "random.h"

struct RgSealer
{
	uint32_t	key_id;
	EVP_CIPHER_CTX *block;		/* AES-256 of bare blocks, under the key */
	EVP_CIPHER_CTX *gcm;		/* keyed anew for every message */
	uint8_t		k1[16];			/* the CMAC subkey */
};

static bool
encrypt_blocks(RgSealer *sealer, const uint8_t *in, int len, uint8_t *out)
{
	int			written;

	return EVP_EncryptUpdate(sealer->block, out, &written, in, len) && written == len;
}

/* K1 = AES(K, 0) doubled in GF(2^128), without a branch on its top bit. */
static bool
derive_k1(RgSealer *sealer)
{
	uint8_t		zero[16] = {0};
	uint8_t		l[16];
	uint8_t		carry = 0;

	if (!encrypt_blocks(sealer, zero, sizeof l, l))
		return false;
	for (int i = 15; i >= 0; i--)
	{
		sealer->k1[i] = (uint8_t) (l[i] << 1) | carry;
		carry = l[i] >> 7;
	}
	sealer->k1[15] ^= (uint8_t) (0 - carry) & 0x87;
	sodium_memzero(l, sizeof l);
	return true;
}

RgSealer *
rg_sealer_new(const uint8_t key[32], uint32_t key_id)
{
	RgSealer   *sealer = calloc(1, sizeof *sealer);

	if (sealer == NULL)
		return NULL;
	sealer->key_id = key_id;
	sealer->block = EVP_CIPHER_CTX_new();
	sealer->gcm = rg_gcm_new();
	if (sealer->block == NULL || sealer->gcm == NULL ||
		!EVP_EncryptInit_ex(sealer->block, EVP_aes_256_ecb(), NULL, key, NULL) ||
		!EVP_CIPHER_CTX_set_padding(sealer->block, 0) ||
		!derive_k1(sealer))
	{
		rg_sealer_free(sealer);
		return NULL;
	}
	return sealer;
}

void
rg_sealer_free(RgSealer *sealer)
{
	if (sealer == NULL)
		return;
	EVP_CIPHER_CTX_free(sealer->block);
	EVP_CIPHER_CTX_free(sealer->gcm);
	sodium_memzero(sealer, sizeof *sealer);
	free(sealer);
}

/* AES(K, (0 ‖ counter ‖ 'X' ‖ 0 ‖ N[0:12]) ⊕ K1) for the counters 1 and 2. */
static bool
derive_key(RgSealer *sealer, const uint8_t nonce[24], uint8_t key[RG_GCM_KEY])
{
	uint8_t		blocks[2][16] = {{0, 1, 'X', 0}, {0, 2, 'X', 0}};

	for (int half = 0; half < 2; half++)
	{
		memcpy(blocks[half] + 4, nonce, 12);
		for (int i = 0; i < 16; i++)
			blocks[half][i] ^= sealer->k1[i];
	}
	return encrypt_blocks(sealer, blocks[0], sizeof blocks, key);
}

/* Begins a message under the key that belongs to that nonce. */
static bool
start(RgSealer *sealer, const uint8_t nonce[24], bool sealing)
{
	uint8_t		key[RG_GCM_KEY];
	bool		started = derive_key(sealer, nonce, key) &&
	rg_gcm_start(sealer->gcm, key, nonce + 12, sealing);

	sodium_memzero(key, sizeof key);
	return started;
}

bool
rg_xaes_seal(RgSealer *sealer, const uint8_t nonce[24], RgSlice header, RgSlice aad,
			 RgSlice plaintext, uint8_t *out)
{
	return start(sealer, nonce, true) &&
		rg_gcm_authenticate(sealer->gcm, header) &&
		rg_gcm_authenticate(sealer->gcm, aad) &&
		rg_gcm_seal(sealer->gcm, plaintext, out);
}

bool
rg_xaes_open(RgSealer *sealer, const uint8_t nonce[24], RgSlice header, RgSlice aad,
			 RgSlice sealed, uint8_t *out)
{
	return start(sealer, nonce, false) &&
		rg_gcm_authenticate(sealer->gcm, header) &&
		rg_gcm_authenticate(sealer->gcm, aad) &&
		rg_gcm_open(sealer->gcm, sealed, out);
}

bool
rg_envelope_seal(RgSealer *sealer, RgSlice aad, RgSlice plaintext, uint8_t *out)
{
	uint8_t    *nonce = out + RG_ENVELOPE_HEADER;
	uint32_t	key_id = htonl(sealer->key_id);

	if (plaintext.len > INT32_MAX - RG_ENVELOPE_OVERHEAD)
		return false;
	out[0] = RG_ENVELOPE_VERSION;
	memcpy(out + 1, &key_id, sizeof key_id);
	rg_random(nonce, RG_ENVELOPE_NONCE);
	return rg_xaes_seal(sealer, nonce, rg_slice((char *) out, RG_ENVELOPE_HEADER), aad,
						plaintext, nonce + RG_ENVELOPE_NONCE);
}

bool
rg_envelope_open(RgSealer *sealer, RgSlice aad, RgSlice envelope, uint8_t *out)
{
	const char *nonce = envelope.data + RG_ENVELOPE_HEADER;
	const char *end = envelope.data + envelope.len;
	const char *sealed = nonce + RG_ENVELOPE_NONCE;

	if (envelope.len < RG_ENVELOPE_OVERHEAD || envelope.len > INT32_MAX ||
		rg_envelope_key_id(envelope) != sealer->key_id)
		return false;
	return rg_xaes_open(sealer, (const uint8_t *) nonce,
						rg_slice(envelope.data, RG_ENVELOPE_HEADER), aad,
						rg_slice(sealed, end - sealed), out);
}

uint32_t
rg_envelope_key_id(RgSlice envelope)
{
	uint32_t	key_id;

	if (envelope.len < RG_ENVELOPE_OVERHEAD || envelope.data[0] != RG_ENVELOPE_VERSION)
		return 0;
	memcpy(&key_id, envelope.data + 1, sizeof key_id);
	return ntohl(key_id);
}
