/*
 * route_plan.c
 *		Preparing a route: parameters, statement, cursor.
 *
 * The statement is parsed by PostgreSQL's own parser: a hook turns every
 * request.<name> into a parameter of the declared type, so no value is ever
 * put into SQL text.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "parser/parse_coerce.h"
#include "parser/parse_node.h"
#include "parser/parser.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"

#include "file_out.h"
#include "held.h"
#include "route_plan.h"

static const char after_parameter[] =
"{\"name\":\"after\",\"in\":\"query\",\"schema\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":4096}}";

static Oid
type_of_kind(RgValueKind kind)
{
	static const Oid types[] = {
		[RG_VALUE_INTEGER] = INT8OID,
		[RG_VALUE_NUMBER] = FLOAT8OID,
		[RG_VALUE_BOOLEAN] = BOOLOID,
		[RG_VALUE_STRING] = TEXTOID,
		[RG_VALUE_UUID] = UUIDOID,
		[RG_VALUE_DATE] = DATEOID,
		[RG_VALUE_DATE_TIME] = TIMESTAMPTZOID,
		[RG_VALUE_TIME] = TIMEOID,
		[RG_VALUE_JSON] = JSONBOID,
	};

	return types[kind];
}

static int
find_name(const RgRoutePlan *plan, const char *name)
{
	for (int i = 0; i < plan->nvalues; i++)
		if (strcmp(plan->names[i], name) == 0)
			return i;
	return -1;
}

/* The <name> of a column reference request.<name>, or NULL for any other. */
static const char *
request_name(const ColumnRef *ref)
{
	if (list_length(ref->fields) != 2 || !IsA(linitial(ref->fields), String) ||
		!IsA(lsecond(ref->fields), String) ||
		strcmp(strVal(linitial(ref->fields)), "request") != 0)
		return NULL;
	return strVal(lsecond(ref->fields));
}

/* Before PostgreSQL looks for a column: is it a parameter of ours? */
static Node *
make_parameter(ParseState *pstate, ColumnRef *ref)
{
	RgRoutePlan *plan = pstate->p_ref_hook_state;
	const char *name = request_name(ref);
	int			index;
	Param	   *param;

	if (name == NULL)
		return NULL;
	index = find_name(plan, name);
	if (index < 0)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_PARAMETER),
				errmsg("the route has no parameter \"%s\"", name),
				errhint("Declare it in parameters or request_body."),
				parser_errposition(pstate, ref->location));
	plan->used[index] = true;
	param = makeNode(Param);
	param->paramkind = PARAM_EXTERN;
	param->paramid = index + 1;
	param->paramtype = plan->types[index];
	param->paramtypmod = -1;
	param->paramcollid = get_typcollation(param->paramtype);
	param->location = ref->location;
	return (Node *) param;
}

/* A keyset value has the type of what it is compared with. */
static Node *
resolve_parameter(ParseState *pstate, Param *param, Oid type, int32 typmod, int location)
{
	RgRoutePlan *plan = pstate->p_ref_hook_state;

	if (param->paramkind != PARAM_EXTERN || param->paramtype != UNKNOWNOID)
		return NULL;
	if (plan->types[param->paramid - 1] == UNKNOWNOID)
		plan->types[param->paramid - 1] = type;
	if (plan->types[param->paramid - 1] != type)
		ereport(ERROR,
				errcode(ERRCODE_AMBIGUOUS_PARAMETER),
				errmsg("request.%s is used as two types", plan->names[param->paramid - 1]),
				parser_errposition(pstate, param->location));
	param->paramtype = type;
	param->paramcollid = get_typcollation(type);
	return (Node *) param;
}

static void
install_hooks(ParseState *pstate, void *arg)
{
	pstate->p_pre_columnref_hook = make_parameter;
	pstate->p_coerce_param_hook = resolve_parameter;
	pstate->p_ref_hook_state = arg;
}

/* A position in the statement is none in the text that the client sent. */
static void
explain_position(void *arg)
{
	RgRoutePlan *plan = arg;
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(plan->query);
	}
	errcontext("statement of route %s", plan->where);
}

/* Nothing in the statement may be called request: it would be ambiguous. */
static bool
find_request_alias(Node *node, void *context)
{
	const char *name = NULL;

	if (node == NULL)
		return false;
	if (IsA(node, RangeVar))
		name = ((RangeVar *) node)->relname;
	else if (IsA(node, Alias))
		name = ((Alias *) node)->aliasname;
	else if (IsA(node, CommonTableExpr))
		name = ((CommonTableExpr *) node)->ctename;
	if (name != NULL && strcmp(name, "request") == 0)
		ereport(ERROR,
				errcode(ERRCODE_RESERVED_NAME),
				errmsg("a route's statement cannot use \"request\" as the name of a table"),
				errhint("request.<name> is a parameter; give the table another alias."));
	return raw_expression_tree_walker(node, find_request_alias, context);
}

static void
check_raw(const char *query)
{
	List	   *statements = raw_parser(query, RAW_PARSE_DEFAULT);
	Node	   *statement;

	if (list_length(statements) != 1)
		ereport(ERROR,
				errcode(ERRCODE_SYNTAX_ERROR),
				errmsg("a route has exactly one statement, not %d", list_length(statements)));
	statement = linitial_node(RawStmt, statements)->stmt;
	if (!IsA(statement, SelectStmt) && !IsA(statement, InsertStmt) &&
		!IsA(statement, UpdateStmt) && !IsA(statement, DeleteStmt) &&
		!IsA(statement, MergeStmt))
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("a route cannot run %s", CreateCommandName(statement)),
				errhint("Use SELECT, INSERT, UPDATE, DELETE or MERGE; put more into a function."));
	(void) find_request_alias(statement, NULL);
}

/* Settings that change what SQL text means are as in a fresh session. */
static int
pin_parser_settings(void)
{
	int			nest = NewGUCNestLevel();

	set_config_option("standard_conforming_strings", "on", PGC_USERSET,
					  PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	set_config_option("transform_null_equals", "off", PGC_USERSET,
					  PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	return nest;
}

/* The analyzed statement; utility statements have been refused already. */
static Query *
plan_query(SPIPlanPtr spi)
{
	CachedPlanSource *source = linitial(SPI_plan_get_plan_sources(spi));

	if (list_length(source->query_list) != 1 ||
		linitial_node(Query, source->query_list)->commandType == CMD_UTILITY)
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("a route's statement must stay one statement"),
				errhint("SELECT INTO is not supported, nor are tables with rewrite rules."));
	return linitial_node(Query, source->query_list);
}

static void
require_known_types(const RgRoutePlan *plan)
{
	for (int i = 0; i < plan->nvalues; i++)
		if (plan->types[i] == UNKNOWNOID)
			ereport(ERROR,
					errcode(ERRCODE_INDETERMINATE_DATATYPE),
					errmsg("request.%s is not compared with its column", plan->names[i]),
					errhint("Use it as in (created_at, id) < (request.after_created_at, request.after_id)."));
}

/* Whether any part of the query changes or locks rows. */
static bool
touches_rows(Node *node, void *context)
{
	Query	   *query = (Query *) node;

	if (node == NULL)
		return false;
	if (!IsA(node, Query))
		return expression_tree_walker(node, touches_rows, context);
	if (query->commandType != CMD_SELECT || query->rowMarks != NIL)
		return true;
	return query_tree_walker(query, touches_rows, context, 0);
}

static void
prepare_statement(RgRoutePlan *plan, const RgRoute *route)
{
	ErrorContextCallback where = {error_context_stack, explain_position, plan};
	SPIPrepareOptions options = {
		.parserSetup = install_hooks,
		.parserSetupArg = plan,
		.parseMode = RAW_PARSE_DEFAULT,
		.cursorOptions = CURSOR_OPT_PARALLEL_OK |
		(route->custom_plan ? CURSOR_OPT_CUSTOM_PLAN : CURSOR_OPT_GENERIC_PLAN),
	};
	int			nest = pin_parser_settings();

	error_context_stack = &where;
	SPI_connect();
	check_raw(plan->query);
	plan->spi = SPI_prepare_extended(plan->query, &options);
	if (plan->spi == NULL)
		elog(ERROR, "SPI_prepare_extended: %s", SPI_result_code_string(SPI_result));
	plan->read_only = !touches_rows((Node *) plan_query(plan->spi), NULL);
	require_known_types(plan);
	SPI_keepplan(plan->spi);
	SPI_finish();
	error_context_stack = where.previous;
	AtEOXact_GUC(true, nest);
}

/* The declared parameters, with "after" where there are pages. */
static RgSlice
declared_parameters(const RgRoute *route)
{
	size_t		len = strlen(route->parameters);
	char	   *with_after;

	if (route->nkeys == 0)
		return rg_slice(route->parameters, len);
	with_after = psprintf("%.*s%s%s]", (int) len - 1, route->parameters,
						  len > 2 ? "," : "", after_parameter);
	return rg_slice(with_after, strlen(with_after));
}

static void
compile_parameters(RgRoutePlan *plan, const RgRoute *route)
{
	char		problem[512];
	RgSlice		body = {route->request_body,
	route->request_body != NULL ? strlen(route->request_body) : 0};

	plan->parameters = rg_parameters_compile(rg_slice(route->path, strlen(route->path)),
											 declared_parameters(route), body,
											 problem, sizeof problem);
	if (plan->parameters == NULL)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("route %s declares its parameters wrongly", plan->where),
				errdetail_internal("%s", problem));
	plan->limit_index = rg_parameters_find(plan->parameters, "limit");
	plan->after_index = route->nkeys > 0 ? rg_parameters_find(plan->parameters, "after") : -1;
	if (plan->limit_index >= 0 &&
		rg_parameters_get(plan->parameters, plan->limit_index)->kind != RG_VALUE_INTEGER)
		plan->limit_index = -1;
}

static void
name_values(RgRoutePlan *plan, const RgRoute *route)
{
	plan->nvalues = rg_parameters_count(plan->parameters);
	for (int i = 0; i < plan->nvalues; i++)
	{
		const RgParameter *parameter = rg_parameters_get(plan->parameters, i);

		plan->names[i] = pstrdup(parameter->name);
		plan->types[i] = type_of_kind(parameter->kind);
	}
	for (int i = 0; i < route->nkeys; i++)
	{
		plan->names[plan->nvalues] = psprintf("after_%s", route->keyset[i]);
		plan->types[plan->nvalues++] = UNKNOWNOID;
	}
}

static TupleDesc
result_desc(const RgRoutePlan *plan)
{
	return ((CachedPlanSource *) linitial(SPI_plan_get_plan_sources(plan->spi)))->resultDesc;
}

static AttrNumber
find_column(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
		if (strcmp(NameStr(TupleDescAttr(desc, i)->attname), name) == 0)
			return i + 1;
	return InvalidAttrNumber;
}

/* Where the first page starts, as the route says it; NULL: nowhere. */
static char *
key_start(const RgRoute *route, int key)
{
	return route->keyset_start != NULL ? route->keyset_start[key] : NULL;
}

/* Reads where the first page starts, as a value of the column's type. */
static void
set_start(RgKeyColumn *key, char *start)
{
	Oid			input,
				ioparam;

	key->start_null = start == NULL;
	if (key->start_null)
		return;
	getTypeInputInfo(key->type, &input, &ioparam);
	key->start = OidInputFunctionCall(input, start, ioparam, -1);
}

/* Finds one keyset column in the result and how its type is sent. */
static void
find_key(RgRoutePlan *plan, TupleDesc desc, const char *name, char *start, int value)
{
	RgKeyColumn *key = &plan->keys[plan->nkeys];
	AttrNumber	number = find_column(desc, name);
	bool		varlena;

	if (number == InvalidAttrNumber)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_COLUMN),
				errmsg("keyset column \"%s\" is not in the result of route %s", name, plan->where));
	key->column_type = TupleDescAttr(desc, number - 1)->atttypid;
	key->type = plan->types[value];
	if (!IsBinaryCoercible(key->column_type, key->type))
		ereport(ERROR,
				errcode(ERRCODE_DATATYPE_MISMATCH),
				errmsg("request.after_%s has type %s, its column type %s", name,
					   format_type_be(key->type), format_type_be(key->column_type)),
				errhint("Compare it with the column itself, without a cast."));
	set_start(key, start);
	getTypeBinaryOutputInfo(key->type, &key->send, &varlena);
	getTypeBinaryInputInfo(key->type, &key->receive, &key->ioparam);
	plan->nkeys++;
}

/* The provider's request, and nothing beside it. */
static void
check_completion(const RgRoutePlan *plan, const RgRoute *route, TupleDesc desc)
{
	if (route->order != RG_ORDER_COMPLETION)
		return;
	if (desc->natts != 1 || find_column(desc, "body") != 1 ||
		TupleDescAttr(desc, 0)->atttypid != JSONBOID)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("the statement of route %s does not return one column, body, of type jsonb",
					   plan->where),
				errhint("Select the request of OpenAI's chat completions that the model is to answer."));
}

static void
check_result(RgRoutePlan *plan, const RgRoute *route)
{
	TupleDesc	desc = result_desc(plan);
	RgFileColumns columns;
	int			nparameters = rg_parameters_count(plan->parameters);

	if (desc == NULL)
	{
		if (route->result == RG_JSON_NONE)
			return;
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("the statement of route %s returns no rows", plan->where),
				errhint("Add RETURNING, or set result to none."));
	}
	if (route->result != RG_JSON_NONE)
		rg_json_check_columns(desc);
	check_completion(plan, route, desc);
	if (route->result == RG_JSON_FILE)
		rg_file_columns(desc, &columns);
	for (int i = 0; i < route->nkeys; i++)
		find_key(plan, desc, route->keyset[i], key_start(route, i), nparameters + i);
	if (route->nkeys > 0 && plan->limit_index < 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("route %s has a keyset but no integer parameter \"limit\"", plan->where),
				errhint("Declare limit with a default, and end the statement with LIMIT request.limit."));
}

/* A statement that does more than read must be run each time. */
static void
check_cache(const RgRoutePlan *plan, const RgRoute *route)
{
	if (route->cache_seconds == 0)
		return;
	if (!plan->read_only)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("answers of route %s cannot be cached, because its statement changes or locks rows",
					   plan->where),
				errhint("Leave cache_seconds NULL."));
	rg_held_check_tags(route, plan);
}

static void
free_plan(RgRoutePlan *plan)
{
	if (plan->spi != NULL)
		SPI_freeplan(plan->spi);
	rg_parameters_free(plan->parameters);
	MemoryContextDelete(plan->context);
}

/* All that needs no server comes before what does; an error frees it all. */
static RgRoutePlan *
make_plan(const RgRoute *route)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "relay_guard route",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	RgRoutePlan *plan = palloc0(sizeof *plan);

	plan->context = context;
	PG_TRY();
	{
		plan->where = psprintf("%s %s", route->method, route->path);
		plan->query = pstrdup(route->query);
		compile_parameters(plan, route);
		name_values(plan, route);
		prepare_statement(plan, route);
		check_result(plan, route);
		check_cache(plan, route);
	}
	PG_CATCH();
	{
		free_plan(plan);
		PG_RE_THROW();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	return plan;
}

static void
release_plan(void *arg)
{
	RgRoutePlan *plan = arg;

	if (--plan->refs == 0)
		free_plan(plan);
}

/* The context that holds the route's copy holds its plan too. */
static void
hold_plan(RgRoute *route, RgRoutePlan *plan, MemoryContext context)
{
	MemoryContextCallback *callback = MemoryContextAlloc(context, sizeof *callback);

	callback->func = release_plan;
	callback->arg = plan;
	MemoryContextRegisterResetCallback(context, callback);
	plan->refs++;
	route->plan = plan;
}

RgRoutePlan *
rg_route_plan(RgRoute *route)
{
	if (unlikely(route->plan == NULL))
		hold_plan(route, make_plan(route), GetMemoryChunkContext(unconstify(char *, route->path)));
	return route->plan;
}

/* Whoever runs it now holds it still, until the table is read again. */
void
rg_route_plan_forget(RgRoute *route)
{
	route->plan = NULL;
}

void
rg_route_plan_try(const RgRoute *route)
{
	free_plan(make_plan(route));
}

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool
same_statement(const RgRoute *a, const RgRoute *b)
{
	if (a->nkeys != b->nkeys || a->custom_plan != b->custom_plan ||
		a->run_as != b->run_as || a->result != b->result || a->order != b->order)
		return false;
	for (int i = 0; i < a->nkeys; i++)
		if (!same_text(a->keyset[i], b->keyset[i]) ||
			!same_text(key_start(a, i), key_start(b, i)))
			return false;
	return same_text(a->query, b->query) && same_text(a->path, b->path) &&
		same_text(a->method, b->method) && same_text(a->parameters, b->parameters) &&
		same_text(a->request_body, b->request_body) &&
		same_text(a->search_path, b->search_path);
}

void
rg_route_plan_inherit(RgRoute *route, const RgRoute *previous, MemoryContext context)
{
	if (previous->plan != NULL && same_statement(route, previous))
		hold_plan(route, previous->plan, context);
}
