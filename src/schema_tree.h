/*
 * schema_tree.h
 *		A compiled schema from the inside: for schema.c, which builds it,
 *		schema_check.c, which applies it, and schema_words.c, which says what
 *		it asks for.
 */
#ifndef RG_SCHEMA_TREE_H
#define RG_SCHEMA_TREE_H

#include <jansson.h>

#include "formats.h"
#include "pattern.h"
#include "schema.h"

/* Types of JSON values, as a set */
#define RG_TYPE_NULL	0x01
#define RG_TYPE_BOOLEAN	0x02
#define RG_TYPE_INTEGER	0x04
#define RG_TYPE_NUMBER	0x08
#define RG_TYPE_STRING	0x10
#define RG_TYPE_ARRAY	0x20
#define RG_TYPE_OBJECT	0x40
#define RG_TYPE_ANY		0x7F

#define RG_NUMBER_TEXT 32

/* A number as written: whole ones of 64 bits are exact. */
typedef struct RgNumber
{
	bool		whole;
	int64_t		integer;		/* if whole */
	double		real;
} RgNumber;

typedef struct RgBound
{
	bool		set;
	RgNumber	number;
} RgBound;

typedef struct RgProperty
{
	char	   *name;
	bool		required;
	RgSchema   *schema;
} RgProperty;

struct RgSchema
{
	unsigned	types;
	RgValueKind kind;
	const RgFormat *format;
	RgBound		minimum;
	RgBound		maximum;
	RgBound		above;			/* exclusiveMinimum */
	RgBound		below;			/* exclusiveMaximum */
	RgBound		multiple_of;
	bool		clamp;
	size_t		min_length;
	size_t		max_length;		/* this and the next two: SIZE_MAX for none */
	size_t		min_items;
	size_t		max_items;
	size_t		min_properties;
	size_t		max_properties;
	bool		unique_items;
	bool		closed;			/* additionalProperties: false */
	bool		has_pattern;
	regex_t		pattern;
	json_t	   *choices;		/* enum; an array */
	json_t	   *constant;		/* const */
	json_t	   *preset_json;	/* default */
	char	   *preset_text;	/* of kind RG_VALUE_JSON, printed */
	RgValue		preset;
	RgSchema   *items;
	RgSchema   *additional;
	int			nproperties;
	RgProperty *properties;
	bool		optional;		/* x-optional */
};

/* rg_schema_compile() of JSON that is parsed; keeps references to parts of it. */
extern RgSchema *rg_schema_compile_json(json_t *root,
										char *error, size_t error_size)
			__attribute__((warn_unused_result));

/* The number of a JSON integer or real. */
extern RgNumber rg_number_of(const json_t *value);

/* <0, 0 or >0 */
extern int	rg_number_compare(RgNumber a, RgNumber b);

extern const char *rg_number_print(RgNumber number, char out[RG_NUMBER_TEXT]);

/* Violations of a schema (422 invalid_parameter) with a suggestion: false */
extern bool rg_refuse(const RgSchema *schema, RgViolation *violation,
					  const char *detail,...)
			__attribute__((format(printf, 3, 4)));
extern bool rg_refuse_type(const RgSchema *schema, RgViolation *violation);

#endif
