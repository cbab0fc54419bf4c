/*
 * retry.c
 *		Whether and when to try again; retry.h has the contract.
 */
#include "postgres.h"

#include "errcodes.h"
#include "retry.h"

#define NO_RETRY "no_retry"

static const char retry_after[] = "retry_after=";

int
rg_err_retry(int64 seconds)
{
	return err_generic_string(PG_DIAG_CONSTRAINT_NAME, seconds < 0 ? NO_RETRY :
							  psprintf("%s" INT64_FORMAT, retry_after, seconds));
}

/* What stands behind the word, up to nine digits; NULL for anything else. */
static const char *
seconds_to_wait(const char *word)
{
	const char *seconds = word + strlen(retry_after);
	size_t		len;

	if (strncmp(word, retry_after, strlen(retry_after)) != 0)
		return NULL;
	len = strlen(seconds);
	return len > 0 && len <= 9 && strspn(seconds, "0123456789") == len ? seconds : NULL;
}

static bool
is_insufficient_quota(const ErrorData *error)
{
	return error->detail != NULL && strcmp(error->detail, RG_CODE_INSUFFICIENT_QUOTA) == 0;
}

/* Nothing but these words becomes a header: application SQL may write what it likes. */
void
rg_retry_line(StringInfo lines, const ErrorData *error)
{
	const char *word = error->constraint_name != NULL ? error->constraint_name : "";
	const char *seconds = seconds_to_wait(word);

	if (error->sqlerrcode != ERRCODE_RG_LIMITED)
		return;
	if (strcmp(word, NO_RETRY) == 0 || is_insufficient_quota(error))
		appendStringInfoString(lines, "x-should-retry: false\r\n");
	else if (seconds != NULL)
		appendStringInfo(lines, "Retry-After: %s\r\n", seconds);
}
