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

#include "random.h"

struct RgSealer
{
	uint32_t	key_id;
	EVP_CIPHER_CTX *block;		/* AES-256 of single blocks, under the key */
	EVP_CIPHER_CTX *gcm;		/* keyed anew for every message */
	uint8_t		k1[16];			/* the CMAC subkey */
};

static bool
encrypt_block(RgSealer *sealer, const uint8_t in[16], uint8_t out[16])
{
	int			len;

	return EVP_EncryptUpdate(sealer->block, out, &len, in, 16) && len == 16;
}

/* K1 = AES(K, 0) doubled in GF(2^128), without a branch on its top bit. */
static bool
derive_k1(RgSealer *sealer)
{
	uint8_t		zero[16] = {0};
	uint8_t		l[16];
	uint8_t		carry = 0;

	if (!encrypt_block(sealer, zero, l))
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
	sealer->gcm = EVP_CIPHER_CTX_new();
	if (sealer->block == NULL || sealer->gcm == NULL ||
		!EVP_EncryptInit_ex(sealer->block, EVP_aes_256_ecb(), NULL, key, NULL) ||
		!EVP_CIPHER_CTX_set_padding(sealer->block, 0) ||
		!EVP_CipherInit_ex(sealer->gcm, EVP_aes_256_gcm(), NULL, NULL, NULL, 1) ||
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

/* Half of the message key: AES(K, (0 ‖ counter ‖ 'X' ‖ 0 ‖ N[0:12]) ⊕ K1). */
static bool
derive_half(RgSealer *sealer, uint8_t counter, const uint8_t nonce[24], uint8_t out[16])
{
	uint8_t		block[16] = {0, counter, 'X', 0};

	memcpy(block + 4, nonce, 12);
	for (int i = 0; i < 16; i++)
		block[i] ^= sealer->k1[i];
	return encrypt_block(sealer, block, out);
}

/* Readies the GCM context for one message under that nonce. */
static bool
start(RgSealer *sealer, const uint8_t nonce[24], bool sealing)
{
	uint8_t		key[32];
	bool		ready = derive_half(sealer, 1, nonce, key) &&
	derive_half(sealer, 2, nonce, key + 16) &&
	EVP_CipherInit_ex(sealer->gcm, NULL, NULL, key, nonce + 12, sealing);

	sodium_memzero(key, sizeof key);
	return ready;
}

static bool
authenticate(RgSealer *sealer, RgSlice data)
{
	int			len;

	return data.len == 0 ||
		EVP_CipherUpdate(sealer->gcm, NULL, &len, (const uint8_t *) data.data, data.len);
}

/* Seals after start() and authenticate(): ciphertext, then the tag. */
static bool
finish_seal(RgSealer *sealer, RgSlice plaintext, uint8_t *out)
{
	int			len = 0;

	if (plaintext.len > 0 &&
		!EVP_CipherUpdate(sealer->gcm, out, &len, (const uint8_t *) plaintext.data,
						  plaintext.len))
		return false;
	return EVP_CipherFinal_ex(sealer->gcm, out + len, &len) &&
		EVP_CIPHER_CTX_ctrl(sealer->gcm, EVP_CTRL_AEAD_GET_TAG, RG_ENVELOPE_TAG,
							out + plaintext.len);
}

bool
rg_xaes_seal(RgSealer *sealer, const uint8_t nonce[24], RgSlice aad,
			 RgSlice plaintext, uint8_t *out)
{
	return start(sealer, nonce, true) && authenticate(sealer, aad) &&
		finish_seal(sealer, plaintext, out);
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
	return start(sealer, nonce, true) &&
		authenticate(sealer, rg_slice((char *) out, RG_ENVELOPE_HEADER)) &&
		authenticate(sealer, aad) &&
		finish_seal(sealer, plaintext, nonce + RG_ENVELOPE_NONCE);
}

/* Opens after start() and authenticate(); false when the tag is not right. */
static bool
finish_open(RgSealer *sealer, RgSlice ciphertext, const uint8_t *tag, uint8_t *out)
{
	int			len = 0;

	if (ciphertext.len > 0 &&
		!EVP_CipherUpdate(sealer->gcm, out, &len, (const uint8_t *) ciphertext.data,
						  ciphertext.len))
		return false;
	return EVP_CIPHER_CTX_ctrl(sealer->gcm, EVP_CTRL_AEAD_SET_TAG, RG_ENVELOPE_TAG,
							   (void *) tag) &&
		EVP_CipherFinal_ex(sealer->gcm, out + len, &len);
}

bool
rg_envelope_open(RgSealer *sealer, RgSlice aad, RgSlice envelope, uint8_t *out)
{
	const uint8_t *in = (const uint8_t *) envelope.data;
	const uint8_t *nonce = in + RG_ENVELOPE_HEADER;
	RgSlice		ciphertext;
	bool		opened;

	if (rg_envelope_key_id(envelope) != sealer->key_id || envelope.len > INT32_MAX)
		return false;
	ciphertext.data = envelope.data + RG_ENVELOPE_HEADER + RG_ENVELOPE_NONCE;
	ciphertext.len = envelope.len - RG_ENVELOPE_OVERHEAD;
	opened = start(sealer, nonce, false) &&
		authenticate(sealer, rg_slice(envelope.data, RG_ENVELOPE_HEADER)) &&
		authenticate(sealer, aad) &&
		finish_open(sealer, ciphertext, in + envelope.len - RG_ENVELOPE_TAG, out);
	if (!opened)
		sodium_memzero(out, ciphertext.len);
	return opened;
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
