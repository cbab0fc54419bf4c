/*
 * password.c
 *		password_hash() and password_verify(): Argon2id by libsodium.
 *
 * Nothing is kept: the memory that the hash is made in is libsodium's, which
 * wipes it.  The password itself stands in the statement's parameters, out of
 * our reach; log_guard.c keeps it from the log.
 */
#include "postgres.h"

#include <sodium.h>

#include "fmgr.h"
#include "utils/builtins.h"

#include "identity.h"
#include "log_guard.h"

/* OWASP's password storage cheat sheet: m = 19 MiB, t = 2, p = 1. */
#define PASSES 2
#define MEMORY ((size_t) 19 * 1024 * 1024)

#define SALT_BYTES 16			/* as libsodium writes them */
#define HASH_BYTES 32

#define MAX_PASSWORD 4096		/* bytes; more is no password */

/* A hash asks for its own effort; more than this no hash of ours does. */
#define MAX_PASSES 16
#define MAX_MEMORY_KIB (256 * 1024)

static void
refuse_out_of_memory(void)
{
	ereport(ERROR,
			errcode(ERRCODE_OUT_OF_MEMORY),
			errmsg("out of memory"),
			errdetail("Hashing a password takes %zu bytes.", MEMORY));
}

static void
make_hash(RgSlice password, char hash[crypto_pwhash_STRBYTES])
{
	if (crypto_pwhash_str_alg(hash, password.data, password.len, PASSES, MEMORY,
							  crypto_pwhash_ALG_ARGON2ID13) != 0)
		refuse_out_of_memory();
}

PG_FUNCTION_INFO_V1(relay_guard_password_hash);

/* password_hash(pass) */
Datum
relay_guard_password_hash(PG_FUNCTION_ARGS)
{
	char		hash[crypto_pwhash_STRBYTES];
	RgSlice		password;

	rg_log_guard_secret_used();
	password = rg_text_argument(fcinfo, 0);
	if (password.len == 0 || password.len > MAX_PASSWORD)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("a password must have from 1 to %d bytes", MAX_PASSWORD));
	make_hash(password, hash);
	PG_RETURN_TEXT_P(cstring_to_text(hash));
}

/* Of the form that password_hash() makes, and of bounded effort. */
static bool
is_hash(RgSlice text, char hash[crypto_pwhash_STRBYTES])
{
	unsigned	memory,
				passes;

	if (text.len == 0 || text.len >= crypto_pwhash_STRBYTES)
		return false;
	memset(hash, 0, crypto_pwhash_STRBYTES);
	memcpy(hash, text.data, text.len);
	return sscanf(hash, "$argon2id$v=19$m=%u,t=%u,p=1$", &memory, &passes) == 2 &&
		memory <= MAX_MEMORY_KIB && passes <= MAX_PASSES;
}

/* As a hash would be written, but nobody's: checking it takes as long, and fails. */
static void
make_dummy(char hash[crypto_pwhash_STRBYTES])
{
	uint8		bytes[SALT_BYTES + HASH_BYTES];
	char		salt[32];
	char		rest[64];
	const int	variant = sodium_base64_VARIANT_ORIGINAL_NO_PADDING;

	randombytes_buf(bytes, sizeof bytes);
	snprintf(hash, crypto_pwhash_STRBYTES, "$argon2id$v=19$m=%zu,t=%d,p=1$%s$%s", MEMORY / 1024, PASSES,
			 sodium_bin2base64(salt, sizeof salt, bytes, SALT_BYTES, variant),
			 sodium_bin2base64(rest, sizeof rest, bytes + SALT_BYTES, HASH_BYTES, variant));
}

PG_FUNCTION_INFO_V1(relay_guard_password_verify);

/*
 * password_verify(pass, hash).  A password that is too long to be one is wrong,
 * after the same time.
 */
Datum
relay_guard_password_verify(PG_FUNCTION_ARGS)
{
	char		hash[crypto_pwhash_STRBYTES];
	RgSlice		password;
	bool		known;
	bool		same;

	rg_log_guard_secret_used();
	password = rg_text_argument(fcinfo, 0);
	known = is_hash(rg_text_argument(fcinfo, 1), hash) && password.len <= MAX_PASSWORD;
	if (password.data == NULL || password.len > MAX_PASSWORD)
		password = rg_slice("", 0);
	if (!known)
		make_dummy(hash);
	same = crypto_pwhash_str_verify(hash, password.data, password.len) == 0;
	sodium_memzero(hash, sizeof hash);
	PG_RETURN_BOOL(known && same);
}
