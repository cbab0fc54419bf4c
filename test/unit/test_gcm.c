/*
 * test_gcm.c
 *		AES-256-GCM, as envelopes use it, against published vectors.
 */
#include <openssl/err.h>
#include <openssl/evp.h>

#include "gcm.h"
#include "tap.h"
#include "vectors.h"

static EVP_CIPHER_CTX *gcm;

/* Columns: tcId result key iv aad msg ct tag flags comment */
enum
{
	COLUMN_KEY = 2, COLUMN_NONCE, COLUMN_AAD, COLUMN_MESSAGE, COLUMN_CIPHERTEXT, COLUMN_TAG
};

/* A row's bytes; sealed is ciphertext and tag. */
typedef struct Vector
{
	uint8_t		key[MAX_BYTES];
	uint8_t		nonce[MAX_BYTES];
	uint8_t		aad_bytes[MAX_BYTES];
	uint8_t		message_bytes[MAX_BYTES];
	uint8_t		sealed_bytes[2 * MAX_BYTES];
	RgSlice		aad;
	RgSlice		message;
	RgSlice		sealed;
} Vector;

/* False where key, nonce or tag are not of our lengths. */
static bool
read_vector(const VectorRow *row, Vector *vector)
{
	RgSlice		tag;

	vector->aad = unhex(row->columns[COLUMN_AAD], vector->aad_bytes);
	vector->message = unhex(row->columns[COLUMN_MESSAGE], vector->message_bytes);
	vector->sealed = unhex(row->columns[COLUMN_CIPHERTEXT], vector->sealed_bytes);
	tag = unhex(row->columns[COLUMN_TAG], vector->sealed_bytes + vector->sealed.len);
	vector->sealed.len += tag.len;
	return tag.len == RG_GCM_TAG &&
		unhex(row->columns[COLUMN_KEY], vector->key).len == RG_GCM_KEY &&
		unhex(row->columns[COLUMN_NONCE], vector->nonce).len == RG_GCM_NONCE;
}

static bool
seals_to(const Vector *vector, RgSlice sealed)
{
	uint8_t		out[MAX_BYTES + RG_GCM_TAG];

	return rg_gcm_start(gcm, vector->key, vector->nonce, true) &&
		rg_gcm_authenticate(gcm, vector->aad) &&
		rg_gcm_seal(gcm, vector->message, out) &&
		vector->message.len + RG_GCM_TAG == sealed.len &&
		memcmp(out, sealed.data, sealed.len) == 0;
}

/* Into a buffer of no more than its length, so that a sanitizer sees an overrun. */
static bool
opens_to(const Vector *vector, RgSlice message)
{
	size_t		len = vector->sealed.len - RG_GCM_TAG;
	uint8_t    *out = malloc(len + (len == 0));
	bool		opened = rg_gcm_start(gcm, vector->key, vector->nonce, false) &&
	rg_gcm_authenticate(gcm, vector->aad) &&
	rg_gcm_open(gcm, vector->sealed, out) &&
	rg_slice_equal(rg_slice((char *) out, len), message);

	free(out);
	return opened;
}

/* What is published as invalid differs from the valid in its tag alone. */
static bool
row_agrees(const VectorRow *row)
{
	Vector		vector;

	if (!read_vector(row, &vector))
		return false;
	return seals_to(&vector, vector.sealed) == is_valid(row) &&
		opens_to(&vector, vector.message) == is_valid(row);
}

static void
test_vectors(void)
{
	static const VectorTable table = {"aes256gcm_iv96_tag128.tsv", 66, 10, row_agrees};

	check_vectors(&table);
	ok(ERR_peek_error() == 0, "and nothing in OpenSSL's queue of errors");
}

/* Where the AAD is cut does not matter. */
static void
test_pieces(void)
{
	uint8_t		key[RG_GCM_KEY] = {1};
	uint8_t		nonce[RG_GCM_NONCE] = {2};
	RgSlice		whole = RG_SLICE("0123456789abcdefg");
	uint8_t		out[2][4 + RG_GCM_TAG];
	bool		same = true;

	for (size_t cut = 0; cut <= whole.len; cut++)
	{
		bool		sealed = rg_gcm_start(gcm, key, nonce, true) &&
		rg_gcm_authenticate(gcm, rg_slice(whole.data, cut)) &&
		rg_gcm_authenticate(gcm, rg_slice(whole.data + cut, whole.len - cut)) &&
		rg_gcm_seal(gcm, RG_SLICE("text"), out[cut > 0]);

		same &= sealed && memcmp(out[0], out[cut > 0], sizeof out[0]) == 0;
	}
	ok(same, "AAD in two pieces is as in one");
}

static void
test_short(void)
{
	uint8_t		key[RG_GCM_KEY] = {1};
	uint8_t		nonce[RG_GCM_NONCE] = {2};
	uint8_t		out[1];
	bool		opened = false;

	for (size_t len = 0; len < RG_GCM_TAG; len++)
		opened |= rg_gcm_start(gcm, key, nonce, false) &&
			rg_gcm_open(gcm, rg_slice((char *) key, len), out);
	ok(!opened, "less than a tag does not open");
}

int
main(void)
{
	gcm = rg_gcm_new();
	test_vectors();
	test_pieces();
	test_short();
	EVP_CIPHER_CTX_free(gcm);
	return done();
}
