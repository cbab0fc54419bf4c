/*
 * parameters.h
 *		The named values that a route's statement reads from a request.
 *
 * They are, in this order: every declared parameter, every property of the
 * request body's schema, and "body", the whole body as JSON, when there is a
 * request body.  All names are distinct.
 *
 * parameters is a JSON array of OpenAPI parameter objects: name, in (path or
 * query), required, schema; description, deprecated, example, examples and
 * x-... are ignored, other members are errors.  The schema needs a scalar
 * type, which may be listed with "null" though no text means null.  Every
 * {variable} of the path is declared, and nothing else is in: path.
 *
 * request_body is a JSON Schema object (schema.h).  A body must be sent, unless
 * the schema says "x-optional": true at its root.
 *
 * Pure C: shared by the extension, unit tests and fuzzers.
 */
#ifndef RG_PARAMETERS_H
#define RG_PARAMETERS_H

#include "schema.h"

#define RG_PARAMETERS_MAX 64	/* named values of a route, body included */
#define RG_PARAMETERS_NAME 63	/* bytes of a name: what SQL can spell */
#define RG_QUERY_MAX 8192		/* bytes of a query */
#define RG_QUERY_PAIRS 256		/* name=value pairs of a query */
#define RG_VALUES_INLINE 2048

typedef struct RgParameters RgParameters;

typedef enum RgOrigin
{
	RG_ORIGIN_PATH,
	RG_ORIGIN_QUERY,
	RG_ORIGIN_BODY_PROPERTY,
	RG_ORIGIN_BODY
} RgOrigin;

typedef struct RgParameter
{
	const char *name;
	RgOrigin	origin;
	RgValueKind kind;
	bool		required;
	const RgValue *preset;		/* the default; NULL when there is none */
} RgParameter;

/*
 * The values of one request, in the order of the parameters.  About 4 KB, for
 * the stack; the last four members are private.
 *
 * Texts point into the path values, the query, the body or the parameters,
 * where they need no decoding, else into this: all of them must outlive it,
 * and it must not be moved.
 */
typedef struct RgValues
{
	int			count;
	RgValue		values[RG_PARAMETERS_MAX];
	struct json_t *document;
	char	   *overflow;
	size_t		used;
	char		space[RG_VALUES_INLINE];
} RgValues;

/*
 * Compiles what a route declares.  path is its template, "/files/{id}"; a
 * parameters or request_body whose data is NULL is absent.  NULL when
 * something is wrong, with the reason in error, for an errdetail: it names
 * the parameter.  The result is malloc'ed, and nothing in it changes:
 * rg_parameters_free().
 */
extern RgParameters *rg_parameters_compile(RgSlice path, RgSlice parameters,
										   RgSlice request_body,
										   char *error, size_t error_size)
			__attribute__((warn_unused_result));
extern void rg_parameters_free(RgParameters *parameters);

extern int	rg_parameters_count(const RgParameters *parameters);
extern int	rg_parameters_path_count(const RgParameters *parameters);
extern const RgParameter *rg_parameters_get(const RgParameters *parameters,
											int index);

/* The index of the parameter of that name, -1 when there is none. */
extern int	rg_parameters_find(const RgParameters *parameters,
							   const char *name);

/*
 * Reads a request.  path_values are the raw, still escaped segments for the
 * path's variables, in the order of the template, as many as
 * rg_parameters_path_count() says.  body_is_json: the content type is
 * application/json or ends in +json.
 *
 * A value that was not sent is its default, else null.  Query parameters
 * that are not declared are ignored, but must be well encoded.  The body is
 * not looked at when the route has none.
 *
 * On true the caller calls rg_values_free() when done, also when it throws:
 * from a callback of a memory context, say.  Without body, and while the
 * decoded texts fit in RG_VALUES_INLINE, nothing was allocated.  On false
 * there is nothing to free, and the violation says:
 *
 *	400 invalid_encoding	an escape, NUL or UTF-8 error in path or query
 *	400 query_too_long		more than RG_QUERY_MAX bytes
 *	400 too_many_parameters	more than RG_QUERY_PAIRS pairs
 *	400 invalid_json		the body is no JSON, has a member twice, \u0000,
 *							an integer beyond 64 bits, or is nested too deep
 *	413 body_too_complex	more than RG_JSON_MAX_VALUES values in the body
 *	415 unsupported_media_type	there is a body and it is not JSON
 *	422 missing_parameter, duplicate_parameter, invalid_parameter
 *
 * The pointer is /path/<name>, /query/<name> or /body/<member>…
 */
extern bool rg_parameters_check(const RgParameters *parameters,
								const RgSlice *path_values, RgSlice query,
								RgSlice body, bool body_is_json,
								RgValues *values, RgViolation *violation)
			__attribute__((warn_unused_result));

extern void rg_values_free(RgValues *values);

#endif
