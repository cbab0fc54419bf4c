/*
 * json_body.c
 *		Reading a JSON body within bounds.
 */
#include "json_body.h"

#include <jansson.h>

#define MAX_EXPONENT 324		/* of the least number of binary64, which
								 * others read */

/* Where a scan of JSON text stands: strings are skipped whole. */
typedef struct Scan
{
	const char *at;
	const char *end;
	int			depth;
	bool		far;			/* a number is out of range */
} Scan;

/*
 * Steps over one byte, or over a whole string, and keeps the depth.  In text
 * that is no JSON it ends all the same, at the end of the text.
 */
static char
step(Scan *scan)
{
	char		c = *scan->at++;

	if (c == '[' || c == '{')
		scan->depth++;
	else if (c == ']' || c == '}')
		scan->depth--;
	else if (c == '"')
	{
		while (scan->at < scan->end && *scan->at != '"')
			scan->at += *scan->at == '\\' ? 2 : 1;
		scan->at = scan->at < scan->end ? scan->at + 1 : scan->end;
	}
	return c;
}

static bool
refuse_depth(RgViolation *violation)
{
	rg_violate(violation, 400, "invalid_json",
			   "the body is nested more than %d levels deep", RG_JSON_MAX_DEPTH);
	rg_violation_prepend(violation, "body");
	rg_violation_suggest(violation, "Send a flatter JSON document.");
	return false;
}

static bool
refuse_size(RgViolation *violation)
{
	rg_violate(violation, 413, "body_too_complex",
			   "the body has more than %d values", RG_JSON_MAX_VALUES);
	rg_violation_prepend(violation, "body");
	rg_violation_suggest(violation, "Send less in one request.");
	return false;
}

/*
 * Is that the exponent of a number, which PostgreSQL would write out?  1e-16000 is as
 * valid as 1e-5, and 16 kB long in jsonb's text.
 */
static bool
is_far_exponent(const Scan *scan, char c)
{
	const char *at = scan->at;
	int			exponent = 0;

	if (c != 'e' && c != 'E')
		return false;
	if (at < scan->end && (*at == '-' || *at == '+'))
		at++;
	for (; at < scan->end && *at >= '0' && *at <= '9' && exponent <= MAX_EXPONENT; at++)
		exponent = 10 * exponent + (*at - '0');
	return exponent > MAX_EXPONENT;
}

/* Steps on until the text ends, or goes beyond a bound. */
static size_t
count_values(Scan *scan, size_t most)
{
	size_t		values = 1;

	while (scan->at < scan->end && !scan->far && scan->depth <= RG_JSON_MAX_DEPTH && values <= most)
	{
		char		c = step(scan);

		scan->far = is_far_exponent(scan, c);
		values += c == ',' || c == '[' || c == '{';
	}
	return values;
}

static bool
refuse_number(RgViolation *violation)
{
	rg_violate(violation, 400, "invalid_json", "a number is out of range");
	rg_violation_prepend(violation, "body");
	rg_violation_suggest(violation, "Send numbers with exponents from -324 to 308.");
	return false;
}

/*
 * Every value costs some 100 bytes once parsed, and every level a stack frame
 * of the parsers, here and in PostgreSQL: so both are counted first.
 */
static bool
check_bounds(RgSlice text, RgViolation *violation)
{
	Scan		scan = {.at = text.data,.end = text.data + text.len};
	size_t		values = count_values(&scan, RG_JSON_MAX_VALUES);

	if (scan.depth > RG_JSON_MAX_DEPTH)
		return refuse_depth(violation);
	if (scan.far)
		return refuse_number(violation);
	return values <= RG_JSON_MAX_VALUES || refuse_size(violation);
}

bool
rg_json_bounded(RgSlice text, size_t most_values)
{
	Scan		scan = {.at = text.data,.end = text.data + text.len};

	return count_values(&scan, most_values) <= most_values && !scan.far && scan.depth <= RG_JSON_MAX_DEPTH;
}

static const char *
problem_of(const json_error_t *error)
{
	switch (json_error_code(error))
	{
		case json_error_duplicate_key:
			return "an object has the same member twice";
		case json_error_null_character:
		case json_error_null_byte_in_key:
			return "a string holds \\u0000";
		case json_error_numeric_overflow:
			return "a number is out of range";
		case json_error_invalid_utf8:
			return "the body is not UTF-8";
		case json_error_premature_end_of_input:
			return "the body ends too early";
		default:
			return "the body is not valid JSON";
	}
}

static bool
refuse_nul(RgViolation *violation)
{
	rg_violate(violation, 400, "invalid_json", "the body holds a NUL byte");
	rg_violation_prepend(violation, "body");
	rg_violation_suggest(violation, "Send a JSON document in UTF-8 (RFC 8259).");
	return false;
}

static bool
refuse_json(const json_error_t *error, RgViolation *violation)
{
	rg_violate(violation, 400, "invalid_json", "%s (line %d, column %d)",
			   problem_of(error), error->line, error->column);
	rg_violation_prepend(violation, "body");
	rg_violation_suggest(violation, "Send a JSON document in UTF-8 (RFC 8259).");
	return false;
}

json_t *
rg_json_parse(RgSlice text, RgViolation *violation)
{
	json_error_t error;
	json_t	   *value;

	/* jansson takes one NUL at the end for the end */
	if (text.len > 0 && memchr(text.data, '\0', text.len) != NULL)
		return refuse_nul(violation), NULL;
	if (!check_bounds(text, violation))
		return NULL;
	value = json_loadb(text.data, text.len,
					   JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
	if (value == NULL)
		refuse_json(&error, violation);
	return value;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void
skip_blanks(Scan *scan)
{
	while (scan->at < scan->end && is_blank(*scan->at))
		scan->at++;
}

/* Up to the comma or brace that ends the value, without the blanks before. */
static RgSlice
take_value(Scan *scan)
{
	RgSlice		value;
	const char *end;

	skip_blanks(scan);
	value.data = end = scan->at;
	while (scan->at < scan->end &&
		   (scan->depth > 0 || (*scan->at != ',' && *scan->at != '}')))
	{
		bool		blank = is_blank(*scan->at);

		step(scan);
		if (!blank)
			end = scan->at;
	}
	value.len = end - value.data;
	return value;
}

bool
rg_json_next_member(RgSlice text, size_t *offset, RgSlice *value)
{
	Scan		scan = {.at = text.data + *offset,.end = text.data + text.len};

	/* Before a member stand blanks and the opening brace or a comma */
	while (scan.at < scan.end && *scan.at != '"' && *scan.at != '}')
		scan.at++;
	if (scan.at >= scan.end || *scan.at != '"')
		return false;
	step(&scan);
	skip_blanks(&scan);
	if (scan.at >= scan.end || *scan.at != ':')
		return false;
	scan.at++;
	*value = take_value(&scan);
	*offset = scan.at - text.data;
	return true;
}
