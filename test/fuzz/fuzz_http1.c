/*
 * fuzz_http1.c
 *		However a request is cut into pieces, it is read the same.
 */
#include "fuzz.h"

#include "gateway/chunked.h"
#include "gateway/http1.h"
#include "gateway/target.h"
#include "urldecode.h"

typedef struct Body
{
	int			status;
	size_t		len;
	size_t		used;			/* of the input */
	char	   *data;
} Body;

/* Each call gets a copy of its own, so that reading on is seen. */
static int
read_in_steps(const char *data, size_t size, size_t step, RgHttpHead *head)
{
	size_t		scanned = 0;
	int			result = 0;

	for (size_t len = step < size ? step : size; result == 0; len += step)
	{
		char	   *copy;

		if (len > size)
			len = size;
		copy = malloc(len + !len);
		memcpy(copy, data, len);
		result = rg_http_head(copy, len, &scanned, head);
		free(copy);
		if (len == size)
			break;
	}
	return result;
}

static void
check_same(const RgHttpHead *a, const RgHttpHead *b)
{
	require(a->method.len == b->method.len && a->target.len == b->target.len);
	require(a->host.len == b->host.len && a->nheaders == b->nheaders);
	require(a->minor == b->minor && a->keep_alive == b->keep_alive);
	require(a->chunked == b->chunked && a->content_length == b->content_length);
	require(a->expects_continue == b->expects_continue);
}

/* A refused head has headers, too: those that came whole. */
static void
check_headers(const RgHttpHead *head)
{
	require(head->nheaders <= RG_HTTP_MAX_HEADERS);
	for (int i = 0; i < head->nheaders; i++)
	{
		RgSlice		value = head->headers[i].value;

		require(head->headers[i].name.len > 0);
		require(value.len == 0 || (memchr(value.data, '\0', value.len) == NULL &&
								   memchr(value.data, '\n', value.len) == NULL &&
								   memchr(value.data, '\r', value.len) == NULL));
	}
}

/* What every accepted head must be. */
static void
check_head(const RgHttpHead *head, int len)
{
	require(len <= RG_HTTP_MAX_HEAD);
	require(!(head->chunked && head->content_length >= 0));
	require(head->minor == 0 || head->host.len > 0);
	require(head->target.len > 0 && head->target.len <= RG_HTTP_MAX_TARGET);
}

/* The path after its one decoding climbs nowhere, in the eyes of any server. */
static void
check_path(RgSlice path)
{
	char	   *decoded = malloc(path.len + 1);
	size_t		len;

	require(rg_url_decode(path, RG_URL_PATH, decoded, &len));
	require(len == 0 || memchr(decoded, '\\', len) == NULL);
	for (size_t i = 0; i + 3 <= len; i++)
		require(memcmp(decoded + i, "/..", 3) != 0 ||
				(i + 3 < len && decoded[i + 3] != '/'));
	free(decoded);
}

static void
check_target(const RgHttpHead *head)
{
	RgTarget	target;

	if (!rg_target_split(head->method, head->target, &target))
	{
		require(target.error != NULL);
		return;
	}
	require(target.path.data[0] == '/' || rg_slice_is(target.path, "*"));
	require(target.path.len + target.query.len <= head->target.len);
	check_path(target.path);
}

static Body
decode(const char *data, size_t size, size_t step)
{
	RgChunked	chunked = {0};
	Body		body = {.data = malloc(size + 1)};

	while (body.used < size && body.status == 0 && chunked.state != RG_CHUNK_END)
	{
		size_t		len = size - body.used < step ? size - body.used : step;
		RgSlice		input = {data + body.used, len};
		RgSlice		piece;

		while ((body.status = rg_chunked_next(&chunked, &input, &piece)) > 0)
		{
			memcpy(body.data + body.len, piece.data, piece.len);
			body.len += piece.len;
		}
		body.used += len - input.len;
	}
	if (body.status == 0 && chunked.state == RG_CHUNK_END)
		body.status = 1;
	return body;
}

static void
check_chunks(const char *data, size_t size, size_t step)
{
	Body		once = decode(data, size, size + 1);
	Body		steps = decode(data, size, step);

	require(once.status == steps.status);
	require(once.status < 0 || (once.len == steps.len && once.used == steps.used &&
								memcmp(once.data, steps.data, once.len) == 0));
	free(once.data);
	free(steps.data);
}

/* The first byte chooses the length of the pieces. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	RgHttpHead	head;
	RgHttpHead	steps;
	const char *text = (const char *) data + 1;
	size_t		scanned = 0;
	size_t		step;
	int			len;

	if (size < 1)
		return 0;
	step = data[0] % 64 + 1;
	len = rg_http_head(text, size - 1, &scanned, &head);
	require(len == read_in_steps(text, size - 1, step, &steps));
	if (len != 0)
		check_headers(&head);
	if (len > 0)
	{
		check_same(&head, &steps);
		check_head(&head, len);
		check_target(&head);
	}
	check_chunks(text, size - 1, step);
	return 0;
}
