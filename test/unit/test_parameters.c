/*
 * test_parameters.c
 *		The named values of a request: what a route may declare, and what
 *		becomes of path, query and body.
 */
#include <stdlib.h>

#include "json_body.h"
#include "parameters.h"
#include "problem_catalog.h"
#include "tap.h"

static RgParameters *
compile(const char *path, const char *parameters, const char *body)
{
	RgSlice		path_slice = {path, strlen(path)};
	RgSlice		parameters_slice = {parameters, strlen(parameters)};
	RgSlice		body_slice = {body, body ? strlen(body) : 0};
	char		error[512];
	RgParameters *compiled = rg_parameters_compile(path_slice, parameters_slice,
												   body_slice, error, sizeof error);

	if (compiled == NULL)
		printf("# %s\n", error);
	return compiled;
}

static bool
check(const RgParameters *parameters, const char *query, const char *body,
	  RgValues *values, RgViolation *violation)
{
	RgSlice		path = RG_SLICE("42");
	RgSlice		query_slice = {query, strlen(query)};
	RgSlice		body_slice = {body, body ? strlen(body) : 0};

	return rg_parameters_check(parameters, &path, query_slice, body_slice, true,
							   values, violation);
}

/* By itself, or as the catalog has it. */
static bool
suggests(const RgViolation *violation)
{
	return violation->suggestion[0] != '\0' ||
		rg_problem_kind(violation->status, rg_slice_of(violation->code)) != NULL;
}

/* The request is refused with that status, code and pointer. */
static void
refused(const RgParameters *parameters, const char *query, const char *body,
		int status, const char *code, const char *pointer)
{
	RgValues	values;
	RgViolation violation = {0};
	bool		accepted = check(parameters, query, body, &values, &violation);

	if (accepted)
		rg_values_free(&values);
	if (!ok(!accepted && violation.status == status && strcmp(violation.code, code) == 0 &&
			strcmp(violation.pointer, pointer) == 0 && suggests(&violation),
			"%.60s%.60s is refused: %d %s %s", query, body ? body : "", status, code, pointer) &&
		!accepted)
		printf("# %d %s %s %s\n", violation.status, violation.code, violation.pointer,
			   violation.detail);
}

/* The request is accepted; one text value is as expected, NULL for null. */
static void
text_is(const RgParameters *parameters, const char *query, const char *body,
		const char *name, const char *expected)
{
	RgValues	values;
	RgViolation violation = {0};
	bool		passed = false;

	if (check(parameters, query, body, &values, &violation))
	{
		RgValue    *value = &values.values[rg_parameters_find(parameters, name)];

		passed = expected ? !value->null && rg_slice_is(value->text, expected) : value->null;
		rg_values_free(&values);
	}
	else
		printf("# %s %s\n", violation.pointer, violation.detail);
	ok(passed, "%.60s%.60s gives %s %s", query, body ? body : "", name,
	   expected ? expected : "null");
}

static void
integer_is(const RgParameters *parameters, const char *query, const char *body,
		   const char *name, int64_t expected)
{
	RgValues	values;
	RgViolation violation = {0};
	bool		passed = false;

	if (check(parameters, query, body, &values, &violation))
	{
		RgValue    *value = &values.values[rg_parameters_find(parameters, name)];

		passed = !value->null && value->kind == RG_VALUE_INTEGER && value->integer == expected;
		rg_values_free(&values);
	}
	ok(passed, "%.60s%.60s gives %s %lld", query, body ? body : "", name, (long long) expected);
}

#define LIST "[{\"name\":\"id\",\"in\":\"path\",\"schema\":{\"type\":\"integer\"}}," \
	"{\"name\":\"limit\",\"in\":\"query\",\"schema\":{\"type\":\"integer\",\"minimum\":1," \
	"\"maximum\":100,\"default\":50,\"x-clamp\":true}}," \
	"{\"name\":\"q\",\"in\":\"query\",\"schema\":{\"type\":\"string\"}}," \
	"{\"name\":\"a b\",\"in\":\"query\",\"schema\":{\"type\":\"string\"}}]"

static void
test_query(void)
{
	RgParameters *p = compile("/files/{id}", LIST, NULL);

	integer_is(p, "", NULL, "id", 42);
	integer_is(p, "", NULL, "limit", 50);
	integer_is(p, "limit=7", NULL, "limit", 7);
	integer_is(p, "&&limit=7&", NULL, "limit", 7);
	integer_is(p, "lim%69t=%37", NULL, "limit", 7);
	integer_is(p, "limit=1000", NULL, "limit", 100);
	integer_is(p, "unknown=%20x&limit=7", NULL, "limit", 7);
	text_is(p, "", NULL, "q", NULL);
	text_is(p, "q", NULL, "q", "");
	text_is(p, "q=", NULL, "q", "");
	text_is(p, "q=a=b", NULL, "q", "a=b");
	text_is(p, "q=a+%2B%26%3D%25", NULL, "q", "a +&=%");
	text_is(p, "a+b=1&a%20c=2", NULL, "a b", "1");
	refused(p, "limit=-1", NULL, 422, "invalid_parameter", "/query/limit");
	refused(p, "limit=0", NULL, 422, "invalid_parameter", "/query/limit");
	refused(p, "limit=", NULL, 422, "invalid_parameter", "/query/limit");
	refused(p, "limit=7&limit=7", NULL, 422, "duplicate_parameter", "/query/limit");
	refused(p, "limit=7&lim%69t=7", NULL, 422, "duplicate_parameter", "/query/limit");
	refused(p, "q=%", NULL, 400, "invalid_encoding", "/query/q");
	refused(p, "q=%00", NULL, 400, "invalid_encoding", "/query/q");
	refused(p, "q=%ff", NULL, 400, "invalid_encoding", "/query/q");
	refused(p, "q=\xff", NULL, 400, "invalid_encoding", "/query/q");
	refused(p, "x=%zz", NULL, 400, "invalid_encoding", "/query");
	refused(p, "%zz=1", NULL, 400, "invalid_encoding", "/query");
	rg_parameters_free(p);
}

/* Decoded texts beyond the inline space, and the limits of a query */
static void
test_large_queries(void)
{
	RgParameters *p = compile("/files/{id}", LIST, NULL);
	char		query[RG_QUERY_MAX + 2];
	char		expected[RG_QUERY_MAX];

	memset(query, 'x', sizeof query);
	memcpy(query, "z=%20", 5);
	query[1900] = '&';
	memcpy(query + 1901, "a+b=%20", 7);
	query[3000] = '&';
	memcpy(query + 3001, "q=%20", 5);
	query[RG_QUERY_MAX] = '\0';
	memset(expected, 'x', sizeof expected);
	expected[0] = ' ';
	expected[RG_QUERY_MAX - 3006 + 1] = '\0';
	text_is(p, query, NULL, "q", expected);
	expected[3000 - 1908 + 1] = '\0';
	text_is(p, query, NULL, "a b", expected);
	query[RG_QUERY_MAX] = 'x';
	query[RG_QUERY_MAX + 1] = '\0';
	refused(p, query, NULL, 400, "query_too_long", "/query");
	for (int i = 0; i < 2 * RG_QUERY_PAIRS; i++)
		query[i] = i % 2 ? '&' : 'x';
	query[2 * RG_QUERY_PAIRS] = '\0';
	integer_is(p, query, NULL, "limit", 50);
	strcpy(query + 2 * RG_QUERY_PAIRS, "x");
	refused(p, query, NULL, 400, "too_many_parameters", "/query");
	rg_parameters_free(p);
}

static void
test_path(void)
{
	RgParameters *p = compile("/a/{b}/c/{d}", "[{\"name\":\"d\",\"in\":\"path\",\"schema\":"
							  "{\"type\":\"string\"}},{\"name\":\"b\",\"in\":\"path\",\"schema\":{\"type\":\"integer\"}}]", NULL);
	RgSlice		path[2] = {RG_SLICE("1"), RG_SLICE("x+%2F")};
	RgSlice		none = {NULL, 0};
	RgValues	values;
	RgViolation violation;
	bool		accepted = rg_parameters_check(p, path, none, none, false, &values, &violation);

	ok(rg_parameters_path_count(p) == 2, "a path of two variables");
	ok(accepted && rg_slice_is(values.values[0].text, "x+/") && values.values[1].integer == 1,
	   "variables are found by name, in any order");
	rg_values_free(&values);
	path[0] = RG_SLICE("x");
	accepted = rg_parameters_check(p, path, none, none, false, &values, &violation);
	ok(!accepted && strcmp(violation.pointer, "/path/b") == 0, "a path value is checked");
	path[0] = RG_SLICE("%31%");
	accepted = rg_parameters_check(p, path, none, none, false, &values, &violation);
	ok(!accepted && violation.status == 400, "a path value must be well encoded");
	rg_parameters_free(p);
}

#define BODY "{\"type\":\"object\",\"required\":[\"name\"],\"properties\":{" \
	"\"name\":{\"type\":\"string\",\"maxLength\":10}," \
	"\"size\":{\"type\":[\"integer\",\"null\"],\"default\":7,\"maximum\":9,\"x-clamp\":true}," \
	"\"meta\":{\"type\":[\"object\",\"null\"],\"properties\":{\"x\":{\"type\":\"string\"}}}," \
	"\"tags\":{\"type\":\"array\",\"default\":[\"a\"]},\"any\":{}}," \
	"\"additionalProperties\":false}"

static void
test_body_values(void)
{
	RgParameters *p = compile("/f", "[]", BODY);
	const char *spaced = " { \"tags\" : [ 0.1, \"]\\\"}\" ] , \"n\\u0061me\":\"b\" , \"meta\":{} } ";

	text_is(p, "", "{\"name\":\"b\\u00e9\"}", "name", "b\xc3\xa9");
	text_is(p, "", "{\"name\":\"b\"}", "body", "{\"name\":\"b\"}");
	text_is(p, "", "{\"name\":\"b\"}", "meta", NULL);
	text_is(p, "", "{\"name\":\"b\"}", "tags", "[\"a\"]");
	text_is(p, "", spaced, "tags", "[ 0.1, \"]\\\"}\" ]");
	text_is(p, "", spaced, "name", "b");
	text_is(p, "", spaced, "meta", "{}");
	text_is(p, "", "{\"name\":\"b\",\"meta\":null}", "meta", NULL);
	text_is(p, "", "{\"name\":\"b\",\"any\":1.10}", "any", "1.10");
	text_is(p, "", "{\"name\":\"b\",\"any\":\"x\"}", "any", "\"x\"");
	integer_is(p, "", "{\"name\":\"b\"}", "size", 7);
	integer_is(p, "", "{\"name\":\"b\",\"size\":3.0}", "size", 3);
	integer_is(p, "", "{\"name\":\"b\",\"size\":10}", "size", 9);
	text_is(p, "", "{\"name\":\"b\",\"size\":null}", "size", NULL);
	rg_parameters_free(p);
}

static void
test_body_refusals(void)
{
	RgParameters *p = compile("/f", "[]", BODY);

	refused(p, "", NULL, 422, "missing_parameter", "/body");
	refused(p, "", "{}", 422, "missing_parameter", "/body/name");
	refused(p, "", "[]", 422, "invalid_parameter", "/body");
	refused(p, "", "{\"name\":null}", 422, "invalid_parameter", "/body/name");
	refused(p, "", "{\"name\":\"b\",\"meta\":{\"x\":1}}", 422, "invalid_parameter", "/body/meta/x");
	refused(p, "", "{\"name\":\"b\",\"evil\":1}", 422, "invalid_parameter", "/body");
	refused(p, "", "{\"name\":\"b\",\"name\":\"c\"}", 400, "invalid_json", "/body");
	refused(p, "", "{\"name\":\"b\",\"n\\u0061me\":\"c\"}", 400, "invalid_json", "/body");
	refused(p, "", "{\"name\":\"\\u0000\"}", 400, "invalid_json", "/body");
	refused(p, "", "{\"name\":\"\\ud800\"}", 400, "invalid_json", "/body");
	refused(p, "", "{\"name\":\"\xff\"}", 400, "invalid_json", "/body");
	refused(p, "", "{\"size\":18446744073709551616}", 400, "invalid_json", "/body");
	refused(p, "", "{\"size\":1e999}", 400, "invalid_json", "/body");
	refused(p, "", "{\"name\":\"b\"} x", 400, "invalid_json", "/body");
	refused(p, "", "{\"name\":\"b\"", 400, "invalid_json", "/body");
	refused(p, "", "{\"name\":\"b\\", 400, "invalid_json", "/body");
	refused(p, "", " ", 400, "invalid_json", "/body");
	rg_parameters_free(p);
}

static void
test_nul_byte(void)
{
	RgParameters *p = compile("/f", "[]", "{}");
	RgSlice		body = {"2\0", 2};
	RgSlice		none = {NULL, 0};
	RgValues	values;
	RgViolation violation;

	ok(!rg_parameters_check(p, NULL, none, body, true, &values, &violation) &&
	   violation.status == 400, "a body that ends in a NUL byte");
	rg_parameters_free(p);
}

static void
test_json_bounds(void)
{
	RgParameters *p = compile("/f", "[]", "{}");
	char	   *deep = calloc(1, 200001);
	char	   *broad = calloc(1, 2 * RG_JSON_MAX_VALUES + 2);

	memset(deep, '[', RG_JSON_MAX_DEPTH);
	memset(deep + RG_JSON_MAX_DEPTH, ']', RG_JSON_MAX_DEPTH);
	text_is(p, "", deep, "body", deep);
	memset(deep, '[', 200000);
	refused(p, "", deep, 400, "invalid_json", "/body");
	for (int i = 0; i < 2 * RG_JSON_MAX_VALUES; i++)
		broad[i] = i % 2 ? '0' : ',';
	broad[0] = '[';
	broad[2 * RG_JSON_MAX_VALUES] = ']';
	refused(p, "", broad, 413, "body_too_complex", "/body");
	free(deep);
	free(broad);
	rg_parameters_free(p);
}

static void
test_optional_body(void)
{
	RgParameters *p = compile("/f", "[]", "{\"type\":[\"object\",\"null\"],\"x-optional\":true,"
							  "\"properties\":{\"n\":{\"type\":\"integer\",\"default\":3}}}");
	RgSlice		body = RG_SLICE("{}");
	RgSlice		none = {NULL, 0};
	RgValues	values;
	RgViolation violation;

	text_is(p, "", NULL, "body", NULL);
	integer_is(p, "", NULL, "n", 3);
	text_is(p, "", "null", "body", NULL);
	integer_is(p, "", "null", "n", 3);
	ok(!rg_parameters_check(p, NULL, none, body, false, &values, &violation) &&
	   violation.status == 415, "a body that is not JSON");
	rg_parameters_free(p);
}

static void
test_description(void)
{
	RgParameters *p = compile("/files/{id}", LIST, BODY);

	ok(rg_parameters_count(p) == 10, "parameters, properties and body are named");
	ok(rg_parameters_get(p, 0)->origin == RG_ORIGIN_PATH && rg_parameters_get(p, 0)->required,
	   "a path parameter is required");
	ok(rg_parameters_get(p, 1)->preset->integer == 50, "a default is seen");
	ok(rg_parameters_get(p, 9)->origin == RG_ORIGIN_BODY &&
	   rg_parameters_get(p, 9)->kind == RG_VALUE_JSON, "the body is the last");
	ok(rg_parameters_find(p, "meta") == 6 && rg_parameters_find(p, "nobody") == -1,
	   "finding by name");
	rg_parameters_free(p);
}

/* path, parameters, request body, and the error */
static const char *const compile_errors[][4] = {
	{"/f", "{}", NULL, "parameters must be an array of parameter objects"},
	{"/f", "[", NULL, "parameters: not JSON at line 1, column 1"},
	{"/f", "[{}]", NULL, "a parameter must be an object with a name"},
	{"/f", "[{\"name\":\"a\",\"in\":\"header\",\"schema\":{}}]", NULL,
	"parameter \"a\": in must be \"path\" or \"query\""},
	{"/f", "[{\"name\":\"a\",\"in\":\"path\",\"schema\":{}}]", NULL,
	"parameter \"a\": the path has no {a}"},
	{"/f/{a}", "[]", NULL, "the path's {a} must stand there once and be declared with in: path"},
	{"/f/{a}/{a}", "[{\"name\":\"a\",\"in\":\"path\",\"schema\":{\"type\":\"string\"}}]", NULL,
	"the path's {a} must stand there once and be declared with in: path"},
	{"/f/{a}", "[{\"name\":\"a\",\"in\":\"path\",\"required\":false,\"schema\":{\"type\":\"string\"}}]", NULL,
	"parameter \"a\": a path parameter is always required"},
	{"/f", "[{\"name\":\"a\",\"in\":\"query\"}]", NULL, "parameter \"a\": schema is missing"},
	{"/f", "[{\"name\":\"a\",\"in\":\"query\",\"style\":\"form\",\"schema\":{}}]", NULL,
	"parameter \"a\": member \"style\" is not supported"},
	{"/f", "[{\"name\":\"a\",\"in\":\"query\",\"schema\":{\"type\":\"array\"}}]", NULL,
	"parameter \"a\": schema must have one type of integer, number, boolean and string"},
	{"/f", "[{\"name\":\"a\",\"in\":\"query\",\"schema\":{\"oneOf\":[]}}]", NULL,
	"parameter \"a\": schema: keyword \"oneOf\" is not supported"},
	{"/f", "[{\"name\":\"a\",\"in\":\"query\",\"schema\":{\"type\":\"string\"}}]",
	"{\"properties\":{\"a\":{}}}", "the name \"a\" is declared twice"},
	{"/f", "[]", "{\"properties\":{\"body\":{}}}", "the name \"body\" is declared twice"},
	{"/f", "[]", "[]", "request body: a schema must be an object"},
	{"/f", "[]", "{\"type\":\"integer\",\"maximum\":1,\"x-clamp\":true}",
	"request body: x-clamp is for its properties"},
};

static void
test_compile_errors(void)
{
	for (size_t i = 0; i < sizeof compile_errors / sizeof *compile_errors; i++)
	{
		const char *const *c = compile_errors[i];
		RgSlice		path = {c[0], strlen(c[0])};
		RgSlice		list = {c[1], strlen(c[1])};
		RgSlice		body = {c[2], c[2] ? strlen(c[2]) : 0};
		char		error[512] = "";
		RgParameters *p = rg_parameters_compile(path, list, body, error, sizeof error);

		if (!ok(p == NULL && strcmp(error, c[3]) == 0, "does not compile: %s", c[3]))
			printf("# %s\n", error);
		rg_parameters_free(p);
	}
}

static void
test_required_query(void)
{
	RgParameters *p = compile("/f", "[{\"name\":\"a\",\"in\":\"query\",\"required\":true,"
							  "\"schema\":{\"type\":\"string\",\"format\":\"date-time\"}}]", NULL);

	refused(p, "", NULL, 422, "missing_parameter", "/query/a");
	refused(p, "a=2026-01-01T00:00:00+01:00", NULL, 422, "invalid_parameter", "/query/a");
	text_is(p, "a=2026-01-01T00:00:00%2B01:00", NULL, "a", "2026-01-01T00:00:00+01:00");
	rg_parameters_free(p);
}

int
main(void)
{
	test_query();
	test_large_queries();
	test_path();
	test_body_values();
	test_body_refusals();
	test_nul_byte();
	test_json_bounds();
	test_optional_body();
	test_description();
	test_compile_errors();
	test_required_query();
	return done();
}
