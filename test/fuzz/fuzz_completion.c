/*
 * fuzz_completion.c
 *		What a provider says, and orders to ask it, are refused or read; what is made
 *		of them for clients is JSON, and has no line ends.
 */
#include "fuzz.h"

#include <jansson.h>

#include "gateway/order_json.h"
#include "gateway/provider_order.h"

static void
require_json(const RgText *text)
{
	json_t	   *root = json_loadb(text->data, text->len, JSON_ALLOW_NUL, NULL);

	require(json_is_object(root));
	require(memchr(text->data, '\n', text->len) == NULL && memchr(text->data, '\0', text->len) == NULL);
	json_decref(root);
}

static void
check_text(RgSlice text)
{
	size_t		size = 6 * text.len + 256;
	char	   *buffer = malloc(size);
	RgText		out = {buffer, size, 0};
	RgCompletionEnd end = {.model = text,.finish_reason = text};

	rg_completion_put_text(&out, text);
	require(out.len <= out.cap);
	require_json(&out);
	out.len = 0;
	rg_completion_put_error(&out, RG_SLICE("c"), text);
	require(out.len <= out.cap);
	require_json(&out);
	free(buffer);
	size = 18 * text.len + 256;
	buffer = malloc(size);
	out = (RgText)
	{
		buffer, size, 0
	};
	rg_completion_put_reply(&out, text, &end);
	require(out.len <= out.cap);
	require_json(&out);
	free(buffer);
}

/* The pieces make the whole, and none is empty or too long. */
static void
check_pieces(RgSlice text)
{
	RgSlice		rest = text;
	size_t		len = 0;

	while (rest.len > 0)
	{
		RgSlice		piece = rg_completion_take_piece(&rest, 5);

		require(piece.len > 0 && piece.len <= 5 && piece.data == text.data + len);
		len += piece.len;
	}
	require(len == text.len);
}

static void
check_chunk(bool read, RgCompletionChunk *chunk)
{
	if (!read)
	{
		require(chunk->json == NULL);
		return;
	}
	require(!chunk->usage.known || (chunk->usage.input >= 0 && chunk->usage.output >= 0 &&
									chunk->usage.input <= RG_COMPLETION_MAX_TOKENS &&
									chunk->usage.output <= RG_COMPLETION_MAX_TOKENS));
	require(chunk->text.len <= chunk->produced);
	if (chunk->text.len > 0)
	{
		check_text(chunk->text);
		check_pieces(chunk->text);
	}
	rg_completion_chunk_free(chunk);
}

static void
check_message(RgSlice text)
{
	char		message[4 * RG_COMPLETION_MAX_MESSAGE];
	size_t		len = rg_completion_message(text, message);

	require(len <= sizeof message);
	for (size_t i = 0; i < len; i++)
		require((unsigned char) message[i] >= ' ' && message[i] != 0x7F);
}

static void
check_order(RgSlice text)
{
	RgProviderOrder order;
	const char *name;
	const char *value;

	if (!rg_provider_order_read(text, &order))
	{
		require(order.json == NULL);
		return;
	}
	for (int i = 0; rg_order_header(order.json, i, &name, &value); i++)
		require(strpbrk(name, "\r\n: ") == NULL && strpbrk(value, "\r\n") == NULL);
	require(strpbrk(order.target, "\r\n #") == NULL && strpbrk(order.url, "\r\n ") == NULL);
	(void) !rg_provider_order_tells(&order, text);
	rg_provider_order_free(&order);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	RgSlice		text = {(const char *) data, size};
	RgCompletionChunk chunk;

	check_chunk(rg_completion_chunk_read(text, &chunk), &chunk);
	check_chunk(rg_completion_whole_read(text, &chunk), &chunk);
	check_message(text);
	check_order(text);
	if (size > 0)
	{
		check_text(text);
		check_pieces(text);
	}
	return 0;
}
