/*
 * schema_check.c
 *		Applying a compiled schema to a JSON value or to a parameter's text.
 *
 * The recursion follows the schema, so it is as deep as that at most.
 */
#include "schema_tree.h"

#include <stdio.h>
#include <stdlib.h>

#include "utf8.h"

#define MAX_EXACT_REAL 9007199254740992.0	/* 2^53 */
#define MAX_NUMBER_LENGTH 127	/* bytes of a number in a path or query */

/* A scalar to look for in enum, from JSON or from text */
typedef struct Scalar
{
	json_type	type;
	RgNumber	number;			/* JSON_INTEGER or JSON_REAL */
	RgSlice		text;			/* JSON_STRING */
	const json_t *json;			/* NULL when it came as text */
} Scalar;

RgNumber
rg_number_of(const json_t *value)
{
	RgNumber	number = {json_is_integer(value), 0, json_number_value(value)};

	if (number.whole)
		number.integer = json_integer_value(value);
	else if (number.real >= -MAX_EXACT_REAL && number.real <= MAX_EXACT_REAL &&
			 (double) (int64_t) number.real == number.real)
	{
		number.whole = true;
		number.integer = (int64_t) number.real;
	}
	return number;
}

int
rg_number_compare(RgNumber a, RgNumber b)
{
	if (a.whole && b.whole)
		return (a.integer > b.integer) - (a.integer < b.integer);
	return (a.real > b.real) - (a.real < b.real);
}

static RgNumber
whole_number(int64_t integer)
{
	return (RgNumber)
	{
		true, integer, (double) integer
	};
}

static RgSlice
text_of(const json_t *string)
{
	return (RgSlice)
	{
		json_string_value(string), json_string_length(string)
	};
}

static Scalar
scalar_of(const json_t *value)
{
	Scalar		scalar = {.type = json_typeof(value),.json = value};

	if (json_is_number(value))
		scalar.number = rg_number_of(value);
	else if (json_is_string(value))
		scalar.text = text_of(value);
	return scalar;
}

/* Numbers by value, so that 1.0 is 1; the rest as JSON. */
static bool
is_same(const json_t *choice, const Scalar *scalar)
{
	if (json_is_number(choice))
		return (scalar->type == JSON_INTEGER || scalar->type == JSON_REAL) &&
			rg_number_compare(rg_number_of(choice), scalar->number) == 0;
	if (json_typeof(choice) != scalar->type)
		return false;
	if (json_is_string(choice))
		return rg_slice_equal(text_of(choice), scalar->text);
	return scalar->json == NULL || json_equal(choice, scalar->json);
}

static bool
is_listed(const json_t *choices, const Scalar *scalar)
{
	for (size_t i = 0; i < json_array_size(choices); i++)
		if (is_same(json_array_get(choices, i), scalar))
			return true;
	return false;
}

static bool
check_choices(const RgSchema *schema, const Scalar *scalar,
			  RgViolation *violation)
{
	if (schema->constant && !is_same(schema->constant, scalar))
		return rg_refuse(schema, violation, "must be the one value allowed");
	if (schema->choices && !is_listed(schema->choices, scalar))
		return rg_refuse(schema, violation, "must be one of the values allowed");
	return true;
}

/* Reals within a billionth, since 0.1 is not exact; huge ones always pass. */
static bool
is_multiple(RgNumber number, RgNumber of)
{
	double		quotient = number.real / of.real;
	double		rest;

	if (number.whole && of.whole)
		return number.integer % of.integer == 0;
	if (quotient > 1e15 || quotient < -1e15)
		return true;
	rest = quotient - (double) (int64_t) (quotient + (quotient < 0 ? -0.5 : 0.5));
	return rest < 1e-9 && rest > -1e-9;
}

static bool
refuse_bound(const RgSchema *schema, RgBound bound, const char *what,
			 RgViolation *violation)
{
	char		text[RG_NUMBER_TEXT];

	return rg_refuse(schema, violation, "must be %s %s", what,
					 rg_number_print(bound.number, text));
}

static bool
check_number(const RgSchema *schema, RgNumber number, RgViolation *violation)
{
	if (schema->minimum.set &&
		rg_number_compare(number, schema->minimum.number) < 0)
		return refuse_bound(schema, schema->minimum, "at least", violation);
	if (schema->maximum.set && !schema->clamp &&
		rg_number_compare(number, schema->maximum.number) > 0)
		return refuse_bound(schema, schema->maximum, "at most", violation);
	if (schema->above.set &&
		rg_number_compare(number, schema->above.number) <= 0)
		return refuse_bound(schema, schema->above, "above", violation);
	if (schema->below.set &&
		rg_number_compare(number, schema->below.number) >= 0)
		return refuse_bound(schema, schema->below, "below", violation);
	if (schema->multiple_of.set &&
		!is_multiple(number, schema->multiple_of.number))
		return refuse_bound(schema, schema->multiple_of, "a multiple of",
							violation);
	return true;
}

/* Counting is left out where the number of bytes already decides. */
static bool
check_length(const RgSchema *schema, RgSlice text, RgViolation *violation)
{
	bool		surely_short = text.len <= schema->max_length;
	bool		surely_long = schema->min_length == 0;
	size_t		length;

	if (surely_short && surely_long)
		return true;
	length = rg_utf8_length(text);
	if (length < schema->min_length)
		return rg_refuse(schema, violation, "must have at least %zu character%s",
						 schema->min_length, schema->min_length == 1 ? "" : "s");
	if (length > schema->max_length)
		return rg_refuse(schema, violation, "must have at most %zu character%s",
						 schema->max_length, schema->max_length == 1 ? "" : "s");
	return true;
}

static bool
check_text(const RgSchema *schema, RgSlice text, RgViolation *violation)
{
	if (!check_length(schema, text, violation))
		return false;
	if (schema->format && !schema->format->check(text))
		return rg_refuse(schema, violation, "must be %s", schema->format->what);
	if (schema->has_pattern && !rg_pattern_matches(&schema->pattern, text))
		return rg_refuse(schema, violation, "must have the form that is documented");
	return true;
}

static bool
check_count(const RgSchema *schema, size_t count, size_t min, size_t max,
			const char *what, RgViolation *violation)
{
	if (count < min)
		return rg_refuse(schema, violation, "must have at least %zu %s", min, what);
	if (count > max)
		return rg_refuse(schema, violation, "must have at most %zu %s", max, what);
	return true;
}

static bool
has_twins(const json_t *array)
{
	for (size_t i = 1; i < json_array_size(array); i++)
	{
		Scalar		scalar = scalar_of(json_array_get(array, i));

		for (size_t j = 0; j < i; j++)
			if (is_same(json_array_get(array, j), &scalar))
				return true;
	}
	return false;
}

static bool
check_array(const RgSchema *schema, const json_t *array, RgViolation *violation)
{
	size_t		count = json_array_size(array);

	if (!check_count(schema, count, schema->min_items, schema->max_items,
					 "items", violation))
		return false;
	for (size_t i = 0; schema->items && i < count; i++)
		if (!rg_schema_check(schema->items, json_array_get(array, i), violation))
		{
			rg_violation_prepend_index(violation, i);
			return false;
		}
	if (schema->unique_items && has_twins(array))
		return rg_refuse(schema, violation, "must not have the same item twice");
	return true;
}

static bool
check_property(const RgProperty *property, const json_t *object, size_t *found,
			   RgViolation *violation)
{
	const json_t *value = json_object_get(object, property->name);

	if (value == NULL && !property->required)
		return true;
	if (value == NULL)
	{
		rg_refuse(property->schema, violation, "is required");
		violation->code = "missing_parameter";
	}
	else if (rg_schema_check(property->schema, value, violation))
	{
		(*found)++;
		return true;
	}
	rg_violation_prepend(violation, property->name);
	return false;
}

static bool
is_declared(const RgSchema *schema, const char *name)
{
	for (int i = 0; i < schema->nproperties; i++)
		if (strcmp(schema->properties[i].name, name) == 0)
			return true;
	return false;
}

/* Members that properties does not name; their names stay out of the pointer. */
static bool
check_additional(const RgSchema *schema, const json_t *object,
				 RgViolation *violation)
{
	const char *name;
	json_t	   *value;

	if (schema->closed)
		return rg_refuse(schema, violation, "has a member that is not allowed");
	if (schema->additional == NULL)
		return true;
	json_object_foreach((json_t *) object, name, value)
		if (!is_declared(schema, name) &&
			!rg_schema_check(schema->additional, value, violation))
	{
		violation->pointer[0] = '\0';
		return false;
	}
	return true;
}

static bool
check_object(const RgSchema *schema, const json_t *object,
			 RgViolation *violation)
{
	size_t		count = json_object_size(object);
	size_t		found = 0;

	for (int i = 0; i < schema->nproperties; i++)
		if (!check_property(&schema->properties[i], object, &found, violation))
			return false;
	return check_count(schema, count, schema->min_properties,
					   schema->max_properties, "members", violation) &&
		(found == count || check_additional(schema, object, violation));
}

static unsigned
type_of(const json_t *value)
{
	switch (json_typeof(value))
	{
		case JSON_NULL:
			return RG_TYPE_NULL;
		case JSON_TRUE:
		case JSON_FALSE:
			return RG_TYPE_BOOLEAN;
		case JSON_INTEGER:
			return RG_TYPE_INTEGER;
		case JSON_REAL:
			return rg_number_of(value).whole ? RG_TYPE_INTEGER : RG_TYPE_NUMBER;
		case JSON_STRING:
			return RG_TYPE_STRING;
		case JSON_ARRAY:
			return RG_TYPE_ARRAY;
		case JSON_OBJECT:
			return RG_TYPE_OBJECT;
	}
	return 0;
}

static bool
check_contents(const RgSchema *schema, const json_t *value,
			   RgViolation *violation)
{
	switch (json_typeof(value))
	{
		case JSON_INTEGER:
		case JSON_REAL:
			return check_number(schema, rg_number_of(value), violation);
		case JSON_STRING:
			return check_text(schema, text_of(value), violation);
		case JSON_ARRAY:
			return check_array(schema, value, violation);
		case JSON_OBJECT:
			return check_object(schema, value, violation);
		default:
			return true;
	}
}

bool
rg_schema_check(const RgSchema *schema, const json_t *value,
				RgViolation *violation)
{
	Scalar		scalar;

	if (!(type_of(value) & schema->types))
		return rg_refuse_type(schema, violation);
	if (schema->constant || schema->choices)
	{
		scalar = scalar_of(value);
		if (!check_choices(schema, &scalar, violation))
			return false;
	}
	return check_contents(schema, value, violation);
}

static RgNumber
clamp(const RgSchema *schema, RgNumber number)
{
	if (!schema->clamp ||
		rg_number_compare(number, schema->maximum.number) <= 0)
		return number;
	return schema->maximum.number;
}

static void
set_number(const RgSchema *schema, RgNumber number, RgValue *out)
{
	number = clamp(schema, number);
	if (schema->kind == RG_VALUE_INTEGER)
		out->integer = number.integer;
	else
		out->number = number.real;
}

void
rg_schema_convert(const RgSchema *schema, const json_t *value, RgValue *out)
{
	out->kind = schema->kind;
	out->null = json_is_null(value);
	if (schema->kind == RG_VALUE_JSON)
		out->text = RG_SLICE("null");
	else if (json_is_number(value))
		set_number(schema, rg_number_of(value), out);
	else if (json_is_boolean(value))
		out->boolean = json_is_true(value);
	else if (json_is_string(value))
		out->text = text_of(value);
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* -?(0|[1-9][0-9]*): its length; 0 when there is none. */
static size_t
integer_length(RgSlice text)
{
	size_t		start = text.len > 0 && text.data[0] == '-';
	size_t		i = start;

	while (i < text.len && is_digit(text.data[i]))
		i++;
	if (i == start || (text.data[start] == '0' && i > start + 1))
		return 0;
	return i;
}

/* How many digits stand at an offset. */
static size_t
digits_at(RgSlice text, size_t offset)
{
	size_t		i = offset;

	while (i < text.len && is_digit(text.data[i]))
		i++;
	return i - offset;
}

/* JSON's grammar: an integer, a fraction, an exponent. */
static bool
is_number(RgSlice text)
{
	size_t		i = integer_length(text);
	size_t		digits;

	if (i == 0)
		return false;
	if (i < text.len && text.data[i] == '.')
	{
		digits = digits_at(text, i + 1);
		if (digits == 0)
			return false;
		i += 1 + digits;
	}
	if (i < text.len && (text.data[i] | 0x20) == 'e')
	{
		i++;
		if (i < text.len && (text.data[i] == '+' || text.data[i] == '-'))
			i++;
		digits = digits_at(text, i);
		if (digits == 0)
			return false;
		i += digits;
	}
	return i == text.len;
}

static bool
read_int64(RgSlice text, int64_t *out)
{
	bool		negative = text.data[0] == '-';
	int64_t		value = 0;

	for (size_t i = negative; i < text.len; i++)
	{
		int			digit = text.data[i] - '0';

		if (__builtin_mul_overflow(value, 10, &value) ||
			__builtin_sub_overflow(value, digit, &value))
			return false;
	}
	*out = value;
	return negative || !__builtin_sub_overflow(0, value, out);
}

static bool
read_integer(const RgSchema *schema, RgSlice text, RgNumber *number,
			 RgViolation *violation)
{
	int64_t		integer;

	if (text.len == 0 || integer_length(text) != text.len)
		return rg_refuse_type(schema, violation);
	if (!read_int64(text, &integer))
		return rg_refuse(schema, violation, "must fit in 64 bits");
	*number = whole_number(integer);
	return true;
}

static bool
read_real(const RgSchema *schema, RgSlice text, RgNumber *number,
		  RgViolation *violation)
{
	char		copy[MAX_NUMBER_LENGTH + 1];

	if (text.len > MAX_NUMBER_LENGTH || !is_number(text))
		return rg_refuse_type(schema, violation);
	memcpy(copy, text.data, text.len);
	copy[text.len] = '\0';
	*number = (RgNumber)
	{
		false, 0, strtod(copy, NULL)
	};
	if (!__builtin_isfinite(number->real))
		return rg_refuse(schema, violation, "must be a number within the range of double precision");
	return true;
}

static bool
read_number(const RgSchema *schema, RgSlice text, RgValue *out,
			RgViolation *violation)
{
	Scalar		scalar = {.type = JSON_REAL};
	bool		read;

	if (schema->kind == RG_VALUE_INTEGER)
		read = read_integer(schema, text, &scalar.number, violation);
	else
		read = read_real(schema, text, &scalar.number, violation);
	if (!read || !check_choices(schema, &scalar, violation) ||
		!check_number(schema, scalar.number, violation))
		return false;
	set_number(schema, scalar.number, out);
	return true;
}

static bool
read_boolean(const RgSchema *schema, RgSlice text, RgValue *out,
			 RgViolation *violation)
{
	Scalar		scalar = {.type = JSON_FALSE};

	out->boolean = rg_slice_is(text, "true");
	if (!out->boolean && !rg_slice_is(text, "false"))
		return rg_refuse_type(schema, violation);
	if (out->boolean)
		scalar.type = JSON_TRUE;
	return check_choices(schema, &scalar, violation);
}

static bool
read_text(const RgSchema *schema, RgSlice text, RgValue *out,
		  RgViolation *violation)
{
	Scalar		scalar = {.type = JSON_STRING,.text = text};

	out->text = text;
	return check_choices(schema, &scalar, violation) &&
		check_text(schema, text, violation);
}

bool
rg_schema_read(const RgSchema *schema, RgSlice text, RgValue *out,
			   RgViolation *violation)
{
	out->kind = schema->kind;
	out->null = false;
	switch (schema->kind)
	{
		case RG_VALUE_INTEGER:
		case RG_VALUE_NUMBER:
			return read_number(schema, text, out, violation);
		case RG_VALUE_BOOLEAN:
			return read_boolean(schema, text, out, violation);
		default:
			return read_text(schema, text, out, violation);
	}
}
