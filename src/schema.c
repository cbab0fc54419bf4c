/*
 * schema.c
 *		Compiling a JSON Schema: one function for a keyword.
 *
 * A compiler's violation gathers what is wrong and, while the recursion
 * unwinds, where it stands.
 */
#include "schema_tree.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_NAME 100			/* so that a violation's pointer can hold it */

typedef struct Compiler
{
	RgViolation violation;
	int			depth;
	bool		may_clamp;
} Compiler;

/* field is the member of the schema that a keyword sets by itself, if any. */
typedef bool (*CompileKeyword) (Compiler *compiler, RgSchema *schema,
								void *field, json_t *value);

typedef struct Keyword
{
	const char *name;
	CompileKeyword compile;
	size_t		offset;			/* of field */
} Keyword;

static RgSchema *compile_node(Compiler *compiler, json_t *node);

#define fail(compiler, ...) \
	rg_violate(&(compiler)->violation, 422, "invalid_schema", __VA_ARGS__)

static const struct
{
	const char *name;
	unsigned	bit;
}			type_names[] = {
	{"null", RG_TYPE_NULL},
	{"boolean", RG_TYPE_BOOLEAN},
	{"integer", RG_TYPE_INTEGER},
	{"number", RG_TYPE_NUMBER | RG_TYPE_INTEGER},
	{"string", RG_TYPE_STRING},
	{"array", RG_TYPE_ARRAY},
	{"object", RG_TYPE_OBJECT},
};

static unsigned
type_bit(const json_t *value)
{
	const char *name = json_string_value(value);

	for (size_t i = 0; name && i < sizeof type_names / sizeof *type_names; i++)
		if (strcmp(type_names[i].name, name) == 0)
			return type_names[i].bit;
	return 0;
}

static bool
compile_type(Compiler *compiler, RgSchema *schema, void *field,
			 json_t *value)
{
	size_t		count = json_array_size(value);

	schema->types = type_bit(value);
	for (size_t i = 0; i < count; i++)
	{
		unsigned	bit = type_bit(json_array_get(value, i));

		if (bit == 0)
			return fail(compiler, "type lists what is no type");
		schema->types |= bit;
	}
	if (schema->types == 0)
		return fail(compiler, "type must be the name of a type or a list of names");
	return true;
}

static bool
compile_bound(Compiler *compiler, RgSchema *schema, void *field, json_t *value)
{
	RgBound    *bound = field;

	if (!json_is_number(value))
		return fail(compiler, "a bound must be a number");
	bound->set = true;
	bound->number = rg_number_of(value);
	return true;
}

static bool
compile_multiple(Compiler *compiler, RgSchema *schema, void *field,
				 json_t *value)
{
	if (!json_is_number(value) || json_number_value(value) <= 0)
		return fail(compiler, "multipleOf must be a number above 0");
	return compile_bound(compiler, schema, field, value);
}

static bool
compile_count(Compiler *compiler, RgSchema *schema, void *field, json_t *value)
{
	size_t	   *count = field;

	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return fail(compiler, "a length must be a whole number, 0 or more");
	*count = json_integer_value(value);
	return true;
}

static bool
compile_flag(Compiler *compiler, RgSchema *schema, void *field, json_t *value)
{
	bool	   *flag = field;

	if (!json_is_boolean(value))
		return fail(compiler, "a flag must be true or false");
	*flag = json_is_true(value);
	return true;
}

static bool
compile_optional(Compiler *compiler, RgSchema *schema, void *field,
				 json_t *value)
{
	if (compiler->depth > 1)
		return fail(compiler, "x-optional stands at the root of a body only");
	return compile_flag(compiler, schema, field, value);
}

static bool
compile_format(Compiler *compiler, RgSchema *schema, void *field,
			   json_t *value)
{
	if (!json_is_string(value))
		return fail(compiler, "format must be a string");
	schema->format = rg_format_find(json_string_value(value));
	return true;
}

static bool
compile_pattern(Compiler *compiler, RgSchema *schema, void *field,
				json_t *value)
{
	const char *pattern = json_string_value(value);
	const char *problem;

	if (pattern == NULL)
		return fail(compiler, "pattern must be a string");
	problem = rg_pattern_compile(&schema->pattern, pattern);
	if (problem)
		return fail(compiler, "%s", problem);
	schema->has_pattern = true;
	return true;
}

static bool
compile_enum(Compiler *compiler, RgSchema *schema, void *field,
			 json_t *value)
{
	if (json_array_size(value) == 0)
		return fail(compiler, "enum must be an array of at least one value");
	schema->choices = json_incref(value);
	return true;
}

static bool
compile_value(Compiler *compiler, RgSchema *schema, void *field, json_t *value)
{
	json_t	  **kept = field;

	*kept = json_incref(value);
	return true;
}

static bool
compile_property(Compiler *compiler, RgProperty *property, const char *name,
				 json_t *value)
{
	if (*name == '\0' || strlen(name) > MAX_NAME)
		return fail(compiler, "a property's name must have 1 to %d bytes", MAX_NAME);
	property->name = strdup(name);
	if (property->name == NULL)
		return fail(compiler, "out of memory");
	property->schema = compile_node(compiler, value);
	if (property->schema == NULL)
		rg_violation_prepend(&compiler->violation, name);
	return property->schema != NULL;
}

static bool
compile_properties(Compiler *compiler, RgSchema *schema, void *field,
				   json_t *value)
{
	const char *name;
	json_t	   *member;

	if (!json_is_object(value))
		return fail(compiler, "properties must be an object");
	schema->properties = calloc(json_object_size(value) + 1, sizeof(RgProperty));
	if (schema->properties == NULL)
		return fail(compiler, "out of memory");
	json_object_foreach(value, name, member)
	{
		RgProperty *property = &schema->properties[schema->nproperties++];

		compiler->may_clamp = compiler->depth == 1;
		if (!compile_property(compiler, property, name, member))
			return false;
	}
	return true;
}

static RgProperty *
find_property(RgSchema *schema, const char *name)
{
	for (int i = 0; name && i < schema->nproperties; i++)
		if (strcmp(schema->properties[i].name, name) == 0)
			return &schema->properties[i];
	return NULL;
}

/* Stands after properties in the table, so it sees them. */
static bool
compile_required(Compiler *compiler, RgSchema *schema, void *field,
				 json_t *value)
{
	if (!json_is_array(value))
		return fail(compiler, "required must be an array of names");
	for (size_t i = 0; i < json_array_size(value); i++)
	{
		const char *name = json_string_value(json_array_get(value, i));
		RgProperty *property = find_property(schema, name);

		if (property == NULL)
			return fail(compiler, "required names \"%s\", which is not in properties",
						name ? name : "");
		property->required = true;
	}
	return true;
}

static bool
compile_child(Compiler *compiler, RgSchema **child, json_t *value)
{
	compiler->may_clamp = false;
	*child = compile_node(compiler, value);
	return *child != NULL;
}

static bool
compile_additional(Compiler *compiler, RgSchema *schema, void *field,
				   json_t *value)
{
	schema->closed = json_is_false(value);
	return schema->closed || json_is_true(value) ||
		compile_child(compiler, &schema->additional, value);
}

static bool
compile_items(Compiler *compiler, RgSchema *schema, void *field,
			  json_t *value)
{
	return compile_child(compiler, &schema->items, value);
}

/* In the order in which they are compiled; the others are annotations. */
static const Keyword keywords[] = {
	{"type", compile_type, 0},
	{"format", compile_format, 0},
	{"enum", compile_enum, 0},
	{"const", compile_value, offsetof(RgSchema, constant)},
	{"default", compile_value, offsetof(RgSchema, preset_json)},
	{"minimum", compile_bound, offsetof(RgSchema, minimum)},
	{"maximum", compile_bound, offsetof(RgSchema, maximum)},
	{"exclusiveMinimum", compile_bound, offsetof(RgSchema, above)},
	{"exclusiveMaximum", compile_bound, offsetof(RgSchema, below)},
	{"multipleOf", compile_multiple, offsetof(RgSchema, multiple_of)},
	{"x-clamp", compile_flag, offsetof(RgSchema, clamp)},
	{"x-optional", compile_optional, offsetof(RgSchema, optional)},
	{"minLength", compile_count, offsetof(RgSchema, min_length)},
	{"maxLength", compile_count, offsetof(RgSchema, max_length)},
	{"pattern", compile_pattern, 0},
	{"properties", compile_properties, 0},
	{"required", compile_required, 0},
	{"additionalProperties", compile_additional, 0},
	{"minProperties", compile_count, offsetof(RgSchema, min_properties)},
	{"maxProperties", compile_count, offsetof(RgSchema, max_properties)},
	{"items", compile_items, 0},
	{"minItems", compile_count, offsetof(RgSchema, min_items)},
	{"maxItems", compile_count, offsetof(RgSchema, max_items)},
	{"uniqueItems", compile_flag, offsetof(RgSchema, unique_items)},
	{"title", NULL, 0},
	{"description", NULL, 0},
	{"example", NULL, 0},
	{"examples", NULL, 0},
	{"deprecated", NULL, 0},
	{"readOnly", NULL, 0},
	{"writeOnly", NULL, 0},
	{"externalDocs", NULL, 0},
	{"contentEncoding", NULL, 0},
	{"contentMediaType", NULL, 0},
	{"$comment", NULL, 0},
	{"$schema", NULL, 0},
	{"$id", NULL, 0},
};

#define NKEYWORDS (sizeof keywords / sizeof *keywords)

static bool
is_known(const char *name)
{
	for (size_t i = 0; i < NKEYWORDS; i++)
		if (strcmp(keywords[i].name, name) == 0)
			return true;
	return strncmp(name, "x-", 2) == 0;
}

static bool
check_keywords(Compiler *compiler, json_t *node)
{
	const char *name;
	json_t	   *value;

	if (json_object_get(node, "nullable"))
		return fail(compiler, "keyword \"nullable\" is not supported: list \"null\" in type");
	json_object_foreach(node, name, value)
		if (!is_known(name))
		return fail(compiler, "keyword \"%s\" is not supported", name);
	return true;
}

static bool
compile_keyword(Compiler *compiler, RgSchema *schema, const Keyword *keyword,
				json_t *node)
{
	json_t	   *value = json_object_get(node, keyword->name);

	if (value == NULL || keyword->compile == NULL)
		return true;
	if (keyword->compile(compiler, schema, (char *) schema + keyword->offset,
						 value))
		return true;
	rg_violation_prepend(&compiler->violation, keyword->name);
	return false;
}

/* What SQL sees: text of a checked format has the type of its own. */
static RgValueKind
kind_of(const RgSchema *schema)
{
	switch (schema->types & ~RG_TYPE_NULL)
	{
		case RG_TYPE_INTEGER:
			return RG_VALUE_INTEGER;
		case RG_TYPE_NUMBER | RG_TYPE_INTEGER:
			return RG_VALUE_NUMBER;
		case RG_TYPE_BOOLEAN:
			return RG_VALUE_BOOLEAN;
		case RG_TYPE_STRING:
			break;
		default:
			return RG_VALUE_JSON;
	}
	if (schema->format == NULL)
		return RG_VALUE_STRING;
	if (schema->format->check == rg_format_uuid)
		return RG_VALUE_UUID;
	if (schema->format->check == rg_format_date)
		return RG_VALUE_DATE;
	if (schema->format->check == rg_format_time)
		return RG_VALUE_TIME;
	return schema->format->check == rg_format_date_time ?
		RG_VALUE_DATE_TIME : RG_VALUE_STRING;
}

static bool
check_clamp(Compiler *compiler, const RgSchema *schema, bool may_clamp)
{
	if (!schema->clamp)
		return true;
	if (!may_clamp)
		return fail(compiler, "x-clamp stands at the root or in a property of the root only");
	if (schema->kind != RG_VALUE_INTEGER && schema->kind != RG_VALUE_NUMBER)
		return fail(compiler, "x-clamp needs type integer or number");
	if (!schema->maximum.set || schema->below.set)
		return fail(compiler, "x-clamp needs maximum, and no exclusiveMaximum");
	if (schema->kind == RG_VALUE_INTEGER && !schema->maximum.number.whole)
		return fail(compiler, "x-clamp needs a whole maximum for an integer");
	return true;
}

static bool
check_unique(Compiler *compiler, const RgSchema *schema)
{
	if (schema->unique_items && schema->max_items > RG_SCHEMA_MAX_UNIQUE)
		return fail(compiler, "uniqueItems needs maxItems of at most %d",
					RG_SCHEMA_MAX_UNIQUE);
	return true;
}

/* The default as a value; of kind JSON as text with 15 digits, so 0.1 is 0.1. */
static bool
convert_default(Compiler *compiler, RgSchema *schema)
{
	if (schema->preset_json == NULL)
		return true;
	if (!rg_schema_check(schema, schema->preset_json, &compiler->violation))
	{
		rg_violation_prepend(&compiler->violation, "default");
		return false;
	}
	if (schema->kind != RG_VALUE_JSON || json_is_null(schema->preset_json))
	{
		rg_schema_convert(schema, schema->preset_json, &schema->preset);
		return true;
	}
	schema->preset_text = json_dumps(schema->preset_json, JSON_COMPACT |
									 JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
	if (schema->preset_text == NULL)
		return fail(compiler, "the default cannot be printed");
	schema->preset.kind = RG_VALUE_JSON;
	schema->preset.text = (RgSlice)
	{
		schema->preset_text, strlen(schema->preset_text)
	};
	return true;
}

static bool
compile_members(Compiler *compiler, RgSchema *schema, json_t *node)
{
	bool		may_clamp = compiler->may_clamp;

	if (!check_keywords(compiler, node))
		return false;
	for (size_t i = 0; i < NKEYWORDS; i++)
		if (!compile_keyword(compiler, schema, &keywords[i], node))
			return false;
	if (schema->has_pattern && schema->max_length > RG_SCHEMA_PATTERN_LENGTH)
		schema->max_length = RG_SCHEMA_PATTERN_LENGTH;
	schema->kind = kind_of(schema);
	return check_clamp(compiler, schema, may_clamp) &&
		check_unique(compiler, schema) && convert_default(compiler, schema);
}

static RgSchema *
new_schema(void)
{
	RgSchema   *schema = calloc(1, sizeof *schema);

	if (schema == NULL)
		return NULL;
	schema->types = RG_TYPE_ANY;
	schema->kind = RG_VALUE_JSON;
	schema->max_length = SIZE_MAX;
	schema->max_items = SIZE_MAX;
	schema->max_properties = SIZE_MAX;
	return schema;
}

/* A schema is an object; true, which allows everything, stands for {}. */
static RgSchema *
compile_node(Compiler *compiler, json_t *node)
{
	RgSchema   *schema;
	bool		compiled;

	if (!json_is_object(node) && !json_is_true(node))
		return fail(compiler, "a schema must be an object"), NULL;
	if (compiler->depth >= RG_SCHEMA_MAX_DEPTH)
		return fail(compiler, "a schema is at most %d levels deep",
					RG_SCHEMA_MAX_DEPTH), NULL;
	schema = new_schema();
	if (schema == NULL)
		return fail(compiler, "out of memory"), NULL;
	compiler->depth++;
	compiled = compile_members(compiler, schema, node);
	compiler->depth--;
	if (compiled)
		return schema;
	rg_schema_free(schema);
	return NULL;
}

static void
print_error(const RgViolation *violation, char *error, size_t error_size)
{
	snprintf(error, error_size, "%s%s%s", violation->pointer,
			 violation->pointer[0] ? ": " : "", violation->detail);
}

RgSchema *
rg_schema_compile_json(json_t *root, char *error, size_t error_size)
{
	Compiler	compiler = {.may_clamp = true};
	RgSchema   *schema = compile_node(&compiler, root);

	if (schema == NULL)
		print_error(&compiler.violation, error, error_size);
	return schema;
}

RgSchema *
rg_schema_compile(const char *json, size_t len, char *error, size_t error_size)
{
	json_error_t position;
	RgSchema   *schema;
	json_t	   *root = json_loadb(json, len, JSON_DECODE_ANY |
								  JSON_REJECT_DUPLICATES, &position);

	if (root == NULL)
	{
		snprintf(error, error_size, "not JSON at line %d, column %d",
				 position.line, position.column);
		return NULL;
	}
	schema = rg_schema_compile_json(root, error, error_size);
	json_decref(root);
	return schema;
}

void
rg_schema_free(RgSchema *schema)
{
	if (schema == NULL)
		return;
	for (int i = 0; i < schema->nproperties; i++)
	{
		free(schema->properties[i].name);
		rg_schema_free(schema->properties[i].schema);
	}
	free(schema->properties);
	if (schema->has_pattern)
		regfree(&schema->pattern);
	json_decref(schema->choices);
	json_decref(schema->constant);
	json_decref(schema->preset_json);
	free(schema->preset_text);
	rg_schema_free(schema->items);
	rg_schema_free(schema->additional);
	free(schema);
}

RgValueKind
rg_schema_kind(const RgSchema *schema)
{
	return schema->kind;
}

const RgValue *
rg_schema_default(const RgSchema *schema)
{
	return schema->preset_json ? &schema->preset : NULL;
}
