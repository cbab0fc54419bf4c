/*
 * pattern.c
 *		Regular expressions of schemas.
 *
 * A pattern is walked before it is compiled.  What means something else in
 * JavaScript is refused, and so is what would cost the C library too much:
 * it writes a{1,99} out 99 times, intervals of intervals multiply, and a**
 * takes time that doubles with each star.
 */
#include "pattern.h"

#include <ctype.h>
#include <stdlib.h>

#define MAX_LENGTH 512			/* bytes of a pattern */
#define MAX_DEPTH 32			/* groups within groups */
#define MAX_WEIGHT 1000			/* characters, once intervals are written out */
#define MAX_REPEAT 255
#define SMALL_TEXT 512			/* bytes that are copied to the stack */

static const char foreign[] = "pattern must be a POSIX extended regular expression: write [0-9] for \\d, no backslash in brackets, and no (?";
static const char stacked[] = "pattern has two of * + ? {} in a row";
static const char interval[] = "pattern has a { that does not start {n}, {n,} or {n,m} with at most 255";
static const char heavy[] = "pattern is too long, nested too deep or repeats too much";

typedef struct Walk
{
	const char *at;
	int			depth;			/* of groups */
	int			weights[MAX_DEPTH + 1]; /* of each open group so far */
	int			last;			/* weight of what a quantifier would repeat */
	bool		quantified;		/* a quantifier came last */
} Walk;

/*
 * The end of a bracket expression, which starts after its '['; NULL when it
 * holds a backslash, which is itself there and no escape.
 */
static const char *
skip_bracket(const char *at)
{
	if (*at == '^')
		at++;
	if (*at == ']')
		at++;
	for (; *at != '\0' && *at != ']'; at++)
	{
		if (*at == '\\')
			return NULL;
		if (strncmp(at, "[:", 2) == 0 && strstr(at, ":]") != NULL)
			at = strstr(at, ":]") + 1;
	}
	return at;
}

static const char *
add_weight(Walk *walk, int weight)
{
	walk->last = weight;
	walk->quantified = false;
	walk->weights[walk->depth] += weight;
	return walk->weights[walk->depth] > MAX_WEIGHT ? heavy : NULL;
}

static const char *
walk_bracket(Walk *walk)
{
	const char *end = skip_bracket(walk->at);

	if (end == NULL)
		return foreign;
	walk->at = *end == ']' ? end + 1 : end;
	return add_weight(walk, 1);
}

static const char *
walk_escape(Walk *walk)
{
	if (isalnum((unsigned char) *walk->at))
		return foreign;
	if (*walk->at != '\0')
		walk->at++;
	return add_weight(walk, 1);
}

static const char *
open_group(Walk *walk)
{
	if (*walk->at == '?')
		return foreign;
	if (walk->depth == MAX_DEPTH)
		return heavy;
	walk->weights[++walk->depth] = 1;
	walk->quantified = false;
	return NULL;
}

static const char *
close_group(Walk *walk)
{
	if (walk->depth == 0)
		return add_weight(walk, 1);
	walk->depth--;
	return add_weight(walk, walk->weights[walk->depth + 1]);
}

static const char *
quantify(Walk *walk)
{
	if (walk->quantified)
		return stacked;
	walk->quantified = true;
	return NULL;
}

/* A number of up to three digits; -1 when there is none. */
static int
take_count(Walk *walk)
{
	int			count = 0;
	int			digits = 0;

	for (; isdigit((unsigned char) *walk->at) && digits < 4; digits++)
		count = count * 10 + (*walk->at++ - '0');
	return digits > 0 ? count : -1;
}

/* {n}, {n,} or {n,m}: what it repeats weighs as often as it may stand. */
static const char *
repeat(Walk *walk)
{
	int			min = take_count(walk);
	int			max = min;
	int			last = walk->last;
	const char *problem;

	if (*walk->at == ',')
	{
		walk->at++;
		max = *walk->at == '}' ? min + 1 : take_count(walk);
	}
	if (min < 0 || max < min || max > MAX_REPEAT || *walk->at != '}')
		return interval;
	walk->at++;
	problem = quantify(walk);
	if (problem == NULL && max > 1)
		problem = add_weight(walk, last * (max - 1));
	walk->quantified = true;
	return problem;
}

static const char *
walk_one(Walk *walk)
{
	switch (*walk->at++)
	{
		case '\\':
			return walk_escape(walk);
		case '[':
			return walk_bracket(walk);
		case '(':
			return open_group(walk);
		case ')':
			return close_group(walk);
		case '*':
		case '+':
		case '?':
			return quantify(walk);
		case '{':
			return repeat(walk);
		default:
			return add_weight(walk, 1);
	}
}

const char *
rg_pattern_compile(regex_t *pattern, const char *text)
{
	Walk		walk = {.at = text};
	const char *problem = NULL;

	if (strlen(text) > MAX_LENGTH)
		return heavy;
	while (problem == NULL && *walk.at != '\0')
		problem = walk_one(&walk);
	if (problem == NULL && regcomp(pattern, text, REG_EXTENDED | REG_NOSUB) != 0)
		problem = "pattern is not a POSIX extended regular expression";
	return problem;
}

bool
rg_pattern_matches(const regex_t *pattern, RgSlice text)
{
	char		small[SMALL_TEXT];
	char	   *copy = text.len < sizeof small ? small : malloc(text.len + 1);
	bool		matched;

	if (copy == NULL)
		return false;
	if (text.len > 0)
		memcpy(copy, text.data, text.len);
	copy[text.len] = '\0';
	matched = regexec(pattern, copy, 0, NULL, 0) == 0;
	if (copy != small)
		free(copy);
	return matched;
}
