/*
 * secret_words.c
 *		Which SQL holds secrets: a lexer that errs to the safe side.
 *
 * Letters are folded by hand, for tolower() has opinions on I in Turkish.
 */
#include "secret_words.h"

#define FUNCTION(name) {#name "()", sizeof(#name) - 1}

/*
 * Functions with an argument that is a secret, a plaintext or its AAD, those of
 * the application's migrations included; sets of public keys may hold a private
 * one by mistake.
 */
static const RgSlice secret_functions[] = {
	FUNCTION(aad),
	FUNCTION(api_key_hash),
	FUNCTION(api_key_set),
	FUNCTION(authenticate),
	FUNCTION(authenticate_api_key),
	FUNCTION(decrypt),
	FUNCTION(decrypt_bytea),
	FUNCTION(decrypt_jsonb),
	FUNCTION(decrypt_text),
	FUNCTION(encrypt),
	FUNCTION(jwks_import),
	FUNCTION(jwks_keys),
	FUNCTION(jwks_put),
	FUNCTION(jwt_key_add),
	FUNCTION(jwt_public_key_add),
	FUNCTION(opened_bytea),
	FUNCTION(opened_jsonb),
	FUNCTION(opened_text),
	FUNCTION(opens),
	FUNCTION(password_hash),
	FUNCTION(password_login),
	FUNCTION(password_register),
	FUNCTION(password_verify),
	FUNCTION(reencrypt),
	FUNCTION(serve),
	FUNCTION(try_decrypt_bytea),
	FUNCTION(try_decrypt_jsonb),
	FUNCTION(try_decrypt_text),
	FUNCTION(upstream_secret_set),
	FUNCTION(webhook_body),
	FUNCTION(webhook_endpoint_secret_set),
	FUNCTION(webhook_endpoint_sign),
	FUNCTION(webhook_secret_set),
	FUNCTION(webhook_send),
	FUNCTION(webhook_sign),
	FUNCTION(webhook_verify),
	FUNCTION(webhook_verify_body),
	FUNCTION(webhook_verify_slack),
};

#define LENGTHOF(array) (sizeof(array) / sizeof((array)[0]))
#define SHORTEST 3				/* aad */
#define VIEW_PREFIX RG_SLICE("decrypted_")

/* Blanks and comments between a name and its parenthesis; more counts as one. */
#define GAP_MAX 1000

/* PostgreSQL looks at 63 bytes of a name; what follows a $ may be looked at again. */
#define NAME_MAX 100

/* The letters that the names above, and decrypted_, begin with. */
#define LETTER_BIT(letter) (1u << ((letter) & 0x1f))
#define FIRST_LETTERS (LETTER_BIT('a') | LETTER_BIT('d') | LETTER_BIT('e') | LETTER_BIT('j') | \
	LETTER_BIT('o') | LETTER_BIT('p') | LETTER_BIT('r') | LETTER_BIT('s') | LETTER_BIT('t') | LETTER_BIT('u') | LETTER_BIT('w'))

/* Bytes of other scripts count as letters, in any encoding. */
static inline bool
is_letter(unsigned char c)
{
	return (unsigned char) ((c | 0x20) - 'a') < 26 || c == '_' || c >= 0x80;
}

static inline bool
is_digit(unsigned char c)
{
	return (unsigned char) (c - '0') < 10;
}

/* Without the $ that names may have: it may as well end a dollar quote's tag. */
static size_t
word_length(RgSlice text)
{
	size_t		len = 0;

	while (len < text.len && (is_letter(text.data[len]) || is_digit(text.data[len])))
		len++;
	return len;
}

static RgSlice
without(RgSlice text, size_t count)
{
	if (count > text.len)
		count = text.len;
	return rg_slice(text.data + count, text.len - count);
}

static char
folded(char c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

/* Does it start with that, which is in lower case? */
static bool
starts(RgSlice text, RgSlice prefix)
{
	size_t		same = 0;

	if (text.len < prefix.len)
		return false;
	while (same < prefix.len && folded(text.data[same]) == prefix.data[same])
		same++;
	return same == prefix.len;
}

/* The next identifier or keyword, from *text on, which goes on behind it. */
static bool
next_word(RgSlice *text, RgSlice *word)
{
	size_t		at = 0;

	while (at < text->len && !is_letter(text->data[at]))
		at++;
	if (at == text->len)
		return false;
	*text = without(*text, at);
	*word = rg_slice(text->data, word_length(*text));
	*text = without(*text, word->len);
	return true;
}

/*
 * Gaps
 */

/* In JSON its end is a backslash and n, which may as well be a part of it: too long to tell. */
static size_t
line_comment_length(RgSlice text)
{
	size_t		len = 2;

	while (len < text.len && text.data[len] != '\n')
	{
		if (text.data[len] == '\\')
			return GAP_MAX + 1;
		len++;
	}
	return len;
}

static size_t
block_comment_length(RgSlice text)
{
	size_t		len = 2;
	int			depth = 1;

	while (len < text.len && len <= GAP_MAX && depth > 0)
	{
		bool		opens = starts(without(text, len), RG_SLICE("/*"));
		bool		closes = starts(without(text, len), RG_SLICE("*/"));

		depth += opens - closes;
		len += opens || closes ? 2 : 1;
	}
	return len;
}

/*
 * The length of what may stand between a name and what follows it, in SQL and
 * in the forms that JSON and XML give to it; 0 when it is something else.
 */
static size_t
gap_length(RgSlice text)
{
	if (text.len == 0)
		return 0;
	if (memchr(" \t\n\r\f\v\"", text.data[0], 7) != NULL)
		return 1;
	if (text.data[0] == '\\')
		return starts(text, RG_SLICE("\\u")) ? 6 : 2;
	if (starts(text, RG_SLICE("--")))
		return line_comment_length(text);
	if (starts(text, RG_SLICE("/*")))
		return block_comment_length(text);
	if (starts(text, RG_SLICE("&quot;")))
		return 6;
	return starts(text, RG_SLICE("&#x0d;")) ? 6 : 0;
}

/* Skips a gap, or that much of it; false when it is longer than anyone writes. */
static bool
skip_gap_to(char end, RgSlice *text)
{
	size_t		skipped = 0;
	size_t		len;

	while ((len = gap_length(*text)) > 0 && skipped <= GAP_MAX && text->data[0] != end)
	{
		*text = without(*text, len);
		skipped += len;
	}
	return skipped <= GAP_MAX;
}

static bool
is_called(RgSlice behind)
{
	return !skip_gap_to('(', &behind) || (behind.len > 0 && behind.data[0] == '(');
}

/*
 * Words
 */

static const char *
find_function(RgSlice word)
{
	for (size_t i = 0; i < LENGTHOF(secret_functions); i++)
	{
		if (word.len == secret_functions[i].len && starts(word, secret_functions[i]))
			return secret_functions[i].data;
	}
	return NULL;
}

static const char *
find_secret(RgSlice word, RgSlice behind)
{
	const char *function;

	if (word.len < SHORTEST || (LETTER_BIT(word.data[0]) & FIRST_LETTERS) == 0)
		return NULL;
	function = find_function(word);
	if (function != NULL && is_called(behind))
		return function;
	return starts(word, VIEW_PREFIX) ? "a decrypted_ view" : NULL;
}

/* In JSON, \n and \u000b may stand right before a name, and look like a part of it. */
static const char *
find_escaped_secret(RgSlice word, RgSlice behind)
{
	const char *found = find_secret(without(word, 1), behind);

	if (found == NULL && (word.data[0] == 'u' || word.data[0] == 'U'))
		found = find_secret(without(word, 5), behind);
	return found;
}

/* U&"..." spells a name with escapes, begun by whatever character UESCAPE says. */
static bool
is_spelt(RgSlice word, RgSlice behind)
{
	return folded(word.data[word.len - 1]) == 'u' && behind.len > 0 && behind.data[0] == '&' &&
		(starts(behind, RG_SLICE("&\"")) || starts(behind, RG_SLICE("&\\\"")) ||
		 starts(behind, RG_SLICE("&amp;&quot;")));
}

static bool
is_execute(RgSlice word)
{
	return word.len == 7 && starts(word, RG_SLICE("execute"));
}

const char *
rg_secret_word(RgSlice text, RgSlice *execute)
{
	const char *begin = text.data;
	const char *found = NULL;
	RgSlice		word;

	*execute = rg_slice(NULL, 0);
	while (found == NULL && next_word(&text, &word))
	{
		found = find_secret(word, text);
		if (found == NULL && word.data > begin && word.data[-1] == '\\')
			found = find_escaped_secret(word, text);
		if (found == NULL && is_spelt(word, text))
			found = "a name in U&\"\"";
		if (execute->data == NULL && is_execute(word))
			*execute = text;
	}
	return found;
}

/* Behind the next EXECUTE; nothing where there is none. */
static void
skip_to_execute(RgSlice *text)
{
	RgSlice		word;

	while (next_word(text, &word))
		if (is_execute(word))
			return;
	*text = rg_slice(NULL, 0);
}

/* Up to the quote that ends it, which no other follows. */
static size_t
quoted_length(RgSlice text)
{
	size_t		len = 1;

	for (; len < text.len; len++)
	{
		if (text.data[len] != '"')
			continue;
		if (len + 1 == text.len || text.data[len + 1] != '"')
			return len + 1;
		len++;
	}
	return text.len;
}

static size_t
name_length(RgSlice text)
{
	size_t		len = 0;

	if (text.len > 0 && text.data[0] == '"')
		return quoted_length(text);
	while (len < text.len && len < NAME_MAX &&
		   (is_letter(text.data[len]) || is_digit(text.data[len]) || text.data[len] == '$'))
		len++;
	return len;
}

bool
rg_sql_next_prepared(RgSlice *execute, RgSlice *name)
{
	while (execute->len > 0)
	{
		RgSlice		behind = *execute;

		skip_to_execute(execute);
		if (!skip_gap_to('"', &behind))
			continue;
		*name = rg_slice(behind.data, name_length(behind));
		if (name->len > 0)
			return true;
	}
	return false;
}

/*
 * Literals
 */

/* The length of a parameter such as $12 at the start of the text, or 0. */
static size_t
parameter_length(RgSlice text)
{
	size_t		len = 1;

	if (text.data[0] != '$')
		return 0;
	while (len < text.len && is_digit(text.data[len]))
		len++;
	return len > 1 ? len : 0;
}

bool
rg_sql_has_literal(RgSlice text)
{
	while (text.len > 0)
	{
		size_t		len = is_letter(text.data[0]) ? word_length(text) : parameter_length(text);

		if (len == 0 && (memchr("'\"$", text.data[0], 3) != NULL || is_digit(text.data[0])))
			return true;
		text = without(text, len > 0 ? len : 1);
	}
	return false;
}
