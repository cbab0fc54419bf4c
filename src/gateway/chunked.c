/*
 * chunked.c
 *		Chunked bodies; chunked.h has the contract.
 *
 * One function a state, each of which takes one character.
 */
#include "chunked.h"

#include "http1.h"

typedef int (*TakeChar) (RgChunked *chunked, char c);

static int
refuse(RgChunked *chunked, int status, const char *why)
{
	chunked->error = why;
	return -status;
}

static int
go(RgChunked *chunked, RgChunkState state)
{
	chunked->state = state;
	return 0;
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int
take_size(RgChunked *chunked, char c)
{
	int			value = hex_value(c);

	if (value >= 0 && chunked->digits == RG_CHUNK_MAX_DIGITS)
		return refuse(chunked, 413, "a chunk's size has too many digits");
	if (value >= 0)
	{
		chunked->digits++;
		chunked->left = chunked->left << 4 | value;
		return 0;
	}
	if (chunked->digits > 0 && c == ';')
		return go(chunked, RG_CHUNK_EXTENSION);
	if (chunked->digits > 0 && c == '\r')
		return go(chunked, RG_CHUNK_SIZE_LF);
	return refuse(chunked, 400, "a chunk's size is malformed");
}

static int
take_extension(RgChunked *chunked, char c)
{
	if (c == '\r')
		return go(chunked, RG_CHUNK_SIZE_LF);
	if (((uint8_t) c < 0x20 && c != '\t') || c == 0x7f)
		return refuse(chunked, 400, "a chunk's extension holds a control character");
	if (++chunked->extensions > RG_CHUNK_MAX_EXTENSIONS)
		return refuse(chunked, 400, "a chunk's extension is too long");
	return 0;
}

static int
take_size_lf(RgChunked *chunked, char c)
{
	if (c != '\n')
		return refuse(chunked, 400, "a chunk's size ends in a bare CR");
	chunked->digits = 0;
	chunked->extensions = 0;
	return go(chunked, chunked->left > 0 ? RG_CHUNK_DATA : RG_CHUNK_TRAILER_NAME);
}

static int
take_data_cr(RgChunked *chunked, char c)
{
	if (c != '\r')
		return refuse(chunked, 400, "a chunk is longer than its size");
	return go(chunked, RG_CHUNK_DATA_LF);
}

static int
take_data_lf(RgChunked *chunked, char c)
{
	if (c != '\n')
		return refuse(chunked, 400, "a chunk ends in a bare CR");
	return go(chunked, RG_CHUNK_SIZE);
}

static int
count_trailer(RgChunked *chunked)
{
	if (++chunked->trailers > RG_CHUNK_MAX_TRAILERS)
		return refuse(chunked, 431, "the trailers are too long");
	return 0;
}

static int
take_trailer_name(RgChunked *chunked, char c)
{
	if (c == '\r' && !chunked->named)
		return go(chunked, RG_CHUNK_LAST_LF);
	if (c == ':' && chunked->named)
		go(chunked, RG_CHUNK_TRAILER_VALUE);
	else if (!rg_http_token_char(c))
		return refuse(chunked, 400, "a trailer's name is malformed");
	chunked->named = true;
	return count_trailer(chunked);
}

static int
take_trailer_value(RgChunked *chunked, char c)
{
	if (c == '\r')
		return go(chunked, RG_CHUNK_TRAILER_LF);
	if (((uint8_t) c < 0x20 && c != '\t') || c == 0x7f)
		return refuse(chunked, 400, "a trailer holds a control character");
	return count_trailer(chunked);
}

static int
take_trailer_lf(RgChunked *chunked, char c)
{
	if (c != '\n')
		return refuse(chunked, 400, "a trailer ends in a bare CR");
	chunked->named = false;
	return go(chunked, RG_CHUNK_TRAILER_NAME);
}

static int
take_last_lf(RgChunked *chunked, char c)
{
	if (c != '\n')
		return refuse(chunked, 400, "the body ends in a bare CR");
	return go(chunked, RG_CHUNK_END);
}

/* A run of data, up to the end of the chunk or of the input. */
static int
take_data(RgChunked *chunked, RgSlice *input, RgSlice *data)
{
	size_t		len = input->len < chunked->left ? input->len : chunked->left;

	*data = rg_slice(input->data, len);
	input->data += len;
	input->len -= len;
	chunked->left -= len;
	if (chunked->left == 0)
		go(chunked, RG_CHUNK_DATA_CR);
	return 1;
}

int
rg_chunked_next(RgChunked *chunked, RgSlice *input, RgSlice *data)
{
	static const TakeChar take[] = {
		[RG_CHUNK_SIZE] = take_size,
		[RG_CHUNK_EXTENSION] = take_extension,
		[RG_CHUNK_SIZE_LF] = take_size_lf,
		[RG_CHUNK_DATA_CR] = take_data_cr,
		[RG_CHUNK_DATA_LF] = take_data_lf,
		[RG_CHUNK_TRAILER_NAME] = take_trailer_name,
		[RG_CHUNK_TRAILER_VALUE] = take_trailer_value,
		[RG_CHUNK_TRAILER_LF] = take_trailer_lf,
		[RG_CHUNK_LAST_LF] = take_last_lf,
	};

	while (input->len > 0 && chunked->state != RG_CHUNK_END)
	{
		int			status;

		if (chunked->state == RG_CHUNK_DATA)
			return take_data(chunked, input, data);
		status = take[chunked->state] (chunked, *input->data);
		if (status < 0)
			return status;
		input->data++;
		input->len--;
	}
	return 0;
}
