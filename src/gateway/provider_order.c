/*
 * provider_order.c
 *		Orders of serve() to ask a provider; provider_order.h has the contract.
 */
#include "provider_order.h"

#include <jansson.h>
#include <sodium.h>

#include "order_json.h"

#define MAX_ANSWERS 128			/* of one request, each with all the tokens */
#define MIN_KEY 8				/* bytes of a word of a header that may be a
								 * key */

static bool
is_count(int64_t tokens, int64_t most)
{
	return tokens >= 0 && tokens <= most;
}

/* A client follows its events only as they come from the provider. */
static bool
check_events(const RgProviderOrder *order)
{
	return order->shape != RG_SHAPE_EVENTS || order->token[0] != '\0';
}

static bool
check(const RgProviderOrder *order)
{
	return rg_order_url_valid(order->url) && rg_order_target_valid(order->target) &&
		strlen(order->reservation) == RG_RESERVATION_LEN &&
		order->connect_ms > 0 && order->answer_ms > 0 && order->idle_ms > 0 &&
		order->max_response >= 0 && order->lease_ms > 0 &&
		is_count(order->input_tokens, RG_COMPLETION_MAX_TOKENS) &&
		is_count(order->max_output_tokens, MAX_ANSWERS * RG_COMPLETION_MAX_TOKENS) &&
		check_events(order) && rg_order_headers_valid(order->json);
}

static bool
unpack_names(RgProviderOrder *order)
{
	const char *kind;
	const char *shape;
	const char *body;
	size_t		body_len;

	if (json_unpack(order->json, "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s%}",
					"kind", &kind, "upstream", &order->upstream, "url", &order->url,
					"target", &order->target, "model", &order->model,
					"reservation", &order->reservation, "shape", &shape,
					"body", &body, &body_len) != 0)
		return false;
	order->body = rg_slice(body, body_len);
	return strcmp(kind, "completion") == 0 && rg_completion_shape_named(shape, &order->shape);
}

static bool
read_number(const RgProviderOrder *order, const char *name, int64_t *number)
{
	const json_t *member = json_object_get(order->json, name);

	*number = json_integer_value(member);
	return json_is_integer(member);
}

static bool
unpack_numbers(RgProviderOrder *order)
{
	order->stream = json_is_true(json_object_get(order->json, "stream"));
	order->usage_asked = json_is_true(json_object_get(order->json, "usage_asked"));
	return read_number(order, "connect_ms", &order->connect_ms) &&
		read_number(order, "answer_ms", &order->answer_ms) &&
		read_number(order, "idle_ms", &order->idle_ms) &&
		read_number(order, "max_response", &order->max_response) &&
		read_number(order, "lease_ms", &order->lease_ms) &&
		read_number(order, "input_tokens", &order->input_tokens) &&
		read_number(order, "max_output_tokens", &order->max_output_tokens);
}

static bool
unpack_events(RgProviderOrder *order)
{
	const json_t *events = json_object_get(order->json, "events");
	const json_t *number = json_object_get(events, "number");
	const json_t *token = json_object_get(events, "token");

	if (events == NULL || json_is_null(events))
		return true;
	if (!json_is_integer(number) || json_string_length(token) != RG_SSE_TOKEN_LEN)
		return false;
	order->events = json_integer_value(number);
	memcpy(order->token, json_string_value(token), sizeof order->token);
	return true;
}

bool
rg_provider_order_read(RgSlice text, RgProviderOrder *order)
{
	memset(order, 0, sizeof *order);
	order->json = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
	if (order->json != NULL && unpack_names(order) && unpack_numbers(order) &&
		unpack_events(order) && check(order))
		return true;
	rg_provider_order_free(order);
	return false;
}

static bool
contains(RgSlice text, const char *word)
{
	size_t		len = strlen(word);

	for (; text.len >= len; text.data++, text.len--)
		if (memcmp(text.data, word, len) == 0)
			return true;
	return false;
}

/* Of "Bearer <key>" the last word. */
bool
rg_provider_order_tells(const RgProviderOrder *order, RgSlice text)
{
	const char *name;
	const char *value;

	for (int i = 0; rg_order_header(order->json, i, &name, &value); i++)
	{
		const char *space = strrchr(value, ' ');
		const char *word = space != NULL ? space + 1 : value;

		if (strlen(word) >= MIN_KEY && contains(text, word))
			return true;
	}
	return false;
}

void
rg_provider_order_drop_body(RgProviderOrder *order)
{
	json_object_del(order->json, "body");
	order->body = rg_slice(NULL, 0);
}

void
rg_provider_order_free(RgProviderOrder *order)
{
	const json_t *headers = json_object_get(order->json, "headers");
	const json_t *header;
	size_t		i;

	json_array_foreach(headers, i, header)
		if (json_is_string(header))
		sodium_memzero((char *) json_string_value(header), json_string_length(header));
	json_decref(order->json);
	order->json = NULL;
}
