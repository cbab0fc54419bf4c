/*
 * rate_lines.h
 *		What a client is told about its limits: header lines, and the problem
 *		of a refusal.
 *
 * The extension tells it with every answer, the gateway when it refuses from
 * memory; both say it with these words.
 *
 * Pure C: shared by the extension, the gateway, unit tests and fuzzers.
 */
#ifndef RG_RATE_LINES_H
#define RG_RATE_LINES_H

#include <stdint.h>

#include "json_text.h"
#include "problem.h"

#define RG_RATE_LIMITS_MAX 16	/* limits of one answer: 12 rates, 4 quotas */
#define RG_RATE_NAME_MAX 63		/* bytes of a policy's name */
#define RG_RATE_LINES_MAX (RG_RATE_LIMITS_MAX * 200 + 768)	/* bytes of all lines */

/* One limit as it stands.  The name is of [A-Za-z0-9_.-]. */
typedef struct RgRateLimit
{
	RgSlice		name;			/* of its policy */
	bool		denied;			/* it refuses this request */
	bool		tokens;			/* a quota of tokens; others are of requests */
	bool		by_address;		/* whoever asks from there: by ip, or global,
								 * and not because of an API key */
	int64_t		quota;
	int64_t		window;			/* nanoseconds; 0: a lifetime, what is taken
								 * never comes back */
	int64_t		limit;			/* what can be taken at once */
	int64_t		remaining;
	int64_t		wait;			/* nanoseconds until there is more; of a
								 * lifetime nothing */
} RgRateLimit;

/*
 * Puts RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers),
 * X-RateLimit-* of the limit that is closest to denial and, where one denied,
 * Retry-After, or, where waiting does not help, x-should-retry: false.  now is in
 * seconds since 1970.  openai: and, as OpenAI tells it, x-ratelimit-*-requests of the
 * limit of requests that is closest to denial, and -tokens of that of tokens, if there
 * are such.  Nothing when there are no limits.
 */
extern void rg_rate_lines_put(RgText *text, const RgRateLimit *limits, int count,
							  int64_t now, bool openai);

/* Whole seconds until those that denied would all allow, at least 1; 0: never. */
extern int64_t rg_rate_lines_wait(const RgRateLimit *limits, int count);

/* Puts the member "violated-policies" that names those that denied. */
extern void rg_rate_lines_violated(RgText *text, const RgRateLimit *limits, int count);

/* The words of a refusal that are its own. */
typedef struct RgRateRefusal
{
	char		suggestion[64];
	char		violated[RG_RATE_LIMITS_MAX * (RG_RATE_NAME_MAX + 3) + 32];
} RgRateRefusal;

/* The 429 for rates of which one denied; it points into words. */
extern RgProblem rg_rate_lines_problem(const RgRateLimit *limits, int count,
									   RgRateRefusal *words);

#endif
