/*
 * fuzz_sse.c
 *		Server-sent events are the same whether their bytes come at once, one by one
 *		or in pieces as the input says; and what is written as an event is read as it.
 */
#include "fuzz.h"

#include "gateway/sse_parse.h"
#include "gateway/sse_text.h"

/* Events that were taken, one behind the other, a NUL behind each part. */
typedef struct Taken
{
	RgGrowing	text;
	bool		bad;
}			Taken;

static void
note(Taken * taken, RgSlice part)
{
	require(rg_growing_append(&taken->text, part, SIZE_MAX / 2));
	require(rg_growing_append(&taken->text, rg_slice("", 1), SIZE_MAX / 2));
}

/* Pieces lie in blocks of just their size, so that a read beyond one is seen. */
static void
take_piece(RgSseParser *parser, RgSlice bytes, Taken * taken)
{
	char	   *copy = malloc(bytes.len + !bytes.len);
	RgSlice		rest = {copy, bytes.len};
	RgSseEvent	event;
	RgSseTaken	what;

	if (bytes.len > 0)
		memcpy(copy, bytes.data, bytes.len);
	while ((what = rg_sse_take(parser, &rest, &event)) == RG_SSE_EVENT)
	{
		require(memchr(event.data.data, '\r', event.data.len) == NULL);
		note(taken, event.name);
		note(taken, event.data);
	}
	require(what == RG_SSE_BAD || rest.len == 0);
	taken->bad = what == RG_SSE_BAD;
	free(copy);
}

static Taken
take_all(RgSlice bytes, const uint8_t *steps, size_t nsteps)
{
	RgSseParser parser = {0};
	Taken		taken = {0};

	for (size_t i = 0; bytes.len > 0 && !taken.bad; i++)
	{
		size_t		step = nsteps == 0 ? bytes.len : (size_t) steps[i % nsteps] % 7 + 1;
		RgSlice		piece = {bytes.data, step < bytes.len ? step : bytes.len};

		bytes = rg_slice(bytes.data + piece.len, bytes.len - piece.len);
		take_piece(&parser, piece, &taken);
	}
	rg_sse_parser_free(&parser);
	return taken;
}

static void
check_same(Taken * a, Taken * b)
{
	require(a->bad == b->bad);
	require(rg_slice_equal(rg_growing_slice(&a->text), rg_growing_slice(&b->text)));
	rg_growing_free(&b->text);
}

/* Data whose line ends are LF comes back as it was; others become LF. */
static void
check_written(RgSlice data)
{
	size_t		size = 8 * data.len + 64;
	char	   *buffer = malloc(size);
	RgText		text = {buffer, size, 0};
	RgSseParser parser = {0};
	RgSseEvent	event;
	RgSlice		bytes;

	rg_sse_event(&text, RG_SLICE("1"), RG_SLICE("e"), data);
	require(text.len <= text.cap);
	bytes = rg_slice(buffer, text.len);
	require(rg_sse_take(&parser, &bytes, &event) == RG_SSE_EVENT);
	require(rg_slice_is(event.name, "e") && event.data.len <= data.len);
	require(memchr(data.data, '\r', data.len) != NULL || rg_slice_equal(event.data, data));
	require(bytes.len == 0);
	rg_sse_parser_free(&parser);
	free(buffer);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	RgSlice		bytes = {(const char *) data, size};
	const uint8_t one = 0;
	Taken		whole = take_all(bytes, NULL, 0);
	Taken		single = take_all(bytes, &one, 1);
	Taken		pieces = take_all(bytes, data, size);

	check_same(&whole, &single);
	check_same(&whole, &pieces);
	rg_growing_free(&whole.text);
	if (size > 0 && size < 65536)
		check_written(bytes);
	return 0;
}
