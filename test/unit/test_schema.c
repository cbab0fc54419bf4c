/*
 * test_schema.c
 *		JSON Schema: what compiles, what is refused and in which words, and
 *		how parameters' texts are read.
 */
#include <jansson.h>
#include <stdlib.h>

#include "schema.h"
#include "tap.h"
#include "urldecode.h"
#include "utf8.h"

/* A schema, a value and the violation "pointer: detail", or NULL */
typedef struct Case
{
	const char *schema;
	const char *value;
	const char *refused;
} Case;

static RgSchema *
compile(const char *text)
{
	char		error[512];
	RgSchema   *schema = rg_schema_compile(text, strlen(text), error, sizeof error);

	if (schema == NULL)
		printf("# %s: %s\n", text, error);
	return schema;
}

static bool
is_refused_as(const RgViolation *violation, const char *expected)
{
	char		got[2 * RG_VIOLATION_TEXT + 2];

	snprintf(got, sizeof got, "%s: %s", violation->pointer, violation->detail);
	if (strcmp(got, expected) == 0 && violation->status == 422 &&
		violation->suggestion[0] != '\0')
		return true;
	printf("# got \"%s\" (%s)\n", got, violation->suggestion);
	return false;
}

static const Case json_cases[] = {
	{"{}", "null", NULL},
	{"{\"type\":\"integer\"}", "1", NULL},
	{"{\"type\":\"integer\"}", "1.0", NULL},
	{"{\"type\":\"integer\"}", "1e3", NULL},
	{"{\"type\":\"integer\"}", "1.5", ": must be an integer"},
	{"{\"type\":\"integer\"}", "1e300", ": must be an integer"},
	{"{\"type\":\"integer\"}", "\"1\"", ": must be an integer"},
	{"{\"type\":[\"integer\",\"null\"]}", "true", ": must be an integer or null"},
	{"{\"type\":[\"integer\",\"null\"]}", "null", NULL},
	{"{\"type\":\"number\"}", "1", NULL},
	{"{\"type\":\"number\"}", "null", ": must be a number"},
	{"{\"type\":\"boolean\"}", "1", ": must be true or false"},
	{"{\"type\":\"null\"}", "1", ": must be null"},
	{"{\"type\":\"object\"}", "[]", ": must be an object"},
	{"{\"type\":[\"string\",\"array\"]}", "1", ": must be of another type"},
	{"{\"minimum\":1,\"maximum\":3}", "0", ": must be at least 1"},
	{"{\"minimum\":1,\"maximum\":3}", "1", NULL},
	{"{\"minimum\":1,\"maximum\":3}", "3.5", ": must be at most 3"},
	{"{\"maximum\":9007199254740992}", "9007199254740993", ": must be at most 9007199254740992"},
	{"{\"exclusiveMinimum\":0}", "0", ": must be above 0"},
	{"{\"exclusiveMaximum\":1.5}", "1.5", ": must be below 1.5"},
	{"{\"multipleOf\":0.01}", "19.99", NULL},
	{"{\"multipleOf\":0.01}", "19.995", ": must be a multiple of 0.01"},
	{"{\"multipleOf\":3}", "-9", NULL},
	{"{\"multipleOf\":3}", "10", ": must be a multiple of 3"},
	{"{\"type\":\"integer\",\"maximum\":5,\"x-clamp\":true}", "9", NULL},
	{"{\"type\":\"integer\",\"minimum\":1,\"maximum\":5,\"x-clamp\":true}", "-1", ": must be at least 1"},
	{"{\"minLength\":2}", "\"\\u00e9\"", ": must have at least 2 characters"},
	{"{\"minLength\":1}", "\"\"", ": must have at least 1 character"},
	{"{\"maxLength\":2}", "\"\\u00e9\\ud83d\\ude00\"", NULL},
	{"{\"maxLength\":1}", "\"\\u00e9e\"", ": must have at most 1 character"},
	{"{\"pattern\":\"^[a-z]+$\"}", "\"abc\"", NULL},
	{"{\"pattern\":\"^[a-z]+$\"}", "\"abC\"", ": must have the form that is documented"},
	{"{\"pattern\":\"^a$\"}", "\"a\\nb\"", ": must have the form that is documented"},
	{"{\"enum\":[\"a\",1,null,[1]]}", "\"a\"", NULL},
	{"{\"enum\":[\"a\",1,null,[1]]}", "1.0", NULL},
	{"{\"enum\":[\"a\",1,null,[1]]}", "[1]", NULL},
	{"{\"enum\":[\"a\",1,null]}", "\"ab\"", ": must be one of the values allowed"},
	{"{\"enum\":[true]}", "false", ": must be one of the values allowed"},
	{"{\"const\":\"x\"}", "\"y\"", ": must be the one value allowed"},
	{"{\"properties\":{\"a/b\":{\"items\":{\"type\":\"string\"}}}}", "{\"a/b\":[\"x\",1]}", "/a~1b/1: must be a string"},
	{"{\"properties\":{\"a~\":{}},\"required\":[\"a~\"]}", "{}", "/a~0: is required"},
	{"{\"properties\":{\"a\":{\"type\":\"string\"}}}", "{\"b\":1}", NULL},
	{"{\"properties\":{\"a\":{}},\"additionalProperties\":false}", "{\"a\":1}", NULL},
	{"{\"properties\":{\"a\":{}},\"additionalProperties\":false}", "{\"a\":1,\"evil\":1}", ": has a member that is not allowed"},
	{"{\"additionalProperties\":{\"items\":{\"type\":\"string\"}}}", "{\"evil\":[1]}", ": must be a string"},
	{"{\"properties\":{\"a\":{}},\"additionalProperties\":{\"type\":\"string\"}}", "{\"a\":1,\"b\":\"x\"}", NULL},
	{"{\"minProperties\":1}", "{}", ": must have at least 1 members"},
	{"{\"maxProperties\":1}", "{\"a\":1,\"b\":1}", ": must have at most 1 members"},
	{"{\"minItems\":1}", "[]", ": must have at least 1 items"},
	{"{\"maxItems\":1}", "[1,2]", ": must have at most 1 items"},
	{"{\"uniqueItems\":true,\"maxItems\":9}", "[1,{\"a\":1},\"1\"]", NULL},
	{"{\"uniqueItems\":true,\"maxItems\":9}", "[1,{\"a\":1},{\"a\":1}]", ": must not have the same item twice"},
	{"{\"uniqueItems\":true,\"maxItems\":9}", "[1,1.0]", ": must not have the same item twice"},
	{"{\"format\":\"uuid\"}", "\"7C9E6679-7425-40de-944b-e07fc1f90ae7\"", NULL},
	{"{\"format\":\"uuid\"}", "\"7c9e6679742540de944be07fc1f90ae7\"", ": must be a UUID"},
	{"{\"format\":\"uuid\"}", "\"7c9e6679-7425-40de-944b-e07fc1f90aeg\"", ": must be a UUID"},
	{"{\"format\":\"date\"}", "\"2024-02-29\"", NULL},
	{"{\"format\":\"date\"}", "\"2023-02-29\"", ": must be a date"},
	{"{\"format\":\"date\"}", "\"1900-02-29\"", ": must be a date"},
	{"{\"format\":\"date\"}", "\"2000-02-29\"", NULL},
	{"{\"format\":\"date\"}", "\"0000-01-01\"", ": must be a date"},
	{"{\"format\":\"date\"}", "\"2024-13-01\"", ": must be a date"},
	{"{\"format\":\"date\"}", "\"2024-1-01\"", ": must be a date"},
	{"{\"format\":\"date\"}", "\"2024-01-01 \"", ": must be a date"},
	{"{\"format\":\"time\"}", "\"23:59:59.123456\"", NULL},
	{"{\"format\":\"time\"}", "\"24:00:00\"", ": must be a time of day without offset"},
	{"{\"format\":\"time\"}", "\"23:59:60\"", ": must be a time of day without offset"},
	{"{\"format\":\"time\"}", "\"12:00:00Z\"", ": must be a time of day without offset"},
	{"{\"format\":\"date-time\"}", "\"2026-01-02T03:04:05Z\"", NULL},
	{"{\"format\":\"date-time\"}", "\"2026-01-02t03:04:05.123456789z\"", NULL},
	{"{\"format\":\"date-time\"}", "\"2026-01-02T03:04:05-00:00\"", NULL},
	{"{\"format\":\"date-time\"}", "\"2026-01-02T03:04:05+15:59\"", NULL},
	{"{\"format\":\"date-time\"}", "\"2026-01-02T03:04:05+16:00\"", ": must be a date and time with offset"},
	{"{\"format\":\"date-time\"}", "\"2026-01-02T03:04:05\"", ": must be a date and time with offset"},
	{"{\"format\":\"date-time\"}", "\"2026-01-02 03:04:05Z\"", ": must be a date and time with offset"},
	{"{\"format\":\"date-time\"}", "\"2026-01-02T03:04:05.Z\"", ": must be a date and time with offset"},
	{"{\"format\":\"date-time\"}", "\"2026-01-02T03:04Z\"", ": must be a date and time with offset"},
	{"{\"format\":\"date-time\"}", "\"2026-01-02T25:04:05Z\"", ": must be a date and time with offset"},
	{"{\"format\":\"date-time\"}", "\"2016-12-31T23:59:60Z\"", NULL},
	{"{\"format\":\"date-time\"}", "\"2016-12-31T18:29:60-05:30\"", NULL},
	{"{\"format\":\"date-time\"}", "\"2016-12-31T22:59:60Z\"", ": must be a date and time with offset"},
	{"{\"format\":\"date-time\"}", "\"2026-01-02T03:04:05Z\\n\"", ": must be a date and time with offset"},
	{"{\"format\":\"email\"}", "\"ada@example.com\"", NULL},
	{"{\"format\":\"email\"}", "\"ada@\"", ": must be an e-mail address"},
	{"{\"format\":\"email\"}", "\"a@b@c\"", ": must be an e-mail address"},
	{"{\"format\":\"email\"}", "\"a b@c\"", ": must be an e-mail address"},
	{"{\"format\":\"email\"}", "\"a@b..c\"", ": must be an e-mail address"},
	{"{\"format\":\"uri\"}", "\"https://example.com/a?b#c\"", NULL},
	{"{\"format\":\"uri\"}", "\"/relative\"", ": must be an absolute URI"},
	{"{\"format\":\"uri\"}", "\"http://a b\"", ": must be an absolute URI"},
	{"{\"format\":\"unheard-of\"}", "\"x\"", NULL},
};

static void
test_json(const Case *c)
{
	RgSchema   *schema = compile(c->schema);
	json_t	   *value = json_loads(c->value, JSON_DECODE_ANY, NULL);
	RgViolation violation;
	bool		accepted = schema && value &&
	rg_schema_check(schema, value, &violation);

	ok(schema && value && (c->refused ? !accepted &&
						   is_refused_as(&violation, c->refused) : accepted),
	   "%s %s %s", c->schema, c->refused ? "refuses" : "accepts", c->value);
	json_decref(value);
	rg_schema_free(schema);
}

#define INTEGER "{\"type\":\"integer\"}"
#define NUMBER "{\"type\":\"number\"}"

static const Case text_cases[] = {
	{INTEGER, "0", NULL},
	{INTEGER, "-0", NULL},
	{INTEGER, "9223372036854775807", NULL},
	{INTEGER, "-9223372036854775808", NULL},
	{INTEGER, "9223372036854775808", ": must fit in 64 bits"},
	{INTEGER, "-9223372036854775809", ": must fit in 64 bits"},
	{INTEGER, "99999999999999999999999", ": must fit in 64 bits"},
	{INTEGER, "", ": must be an integer"},
	{INTEGER, "-", ": must be an integer"},
	{INTEGER, "+1", ": must be an integer"},
	{INTEGER, "01", ": must be an integer"},
	{INTEGER, " 1", ": must be an integer"},
	{INTEGER, "1 ", ": must be an integer"},
	{INTEGER, "1.0", ": must be an integer"},
	{INTEGER, "0x1", ": must be an integer"},
	{"{\"type\":\"integer\",\"enum\":[1,2]}", "2", NULL},
	{"{\"type\":\"integer\",\"enum\":[1,2]}", "3", ": must be one of the values allowed"},
	{NUMBER, "1.5e3", NULL},
	{NUMBER, "-0.25", NULL},
	{NUMBER, "1.", ": must be a number"},
	{NUMBER, ".5", ": must be a number"},
	{NUMBER, "1e", ": must be a number"},
	{NUMBER, "nan", ": must be a number"},
	{NUMBER, "inf", ": must be a number"},
	{NUMBER, "1e999", ": must be a number within the range of double precision"},
	{"{\"type\":\"boolean\"}", "true", NULL},
	{"{\"type\":\"boolean\"}", "TRUE", ": must be true or false"},
	{"{\"type\":\"boolean\"}", "1", ": must be true or false"},
	{"{\"type\":\"boolean\",\"const\":true}", "false", ": must be the one value allowed"},
	{"{\"type\":\"string\",\"maxLength\":3}", "abcd", ": must have at most 3 characters"},
	{"{\"type\":\"string\",\"enum\":[\"a\"]}", "a", NULL},
	{"{\"type\":\"string\",\"enum\":[\"a\"]}", "", ": must be one of the values allowed"},
};

static void
test_text(const Case *c)
{
	RgSchema   *schema = compile(c->schema);
	RgSlice		text = {c->value, strlen(c->value)};
	RgViolation violation;
	RgValue		value;
	bool		accepted = schema && rg_schema_read(schema, text, &value, &violation);

	ok(schema && (c->refused ? !accepted && is_refused_as(&violation, c->refused) : accepted),
	   "%s %s the text \"%s\"", c->schema, c->refused ? "refuses" : "reads", c->value);
	rg_schema_free(schema);
}

/* A schema and the error it must give */
static const char *const compile_errors[][2] = {
	{"[", "not JSON at line 1, column 1"},
	{"3", "a schema must be an object"},
	{"{\"anyOf\":[]}", "keyword \"anyOf\" is not supported"},
	{"{\"$ref\":\"#\"}", "keyword \"$ref\" is not supported"},
	{"{\"nullable\":true}", "keyword \"nullable\" is not supported: list \"null\" in type"},
	{"{\"type\":\"int\"}", "/type: type must be the name of a type or a list of names"},
	{"{\"type\":[]}", "/type: type must be the name of a type or a list of names"},
	{"{\"properties\":{\"a\":{\"not\":{}}}}", "/properties/a: keyword \"not\" is not supported"},
	{"{\"items\":{\"minLength\":-1}}", "/items/minLength: a length must be a whole number, 0 or more"},
	{"{\"required\":[\"a\"]}", "/required: required names \"a\", which is not in properties"},
	{"{\"enum\":[]}", "/enum: enum must be an array of at least one value"},
	{"{\"exclusiveMinimum\":true}", "/exclusiveMinimum: a bound must be a number"},
	{"{\"multipleOf\":0}", "/multipleOf: multipleOf must be a number above 0"},
	{"{\"pattern\":\"(\"}", "/pattern: pattern is not a POSIX extended regular expression"},
	{"{\"type\":\"integer\",\"maximum\":3,\"default\":5}", "/default: must be at most 3"},
	{"{\"uniqueItems\":true}", "uniqueItems needs maxItems of at most 256"},
	{"{\"type\":\"integer\",\"x-clamp\":true}", "x-clamp needs maximum, and no exclusiveMaximum"},
	{"{\"type\":\"integer\",\"maximum\":1.5,\"x-clamp\":true}", "x-clamp needs a whole maximum for an integer"},
	{"{\"properties\":{\"a\":{\"properties\":{\"b\":{\"type\":\"integer\",\"maximum\":1,\"x-clamp\":true}}}}}",
	"/properties/a/properties/b: x-clamp stands at the root or in a property of the root only"},
	{"{\"items\":{\"type\":\"integer\",\"maximum\":1,\"x-clamp\":true}}",
	"/items: x-clamp stands at the root or in a property of the root only"},
};

static void
test_compile_errors(void)
{
	for (size_t i = 0; i < sizeof compile_errors / sizeof *compile_errors; i++)
	{
		const char *text = compile_errors[i][0];
		char		error[512] = "";
		RgSchema   *schema = rg_schema_compile(text, strlen(text), error, sizeof error);

		if (!ok(schema == NULL && strcmp(error, compile_errors[i][1]) == 0,
				"does not compile: %s", text))
			printf("# %s\n", error);
		rg_schema_free(schema);
	}
}

static void
test_patterns(void)
{
	static const char *const refused[] = {"\\\\d+", "(?:a)", "[\\\\w-]", "(a)\\\\1", "[]\\\\]",
	"a**", "a+?", "a{2}{2}", "a{x", "a{1,256}", "((a{1,40}){1,40}){1,40}", "(a{40}){40}"};
	static const char *const fine[] = {"a\\\\.b", "[[:alpha:]-]", "[]]", "[^]\\\"]", "\\\\[",
	"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", "a{2,}", "(a|b)*", "^(a{1,9}b){2}$"};
	char		text[100];
	char		error[512];

	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
	{
		snprintf(text, sizeof text, "{\"pattern\":\"%s\"}", refused[i]);
		ok(rg_schema_compile(text, strlen(text), error, sizeof error) == NULL,
		   "pattern %s is refused", refused[i]);
	}
	for (size_t i = 0; i < sizeof fine / sizeof *fine; i++)
	{
		RgSchema   *schema;

		snprintf(text, sizeof text, "{\"pattern\":\"%s\"}", fine[i]);
		schema = compile(text);
		ok(schema != NULL, "pattern %s is taken", fine[i]);
		rg_schema_free(schema);
	}
}

/* A schema nested so many levels deep compiles, or does not. */
static void
test_depth(int depth, bool compiles)
{
	char		text[4000] = "";
	char		error[512];
	RgSchema   *schema;

	for (int i = 1; i < depth; i++)
		strcat(text, "{\"items\":");
	strcat(text, "{}");
	for (int i = 1; i < depth; i++)
		strcat(text, "}");
	schema = rg_schema_compile(text, strlen(text), error, sizeof error);
	ok((schema != NULL) == compiles, "a schema of %d levels %s", depth,
	   compiles ? "compiles" : "does not compile");
	rg_schema_free(schema);
}

static void
test_kinds(void)
{
	static const struct
	{
		const char *schema;
		RgValueKind kind;
	}			kinds[] = {
		{"{}", RG_VALUE_JSON},
		{"{\"type\":\"integer\"}", RG_VALUE_INTEGER},
		{"{\"type\":[\"number\",\"null\"]}", RG_VALUE_NUMBER},
		{"{\"type\":[\"integer\",\"number\"]}", RG_VALUE_NUMBER},
		{"{\"type\":\"boolean\"}", RG_VALUE_BOOLEAN},
		{"{\"type\":\"string\",\"format\":\"email\"}", RG_VALUE_STRING},
		{"{\"type\":\"string\",\"format\":\"uuid\"}", RG_VALUE_UUID},
		{"{\"type\":\"string\",\"format\":\"date\"}", RG_VALUE_DATE},
		{"{\"type\":\"string\",\"format\":\"date-time\"}", RG_VALUE_DATE_TIME},
		{"{\"type\":\"string\",\"format\":\"time\"}", RG_VALUE_TIME},
		{"{\"type\":[\"string\",\"integer\"]}", RG_VALUE_JSON},
		{"{\"type\":\"array\"}", RG_VALUE_JSON},
		{"{\"format\":\"uuid\"}", RG_VALUE_JSON},
	};

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
	{
		RgSchema   *schema = compile(kinds[i].schema);

		ok(schema && rg_schema_kind(schema) == kinds[i].kind, "kind of %s",
		   kinds[i].schema);
		rg_schema_free(schema);
	}
}

static void
test_defaults(void)
{
	RgSchema   *schema = compile("{\"type\":\"integer\",\"default\":50}");

	ok(rg_schema_default(schema)->integer == 50, "default of an integer");
	rg_schema_free(schema);
	schema = compile("{\"type\":\"array\",\"default\":[0.1, \"a\"]}");
	ok(rg_slice_is(rg_schema_default(schema)->text, "[0.1,\"a\"]"), "default of an array");
	rg_schema_free(schema);
	schema = compile("{\"type\":[\"string\",\"null\"],\"default\":null}");
	ok(rg_schema_default(schema)->null, "default null");
	rg_schema_free(schema);
}

static void
check_suggestion(const char *text, const char *value, const char *suggestion)
{
	RgSchema   *schema = compile(text);
	RgSlice		slice = {value, strlen(value)};
	RgViolation violation = {0};
	RgValue		read;
	bool		accepted = rg_schema_read(schema, slice, &read, &violation);

	if (!ok(!accepted && strcmp(violation.suggestion, suggestion) == 0, "%s", suggestion))
		printf("# %s\n", violation.suggestion);
	rg_schema_free(schema);
}

static void
test_suggestions(void)
{
	check_suggestion("{\"type\":\"integer\",\"minimum\":1,\"maximum\":100}", "x",
					 "Send a whole number between 1 and 100.");
	check_suggestion("{\"type\":\"integer\",\"minimum\":1,\"exclusiveMaximum\":5}", "x",
					 "Send a whole number of at least 1 and below 5.");
	check_suggestion("{\"type\":\"number\"}", "x", "Send a number.");
	check_suggestion("{\"type\":\"string\",\"minLength\":1,\"maxLength\":8}", "",
					 "Send a text of 1 to 8 characters.");
	check_suggestion("{\"type\":\"string\",\"enum\":[\"asc\",\"desc\"]}", "x",
					 "Send one of: asc, desc.");
	check_suggestion("{\"type\":\"string\",\"format\":\"date\"}", "x",
					 "Send a date such as 2026-01-31.");
}

/* A violation's strings keep their bounds and stay UTF-8. */
static void
test_violation_bounds(void)
{
	RgViolation violation;
	RgSlice		detail = {violation.detail, 0};
	char		name[101];
	char		e_acute[600];

	for (int i = 0; i < 299; i++)
		memcpy(e_acute + 2 * i, "\xc3\xa9", 3);
	rg_violate(&violation, 422, "x", "%s", e_acute);
	detail.len = strlen(violation.detail);
	ok(detail.len == 254 && rg_utf8_valid(detail),
	   "a detail is cut between characters");
	memset(name, '/', 100);
	name[100] = '\0';
	rg_violation_prepend(&violation, "last");
	rg_violation_prepend(&violation, name);
	rg_violation_prepend(&violation, name);
	rg_violation_prepend(&violation, "body");
	ok(strlen(violation.pointer) == 206 && strncmp(violation.pointer, "/body/~1~1", 10) == 0,
	   "a pointer that is too long loses its end");
}

static void
check_decoding(const char *text, RgUrlPart part, const char *decoded)
{
	char		out[100];
	RgSlice		source = {text, strlen(text)};
	RgSlice		result = {out, 0};
	bool		valid = rg_url_decode(source, part, out, &result.len);

	ok(decoded ? valid && rg_slice_is(result, decoded) : !valid,
	   "decoding %s%s", text, decoded ? "" : " is refused");
}

static void
test_decoding(void)
{
	check_decoding("a%20b+c", RG_URL_QUERY, "a b c");
	check_decoding("a%20b+c", RG_URL_PATH, "a b+c");
	check_decoding("%2525", RG_URL_QUERY, "%25");
	check_decoding("%c3%A9", RG_URL_QUERY, "\xc3\xa9");
	check_decoding("%", RG_URL_QUERY, NULL);
	check_decoding("%4", RG_URL_QUERY, NULL);
	check_decoding("%4g", RG_URL_QUERY, NULL);
	check_decoding("a%00b", RG_URL_QUERY, NULL);
	check_decoding("%ff", RG_URL_QUERY, NULL);
	check_decoding("%c0%80", RG_URL_QUERY, NULL);
	check_decoding("%e0%80%80", RG_URL_QUERY, NULL);
	check_decoding("%ed%a0%80", RG_URL_QUERY, NULL);
	check_decoding("%f4%90%80%80", RG_URL_QUERY, NULL);
	check_decoding("\xe9", RG_URL_QUERY, NULL);
	check_decoding("%e2%82", RG_URL_QUERY, NULL);
}

int
main(void)
{
	for (size_t i = 0; i < sizeof json_cases / sizeof *json_cases; i++)
		test_json(&json_cases[i]);
	for (size_t i = 0; i < sizeof text_cases / sizeof *text_cases; i++)
		test_text(&text_cases[i]);
	test_compile_errors();
	test_patterns();
	test_depth(32, true);
	test_depth(33, false);
	test_kinds();
	test_defaults();
	test_suggestions();
	test_violation_bounds();
	test_decoding();
	return done();
}
