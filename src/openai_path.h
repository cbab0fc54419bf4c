/*
 * openai_path.h
 *		Which paths speak OpenAI's API, so that its clients find their way.
 *
 * On these, problems have the form that those clients read (openai_error.h), and
 * limits are told in OpenAI's headers as well (rate_lines.h).
 *
 * Pure C: shared by the extension, the gateway, unit tests and fuzzers.
 */
#ifndef RG_OPENAI_PATH_H
#define RG_OPENAI_PATH_H

#include "slice.h"

/*
 * Takes a request's target, with its query or without, or a route's template.  A
 * path of that meaning whose letters are escaped is none: no client writes it.
 */
extern bool rg_openai_path(RgSlice target);

#endif
