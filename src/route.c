/*
 * route.c
 *		The table route, as a backend keeps it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "config_cache.h"
#include "route.h"
#include "route_match.h"
#include "route_plan.h"

/* Columns of relay_guard.route */
enum
{
	Anum_route_id, Anum_route_method, Anum_route_path, Anum_route_query,
	Anum_route_auth, Anum_route_scopes, Anum_route_parameters,
	Anum_route_request_body, Anum_route_rate, Anum_route_quota, Anum_route_budget, Anum_route_max_body,
	Anum_route_idempotency, Anum_route_slow, Anum_route_cache_seconds, Anum_route_cache_tags,
	Anum_route_upstream, Anum_route_shape, Anum_route_result, Anum_route_result_key, Anum_route_status,
	Anum_route_keyset, Anum_route_keyset_start, Anum_route_plan, Anum_route_max_response,
	Anum_route_run_as, Anum_route_search_path,
	Natts_route
};

/* Routes without variables stand first; the order is rg_template_compare()'s. */
typedef struct Routes
{
	int			count;
	int			nliteral;
	RgRoute    *routes;
} Routes;

static const char *const auth_names[] = {
	"none", "optional", "anonymous", "user", "admin",
	"api_key"
};
static const char *const result_names[] = {"rows", "row", "value", "none", "file", "stream", "proxy", "completion"};
static const char *const idempotency_names[] = {"none", "optional", "required"};

static int
name_index(Datum value, const char *const *names, int count)
{
	char	   *name = TextDatumGetCString(value);

	for (int i = 0; i < count; i++)
		if (strcmp(name, names[i]) == 0)
			return i;
	elog(ERROR, "unknown word \"%s\" in relay_guard.route", name);
}

static char **
read_names(Datum value, int *count)
{
	Datum	   *elements;
	char	  **copy;

	deconstruct_array(DatumGetArrayTypeP(value), NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR,
					  &elements, NULL, count);
	copy = palloc(sizeof *copy * Max(*count, 1));
	for (int i = 0; i < *count; i++)
		copy[i] = pstrdup(NameStr(*DatumGetName(elements[i])));
	return copy;
}

static char *
read_json(Datum value)
{
	Jsonb	   *json = DatumGetJsonbP(value);

	return JsonbToCString(NULL, &json->root, VARSIZE(json));
}

/* What is ordered of the gateway is said by one row. */
static void
read_result(RgRoute *route, Datum value)
{
	int			result = name_index(value, result_names, lengthof(result_names));

	route->order = result <= RG_JSON_FILE ? RG_ORDER_NONE : RG_ORDER_STREAM + result - RG_JSON_FILE - 1;
	if (route->order == RG_ORDER_NONE)
		route->result = (RgJsonResult) result;
	else
		route->result = route->order == RG_ORDER_COMPLETION ? RG_JSON_VALUE : RG_JSON_ROW;
}

static void
read_cache(RgRoute *route, const Datum *values, const bool *nulls)
{
	if (!nulls[Anum_route_cache_seconds])
		route->cache_seconds = DatumGetInt32(values[Anum_route_cache_seconds]);
	route->cache_tags = rg_config_texts(values[Anum_route_cache_tags], &route->ncache_tags);
}

void
rg_route_read(RgRoute *route, const Datum *values, const bool *nulls)
{
	int			nstarts;

	memset(route, 0, sizeof *route);
	route->id = DatumGetInt64(values[Anum_route_id]);
	route->method = TextDatumGetCString(values[Anum_route_method]);
	route->path = TextDatumGetCString(values[Anum_route_path]);
	route->query = TextDatumGetCString(values[Anum_route_query]);
	route->auth = name_index(values[Anum_route_auth], auth_names, lengthof(auth_names));
	route->scopes = rg_config_texts(values[Anum_route_scopes], &route->nscopes);
	route->parameters = read_json(values[Anum_route_parameters]);
	if (!nulls[Anum_route_request_body])
		route->request_body = read_json(values[Anum_route_request_body]);
	route->rates = rg_config_texts(values[Anum_route_rate], &route->nrates);
	route->quotas = rg_config_texts(values[Anum_route_quota], &route->nquotas);
	if (!nulls[Anum_route_budget])
		route->budget = TextDatumGetCString(values[Anum_route_budget]);
	route->max_body = DatumGetInt32(values[Anum_route_max_body]);
	route->idempotency = name_index(values[Anum_route_idempotency], idempotency_names,
									lengthof(idempotency_names));
	route->slow = DatumGetBool(values[Anum_route_slow]);
	read_cache(route, values, nulls);
	if (!nulls[Anum_route_upstream])
		route->upstream = TextDatumGetCString(values[Anum_route_upstream]);
	if (!nulls[Anum_route_shape])
		route->shape = TextDatumGetCString(values[Anum_route_shape]);
	read_result(route, values[Anum_route_result]);
	if (!nulls[Anum_route_result_key])
		route->result_key = TextDatumGetCString(values[Anum_route_result_key]);
	route->status = DatumGetInt32(values[Anum_route_status]);
	route->keyset = read_names(values[Anum_route_keyset], &route->nkeys);
	if (!nulls[Anum_route_keyset_start])
		route->keyset_start = rg_config_texts(values[Anum_route_keyset_start], &nstarts);
	route->custom_plan = strcmp(TextDatumGetCString(values[Anum_route_plan]), "custom") == 0;
	route->max_response = DatumGetInt32(values[Anum_route_max_response]);
	route->run_as = DatumGetObjectId(values[Anum_route_run_as]);
	route->search_path = TextDatumGetCString(values[Anum_route_search_path]);
}

static int
compare_routes(const void *a, const void *b)
{
	const RgRoute *left = a;
	const RgRoute *right = b;

	return rg_template_compare(left->path, right->path);
}

static int
count_literal(const Routes *all)
{
	int			count = 0;

	while (count < all->count && !rg_template_is_pattern(all->routes[count].path))
		count++;
	return count;
}

/*
 * A plan is kept when its route did not change: VACUUM and ANALYZE invalidate
 * the table too, and so does every other route's change.
 */
static void
inherit_plans(Routes *all, const Routes *previous, MemoryContext context)
{
	for (int i = 0; previous != NULL && i < all->count; i++)
		for (int j = 0; j < previous->count; j++)
			if (all->routes[i].id == previous->routes[j].id)
				rg_route_plan_inherit(&all->routes[i], &previous->routes[j], context);
}

static void *
load_routes(TableScanDesc scan, MemoryContext context, void *previous)
{
	Routes	   *all = palloc0(sizeof *all);
	int			size = 16;
	Datum	   *values;
	bool	   *nulls;

	all->routes = palloc(sizeof(RgRoute) * size);
	while (rg_config_next(scan, &values, &nulls))
	{
		if (all->count == size)
			all->routes = repalloc(all->routes, sizeof(RgRoute) * (size *= 2));
		rg_route_read(&all->routes[all->count++], values, nulls);
	}
	qsort(all->routes, all->count, sizeof(RgRoute), compare_routes);
	all->nliteral = count_literal(all);
	inherit_plans(all, previous, context);
	return all;
}

static RgConfigCache route_cache = {.table = "route",.natts = Natts_route,.load = load_routes};

void
rg_route_init(void)
{
	rg_config_register(&route_cache);
}

static int
compare_path(RgSlice path, const char *literal)
{
	int			order = strncmp(path.data, literal, path.len);

	return order != 0 ? order : -(literal[path.len] != '\0');
}

/* The first literal route of that path, or the number of them. */
static int
find_literal(const Routes *all, RgSlice path)
{
	int			low = 0;
	int			high = all->nliteral;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (compare_path(path, all->routes[middle].path) > 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool
method_served_by(RgSlice method, const RgRoute *route)
{
	return rg_slice_is(method, route->method) ||
		(rg_slice_is(method, "HEAD") && strcmp(route->method, "GET") == 0);
}

static void
find_among_literals(const Routes *all, RgSlice method, RgSlice path, RgRouteMatch *match)
{
	for (int i = find_literal(all, path); i < all->nliteral && match->route == NULL; i++)
	{
		if (!rg_slice_is(path, all->routes[i].path))
			return;
		match->path_known = true;
		if (method_served_by(method, &all->routes[i]))
			match->route = &all->routes[i];
	}
}

/* Templates compared one after the other: patterns, or paths with escapes. */
static void
find_by_template(const Routes *all, int from, int to, RgSlice method, RgSlice path,
				 RgRouteMatch *match)
{
	for (int i = from; i < to && match->route == NULL; i++)
	{
		if (!rg_template_match(all->routes[i].path, path, match->values, RG_ROUTE_MAX_SEGMENTS))
			continue;
		match->path_known = true;
		if (method_served_by(method, &all->routes[i]))
			match->route = &all->routes[i];
	}
}

void
rg_route_find(RgSlice method, RgSlice path, RgRouteMatch *match)
{
	const Routes *all = rg_config_get(&route_cache);

	match->route = NULL;
	match->path_known = false;
	if (path.len == 0)
		return;
	if (memchr(path.data, '%', path.len) != NULL)
		find_by_template(all, 0, all->nliteral, method, path, match);
	else
		find_among_literals(all, method, path, match);
	if (match->route == NULL)
		find_by_template(all, all->nliteral, all->count, method, path, match);
}

char *
rg_route_allow(RgSlice path)
{
	static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"};
	StringInfoData allow;
	RgRouteMatch match;

	initStringInfo(&allow);
	for (size_t i = 0; i < lengthof(methods); i++)
	{
		rg_route_find(rg_slice(methods[i], strlen(methods[i])), path, &match);
		if (match.route != NULL)
			appendStringInfo(&allow, "%s%s", allow.len > 0 ? ", " : "", methods[i]);
	}
	return allow.data;
}
