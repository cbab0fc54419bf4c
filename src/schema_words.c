/*
 * schema_words.c
 *		What a schema asks for, in words.
 */
#include "schema_tree.h"

#include <stdarg.h>
#include <stdio.h>

#define WORDS 200

const char *
rg_number_print(RgNumber number, char out[RG_NUMBER_TEXT])
{
	if (number.whole)
		snprintf(out, RG_NUMBER_TEXT, "%lld", (long long) number.integer);
	else
		snprintf(out, RG_NUMBER_TEXT, "%.15g", number.real);
	return out;
}

/* Adds to a string of WORDS bytes; what does not fit is left out. */
__attribute__((format(printf, 2, 3)))
static void
add(char *words, const char *format,...)
{
	size_t		len = strlen(words);
	va_list		args;
	int			printed;

	va_start(args, format);
	printed = vsnprintf(words + len, WORDS - len, format, args);
	va_end(args);
	if (printed < 0 || (size_t) printed >= WORDS - len)
		words[len] = '\0';
}

static void
add_bound(char *words, const char *phrase, RgBound bound)
{
	char		text[RG_NUMBER_TEXT];

	if (bound.set)
		add(words, "%s%s %s", words[0] ? " and " : " ", phrase,
			rg_number_print(bound.number, text));
}

/* " between 1 and 100", " at least 1 and below 5", or "" */
static void
say_range(const RgSchema *schema, char *words)
{
	char		low[RG_NUMBER_TEXT];
	char		high[RG_NUMBER_TEXT];

	words[0] = '\0';
	if (schema->minimum.set && schema->maximum.set)
		add(words, " between %s and %s",
			rg_number_print(schema->minimum.number, low),
			rg_number_print(schema->maximum.number, high));
	else
	{
		add_bound(words, "of at least", schema->minimum);
		add_bound(words, "of at most", schema->maximum);
	}
	add_bound(words, "above", schema->above);
	add_bound(words, "below", schema->below);
	add_bound(words, "divisible by", schema->multiple_of);
}

/* " of 1 to 64 characters", or "" */
static void
say_count(size_t min, size_t max, const char *what, char *words)
{
	words[0] = '\0';
	if (max != SIZE_MAX)
		add(words, " of %zu to %zu %s", min, max, what);
	else if (min > 0)
		add(words, " of at least %zu %s", min, what);
}

static void
add_choice(char *words, const json_t *choice)
{
	char		text[RG_NUMBER_TEXT];
	const char *comma = words[0] ? ", " : "";

	if (json_is_string(choice))
		add(words, "%s%s", comma, json_string_value(choice));
	else if (json_is_number(choice))
		add(words, "%s%s", comma, rg_number_print(rg_number_of(choice), text));
	else if (json_is_boolean(choice))
		add(words, "%s%s", comma, json_is_true(choice) ? "true" : "false");
	else if (json_is_null(choice))
		add(words, "%snull", comma);
}

static void
suggest_choice(const RgSchema *schema, RgViolation *violation)
{
	char		words[WORDS] = "";

	if (schema->constant)
		add_choice(words, schema->constant);
	for (size_t i = 0; i < json_array_size(schema->choices); i++)
		add_choice(words, json_array_get(schema->choices, i));
	if (words[0])
		rg_violation_suggest(violation, schema->constant ? "Send %s." :
							 "Send one of: %s.", words);
	else
		rg_violation_suggest(violation, "Send one of the values that the route's documentation lists.");
}

static void
suggest_text(const RgSchema *schema, RgViolation *violation)
{
	char		words[WORDS];

	if (schema->format)
	{
		rg_violation_suggest(violation, "Send %s such as %s%s.",
							 schema->format->what, schema->format->example,
							 schema->kind == RG_VALUE_DATE_TIME ?
							 ", in a URL with + written as %2B" : "");
		return;
	}
	say_count(schema->min_length, schema->max_length, "characters", words);
	rg_violation_suggest(violation, "Send a text%s%s.", words,
						 schema->has_pattern ?
						 " in the form that the route's documentation gives" : "");
}

static void
add_allowed(char *words, const RgSchema *schema)
{
	for (int i = 0; i < schema->nproperties; i++)
		add(words, "%s%s", words[0] ? ", " : "", schema->properties[i].name);
}

static void
suggest_object(const RgSchema *schema, RgViolation *violation)
{
	char		words[WORDS] = "";

	add_allowed(words, schema);
	if (words[0] == '\0')
		rg_violation_suggest(violation, "Send a JSON object.");
	else
		rg_violation_suggest(violation, schema->closed ?
							 "Send a JSON object with no other members than: %s." :
							 "Send a JSON object with the members: %s.", words);
}

/* The sentence for a schema with one type, besides null. */
static void
suggest_typed(const RgSchema *schema, RgViolation *violation)
{
	char		words[WORDS];

	switch (schema->types & ~RG_TYPE_NULL)
	{
		case RG_TYPE_INTEGER:
			say_range(schema, words);
			rg_violation_suggest(violation, "Send a whole number%s.", words);
			break;
		case RG_TYPE_NUMBER | RG_TYPE_INTEGER:
			say_range(schema, words);
			rg_violation_suggest(violation, "Send a number%s.", words);
			break;
		case RG_TYPE_BOOLEAN:
			rg_violation_suggest(violation, "Send true or false.");
			break;
		case RG_TYPE_STRING:
			suggest_text(schema, violation);
			break;
		case RG_TYPE_ARRAY:
			say_count(schema->min_items, schema->max_items, "items", words);
			rg_violation_suggest(violation, "Send a JSON array%s.", words);
			break;
		case RG_TYPE_OBJECT:
			suggest_object(schema, violation);
			break;
		default:
			rg_violation_suggest(violation, "Send a value of a type that the route's documentation lists.");
	}
}

bool
rg_refuse(const RgSchema *schema, RgViolation *violation, const char *detail,...)
{
	char		words[RG_VIOLATION_TEXT];
	va_list		args;

	va_start(args, detail);
	vsnprintf(words, sizeof words, detail, args);
	va_end(args);
	rg_violate(violation, 422, "invalid_parameter", "%s", words);
	if (schema->constant || schema->choices)
		suggest_choice(schema, violation);
	else
		suggest_typed(schema, violation);
	return false;
}

bool
rg_refuse_type(const RgSchema *schema, RgViolation *violation)
{
	static const struct
	{
		unsigned	types;
		const char *what;
	}			names[] = {
		{RG_TYPE_INTEGER, "an integer"},
		{RG_TYPE_NUMBER | RG_TYPE_INTEGER, "a number"},
		{RG_TYPE_BOOLEAN, "true or false"},
		{RG_TYPE_STRING, "a string"},
		{RG_TYPE_ARRAY, "an array"},
		{RG_TYPE_OBJECT, "an object"},
		{0, "null"},
	};
	const char *or_null = schema->types & RG_TYPE_NULL ? " or null" : "";

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (names[i].types == (schema->types & ~RG_TYPE_NULL))
			return rg_refuse(schema, violation, "must be %s%s", names[i].what,
							 names[i].types ? or_null : "");
	return rg_refuse(schema, violation, "must be of another type");
}
