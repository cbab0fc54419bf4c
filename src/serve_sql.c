/*
 * serve_sql.c
 *		The two forms of serve() that SQL can call.
 */
#include "postgres.h"

#include <sys/socket.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/inet.h"

#include "identity.h"
#include "serve.h"
#include "utf8.h"
#include "varlena_slice.h"

/* What becomes text in SQL is text: a frame is bytes. */
static bool
is_text(const RgRequest *request)
{
	return rg_utf8_valid(request->request_id) &&
		rg_utf8_valid(request->path) &&
		rg_utf8_valid(request->method);
}

PG_FUNCTION_INFO_V1(relay_guard_serve_frame);

/* serve(request bytea): one frame in, one frame out */
Datum
relay_guard_serve_frame(PG_FUNCTION_ARGS)
{
	RgRequest	request;
	RgAnswer	answer;

	if (!rg_request_parse(rg_datum_slice(PG_GETARG_DATUM(0)), &request) ||
		!is_text(&request))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("the request frame is malformed"),
				errhint("The gateway and the extension must be of the same version."));
	rg_serve(&request, &answer);
	rg_answer_finish(&answer);
	PG_RETURN_BYTEA_P(rg_answer_frame(&answer));
}

/* Reads {name, value, name, value, …} into the request. */
static void
read_headers(ArrayType *array, RgRequest *request)
{
	Datum	   *elements;
	bool	   *nulls;
	int			count;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	if (count % 2 != 0 || count / 2 > RG_FRAME_MAX_HEADERS || array_contains_nulls(array))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("headers must be pairs of name and value, at most %d", RG_FRAME_MAX_HEADERS));
	for (int i = 0; i < count / 2; i++)
	{
		request->headers[i].name = rg_datum_slice(elements[2 * i]);
		request->headers[i].value = rg_datum_slice(elements[2 * i + 1]);
	}
	request->nheaders = count / 2;
}

/* An address of the form of the frame: IPv6, with IPv4 mapped. */
static void
read_address(FunctionCallInfo fcinfo, int argno, uint8 ip[16])
{
	inet	   *address;

	memset(ip, 0, 16);
	if (PG_ARGISNULL(argno))
		return;
	address = PG_GETARG_INET_PP(argno);
	if (ip_family(address) == PGSQL_AF_INET6)
	{
		memcpy(ip, ip_addr(address), 16);
		return;
	}
	ip[10] = ip[11] = 0xff;
	memcpy(ip + 12, ip_addr(address), 4);
}

/* The header lines as {name, value, name, value, …}. */
static ArrayType *
header_array(RgSlice lines)
{
	Datum		elements[256];
	int			count = 0;

	while (lines.len > 0 && count + 2 <= (int) lengthof(elements))
	{
		const char *end = memchr(lines.data, '\r', lines.len);
		const char *colon = memchr(lines.data, ':', end - lines.data);

		elements[count++] = PointerGetDatum(cstring_to_text_with_len(lines.data, colon - lines.data));
		elements[count++] = PointerGetDatum(cstring_to_text_with_len(colon + 2, end - colon - 2));
		lines.len -= end + 2 - lines.data;
		lines.data = end + 2;
	}
	return construct_array(elements, count, TEXTOID, -1, false, TYPALIGN_INT);
}

/* Who calls serve() in SQL is no gateway: what only that may know is left out. */
static Datum
order_shown(const RgAnswer *answer)
{
	Datum		order = DirectFunctionCall1(jsonb_in, CStringGetDatum(answer->order.data));
	Datum		path[] = {CStringGetTextDatum("headers"), CStringGetTextDatum("1")};
	ArrayType  *place = construct_array(path, lengthof(path), TEXTOID, -1, false, TYPALIGN_INT);
	Datum		mask = DirectFunctionCall1(jsonb_in, CStringGetDatum("\"****\""));

	if (!answer->order_secret)
		return order;
	return DirectFunctionCall4(jsonb_set, order, PointerGetDatum(place), mask, BoolGetDatum(false));
}

static Datum
answer_record(FunctionCallInfo fcinfo, RgAnswer *answer)
{
	RgSlice		body = rg_answer_body(answer);
	bytea	   *body_copy = (bytea *) cstring_to_text_with_len(body.data, body.len);
	Datum		values[4] = {0};
	bool		nulls[4] = {[3] = answer->order.len == 0};
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = Int32GetDatum(answer->status);
	values[2] = PointerGetDatum(body_copy);
	values[1] = PointerGetDatum(header_array(rg_answer_finish(answer)));
	if (answer->order.len > 0)
		values[3] = order_shown(answer);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

PG_FUNCTION_INFO_V1(relay_guard_serve);

/* serve(method, path, query, headers, body, client_ip, request_id) */
Datum
relay_guard_serve(PG_FUNCTION_ARGS)
{
	RgRequest	request = {
		.method = rg_text_argument(fcinfo, 0),
		.path = rg_text_argument(fcinfo, 1),
		.query = rg_text_argument(fcinfo, 2),
		.request_id = rg_text_argument(fcinfo, 6),
	};
	RgAnswer	answer;

	if (request.method.data == NULL || request.path.data == NULL)
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("method and path must not be null"));
	if (!PG_ARGISNULL(3))
		read_headers(PG_GETARG_ARRAYTYPE_P(3), &request);
	if (!PG_ARGISNULL(4))
		request.body = rg_datum_slice(PG_GETARG_DATUM(4));
	read_address(fcinfo, 5, request.client_ip);
	rg_serve(&request, &answer);
	return answer_record(fcinfo, &answer);
}
