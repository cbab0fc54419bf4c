/*
 * refusal.c
 *		What an error says when it leaves serve(); refusal.h has the contract.
 */
#include "postgres.h"

#include "crypt.h"
#include "denial.h"
#include "errcodes.h"
#include "refusal.h"
#include "retry.h"

static bool
is_of_class_rg(int sqlerrcode)
{
	return strncmp(unpack_sql_state(sqlerrcode), "RG", 2) == 0;
}

/* By its code: what decrypt_text() and its like raise, in this process or a parallel worker. */
static bool
does_not_open(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_RG_NOT_FOUND && error->detail != NULL &&
		strcmp(error->detail, RG_CODE_DOES_NOT_OPEN) == 0;
}

/* Whoever moves values about learns nothing that a wrong id would not tell. */
static void
become_missing(ErrorData *error)
{
	error->message = RG_MISSING_DETAIL;
	error->detail = RG_MISSING_CODE;
	error->hint = NULL;
	error->context = NULL;
}

/* On the slow lane (gateway/lane.h) it takes its limits anew. */
static void
give_back_limits(RgAnswer *answer, const ErrorData *error)
{
	if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE && answer->admitted &&
		answer->comes_again && answer->nhits > 0)
		rg_rate_give_back(answer->hits, answer->nhits);
}

/* Before the limits were taken the hits have no results. */
static char *
header_lines(const RgAnswer *answer, const ErrorData *error)
{
	StringInfoData lines;

	if (!answer->admitted)
		return NULL;
	initStringInfo(&lines);
	rg_answer_limit_lines(answer, &lines);
	rg_retry_line(&lines, error);
	return lines.len > 0 ? lines.data : NULL;
}

void
rg_refusal_rethrow(RgAnswer *answer, MemoryContext context)
{
	ErrorData  *error;
	bool		is_refusal = is_of_class_rg(geterrcode());

	if (geterrcode() == ERRCODE_OUT_OF_MEMORY)
	{
		rg_denial_serving(NULL);
		PG_RE_THROW();
	}
	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	rg_denial_note_error(error->sqlerrcode, is_refusal ? error->detail : NULL);
	rg_denial_serving(NULL);
	give_back_limits(answer, error);
	if (does_not_open(error))
		become_missing(error);
	if (is_refusal)
		error->constraint_name = header_lines(answer, error);
	error->datatype_name = answer->route != NULL ? pstrdup(answer->route->path) : NULL;
	ReThrowError(error);
}
