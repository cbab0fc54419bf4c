/*
 * fuzz_parameters.c
 *		Requests against a route that declares one parameter of each kind, and
 *		schemas that are noise.
 *
 * The input is a path value, NUL, a query, NUL and a body, which is compiled
 * as a schema and as a list of parameters as well.  What is accepted must be within what was declared,
 * and what is said about a refusal within its bounds.
 */
#include <jansson.h>

#include "fuzz.h"

#include "json_body.h"
#include "parameters.h"
#include "problem_catalog.h"
#include "utf8.h"

static const char list[] =
"[{\"name\":\"id\",\"in\":\"path\",\"schema\":{\"type\":\"string\",\"maxLength\":20}},"
"{\"name\":\"i\",\"in\":\"query\",\"schema\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":100,\"x-clamp\":true}},"
"{\"name\":\"n\",\"in\":\"query\",\"schema\":{\"type\":\"number\",\"multipleOf\":0.5}},"
"{\"name\":\"b\",\"in\":\"query\",\"schema\":{\"type\":\"boolean\"}},"
"{\"name\":\"s\",\"in\":\"query\",\"schema\":{\"type\":\"string\",\"pattern\":\"^[a-z ]*$\"}},"
"{\"name\":\"t\",\"in\":\"query\",\"schema\":{\"type\":\"string\",\"format\":\"date-time\"}},"
"{\"name\":\"d\",\"in\":\"query\",\"schema\":{\"type\":\"string\",\"format\":\"date\"}},"
"{\"name\":\"c\",\"in\":\"query\",\"schema\":{\"type\":\"string\",\"format\":\"time\"}},"
"{\"name\":\"g\",\"in\":\"query\",\"schema\":{\"type\":\"string\",\"format\":\"uuid\"}},"
"{\"name\":\"m\",\"in\":\"query\",\"schema\":{\"type\":\"string\",\"format\":\"email\"}},"
"{\"name\":\"r\",\"in\":\"query\",\"schema\":{\"type\":\"string\",\"format\":\"uri\"}}]";

static const char body_schema[] =
"{\"properties\":{\"name\":{\"type\":\"string\",\"format\":\"email\"},"
"\"when\":{\"type\":[\"string\",\"null\"],\"format\":\"date\"},"
"\"size\":{\"type\":\"integer\",\"maximum\":9,\"x-clamp\":true},"
"\"any\":{},\"tags\":{\"type\":\"array\",\"uniqueItems\":true,\"maxItems\":9,"
"\"items\":{\"enum\":[1,\"a\",null,[]]}},"
"\"meta\":{\"additionalProperties\":{\"type\":\"object\"},\"maxProperties\":3}}}";

static void
require_text(const char *text)
{
	size_t		len = strnlen(text, RG_VIOLATION_TEXT);
	RgSlice		slice = {text, len};

	require(len < RG_VIOLATION_TEXT && rg_utf8_valid(slice));
}

static void
require_violation(const RgViolation *violation)
{
	require(violation->status == 400 || violation->status == 413 ||
			violation->status == 415 || violation->status == 422);
	require(violation->suggestion[0] != '\0' ||
			rg_problem_kind(violation->status, rg_slice_of(violation->code)) != NULL);
	require_text(violation->pointer);
	require_text(violation->detail);
	require_text(violation->suggestion);
}

static bool
is_json(RgSlice text)
{
	json_t	   *value = json_loadb(text.data, text.len, JSON_DECODE_ANY, NULL);
	bool		valid = value != NULL;

	json_decref(value);
	return valid;
}

static void
require_value(const RgParameter *parameter, const RgValue *value)
{
	require(value->kind == parameter->kind);
	if (value->null || value->kind == RG_VALUE_BOOLEAN)
		return;
	if (value->kind == RG_VALUE_INTEGER)
		require(value->integer <= 100);
	else if (value->kind == RG_VALUE_NUMBER)
		require(__builtin_isfinite(value->number));
	else
	{
		require(rg_utf8_valid(value->text));
		require(value->text.len == 0 ||
				memchr(value->text.data, '\0', value->text.len) == NULL);
	}
	if (value->kind == RG_VALUE_JSON)
		require(is_json(value->text));
}

static void
try_schema(RgSlice text)
{
	char		error[64];
	RgSchema   *schema = rg_schema_compile(text.data, text.len, error, sizeof error);
	RgViolation violation;
	json_t	   *value;

	if (schema == NULL)
		return;
	value = json_loadb(text.data, text.len, JSON_DECODE_ANY, NULL);
	if (!rg_schema_check(schema, value, &violation))
		require_violation(&violation);
	json_decref(value);
	rg_schema_free(schema);
}

/* What is wrong with a declaration is said in one bounded line. */
static void
try_list(RgSlice text)
{
	RgSlice		path = RG_SLICE("/files/{id}");
	char		error[64] = "";
	RgParameters *parameters = rg_parameters_compile(path, text, rg_slice(NULL, 0),
													 error, sizeof error);

	require((parameters == NULL) == (error[0] != '\0'));
	require(memchr(error, '\0', sizeof error) != NULL);
	rg_parameters_free(parameters);
}

static RgParameters *
declare(void)
{
	RgSlice		path = RG_SLICE("/files/{id}");
	RgSlice		parameters = {list, sizeof list - 1};
	RgSlice		body = {body_schema, sizeof body_schema - 1};
	char		error[200];
	RgParameters *declared = rg_parameters_compile(path, parameters, body,
												   error, sizeof error);

	require(declared != NULL);
	return declared;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static RgParameters *declared;
	RgSlice		rest = {(const char *) data, size};
	RgSlice		path = take_field(&rest);
	RgSlice		query = take_field(&rest);
	RgValues	values;
	RgViolation violation;

	if (declared == NULL)
		declared = declare();
	if (!rg_parameters_check(declared, &path, query, rest, true, &values, &violation))
		require_violation(&violation);
	else
	{
		for (int i = 0; i < values.count; i++)
			require_value(rg_parameters_get(declared, i), &values.values[i]);
		rg_values_free(&values);
	}
	try_schema(rest);
	try_list(rest);
	return 0;
}
