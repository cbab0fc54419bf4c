/*
 * db_error.c
 *		Errors of the database as problems; db_error.h has the contract.
 */
#include "db_error.h"

typedef struct Mapping
{
	const char *prefix;			/* of the SQLSTATE */
	int			status;
	RgSlice		code;
	RgSlice		detail;
} Mapping;

#define SAY(literal) {(literal), sizeof(literal) - 1}
#define BUSY SAY("unavailable"), SAY("the database could not serve the request just now")
#define INVALID SAY("invalid_value"), SAY("a value is missing, malformed or out of range")
#define CONFLICT SAY("conflict"), SAY("the request contradicts what is already there")

/* The first that fits counts. */
static const Mapping mappings[] = {
	{"23505", 409, CONFLICT},
	{"23503", 409, CONFLICT},
	{"23P01", 409, CONFLICT},
	{"23514", 422, INVALID},
	{"23502", 422, INVALID},
	{"22001", 422, INVALID},	/* of class 22 only what a value can cause: */
	{"22003", 422, INVALID},	/* dividing by zero is the route's fault */
	{"22007", 422, INVALID},
	{"22008", 422, INVALID},
	{"2200N", 422, INVALID},
	{"22021", 422, INVALID},
	{"22P02", 422, INVALID},
	{"22P03", 422, INVALID},
	{"22P05", 422, INVALID},
	{"2203", 422, INVALID},
	{"RG503", 503, BUSY},
	{"42501", 403, SAY("forbidden"), SAY("this is not allowed to you")},
	{"25006", 503, SAY("needs_primary"), SAY("the database only reads just now, and the request changes something")},
	{"40001", 503, BUSY},
	{"40P01", 503, BUSY},
	{"55P03", 503, BUSY},
	{"53", 503, BUSY},
	{"57P0", 503, BUSY},
	{"57014", 504, SAY("timeout"), SAY("the request took too long and was given up")},
};

/* The status of an SQLSTATE RGnnn with 400 <= nnn <= 599, else 0. */
static int
refusal_status(const char *sqlstate)
{
	int			status = 0;

	if (strncmp(sqlstate, "RG", 2) != 0 || strlen(sqlstate) != 5)
		return 0;
	for (int i = 2; i < 5; i++)
	{
		if (sqlstate[i] < '0' || sqlstate[i] > '9')
			return 0;
		status = status * 10 + (sqlstate[i] - '0');
	}
	return status >= 400 && status <= 599 ? status : 0;
}

/* A word of lower-case letters, digits and underscores. */
static bool
is_code(const char *detail)
{
	return detail != NULL && detail[0] != '\0' &&
		strspn(detail, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(detail);
}

static bool
is_for_clients(const RgDbError *error, int status)
{
	return status != 0 && (status < 500 || is_code(error->detail));
}

/* What names relay_guard's functions and tables is for operators, and in the log. */
static bool
is_for_operators(const char *hint)
{
	return hint != NULL && strstr(hint, "relay_guard.") != NULL;
}

static void
take_refusal(const RgDbError *error, int status, RgProblem *problem)
{
	problem->status = status;
	problem->detail = rg_slice_of(error->message);
	problem->code = rg_slice_of(error->detail);
	problem->suggestion = rg_slice_of(is_for_operators(error->hint) ? NULL : error->hint);
}

static const Mapping *
find_mapping(const char *sqlstate)
{
	for (size_t i = 0; i < sizeof mappings / sizeof mappings[0]; i++)
		if (strncmp(sqlstate, mappings[i].prefix, strlen(mappings[i].prefix)) == 0)
			return &mappings[i];
	return NULL;
}

bool
rg_db_error_problem(const RgDbError *error, RgProblem *problem)
{
	const char *sqlstate = error->sqlstate ? error->sqlstate : "";
	int			status = refusal_status(sqlstate);
	const Mapping *mapping = find_mapping(sqlstate);

	if (is_for_clients(error, status))
	{
		take_refusal(error, status, problem);
		return status < 500;
	}
	problem->status = mapping ? mapping->status : status ? status : 500;
	problem->code = mapping ? mapping->code : RG_SLICE("internal");
	problem->detail = mapping ? mapping->detail : rg_slice(NULL, 0);
	problem->suggestion = rg_slice(NULL, 0);
	return problem->status < 500;
}
