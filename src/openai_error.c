/*
 * openai_error.c
 *		Problems in OpenAI's form; openai_error.h has the contract.
 */
#include "openai_error.h"

#define INSUFFICIENT_QUOTA "insufficient_quota" /* waiting a moment is no help */

static RgSlice
type_of(int status, RgSlice code)
{
	if (status >= 500)
		return RG_SLICE("server_error");
	switch (status)
	{
		case 401:
			return RG_SLICE("authentication_error");
		case 403:
			return RG_SLICE("permission_error");
		case 404:
			return RG_SLICE("not_found_error");
		case 429:
			return rg_slice_is(code, INSUFFICIENT_QUOTA) ? code : RG_SLICE("rate_limit_error");
		default:
			return RG_SLICE("invalid_request_error");
	}
}

/*
 * What is wrong, out of its pointer
 */

/* Takes "/token" off. */
static bool
take_token(RgSlice *pointer, RgSlice *token)
{
	const char *end;

	if (pointer->len == 0 || *pointer->data != '/')
		return false;
	*token = rg_slice(pointer->data + 1, pointer->len - 1);
	end = memchr(token->data, '/', token->len);
	if (end != NULL)
		token->len = end - token->data;
	pointer->data += token->len + 1;
	pointer->len -= token->len + 1;
	return true;
}

/* What stands behind /path, /query or /body; empty when that is all. */
static RgSlice
below_part(RgSlice pointer)
{
	RgSlice		part;

	return take_token(&pointer, &part) ? pointer : rg_slice(NULL, 0);
}

static bool
is_index(RgSlice token)
{
	for (size_t i = 0; i < token.len; i++)
		if (token.data[i] < '0' || token.data[i] > '9')
			return false;
	return token.len > 0;
}

/* Without the escapes of RFC 6901: ~1 is a slash, ~0 a tilde. */
static void
put_name(RgText *text, RgSlice token)
{
	const char *tilde;

	while ((tilde = token.len > 1 ? memchr(token.data, '~', token.len - 1) : NULL) != NULL)
	{
		size_t		before = tilde - token.data;

		rg_text_escaped(text, rg_slice(token.data, before));
		rg_text_char(text, tilde[1] == '1' ? '/' : '~');
		token = rg_slice(tilde + 2, token.len - before - 2);
	}
	rg_text_escaped(text, token);
}

static void
put_place(RgText *text, RgSlice pointer)
{
	RgSlice		token;

	for (bool first = true; take_token(&pointer, &token); first = false)
	{
		if (!is_index(token))
		{
			rg_text_put(text, first ? RG_SLICE("") : RG_SLICE("."));
			put_name(text, token);
			continue;
		}
		rg_text_char(text, '[');
		rg_text_put(text, token);
		rg_text_char(text, ']');
	}
}

/*
 * The message
 */

static bool
ends_sentence(RgSlice detail)
{
	return detail.len > 0 && memchr(".!?", detail.data[detail.len - 1], 3) != NULL;
}

/* Clients show it and little else, so it names the place as well. */
static void
put_message(RgText *text, const RgProblem *problem, RgSlice place, RgSlice suggestion)
{
	RgSlice		detail = problem->detail;

	if (detail.len == 0)
		detail = rg_slice_of(rg_status_title(problem->status));
	rg_text_char(text, '"');
	if (place.len > 0)
	{
		put_place(text, place);
		rg_text_put(text, RG_SLICE(": "));
	}
	rg_text_escaped(text, detail);
	rg_text_put(text, ends_sentence(detail) ? RG_SLICE(" ") : RG_SLICE(". "));
	rg_text_escaped(text, suggestion);
	rg_text_char(text, '"');
}

static void
put_param(RgText *text, RgSlice place)
{
	if (place.len == 0)
	{
		rg_text_put(text, RG_SLICE("null"));
		return;
	}
	rg_text_char(text, '"');
	put_place(text, place);
	rg_text_char(text, '"');
}

void
rg_openai_error_put(RgText *text, const RgProblem *problem, RgSlice code, RgSlice suggestion)
{
	RgSlice		place = below_part(problem->pointer);

	rg_text_put(text, RG_SLICE("{\"error\":{\"message\":"));
	put_message(text, problem, place, suggestion);
	rg_text_put(text, RG_SLICE(",\"type\":"));
	rg_text_json(text, type_of(problem->status, code));
	rg_text_put(text, RG_SLICE(",\"param\":"));
	put_param(text, place);
	rg_text_put(text, RG_SLICE(",\"code\":"));
	rg_text_json(text, code);
	rg_text_put(text, RG_SLICE("}}"));
}
