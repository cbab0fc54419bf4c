/*
 * gcm.c
 *		AES-256-GCM; gcm.h has the contract.
 */
#include "gcm.h"

#include <limits.h>
#include <openssl/evp.h>
#include <sodium.h>

EVP_CIPHER_CTX *
rg_gcm_new(void)
{
	EVP_CIPHER_CTX *gcm = EVP_CIPHER_CTX_new();

	if (gcm != NULL && !EVP_CipherInit_ex(gcm, EVP_aes_256_gcm(), NULL, NULL, NULL, 1))
	{
		EVP_CIPHER_CTX_free(gcm);
		return NULL;
	}
	return gcm;
}

bool
rg_gcm_start(EVP_CIPHER_CTX *gcm, const uint8_t key[RG_GCM_KEY],
			 const uint8_t nonce[RG_GCM_NONCE], bool sealing)
{
	return EVP_CipherInit_ex(gcm, NULL, NULL, key, nonce, sealing);
}

bool
rg_gcm_authenticate(EVP_CIPHER_CTX *gcm, RgSlice data)
{
	int			len;

	if (data.len == 0)
		return true;
	return data.len <= INT_MAX &&
		EVP_CipherUpdate(gcm, NULL, &len, (const uint8_t *) data.data, (int) data.len);
}

/* Encrypts or decrypts; OpenSSL takes nothing at all for the end of it. */
static bool
cipher(EVP_CIPHER_CTX *gcm, RgSlice in, uint8_t *out)
{
	int			len;

	if (in.len == 0)
		return true;
	return in.len <= INT_MAX &&
		EVP_CipherUpdate(gcm, out, &len, (const uint8_t *) in.data, (int) in.len);
}

bool
rg_gcm_seal(EVP_CIPHER_CTX *gcm, RgSlice plaintext, uint8_t *out)
{
	uint8_t    *tag = out + plaintext.len;
	int			len;

	return cipher(gcm, plaintext, out) &&
		EVP_CipherFinal_ex(gcm, tag, &len) &&
		EVP_CIPHER_CTX_ctrl(gcm, EVP_CTRL_AEAD_GET_TAG, RG_GCM_TAG, tag);
}

static bool
is_authentic(EVP_CIPHER_CTX *gcm, const char *tag, uint8_t *end)
{
	int			len;

	return EVP_CIPHER_CTX_ctrl(gcm, EVP_CTRL_AEAD_SET_TAG, RG_GCM_TAG, (void *) tag) &&
		EVP_CipherFinal_ex(gcm, end, &len);
}

bool
rg_gcm_open(EVP_CIPHER_CTX *gcm, RgSlice sealed, uint8_t *out)
{
	RgSlice		ciphertext = {sealed.data, sealed.len - RG_GCM_TAG};

	if (sealed.len < RG_GCM_TAG)
		return false;
	if (cipher(gcm, ciphertext, out) &&
		is_authentic(gcm, sealed.data + ciphertext.len, out + ciphertext.len))
		return true;
	sodium_memzero(out, ciphertext.len);
	return false;
}
