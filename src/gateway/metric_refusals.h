/*
 * metric_refusals.h
 *		Which refusals tell of credentials that failed, of forged requests and of
 *		violations: by the code of the problem that answers them.
 *
 * The words are a list of their own: no code that SQL or a client makes up
 * becomes a label.
 *
 * Pure C: needs no server, no event loop.
 */
#ifndef RG_METRIC_REFUSALS_H
#define RG_METRIC_REFUSALS_H

#include "slice.h"

#define RG_REFUSAL_WORDS 48		/* at most */

typedef enum RgRefusalKind
{
	RG_REFUSAL_AUTH = 1,		/* bits: a refusal may be of several kinds */
	RG_REFUSAL_CSRF = 2,
	RG_REFUSAL_VIOLATION = 4
} RgRefusalKind;

typedef struct RgRefusalWord
{
	const char *word;			/* a problem's code; "other" for unknown ones */
	unsigned	kinds;			/* RgRefusalKind */
} RgRefusalWord;

/* The words, their number in *count. */
extern const RgRefusalWord *rg_refusal_words(int *count);

/*
 * The number of the word for an answer of that status, whose body may be a
 * problem; -1 for what is no such refusal.
 */
extern int	rg_refusal_find(int status, RgSlice body);

#endif
