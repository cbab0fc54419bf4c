/*
 * metric_refusals.c
 *		The list of refusals that are counted by reason; metric_refusals.h has
 *		the contract.
 */
#include "metric_refusals.h"

#define AUTH RG_REFUSAL_AUTH
#define VIOLATION RG_REFUSAL_VIOLATION

/*
 * A violation is what no program sends that means well: framing that two parsers
 * would read differently, hosts that are not served, tokens that somebody has
 * made or changed.  Those that are only old or from elsewhere are not.
 */
static const RgRefusalWord words[] = {
	{"other", AUTH},
	{"unauthenticated", AUTH},
	{"authorization_scheme", AUTH},
	{"invalid_credentials", AUTH},
	{"two_credentials", AUTH | VIOLATION},
	{"token_too_long", AUTH},
	{"token_malformed", AUTH},
	{"token_header", AUTH},
	{"token_claim", AUTH},
	{"token_claim_missing", AUTH},
	{"token_issuer", AUTH},
	{"token_key", AUTH},
	{"token_algorithm", AUTH | VIOLATION},
	{"token_signature", AUTH | VIOLATION},
	{"token_audience", AUTH},
	{"token_expired", AUTH},
	{"token_not_yet_valid", AUTH},
	{"token_subject", AUTH | VIOLATION},
	{"token_revoked", AUTH},
	{"api_key_unknown", AUTH},
	{"api_key_expired", AUTH},
	{"api_key_revoked", AUTH},
	{"session_malformed", AUTH},
	{"session_duplicate", AUTH},
	{"session_unknown", AUTH},
	{"session_ended", AUTH},
	{"session_expired", AUTH},
	{"session_revoked", AUTH},
	{"csrf_failed", RG_REFUSAL_CSRF | VIOLATION},
	{"malformed_request", VIOLATION},
	{"malformed_target", VIOLATION},
	{"malformed_header", VIOLATION},
	{"malformed_body", VIOLATION},
	{"unknown_host", VIOLATION},
};

#define NWORDS ((int) (sizeof words / sizeof words[0]))

_Static_assert(sizeof words / sizeof words[0] <= RG_REFUSAL_WORDS, "RG_REFUSAL_WORDS is too small");

const RgRefusalWord *
rg_refusal_words(int *count)
{
	*count = NWORDS;
	return words;
}

/* A quote within a JSON string has a backslash before it, so this is a member. */
static RgSlice
code_of(RgSlice body)
{
	static const char member[] = "\"code\":\"";
	const size_t len = sizeof member - 1;
	const char *at = body.len > 0 ? memmem(body.data, body.len, member, len) : NULL;
	const char *end;

	if (at == NULL)
		return rg_slice(NULL, 0);
	at += len;
	end = memchr(at, '"', body.data + body.len - at);
	return end ? rg_slice(at, end - at) : rg_slice(NULL, 0);
}

static int
find_word(RgSlice code)
{
	for (int i = 1; i < NWORDS; i++)
		if (rg_slice_is(code, words[i].word))
			return i;
	return 0;
}

int
rg_refusal_find(int status, RgSlice body)
{
	int			word;

	if (status != 400 && status != 401 && status != 403 && status != 421)
		return -1;
	word = find_word(code_of(body));
	return word > 0 || status == 401 ? word : -1;
}
