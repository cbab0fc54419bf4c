/*
 * openai_error.h
 *		A problem as OpenAI's API tells it, for clients that were written for that.
 *
 * {"error": {"message", "type", "param", "code"}}, always with all four: message is
 * detail and suggestion, type follows from the status, param names what the pointer
 * points at as OpenAI does (messages[0].content), or is null, and code is ours.
 *
 * Pure C: shared by the extension, the gateway, unit tests and fuzzers.
 */
#ifndef RG_OPENAI_ERROR_H
#define RG_OPENAI_ERROR_H

#include "json_text.h"
#include "problem.h"

/* code and suggestion are those to tell, whatever the problem says of them. */
extern void rg_openai_error_put(RgText *text, const RgProblem *problem, RgSlice code,
								RgSlice suggestion);

#endif
