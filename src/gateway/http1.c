/*
 * http1.c
 *		The strict HTTP/1.1 head; http1.h has the contract.
 *
 * A head is looked at twice.  While bytes come in only line ends are, to find
 * the empty line; when that is there, the whole head is read from the start.
 * So the verdict cannot depend on how the bytes were cut.
 */
#include "http1.h"

/* What is still to be read of a head that is there as a whole. */
typedef struct Cursor
{
	const char *at;
	const char *end;			/* behind the CRLF of the empty line */
	RgHttpHead *head;
} Cursor;

/* Notes why, and returns the status as rg_http_head() does. */
static int
refuse(RgHttpHead *head, int status, const char *why)
{
	head->error = why;
	return -status;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool
rg_http_token_char(char c)
{
	static const bool token[256] = {
		['!'] = true,['#'] = true,['$'] = true,['%'] = true,['&'] = true,
		['\''] = true,['*'] = true,['+'] = true,['-'] = true,['.'] = true,
		['^'] = true,['_'] = true,['`'] = true,['|'] = true,['~'] = true,
		['0'...'9'] = true,['A'...'Z'] = true,['a'...'z'] = true,
	};

	return token[(uint8_t) c];
}

/* A character of a header's value: no control character but the tab. */
static bool
is_value_char(char c)
{
	return ((uint8_t) c >= 0x20 && c != 0x7f) || c == '\t';
}

static bool
is_target_char(char c)
{
	return c > 0x20 && c < 0x7f;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

bool
rg_http_line_blank(RgSlice line)
{
	return line.len == 0 || *line.data == '\r' || *line.data == '\n';
}

/* Most names differ at once: their lengths are not worth asking for. */
bool
rg_http_name_is(RgSlice name, const char *lower)
{
	if (name.data == NULL)
		return false;
	for (size_t i = 0; i < name.len; i++)
	{
		char		c = name.data[i];

		if ((c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c) != lower[i] || c == '\0')
			return false;
	}
	return lower[name.len] == '\0';
}

/*
 * Finds the empty line.  Returns the length of the head with it, 0 when it has
 * not come, or a refusal at the first line that ends in a bare LF.
 */
static int
find_end(const char *data, size_t len, size_t *scanned, RgHttpHead *head)
{
	const char *lf;

	while ((lf = memchr(data + *scanned, '\n', len - *scanned)) != NULL)
	{
		size_t		at = lf - data;

		if (at == 0 || data[at - 1] != '\r')
			return refuse(head, 400, "a line ends in a bare LF");
		if (at == 1)
			return refuse(head, 400, "an empty line comes before the request");
		*scanned = at + 1;
		if (data[at - 2] == '\n')
			return at + 1;
	}
	return 0;
}

static int
refuse_too_long(const char *data, RgHttpHead *head)
{
	if (memchr(data, '\n', RG_HTTP_MAX_HEAD) == NULL)
		return refuse(head, 414, "the request line is too long");
	return refuse(head, 431, "the headers are too long");
}

static int
read_method(Cursor *cursor)
{
	const char *start = cursor->at;

	while (rg_http_token_char(*cursor->at))
		cursor->at++;
	cursor->head->method = rg_slice(start, cursor->at - start);
	if (cursor->at == start || cursor->head->method.len > RG_HTTP_MAX_METHOD)
		return refuse(cursor->head, 400, "the method is not a token");
	if (*cursor->at++ != ' ')
		return refuse(cursor->head, 400, "one space must follow the method");
	return 0;
}

static int
read_target(Cursor *cursor)
{
	const char *start = cursor->at;

	while (is_target_char(*cursor->at))
		cursor->at++;
	cursor->head->target = rg_slice(start, cursor->at - start);
	if (cursor->at == start)
		return refuse(cursor->head, 400, "the target is missing");
	if (*cursor->at++ != ' ')
		return refuse(cursor->head, 400, "the target holds a character it must not");
	if (cursor->head->target.len > RG_HTTP_MAX_TARGET)
		return refuse(cursor->head, 414, "the target is too long");
	return 0;
}

/* Does the line hold HTTP/, a digit, a dot, a digit and its end? */
static bool
is_version(const char *at, const char *end)
{
	return end - at >= 10 && memcmp(at, "HTTP/", 5) == 0 && is_digit(at[5]) &&
		at[6] == '.' && is_digit(at[7]) && at[8] == '\r' && at[9] == '\n';
}

static int
read_version(Cursor *cursor)
{
	const char *at = cursor->at;

	if (!is_version(at, cursor->end))
		return refuse(cursor->head, 400, "the request line does not end in a version");
	if (at[5] != '1' || at[7] > '1')
		return refuse(cursor->head, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
	cursor->head->minor = at[7] - '0';
	cursor->head->keep_alive = cursor->head->minor == 1;
	cursor->at += 10;
	return 0;
}

static RgSlice
trim(const char *start, const char *end)
{
	while (start < end && is_blank(*start))
		start++;
	while (end > start && is_blank(end[-1]))
		end--;
	return rg_slice(start, end - start);
}

/* A line that starts with a blank (obs-fold) has no name, and is refused. */
static int
read_name(Cursor *cursor, RgHeader *header)
{
	const char *start = cursor->at;

	while (rg_http_token_char(*cursor->at))
		cursor->at++;
	header->name = rg_slice(start, cursor->at - start);
	if (cursor->at == start)
		return refuse(cursor->head, 400, "a header has no name, or is folded");
	if (*cursor->at++ != ':')
		return refuse(cursor->head, 400, "a colon must follow a header's name at once");
	return 0;
}

/* Is one of those eight bytes below ' ', or DEL? */
static bool
has_control(const char *at)
{
	const uint64_t ones = UINT64_MAX / 255;
	uint64_t	word;
	uint64_t	del;

	memcpy(&word, at, sizeof word);
	del = word ^ ones * 0x7f;
	return ((((word - ones * 0x20) & ~word) | ((del - ones) & ~del)) & ones * 0x80) != 0;
}

/* Most of a head is values: they are looked at eight bytes at a time. */
static int
read_value(Cursor *cursor, RgHeader *header)
{
	const char *start = cursor->at;

	while (cursor->end - cursor->at >= 8 && !has_control(cursor->at))
		cursor->at += 8;
	while (is_value_char(*cursor->at))
		cursor->at++;
	if (cursor->at[0] != '\r' || cursor->at[1] != '\n')
		return refuse(cursor->head, 400, "a header's value holds a control character");
	header->value = trim(start, cursor->at);
	cursor->at += 2;
	return 0;
}

static bool
is_host_char(char c)
{
	return is_letter(c) || is_digit(c) || c == '-' || c == '.' || c == '_';
}

static bool
is_address_char(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') ||
		c == ':' || c == '.';
}

/* The length of [v6 address] at the start of a Host, 0 if there is none. */
static size_t
bracketed_length(RgSlice host)
{
	size_t		i = 1;

	if (host.len == 0 || host.data[0] != '[')
		return 0;
	while (i < host.len && is_address_char(host.data[i]))
		i++;
	return i > 1 && i < host.len && host.data[i] == ']' ? i + 1 : 0;
}

RgSlice
rg_http_host_name(RgSlice host)
{
	size_t		len = bracketed_length(host);

	if (len == 0)
		while (len < host.len && is_host_char(host.data[len]))
			len++;
	return rg_slice(host.data, len);
}

/* What follows the host's name: nothing, or a colon and up to five digits. */
static bool
is_port(RgSlice rest)
{
	if (rest.len == 0)
		return true;
	if (rest.data[0] != ':' || rest.len > 6)
		return false;
	for (size_t i = 1; i < rest.len; i++)
		if (!is_digit(rest.data[i]))
			return false;
	return true;
}

static bool
is_host(RgSlice host)
{
	size_t		len = rg_http_host_name(host).len;

	return len > 0 && len < 256 &&
		is_port(rg_slice(host.data + len, host.len - len));
}

static int
take_host(RgHttpHead *head, RgSlice value)
{
	if (head->host.data != NULL)
		return refuse(head, 400, "there are two Host headers");
	if (!is_host(value))
		return refuse(head, 400, "the Host header is malformed");
	head->host = value;
	return 0;
}

/* Equal duplicates are refused too: nobody sends them for a good reason. */
static int
take_content_length(RgHttpHead *head, RgSlice value)
{
	int64_t		length = 0;

	if (head->content_length >= 0)
		return refuse(head, 400, "there are two Content-Length headers");
	if (value.len < 1 || value.len > 15)
		return refuse(head, 400, "Content-Length must be 1 to 15 digits");
	for (size_t i = 0; i < value.len; i++)
	{
		if (!is_digit(value.data[i]))
			return refuse(head, 400, "Content-Length must be 1 to 15 digits");
		length = length * 10 + (value.data[i] - '0');
	}
	head->content_length = length;
	return 0;
}

static int
take_transfer_encoding(RgHttpHead *head, RgSlice value)
{
	if (head->chunked)
		return refuse(head, 400, "there are two Transfer-Encoding headers");
	if (head->minor == 0)
		return refuse(head, 400, "HTTP/1.0 has no Transfer-Encoding");
	if (!rg_http_name_is(value, "chunked"))
		return refuse(head, 400, "Transfer-Encoding must be chunked and nothing else");
	head->chunked = true;
	return 0;
}

/* HTTP/1.0 knows no expectations: there they mean nothing. */
static int
take_expect(RgHttpHead *head, RgSlice value)
{
	if (head->minor == 0)
		return 0;
	if (!rg_http_name_is(value, "100-continue"))
		return refuse(head, 417, "only 100-continue can be expected");
	head->expects_continue = true;
	return 0;
}

static void
take_connection_option(RgHttpHead *head, RgSlice option, bool *close)
{
	if (rg_http_name_is(option, "close"))
		*close = true;
	else if (rg_http_name_is(option, "keep-alive"))
		head->keep_alive = true;
}

/* A comma-separated list, in which close wins. */
static int
take_connection(RgHttpHead *head, RgSlice value)
{
	const char *at = value.data;
	const char *end = value.data + value.len;
	bool		close = head->minor == 1 && !head->keep_alive;

	while (at < end)
	{
		const char *comma = memchr(at, ',', end - at);
		const char *stop = comma ? comma : end;

		take_connection_option(head, trim(at, stop), &close);
		at = stop + 1;
	}
	if (close)
		head->keep_alive = false;
	return 0;
}

/* The few headers that say how the request is to be read. */
static const struct
{
	const char *name;
	int			(*take) (RgHttpHead *head, RgSlice value);
}			framing[] =

{
	{
		"host", take_host
	},
	{
		"content-length", take_content_length
	},
	{
		"transfer-encoding", take_transfer_encoding
	},
	{
		"expect", take_expect
	},
	{
		"connection", take_connection
	},
};

static int
take_header(RgHttpHead *head, const RgHeader *header)
{
	for (size_t i = 0; i < sizeof framing / sizeof framing[0]; i++)
		if (rg_http_name_is(header->name, framing[i].name))
			return framing[i].take(head, header->value);
	return 0;
}

static int
read_headers(Cursor *cursor)
{
	RgHttpHead *head = cursor->head;

	while (cursor->at < cursor->end - 2)
	{
		RgHeader   *header = &head->headers[head->nheaders];
		int			status;

		if (head->nheaders == RG_HTTP_MAX_HEADERS)
			return refuse(head, 431, "there are too many headers");
		if ((status = read_name(cursor, header)) < 0 ||
			(status = read_value(cursor, header)) < 0 ||
			(status = take_header(head, header)) < 0)
			return status;
		head->nheaders++;
	}
	return 0;
}

/* Of a head that was given up before it was read: method and target, if they are whole. */
static void
salvage_target(const char *data, size_t len, RgHttpHead *head)
{
	Cursor		cursor = {data, data + len, head};

	if (len > 0 && head->target.data == NULL &&
		(read_method(&cursor) < 0 || read_target(&cursor) < 0))
		head->target = rg_slice(NULL, 0);
}

/*
 * Of a head that is refused: the target and the headers among the first len bytes,
 * which are whole lines.  What is no header is passed over.
 */
static void
salvage_headers(const char *data, size_t len, RgHttpHead *head)
{
	const char *why = head->error;
	const char *end = data + len;
	const char *line = data;

	salvage_target(data, len, head);
	head->nheaders = 0;
	while (head->nheaders < RG_HTTP_MAX_HEADERS &&
		   (line = memchr(line, '\n', end - line)) != NULL && ++line < end)
	{
		RgHeader   *header = &head->headers[head->nheaders];
		Cursor		cursor = {line, end, head};

		if (read_name(&cursor, header) == 0 && read_value(&cursor, header) == 0)
			head->nheaders++;
	}
	head->error = why;
}

static int
check_framing(RgHttpHead *head)
{
	if (head->minor == 1 && head->host.data == NULL)
		return refuse(head, 400, "the Host header is missing");
	if (head->chunked && head->content_length >= 0)
		return refuse(head, 400, "Content-Length and Transfer-Encoding exclude each other");
	return 0;
}

static void
reset(RgHttpHead *head)
{
	head->host = rg_slice(NULL, 0);
	head->method = head->target = head->text = head->host;
	head->minor = 1;
	head->keep_alive = head->chunked = head->expects_continue = false;
	head->content_length = -1;
	head->nheaders = 0;
	head->error = NULL;
}

/* The length of the head, 0, or a refusal. */
static int
read_head(const char *data, size_t len, size_t *scanned, RgHttpHead *head)
{
	size_t		visible = len < RG_HTTP_MAX_HEAD ? len : RG_HTTP_MAX_HEAD;
	Cursor		cursor = {data, NULL, head};
	int			length;
	int			status;

	length = find_end(data, visible, scanned, head);
	if (length == 0 && len >= RG_HTTP_MAX_HEAD)
		return refuse_too_long(data, head);
	if (length <= 0)
		return length;
	cursor.end = data + length;
	if ((status = read_method(&cursor)) < 0 ||
		(status = read_target(&cursor)) < 0 ||
		(status = read_version(&cursor)) < 0 ||
		(status = read_headers(&cursor)) < 0 ||
		(status = check_framing(head)) < 0)
		return status;
	head->text = rg_slice(data, length);
	return length;
}

int
rg_http_head(const char *data, size_t len, size_t *scanned, RgHttpHead *head)
{
	int			result;

	reset(head);
	result = read_head(data, len, scanned, head);
	if (result < 0)
		salvage_headers(data, *scanned, head);
	return result;
}

void
rg_http_give_up(const char *data, size_t scanned, RgHttpHead *head)
{
	reset(head);
	salvage_headers(data, scanned, head);
}
