/*
 * refusal.c
 *		What an error says when it leaves serve(); refusal.h has the contract.
 */
#include "postgres.h"

#include "crypt.h"
#include "denial.h"
#include "errcodes.h"
#include "refusal.h"

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

static bool
is_insufficient_quota(const ErrorData *error)
{
	return error->detail != NULL && strcmp(error->detail, RG_CODE_INSUFFICIENT_QUOTA) == 0;
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

/* The seconds of "retry_after=<seconds>", up to nine digits, or NULL. */
static const char *
seconds_to_wait(const char *word)
{
	const size_t len = strlen(RG_RETRY_AFTER);
	const char *seconds = word + len;

	if (strncmp(word, RG_RETRY_AFTER, len) != 0)
		return NULL;
	return *seconds != '\0' && strlen(seconds) <= 9 &&
		strspn(seconds, "0123456789") == strlen(seconds) ? seconds : NULL;
}

/* Only those words become a header: application SQL may write there what it likes. */
static void
append_retry_line(StringInfo lines, const ErrorData *error)
{
	const char *word = error->constraint_name != NULL ? error->constraint_name : "";
	const char *seconds = seconds_to_wait(word);

	if (error->sqlerrcode != ERRCODE_RG_LIMITED)
		return;
	if (seconds != NULL)
		appendStringInfo(lines, "Retry-After: %s\r\n", seconds);
	else if (strcmp(word, RG_NO_RETRY) == 0 || is_insufficient_quota(error))
		appendStringInfoString(lines, "x-should-retry: false\r\n");
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
	append_retry_line(&lines, error);
	return lines.len > 0 ? lines.data : NULL;
}

void
rg_refusal_rethrow(const RgAnswer *answer, MemoryContext context)
{
	ErrorData  *error;

	if (!is_of_class_rg(geterrcode()))
	{
		rg_denial_note_error(geterrcode(), NULL);
		rg_denial_serving(NULL);
		PG_RE_THROW();
	}
	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	rg_denial_note_error(error->sqlerrcode, error->detail);
	rg_denial_serving(NULL);
	if (does_not_open(error))
		become_missing(error);
	error->constraint_name = header_lines(answer, error);
	ReThrowError(error);
}
