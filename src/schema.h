/*
 * schema.h
 *		The part of JSON Schema (draft 2020-12, as OpenAPI 3.1 uses it) that
 *		routes declare parameters and bodies with.
 *
 * Checked: type (string, integer, number, boolean, object, array, null, or a
 * list of them), enum, const; minimum, maximum, exclusiveMinimum,
 * exclusiveMaximum, multipleOf; minLength, maxLength (code points), pattern,
 * format; properties, required, additionalProperties, minProperties,
 * maxProperties; items, minItems, maxItems, uniqueItems (only with maxItems
 * <= RG_SCHEMA_MAX_UNIQUE).
 *
 * format: uuid (canonical, either case), date-time (RFC 3339; years 0001 to
 * 9999, offsets to 15:59 and fractions to 9 digits, PostgreSQL's limits),
 * date, time (hh:mm:ss with an optional fraction, no offset: it becomes
 * PostgreSQL's time), email and uri (shape only).  Other formats are ignored.
 *
 * pattern is a POSIX extended regular expression in the process's locale, not
 * anchored.  A backslash before a letter or digit (\d, \1) or in brackets, and
 * "(?", are refused, because they mean something else there than in
 * JavaScript; so nothing backtracks.  It is bounded in length, depth and
 * repetition, and a schema with pattern and without maxLength has a maxLength
 * of RG_SCHEMA_PATTERN_LENGTH.
 *
 * integer in JSON takes 1.0 and 1e3 for whole numbers up to 2^53, as JSON
 * Schema says.  Numbers are compared by value: 1 equals 1.0 in enum.
 *
 * default is checked against the schema when that is compiled.  It is used
 * for parameters and top-level body properties (parameters.h), elsewhere it
 * is an annotation.
 *
 * "x-clamp": true lowers a number above maximum to it instead of refusing;
 * below minimum it is still refused.  It needs type integer or number and an
 * inclusive maximum, and stands only at the root or in a property of the
 * root: deeper values reach SQL as the client sent them.
 *
 * title, description, examples, deprecated, readOnly and other annotations
 * and unknown x-... are ignored; any other keyword (anyOf, $ref, not …) is
 * an error, since leaving it out would let through what it forbids.
 *
 * Pure C: shared by the extension, unit tests and fuzzers.  jansson is not
 * visible here, because jansson.h and the server's headers both claim
 * json_object.
 */
#ifndef RG_SCHEMA_H
#define RG_SCHEMA_H

#include <stdint.h>

#include "slice.h"
#include "violation.h"

#define RG_SCHEMA_MAX_DEPTH 32
#define RG_SCHEMA_MAX_UNIQUE 256
#define RG_SCHEMA_PATTERN_LENGTH 8192

struct json_t;

typedef struct RgSchema RgSchema;

/* What a value becomes in SQL. */
typedef enum RgValueKind
{
	RG_VALUE_INTEGER,			/* bigint: integer */
	RG_VALUE_NUMBER,			/* float8: number, always finite */
	RG_VALUE_BOOLEAN,			/* boolean */
	RG_VALUE_STRING,			/* text */
	RG_VALUE_UUID,				/* uuid: text */
	RG_VALUE_DATE,				/* date: text YYYY-MM-DD */
	RG_VALUE_DATE_TIME,			/* timestamptz: text, RFC 3339 */
	RG_VALUE_TIME,				/* time: text hh:mm:ss[.f] */
	RG_VALUE_JSON				/* jsonb: text */
} RgValueKind;

typedef struct RgValue
{
	RgValueKind kind;
	bool		null;			/* absent or JSON null; nothing else is set */
	union
	{
		int64_t		integer;
		double		number;
		bool		boolean;
		RgSlice		text;		/* valid UTF-8 without NUL; not terminated */
	};
} RgValue;

/*
 * Compiles a schema.  NULL when it is not one, with the reason in error
 * ("keyword \"anyOf\" is not supported", after the JSON pointer of where it
 * stands).  The result is malloc'ed: rg_schema_free().
 */
extern RgSchema *rg_schema_compile(const char *json, size_t len,
								   char *error, size_t error_size)
			__attribute__((warn_unused_result));
extern void rg_schema_free(RgSchema *schema);

/* RG_VALUE_JSON unless the schema has exactly one type besides null. */
extern RgValueKind rg_schema_kind(const RgSchema *schema);

/* The default as a value; NULL when there is none.  Lives with the schema. */
extern const RgValue *rg_schema_default(const RgSchema *schema);

/*
 * Checks a JSON value.  On false the violation (status 422, code
 * "invalid_parameter" or "missing_parameter") points into the value: "" is
 * the value itself, "/a/0" is its member.  A pointer ends at the object when
 * the offending member's name is the client's own.
 */
extern bool rg_schema_check(const RgSchema *schema, const struct json_t *value,
							RgViolation *violation)
			__attribute__((warn_unused_result));

/*
 * A JSON value that rg_schema_check() has passed, for SQL: integers as int64, clamped.  Strings point into value.  The text of RG_VALUE_JSON is
 * the caller's to set.
 */
extern void rg_schema_convert(const RgSchema *schema,
							  const struct json_t *value, RgValue *out);

/*
 * Checks and converts the text of a path or query parameter, which must be
 * valid UTF-8 without NUL: integers and numbers by JSON's grammar (no plus
 * sign, no leading zeros, no spaces), booleans true or false.  Strings point
 * into text.  Not for RG_VALUE_JSON.
 */
extern bool rg_schema_read(const RgSchema *schema, RgSlice text, RgValue *out,
						   RgViolation *violation)
			__attribute__((warn_unused_result));

#endif
