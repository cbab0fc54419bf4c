/*
 * test_responses.c
 *		What a route may say of its answers.
 */
#include <string.h>

#include "responses.h"
#include "tap.h"

static char error[700];

static bool
takes(const char *json, int status, bool has_body)
{
	error[0] = '\0';
	return rg_responses_check(rg_slice(json, strlen(json)), status, has_body, error, sizeof error);
}

static void
accepted(const char *json)
{
	ok(takes(json, 200, true), "%s is taken", json);
}

static void
refused(const char *json, const char *why)
{
	ok(!takes(json, 200, true) && strstr(error, why) != NULL, "%s is refused: %s", json, error);
}

static void
test_accepted(void)
{
	accepted("{}");
	accepted("{\"200\": {\"type\": \"object\", \"properties\": {\"a\": {\"type\": [\"string\", \"null\"]}}}}");
	accepted("{\"303\": \"elsewhere\", \"404\": null, \"409\": {\"conflict\": null}}");
	accepted("{\"422\": {\"model_not_allowed\": {}, \"mine\": {\"detail\": \"d\", \"suggestion\": \"s\"}}}");
	ok(takes("{\"201\": {}}", 201, true), "the schema stands under the status of the route");
}

static void
test_refused(void)
{
	refused("[]", "must be a JSON object");
	refused("{\"200\": 1", "not JSON");
	refused("{\"200\": {}, \"200\": {}}", "not JSON");
	refused("{\"20\": {}}", "is no status");
	refused("{\"2000\": {}}", "is no status");
	refused("{\"100\": {}}", "is no status");
	refused("{\"600\": {}}", "is no status");
	refused("{\"default\": {}}", "is no status");
	refused("{\"201\": {}}", "the status of success is 200");
	refused("{\"200\": {\"$ref\": \"#\"}}", "not supported");
	refused("{\"303\": {}}", "must be a text");
	refused("{\"404\": []}", "problems must be an object");
	refused("{\"404\": {\"Not Found\": null}}", "a code is a word");
	refused("{\"404\": {\"mine\": {}}}", "detail and suggestion are needed");
	refused("{\"404\": {\"conflict\": {}}}", "detail and suggestion are needed");
	refused("{\"404\": {\"mine\": {\"detail\": 1, \"suggestion\": \"s\"}}}", "an object with the texts");
	refused("{\"404\": {\"not_found\": {\"hint\": \"h\"}}}", "an object with the texts");
	ok(!takes("{\"204\": {}}", 204, false) && strstr(error, "has no body") != NULL, "no schema without a body");
}

/* What is too long is cut, not written past its end. */
static void
test_bounds(void)
{
	char		small[8] = ".......";

	ok(!rg_responses_check(RG_SLICE("[]"), 200, true, small, 4) && strcmp(small + 4, "...") == 0,
	   "an error has no more room than it is given");
}

int
main(void)
{
	test_accepted();
	test_refused();
	test_bounds();
	return done();
}
