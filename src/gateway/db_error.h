/*
 * db_error.h
 *		What a client learns of an error in the database.
 *
 * SQLSTATEs of class RG are meant for clients: the rest is the status, the
 * message the detail, DETAIL the code, HINT the suggestion.  Not so those of
 * RG500 and above whose DETAIL is no code: they say what an operator has to
 * mend.  Of every error that is not for clients only its class is told: nothing
 * of SQL, tables, keys or paths.
 *
 * Pure C: needs no server, no event loop.
 */
#ifndef RG_DB_ERROR_H
#define RG_DB_ERROR_H

#include "problem.h"

/* Strings of libpq; NULL where there is none. */
typedef struct RgDbError
{
	const char *sqlstate;
	const char *message;
	const char *detail;
	const char *hint;
	const char *context;
	const char *headers;		/* lines about limits; from serve() */
} RgDbError;

/*
 * Fills in status, code, detail and suggestion; the slices point into the
 * error.  True when it says nothing about the gateway's health: a refusal that
 * application SQL raised, to be logged as information only.
 */
extern bool rg_db_error_problem(const RgDbError *error, RgProblem *problem);

#endif
