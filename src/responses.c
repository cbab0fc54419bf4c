/*
 * responses.c
 *		Checking what a route says of its answers; responses.h has the contract.
 */
#include "responses.h"

#include <stdarg.h>
#include <stdio.h>

#include "problem_catalog.h"
#include "schema_tree.h"

#define SCHEMA_ERROR 600		/* a pointer and a detail */

typedef struct Checker
{
	int			status;			/* of success */
	bool		has_body;
	char	   *error;
	size_t		error_size;
} Checker;

/* Says what is wrong, for "return fail(...)". */
__attribute__((format(printf, 2, 3)))
static bool
fail(Checker *checker, const char *format,...)
{
	va_list		args;

	va_start(args, format);
	vsnprintf(checker->error, checker->error_size, format, args);
	va_end(args);
	return false;
}

/* The number of a status, or 0. */
static int
read_status(const char *name)
{
	if (strlen(name) != 3 || strspn(name, "0123456789") != 3)
		return 0;
	return (name[0] - '0') * 100 + (name[1] - '0') * 10 + (name[2] - '0');
}

static bool
check_success(Checker *checker, int status, json_t *schema)
{
	char		error[SCHEMA_ERROR];
	RgSchema   *compiled;

	if (status != checker->status)
		return fail(checker, "the status of success is %d, not %d", checker->status, status);
	if (!checker->has_body)
		return fail(checker, "status %d has no body here, and so no schema", status);
	compiled = rg_schema_compile_json(schema, error, sizeof error);
	if (compiled == NULL)
		return fail(checker, "%d: schema: %s", status, error);
	rg_schema_free(compiled);
	return true;
}

static bool
is_code(const char *name)
{
	return name[0] != '\0' && strlen(name) <= 63 &&
		strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(name);
}

static bool
is_catalogued(int status, const char *code)
{
	size_t		count;
	const RgProblemKind *kinds = rg_problem_kinds(&count);

	for (size_t i = 0; i < count; i++)
		if (kinds[i].status == status && strcmp(kinds[i].code, code) == 0)
			return true;
	return false;
}

/* Texts, and nothing but the two; whoever invents a code says what it means. */
static bool
check_problem(Checker *checker, int status, const char *code, json_t *problem)
{
	json_t	   *detail = json_object_get(problem, "detail");
	json_t	   *suggestion = json_object_get(problem, "suggestion");
	size_t		known = (detail != NULL) + (suggestion != NULL);

	if (!is_code(code))
		return fail(checker, "%d: a code is a word of at most 63 of a-z, 0-9 and _", status);
	if (json_is_null(problem))
		return true;
	if (!json_is_object(problem) || json_object_size(problem) != known ||
		(detail && !json_is_string(detail)) || (suggestion && !json_is_string(suggestion)))
		return fail(checker, "%d: %s: a problem is an object with the texts detail and suggestion",
					status, code);
	if (known < 2 && !is_catalogued(status, code))
		return fail(checker, "%d: %s: detail and suggestion are needed, since relay_guard.problem_catalog() has no such problem",
					status, code);
	return true;
}

static bool
check_problems(Checker *checker, int status, json_t *problems)
{
	const char *code;
	json_t	   *problem;

	if (json_is_null(problems))
		return true;
	if (!json_is_object(problems))
		return fail(checker, "%d: problems must be an object, or null", status);
	json_object_foreach(problems, code, problem)
		if (!check_problem(checker, status, code, problem))
		return false;
	return true;
}

static bool
check_status(Checker *checker, const char *name, json_t *value)
{
	int			status = read_status(name);

	if (status >= 200 && status < 300)
		return check_success(checker, status, value);
	if (status >= 300 && status < 400)
		return json_is_string(value) ||
			fail(checker, "%d: it must be a text that says when", status);
	if (status >= 400 && status < 600)
		return check_problems(checker, status, value);
	return fail(checker, "\"%.20s\" is no status from 200 to 599", name);
}

static bool
check_all(Checker *checker, json_t *responses)
{
	const char *name;
	json_t	   *value;

	if (!json_is_object(responses))
		return fail(checker, "it must be a JSON object");
	json_object_foreach(responses, name, value)
		if (!check_status(checker, name, value))
		return false;
	return true;
}

bool
rg_responses_check(RgSlice json, int status, bool has_body, char *error, size_t error_size)
{
	Checker		checker = {status, has_body, error, error_size};
	json_error_t position;
	json_t	   *responses = json_loadb(json.data, json.len,
									   JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &position);
	bool		right;

	if (responses == NULL)
		return fail(&checker, "not JSON at line %d, column %d", position.line, position.column);
	right = check_all(&checker, responses);
	json_decref(responses);
	return right;
}
