/*
 * test_db_error.c
 *		What clients learn of errors in the database, and request ids.
 */
#include <string.h>

#include "gateway/db_error.h"
#include "gateway/request_id.h"
#include "tap.h"

static RgProblem
problem_of(const char *sqlstate)
{
	RgDbError	error = {sqlstate, "secret text", "secret_detail", "secret hint", "secret", "secret"};
	RgProblem	problem = {0};

	rg_db_error_problem(&error, &problem);
	return problem;
}

static void
becomes(const char *sqlstate, int status)
{
	RgProblem	problem = problem_of(sqlstate);

	ok(problem.status == status, "%s becomes %d", sqlstate, status);
	ok(problem.detail.data == NULL || strstr(problem.detail.data, "secret") == NULL,
	   "%s says nothing of the error", sqlstate);
}

static void
test_mapped(void)
{
	becomes("23505", 409);
	becomes("23503", 409);
	becomes("23514", 422);
	becomes("23502", 422);
	becomes("22003", 422);
	becomes("22P02", 422);
	becomes("22012", 500);
	becomes("42501", 403);
	becomes("25006", 503);
	becomes("40001", 503);
	becomes("40P01", 503);
	becomes("55P03", 503);
	becomes("53300", 503);
	becomes("57P01", 503);
	becomes("57014", 504);
	becomes("42P01", 500);
	becomes("XX000", 500);
	becomes("RG200", 500);
	becomes("RG4x4", 500);
}

static void
test_refusals(void)
{
	RgDbError	sparse = {"RG409", "m", "", NULL, NULL, NULL};
	RgDbError	empty = {NULL, NULL, NULL, NULL, NULL, NULL};
	RgDbError	advised = {"RG503", "m", "closed", "Call relay_guard.open().", NULL, NULL};
	RgProblem	problem = problem_of("RG404");
	RgProblem	closed = {0};

	ok(problem.status == 404 && rg_slice_is(problem.detail, "secret text") &&
	   rg_slice_is(problem.code, "secret_detail") &&
	   rg_slice_is(problem.suggestion, "secret hint"), "class RG is told");
	memset(&problem, 0, sizeof problem);
	ok(rg_db_error_problem(&sparse, &problem) &&
	   problem.code.data == NULL && problem.suggestion.data == NULL, "but for what is empty");
	ok(!rg_db_error_problem(&empty, &problem) &&
	   problem.status == 500, "an error without anything");
	rg_db_error_problem(&advised, &closed);
	ok(closed.status == 503 && rg_slice_is(closed.code, "closed") && closed.suggestion.data == NULL,
	   "advice for operators is not for clients");
}

static void
keeps_to_itself(const char *sqlstate, const char *detail, int status)
{
	RgDbError	error = {sqlstate, "secret text", detail, "secret hint", NULL, NULL};
	RgProblem	problem = {0};
	bool		expected = rg_db_error_problem(&error, &problem);

	ok(!expected && problem.status == status && problem.code.data != NULL &&
	   strstr(problem.code.data, "ecret") == NULL &&
	   (problem.detail.data == NULL || strstr(problem.detail.data, "secret") == NULL) &&
	   (problem.suggestion.data == NULL || strstr(problem.suggestion.data, "secret") == NULL),
	   "%s with detail %s is the operator's", sqlstate, detail ? detail : "none");
}

static void
test_operators_errors(void)
{
	RgDbError	told = {"RG503", "text", "closed_for_today", NULL, NULL, NULL};
	RgProblem	problem = {0};

	keeps_to_itself("RG503", NULL, 503);
	keeps_to_itself("RG503", "", 503);
	keeps_to_itself("RG503", "Secret sentences say how to mend it.", 503);
	keeps_to_itself("RG502", NULL, 502);
	ok(!rg_db_error_problem(&told, &problem) && rg_slice_is(problem.detail, "text"),
	   "RG503 with a code is told");
}

static void
test_request_ids(void)
{
	char		first[RG_REQUEST_ID_MAX];
	char		second[RG_REQUEST_ID_MAX];
	char		longest[129];
	size_t		len = rg_request_id_new(INT64_C(1700000000000000), first);

	rg_request_id_new(INT64_C(1700000001000000), second);
	memset(longest, 'a', sizeof longest);
	ok(len == 36 && first[14] == '7' && strchr("89ab", first[19]), "a UUID of version 7");
	ok(memcmp(first, second, 36) < 0, "in order of time");
	ok(rg_request_id_valid(rg_slice(first, len)), "which is valid itself");
	ok(rg_request_id_valid(rg_slice(longest, 128)), "128 characters");
	ok(!rg_request_id_valid(rg_slice(longest, 129)), "not 129");
	ok(!rg_request_id_valid(RG_SLICE("")) && !rg_request_id_valid(RG_SLICE("a b")) &&
	   !rg_request_id_valid(RG_SLICE("a\"")) && !rg_request_id_valid(RG_SLICE("\xc3\xa9")),
	   "nothing else");
}

int
main(void)
{
	test_mapped();
	test_refusals();
	test_operators_errors();
	test_request_ids();
	return done();
}
