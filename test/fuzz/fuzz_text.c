/*
 * fuzz_text.c
 *		Text on its way in and out: decodings are of their inputs' sizes and are
 *		UTF-8, and whatever is put into JSON comes out of it again.
 */
#include <jansson.h>

#include "fuzz.h"

#include "base64url.h"
#include "file_header.h"
#include "gateway/byte_range.h"
#include "gateway/db_error.h"
#include "gateway/request_id.h"
#include "json_text.h"
#include "problem.h"
#include "urldecode.h"
#include "utf8.h"
#include "uuid.h"
#include "violation.h"

static void
check_url(RgSlice text, RgUrlPart part)
{
	char	   *out = malloc(text.len + 1);
	size_t		len = 0;
	bool		decoded = rg_url_decode(text, part, out, &len);

	if (decoded)
	{
		require(len <= text.len && rg_utf8_valid(rg_slice(out, len)));
		require(len == 0 || memchr(out, '\0', len) == NULL);
	}
	if (rg_url_plain(text, part))
		require(decoded && len == text.len && memcmp(out, text.data, len) == 0);
	free(out);
}

static void
check_base64url(RgSlice bytes)
{
	char	   *text = malloc(RG_BASE64URL_SIZE(bytes.len));
	size_t		len = rg_base64url_encode(bytes, text);
	char	   *back = malloc(len + 1);
	size_t		back_len;

	require(len < RG_BASE64URL_SIZE(bytes.len));
	require(rg_base64url_decode(rg_slice(text, len), back, len, &back_len));
	require(back_len == bytes.len && (back_len == 0 || memcmp(back, bytes.data, back_len) == 0));
	free(text);
	free(back);
}

static void
check_utf8(RgSlice text, size_t cut)
{
	size_t		trimmed;

	if (!rg_utf8_valid(text))
		return;
	require(rg_utf8_length(text) <= text.len);
	cut = text.len > 0 ? cut % (text.len + 1) : 0;
	trimmed = rg_utf8_trim(text.data, cut);
	require(trimmed <= cut && cut - trimmed < 4);
	require(rg_utf8_valid(rg_slice(text.data, trimmed)));
}

static bool
holds(const json_t *object, const char *name, RgSlice text)
{
	const json_t *value = json_object_get(object, name);

	return json_is_string(value) && json_string_length(value) == text.len &&
		memcmp(json_string_value(value), text.data, text.len) == 0;
}

/* The same of OpenAI's form, which takes the pointer apart. */
static void
check_openai_error(RgProblem *problem)
{
	static const char *const members[] = {"message", "type", "param", "code"};
	size_t		len;
	char	   *buf;
	json_t	   *read;

	problem->openai = true;
	len = rg_problem_json(NULL, 0, problem);
	buf = malloc(len);
	require(rg_problem_json(buf, len, problem) == len);
	read = json_loadb(buf, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	require(json_object_size(read) == 1 && json_object_size(json_object_get(read, "error")) == 4);
	for (int i = 0; i < 4; i++)
		require(json_object_get(json_object_get(read, "error"), members[i]) != NULL);
	json_decref(read);
	free(buf);
}

/* Any bytes make a problem that JSON parsers read; text comes back as it was. */
static void
check_problem(RgSlice text)
{
	RgProblem	problem = {.status = 422};
	size_t		len;
	char	   *buf;
	json_t	   *read;

	problem.code = RG_SLICE("a_code");
	problem.detail = text;
	problem.pointer = text;
	len = rg_problem_json(NULL, 0, &problem);
	buf = malloc(len);
	require(rg_problem_json(buf, len, &problem) == len);
	read = json_loadb(buf, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	require(json_is_object(read));
	if (text.data != NULL && rg_utf8_valid(text))
		require(holds(read, "detail", text) && holds(read, "pointer", text));
	json_decref(read);
	free(buf);
	check_openai_error(&problem);
}

/* The room that was asked for is enough, and less is never overrun. */
static void
check_escape(RgSlice text, size_t room)
{
	size_t		len = rg_json_escape(NULL, 0, text);
	char	   *buf = malloc(len + 1);
	char	   *small = malloc(room % (len + 1) + 1);

	require(len >= text.len && len <= RG_JSON_ESCAPE * text.len);
	require(rg_json_escape(buf, len, text) == len && rg_utf8_valid(rg_slice(buf, len)));
	require(rg_json_escape(small, room % (len + 1), text) == len);
	free(buf);
	free(small);
}

static void
check_violation(RgSlice text)
{
	RgViolation violation;
	char	   *name = strndup(text.data ? text.data : "", text.len);

	rg_violate(&violation, 422, "invalid_parameter", "must not be %s", name);
	rg_violation_suggest(&violation, "Send something other than %s.", name);
	for (int i = 0; i < 5; i++)
		rg_violation_prepend(&violation, name);
	rg_violation_prepend_index(&violation, text.len);
	require(strnlen(violation.pointer, RG_VIOLATION_TEXT) < RG_VIOLATION_TEXT);
	require(violation.pointer[0] == '\0' || violation.pointer[0] == '/');
	if (rg_utf8_valid(text))
		require(rg_utf8_valid(rg_slice_of(violation.pointer)) &&
				rg_utf8_valid(rg_slice_of(violation.detail)) &&
				rg_utf8_valid(rg_slice_of(violation.suggestion)));
	free(name);
}

/* Only the canonical form is its own uuid. */
static void
check_uuid(RgSlice text)
{
	uint8_t		uuid[16];
	char		back[RG_UUID_TEXT_LEN];

	require(rg_uuid_of(text, uuid));
	rg_uuid_text(uuid, back);
	if (!rg_slice_equal(rg_slice(back, sizeof back), text))
		require((uuid[6] & 0xf0) == 0x50 && (uuid[8] & 0xc0) == 0x80);
}

/* Of any error of the database comes a refusal; only class RG tells what it says. */
static void
check_db_error(RgSlice text)
{
	char		sqlstate[6] = "";
	RgDbError	error = {.sqlstate = sqlstate,.message = "secret",.detail = "secret",.hint = "secret"};
	RgProblem	problem = {0};
	bool		healthy;

	memcpy(sqlstate, text.data, text.len < 5 ? text.len : 5);
	healthy = rg_db_error_problem(&error, &problem);
	require(problem.status >= 400 && problem.status <= 599);
	require(healthy == (problem.status < 500));
	if (strncmp(sqlstate, "RG", 2) != 0)
		require(!rg_slice_is(problem.detail, "secret") && !rg_slice_is(problem.suggestion, "secret"));
}

/* An id that may be used needs no escape anywhere. */
static void
check_request_id(RgSlice text)
{
	if (!rg_request_id_valid(text))
		return;
	require(text.len > 0 && text.len <= RG_REQUEST_ID_MAX);
	require(rg_json_escape(NULL, 0, text) == text.len && rg_url_plain(text, RG_URL_QUERY));
}

/* Whatever a file is called, it is one header line; a type that is taken ends none. */
static void
check_file(RgSlice text, uint8_t choice)
{
	char		line[RG_FILE_DISPOSITION_MAX];
	RgText		out = {line, sizeof line, 0};

	if (rg_file_type_valid(text))
		require(text.len <= RG_FILE_TYPE_MAX && memchr(text.data, '\r', text.len) == NULL &&
				memchr(text.data, '\n', text.len) == NULL && memchr(text.data, '\0', text.len) == NULL);
	if (!rg_utf8_valid(text))
		return;
	rg_file_disposition_put(&out, choice & 1, text);
	require(out.len <= sizeof line && out.len != 1);
	for (size_t i = 0; i + 2 < out.len; i++)
		require(line[i] >= ' ' && line[i] <= '~');
	require(out.len == 0 || memcmp(line + out.len - 2, "\r\n", 2) == 0);
}

/* A part is within the file. */
static void
check_range(RgSlice text, uint8_t choice)
{
	char		header[64] = "bytes=";
	size_t		len = text.len < sizeof header - 6 ? text.len : sizeof header - 6;
	size_t		size = choice;
	RgByteRange range;

	memcpy(header + 6, text.data, len);
	if (rg_byte_range(rg_slice(header, 6 + len), size, &range) == RG_RANGE_PART)
		require(range.len > 0 && range.first < size && range.len <= size - range.first);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	RgSlice		text = rg_slice((const char *) data, size);
	uint8_t		choice;

	if (!take_bytes(&text, &choice, 1))
		return 0;
	check_url(text, RG_URL_PATH);
	check_url(text, RG_URL_QUERY);
	check_base64url(text);
	check_utf8(text, choice);
	check_problem(text);
	check_escape(text, choice);
	check_violation(text);
	check_uuid(text);
	check_db_error(text);
	check_request_id(text);
	check_file(text, choice);
	check_range(text, choice);
	return 0;
}
