/*
 * openai_path.c
 *		Which paths speak OpenAI's API; openai_path.h has the contract.
 */
#include "openai_path.h"

static const char *const roots[] = {
	"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/models"
};

static bool
is_at_or_below(RgSlice target, const char *root)
{
	size_t		len = strlen(root);

	if (target.len < len || memcmp(target.data, root, len) != 0)
		return false;
	return target.len == len || target.data[len] == '/' || target.data[len] == '?';
}

bool
rg_openai_path(RgSlice target)
{
	for (size_t i = 0; i < sizeof roots / sizeof roots[0]; i++)
		if (is_at_or_below(target, roots[i]))
			return true;
	return false;
}
