/*
 * completion_chunk.c
 *		What a provider says of a completion; completion_chunk.h has the contract.
 */
#include "completion_chunk.h"

#include <jansson.h>

#include "json_body.h"
#include "utf8.h"

#define BYTES_A_TOKEN 3

/* What is parsed costs far more memory and time than it has bytes. */
#define MAX_CHUNK_VALUES 50000
#define MAX_WHOLE_VALUES 500000 /* with the probabilities of many tokens */
#define MAX_DEPTH 16

static RgSlice
string_of(const json_t *value)
{
	return rg_slice(json_string_value(value), json_string_length(value));
}

/* What stands in a choice, but was not made by the model. */
static bool
is_frame(const char *name)
{
	return strcmp(name, "role") == 0 || strcmp(name, "id") == 0 || strcmp(name, "type") == 0;
}

/* All text: content, refusal, reasoning, names and arguments of tools. */
static size_t
count_text(json_t *value, int depth)
{
	size_t		bytes = json_string_length(value);
	const char *name;
	json_t	   *member;
	size_t		i;

	if (depth == MAX_DEPTH)
		return bytes;
	json_array_foreach(value, i, member)
		bytes += count_text(member, depth + 1);
	json_object_foreach(value, name, member)
		if (!is_frame(name))
		bytes += count_text(member, depth + 1);
	return bytes;
}

static bool
read_count(const json_t *usage, const char *name, int64_t *count)
{
	const json_t *member = json_object_get(usage, name);

	*count = json_integer_value(member);
	return json_is_integer(member) && *count >= 0 && *count <= RG_COMPLETION_MAX_TOKENS;
}

static void
read_usage(const json_t *root, RgCompletionUsage *usage)
{
	const json_t *given = json_object_get(root, "usage");

	usage->known = read_count(given, "prompt_tokens", &usage->input) &&
		read_count(given, "completion_tokens", &usage->output);
}

/* The first choice is that of index 0, where choices say which they are. */
static bool
is_first(const json_t *choice)
{
	return json_integer_value(json_object_get(choice, "index")) == 0;
}

static void
read_choices(const json_t *root, const char *part, RgCompletionChunk *chunk)
{
	const json_t *choices = json_object_get(root, "choices");
	const json_t *choice;
	size_t		i;

	chunk->choices = json_array_size(choices) > 0;
	json_array_foreach(choices, i, choice)
	{
		json_t	   *made = json_object_get(choice, part);

		chunk->produced += count_text(made, 0);
		if (!is_first(choice))
			continue;
		chunk->text = string_of(json_object_get(made, "content"));
		chunk->finish_reason = string_of(json_object_get(choice, "finish_reason"));
	}
}

static bool
read_json(RgSlice text, const char *part, size_t most_values, RgCompletionChunk *chunk)
{
	const json_t *error;

	memset(chunk, 0, sizeof *chunk);
	if (rg_json_bounded(text, most_values))
		chunk->json = json_loadb(text.data, text.len, JSON_ALLOW_NUL, NULL);
	if (!json_is_object(chunk->json))
	{
		rg_completion_chunk_free(chunk);
		return false;
	}
	error = json_object_get(chunk->json, "error");
	chunk->failed = error != NULL && !json_is_null(error);
	read_choices(chunk->json, part, chunk);
	read_usage(chunk->json, &chunk->usage);
	return true;
}

bool
rg_completion_chunk_read(RgSlice text, RgCompletionChunk *chunk)
{
	return read_json(text, "delta", MAX_CHUNK_VALUES, chunk);
}

bool
rg_completion_whole_read(RgSlice text, RgCompletionChunk *chunk)
{
	return read_json(text, "message", MAX_WHOLE_VALUES, chunk);
}

void
rg_completion_chunk_free(RgCompletionChunk *chunk)
{
	json_decref(chunk->json);
	chunk->json = NULL;
}

static bool
is_control(RgSlice character)
{
	unsigned char first = *character.data;

	return first < ' ' || first == 0x7F ||
		(first == 0xC2 && character.len == 2 && (unsigned char) character.data[1] < 0xA0);
}

static size_t
copy_printable(RgSlice text, char *out)
{
	size_t		len = 0;

	for (int i = 0; i < RG_COMPLETION_MAX_MESSAGE && text.len > 0; i++)
	{
		RgSlice		character = rg_slice(text.data, rg_utf8_first(text));

		text = rg_slice(text.data + character.len, text.len - character.len);
		if (is_control(character))
			character = RG_SLICE(" ");
		memcpy(out + len, character.data, character.len);
		len += character.len;
	}
	return len;
}

size_t
rg_completion_message(RgSlice body, char message[4 * RG_COMPLETION_MAX_MESSAGE])
{
	json_t	   *root = json_loadb(body.data, body.len, JSON_ALLOW_NUL, NULL);
	json_t	   *text = json_object_get(json_object_get(root, "error"), "message");
	size_t		len = copy_printable(string_of(text), message);

	json_decref(root);
	return len;
}

int64_t
rg_completion_estimate(size_t bytes)
{
	return bytes / BYTES_A_TOKEN + (bytes % BYTES_A_TOKEN > 0);
}
