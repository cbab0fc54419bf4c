/*
 * ring_line.c
 *		Reading and writing a key's line.
 */
#include "ring_line.h"

#include <sodium.h>
#include <stdio.h>
#include <time.h>

#include "formats.h"

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Takes the next run of non-blanks; empty at the end of the line. */
static RgSlice
take_word(RgSlice *line)
{
	RgSlice		word;

	while (line->len > 0 && is_blank(*line->data))
		line->data++, line->len--;
	word.data = line->data;
	word.len = 0;
	while (line->len > 0 && !is_blank(*line->data))
		line->data++, line->len--, word.len++;
	return word;
}

RgSlice
rg_ring_take_line(RgSlice *text)
{
	const char *end = memchr(text->data, '\n', text->len);
	RgSlice		line = {text->data, end ? (size_t) (end - text->data) : text->len};
	size_t		used = line.len + (end != NULL);

	text->data += used;
	text->len -= used;
	return line;
}

bool
rg_ring_line_has_key(RgSlice line)
{
	RgSlice		first = take_word(&line);

	return first.len > 0 && *first.data != '#';
}

static bool
read_id(RgSlice word, uint32_t *id)
{
	uint64_t	value = 0;

	if (word.len == 0 || word.len > 10)
		return false;
	for (size_t i = 0; i < word.len; i++)
	{
		if (word.data[i] < '0' || word.data[i] > '9')
			return false;
		value = value * 10 + (word.data[i] - '0');
	}
	*id = (uint32_t) value;
	return value > 0 && value <= INT32_MAX;
}

static bool
read_secret(RgSlice word, uint8_t secret[RG_KEY_BYTES])
{
	size_t		len;
	const char *end;

	return sodium_base642bin(secret, RG_KEY_BYTES, word.data, word.len, NULL,
							 &len, &end, sodium_base64_VARIANT_ORIGINAL) == 0 &&
		len == RG_KEY_BYTES && end == word.data + word.len;
}

/* False, and active, when the word is no state. */
static bool
read_state(RgSlice word, RgKeyState *state)
{
	*state = RG_KEY_ACTIVE;
	if (rg_slice_is(word, "primary"))
		*state = RG_KEY_PRIMARY;
	else if (rg_slice_is(word, "retired"))
		*state = RG_KEY_RETIRED;
	return *state != RG_KEY_ACTIVE;
}

/* 2026-02-28T23:59:59Z and no other form, so that it is written as it was. */
static bool
is_created(RgSlice word)
{
	return word.len == RG_CREATED_LEN && word.data[10] == 'T' &&
		word.data[RG_CREATED_LEN - 1] == 'Z' && word.data[17] < '6' &&
		rg_format_date_time(word);
}

static bool
read_created(RgSlice word, char created[RG_CREATED_LEN + 1])
{
	created[0] = '\0';
	if (word.len == 0)
		return true;
	if (!is_created(word))
		return false;
	memcpy(created, word.data, word.len);
	created[word.len] = '\0';
	return true;
}

const char *
rg_ring_line_read(RgSlice line, RgRingKey *key)
{
	RgSlice		word;

	if (!read_id(take_word(&line), &key->id))
		return "does not start with a key id from 1 to 2147483647";
	if (!read_secret(take_word(&line), key->secret))
		return "has no base64 of 32 bytes after its id";
	word = take_word(&line);
	if (read_state(word, &key->state))
		word = take_word(&line);
	if (!read_created(word, key->created) || take_word(&line).len > 0)
		return "ends with something other than primary or retired, and a time such as 2026-02-28T23:59:59Z";
	return NULL;
}

const char *
rg_ring_state_name(RgKeyState state)
{
	static const char *const names[] = {
		[RG_KEY_ACTIVE] = "active",
		[RG_KEY_PRIMARY] = "primary",
		[RG_KEY_RETIRED] = "retired",
	};

	return names[state];
}

/* An active key's has no word for that */
static const char *
state_word(RgKeyState state)
{
	return state == RG_KEY_ACTIVE ? "" : rg_ring_state_name(state);
}

size_t
rg_ring_line_write(const RgRingKey *key, char line[RG_RING_LINE_SIZE])
{
	char		secret[sodium_base64_ENCODED_LEN(RG_KEY_BYTES, sodium_base64_VARIANT_ORIGINAL)];
	const char *state = state_word(key->state);
	int			len;

	sodium_bin2base64(secret, sizeof secret, key->secret, sizeof key->secret,
					  sodium_base64_VARIANT_ORIGINAL);
	len = snprintf(line, RG_RING_LINE_SIZE, "%u %s%s%s%s%s\n", key->id, secret,
				   *state ? " " : "", state, *key->created ? " " : "", key->created);
	sodium_memzero(secret, sizeof secret);
	return len;
}

/* Where the words before the state end. */
static const char *
end_of_secret(RgSlice line)
{
	take_word(&line);
	take_word(&line);
	return line.data;
}

size_t
rg_ring_line_restate(RgSlice line, RgKeyState state, char *out)
{
	const char *secret_end = end_of_secret(line);
	size_t		kept = secret_end - line.data;
	RgSlice		rest = {secret_end, line.len - kept};
	RgSlice		after = rest;
	const char *word = state_word(state);
	RgKeyState	former;
	size_t		len = kept;

	if (read_state(take_word(&after), &former))
		rest = after;
	memcpy(out, line.data, kept);
	if (*word != '\0')
	{
		out[len++] = ' ';
		memcpy(out + len, word, strlen(word));
		len += strlen(word);
	}
	memcpy(out + len, rest.data, rest.len);
	return len + rest.len;
}

uint32_t
rg_ring_first_id(void)
{
	return 100000 + randombytes_uniform(900000);
}

void
rg_ring_key_new(RgRingKey *key, uint32_t id, RgKeyState state)
{
	time_t		now = time(NULL);
	struct tm	utc;

	key->id = id;
	key->state = state;
	randombytes_buf(key->secret, sizeof key->secret);
	key->created[0] = '\0';
	if (gmtime_r(&now, &utc) != NULL)
		strftime(key->created, sizeof key->created, "%Y-%m-%dT%H:%M:%SZ", &utc);
}
