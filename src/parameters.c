/*
 * parameters.c
 *		Compiling what a route declares of its requests.
 */
#include "parameters_tree.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "route_match.h"
#include "utf8.h"

#define SCHEMA_ERROR 600		/* a pointer and a detail */

typedef struct Compiler
{
	RgParameters *parameters;
	RgSlice		path;
	char	   *error;
	size_t		error_size;
} Compiler;

/* Says what is wrong, for "return fail(...)". */
__attribute__((format(printf, 2, 3)))
static bool
fail(Compiler *compiler, const char *format,...)
{
	va_list		args;
	int			printed;

	va_start(args, format);
	printed = vsnprintf(compiler->error, compiler->error_size, format, args);
	va_end(args);
	if (printed >= 0 && (size_t) printed >= compiler->error_size)
		compiler->error[rg_utf8_trim(compiler->error,
									 compiler->error_size - 1)] = '\0';
	return false;
}

/* The name of {name} and of {name...}, which takes the rest of a path. */
static RgSlice
variable_name(const char *start, const char *end)
{
	const size_t dots = strlen(RG_TEMPLATE_REST);
	size_t		len = end - start;

	if (len > dots && memcmp(end - dots, RG_TEMPLATE_REST, dots) == 0)
		len -= dots;
	return rg_slice(start, len);
}

/* The next {variable} from an offset on; false when there is none. */
static bool
next_variable(RgSlice path, size_t *offset, RgSlice *name)
{
	const char *open = NULL;
	const char *close = NULL;

	if (*offset < path.len)
		open = memchr(path.data + *offset, '{', path.len - *offset);
	if (open != NULL)
		close = memchr(open, '}', path.data + path.len - open);
	if (close == NULL)
		return false;
	*name = variable_name(open + 1, close);
	*offset = close + 1 - path.data;
	return true;
}

/* Which of the path's variables has the name; -1 for none. */
static int
variable_index(RgSlice path, const char *name)
{
	size_t		offset = 0;
	RgSlice		variable;

	for (int i = 0; next_variable(path, &offset, &variable); i++)
		if (rg_slice_is(variable, name))
			return i;
	return -1;
}

static bool
check_name(Compiler *compiler, const char *name)
{
	if (*name == '\0' || strlen(name) > RG_PARAMETERS_NAME)
		return fail(compiler, "the name of a parameter must have 1 to %d bytes",
					RG_PARAMETERS_NAME);
	if (rg_parameters_find(compiler->parameters, name) >= 0)
		return fail(compiler, "the name \"%s\" is declared twice", name);
	if (compiler->parameters->count == RG_PARAMETERS_MAX)
		return fail(compiler, "a route has at most %d named values",
					RG_PARAMETERS_MAX);
	return true;
}

/* A new named value; NULL when its name cannot be. */
static RgNamed *
add_named(Compiler *compiler, const char *name, RgOrigin origin)
{
	RgParameters *parameters = compiler->parameters;
	RgNamed    *named = &parameters->named[parameters->count];

	if (!check_name(compiler, name))
		return NULL;
	named->name = strdup(name);
	if (named->name == NULL)
		return fail(compiler, "out of memory"), NULL;
	named->name_len = strlen(name);
	named->seen.name = named->name;
	named->seen.origin = origin;
	parameters->count++;
	return named;
}

static void
set_schema(RgNamed *named, RgSchema *schema, bool required)
{
	named->schema = schema;
	named->seen.kind = rg_schema_kind(schema);
	named->seen.required = required;
	named->seen.preset = rg_schema_default(schema);
}

static bool
check_members(Compiler *compiler, const char *parameter, json_t *object)
{
	static const char *const known[] = {"name", "in", "required", "schema",
	"description", "deprecated", "example", "examples"};
	const char *name;
	json_t	   *value;

	json_object_foreach(object, name, value)
	{
		bool		found = strncmp(name, "x-", 2) == 0;

		for (size_t i = 0; !found && i < sizeof known / sizeof *known; i++)
			found = strcmp(known[i], name) == 0;
		if (!found)
			return fail(compiler, "parameter \"%s\": member \"%s\" is not supported",
						parameter, name);
	}
	return true;
}

static bool
read_origin(Compiler *compiler, const char *name, json_t *object,
			RgOrigin *origin)
{
	const char *in = json_string_value(json_object_get(object, "in"));

	*origin = in && strcmp(in, "path") == 0 ? RG_ORIGIN_PATH : RG_ORIGIN_QUERY;
	if (in == NULL || (*origin == RG_ORIGIN_QUERY && strcmp(in, "query") != 0))
		return fail(compiler, "parameter \"%s\": in must be \"path\" or \"query\"",
					name);
	if (*origin == RG_ORIGIN_PATH && variable_index(compiler->path, name) < 0)
		return fail(compiler, "parameter \"%s\": the path has no {%s}", name, name);
	return true;
}

static bool
check_required(Compiler *compiler, RgNamed *named, json_t *object)
{
	json_t	   *required = json_object_get(object, "required");

	if (required && !json_is_boolean(required))
		return fail(compiler, "parameter \"%s\": required must be true or false",
					named->name);
	if (named->seen.origin == RG_ORIGIN_PATH && json_is_false(required))
		return fail(compiler, "parameter \"%s\": a path parameter is always required",
					named->name);
	return true;
}

static bool
compile_schema(Compiler *compiler, RgNamed *named, json_t *object)
{
	char		error[SCHEMA_ERROR];
	json_t	   *schema = json_object_get(object, "schema");
	bool		required = json_is_true(json_object_get(object, "required"));

	if (schema == NULL)
		return fail(compiler, "parameter \"%s\": schema is missing", named->name);
	named->schema = rg_schema_compile_json(schema, error, sizeof error);
	if (named->schema == NULL)
		return fail(compiler, "parameter \"%s\": schema: %s", named->name, error);
	if (rg_schema_kind(named->schema) == RG_VALUE_JSON)
		return fail(compiler, "parameter \"%s\": schema must have one type of integer, number, boolean and string",
					named->name);
	if (named->schema->optional)
		return fail(compiler, "parameter \"%s\": x-optional is for bodies, use required",
					named->name);
	set_schema(named, named->schema,
			   required || named->seen.origin == RG_ORIGIN_PATH);
	return true;
}

static bool
compile_parameter(Compiler *compiler, json_t *object)
{
	const char *name = json_string_value(json_object_get(object, "name"));
	RgOrigin	origin;
	RgNamed    *named;

	if (name == NULL)
		return fail(compiler, "a parameter must be an object with a name");
	if (!check_members(compiler, name, object) ||
		!read_origin(compiler, name, object, &origin))
		return false;
	named = add_named(compiler, name, origin);
	if (named == NULL)
		return false;
	named->path_index = variable_index(compiler->path, name);
	return check_required(compiler, named, object) &&
		compile_schema(compiler, named, object);
}

static bool
compile_list(Compiler *compiler, json_t *list)
{
	if (!json_is_array(list))
		return fail(compiler, "parameters must be an array of parameter objects");
	for (size_t i = 0; i < json_array_size(list); i++)
		if (!compile_parameter(compiler, json_array_get(list, i)))
			return false;
	return true;
}

/* Every variable of the path is declared, and stands there once. */
static bool
check_path(Compiler *compiler)
{
	RgParameters *parameters = compiler->parameters;
	size_t		offset = 0;
	RgSlice		variable;

	while (next_variable(compiler->path, &offset, &variable))
	{
		int			count = 0;

		for (int i = 0; i < parameters->count; i++)
			count += parameters->named[i].seen.origin == RG_ORIGIN_PATH &&
				parameters->named[i].path_index == parameters->path_count &&
				rg_slice_is(variable, parameters->named[i].name);
		if (count != 1)
			return fail(compiler, "the path's {%.*s} must stand there once and be declared with in: path",
						(int) variable.len, variable.data);
		parameters->path_count++;
	}
	return true;
}

static bool
compile_body(Compiler *compiler, json_t *object)
{
	RgParameters *parameters = compiler->parameters;
	char		error[SCHEMA_ERROR];

	parameters->body = rg_schema_compile_json(object, error, sizeof error);
	if (parameters->body == NULL)
		return fail(compiler, "request body: %s", error);
	if (parameters->body->clamp)
		return fail(compiler, "request body: x-clamp is for its properties");
	return true;
}

/* The body's properties and the body itself, as named values. */
static bool
name_body(Compiler *compiler)
{
	RgParameters *parameters = compiler->parameters;
	RgSchema   *body = parameters->body;
	RgNamed    *named;

	for (int i = 0; i < body->nproperties; i++)
	{
		RgProperty *property = &body->properties[i];

		named = add_named(compiler, property->name, RG_ORIGIN_BODY_PROPERTY);
		if (named == NULL)
			return false;
		set_schema(named, property->schema, property->required);
	}
	named = add_named(compiler, "body", RG_ORIGIN_BODY);
	if (named == NULL)
		return false;
	set_schema(named, body, !body->optional);
	named->seen.kind = RG_VALUE_JSON;
	named->seen.preset = NULL;
	parameters->body_index = parameters->count - 1;
	return true;
}

static json_t *
parse(Compiler *compiler, RgSlice text, const char *what)
{
	json_error_t error;
	json_t	   *value = json_loadb(text.data, text.len, JSON_DECODE_ANY |
								   JSON_REJECT_DUPLICATES, &error);

	if (value == NULL)
		fail(compiler, "%s: not JSON at line %d, column %d", what, error.line,
			 error.column);
	return value;
}

/* Parses a text and hands it to a compile function; absent text is fine. */
static bool
compile_text(Compiler *compiler, RgSlice text, const char *what,
			 bool (*compile) (Compiler *compiler, json_t *value))
{
	json_t	   *value;
	bool		compiled;

	if (text.data == NULL)
		return true;
	value = parse(compiler, text, what);
	if (value == NULL)
		return false;
	compiled = compile(compiler, value);
	json_decref(value);
	return compiled;
}

RgParameters *
rg_parameters_compile(RgSlice path, RgSlice parameters, RgSlice request_body,
					  char *error, size_t error_size)
{
	Compiler	compiler = {NULL, path, error, error_size};

	compiler.parameters = calloc(1, sizeof *compiler.parameters);
	if (compiler.parameters == NULL)
		return fail(&compiler, "out of memory"), NULL;
	compiler.parameters->body_index = -1;
	if (compile_text(&compiler, parameters, "parameters", compile_list) &&
		check_path(&compiler) &&
		compile_text(&compiler, request_body, "request body", compile_body) &&
		(compiler.parameters->body == NULL || name_body(&compiler)))
		return compiler.parameters;
	rg_parameters_free(compiler.parameters);
	return NULL;
}

void
rg_parameters_free(RgParameters *parameters)
{
	if (parameters == NULL)
		return;
	for (int i = 0; i < parameters->count; i++)
	{
		RgNamed    *named = &parameters->named[i];

		free(named->name);
		if (named->seen.origin == RG_ORIGIN_PATH ||
			named->seen.origin == RG_ORIGIN_QUERY)
			rg_schema_free(named->schema);
	}
	rg_schema_free(parameters->body);
	free(parameters);
}

int
rg_parameters_count(const RgParameters *parameters)
{
	return parameters->count;
}

int
rg_parameters_path_count(const RgParameters *parameters)
{
	return parameters->path_count;
}

const RgParameter *
rg_parameters_get(const RgParameters *parameters, int index)
{
	return &parameters->named[index].seen;
}

int
rg_parameters_find(const RgParameters *parameters, const char *name)
{
	for (int i = 0; i < parameters->count; i++)
		if (strcmp(parameters->named[i].name, name) == 0)
			return i;
	return -1;
}
