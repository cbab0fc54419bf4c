/*
 * fuzz_secret_words.c
 *		Whatever stands before it, a secret is found; and what is shown holds no value.
 */
#include "fuzz.h"

#include "secret_words.h"

static bool
is_secret(RgSlice text)
{
	RgSlice		execute;

	return rg_secret_word(text, &execute) != NULL;
}

/* Words, parameters and signs; nothing in which a value could be written. */
static void
check_shown(RgSlice text)
{
	char		before = ' ';

	for (size_t i = 0; i < text.len; i++)
	{
		char		c = text.data[i];
		bool		starts_number = c >= '0' && c <= '9' && strchr(" \t\n(,=<>+-*/.;[", before) != NULL;

		require(c != '\'' && c != '"' && !starts_number);
		before = c == '\0' ? ' ' : c;
	}
}

static void
check_behind(RgSlice text, const char *secret)
{
	size_t		len = strlen(secret);
	char	   *whole = malloc(text.len + len);

	memcpy(whole, text.data, text.len);
	memcpy(whole + text.len, secret, len);
	require(is_secret(rg_slice(whole, text.len + len)));
	require(rg_sql_has_literal(rg_slice(whole, text.len + len)) || !rg_sql_has_literal(text));
	free(whole);
}

static void
check_prepared(RgSlice text)
{
	RgSlice		execute;
	RgSlice		name;
	size_t		left;

	if (rg_secret_word(text, &execute) != NULL)
		return;
	require(lies_within(execute, text));
	for (left = execute.len; rg_sql_next_prepared(&execute, &name); left = execute.len)
		require(name.len > 0 && lies_within(name, text) && execute.len < left);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	RgSlice		text = rg_slice((const char *) data, size);

	if (!rg_sql_has_literal(text))
		check_shown(text);
	check_behind(text, " encrypt(");
	check_behind(text, "\n\"Reencrypt\" /* it */ (");
	check_behind(text, "$$decrypted_x");
	check_behind(text, ".aad(");
	check_prepared(text);
	return 0;
}
