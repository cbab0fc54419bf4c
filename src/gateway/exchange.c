/*
 * exchange.c
 *		The beginning of an exchange; exchange.h has the contract.
 */
#include "exchange.h"

#include "clock.h"
#include "http1.h"
#include "openai_path.h"
#include "origin.h"
#include "worker.h"

/* The headers that every answer is made with; of those that came twice, none. */
typedef struct Given
{
	RgSlice		origin;
	RgSlice		traceparent;
	RgSlice		request_id;
	RgSlice		proto;
	int			origins;
	int			traceparents;
	int			protos;
} Given;

/* By their lengths, for most headers are none of these. */
static void
note_header(const RgHeader *header, Given *given)
{
	switch (header->name.len)
	{
		case 6:
			if (!rg_http_name_is(header->name, "origin"))
				return;
			given->origin = header->value;
			given->origins++;
			break;
		case 11:
			if (!rg_http_name_is(header->name, "traceparent"))
				return;
			given->traceparent = header->value;
			given->traceparents++;
			break;
		case 12:
			if (given->request_id.data == NULL && rg_http_name_is(header->name, "x-request-id"))
				given->request_id = header->value;
			break;
		case 17:
			if (!rg_http_name_is(header->name, "x-forwarded-proto"))
				return;
			given->proto = header->value;
			given->protos++;
			break;
	}
}

static void
set_request_id(RgExchange *exchange, RgSlice id)
{
	if (rg_request_id_valid(id))
	{
		memcpy(exchange->request_id, id.data, id.len);
		exchange->request_id_len = id.len;
	}
	else
		exchange->request_id_len = rg_request_id_new(rg_wall_clock(), exchange->request_id);
}

/* Several X-Forwarded-For lines are one list, the last line its right end. */
static void
walk_forwarded(const RgNetworks *trusted, const RgHttpHead *head, RgExchange *exchange)
{
	for (int i = head->nheaders - 1; i >= 0; i--)
		if (rg_http_name_is(head->headers[i].name, "x-forwarded-for") &&
			!rg_forwarded_client(trusted, head->headers[i].value, &exchange->client))
			break;
	rg_address_text(&exchange->client, exchange->client_text);
}

/* What the peer says of its own client counts when it is a trusted proxy. */
static void
set_client(const RgConn *conn, const RgHttpHead *head, const Given *given,
		   RgExchange *exchange)
{
	const RgNetworks *trusted = &conn->worker->config->trusted_proxies;

	exchange->client = conn->peer;
	exchange->secure = conn->transport.tls != NULL || conn->secure;
	memcpy(exchange->client_text, conn->peer_text, sizeof exchange->client_text);
	if (!rg_networks_contain(trusted, &conn->peer))
		return;
	exchange->secure |= given->protos == 1 && rg_proto_is_https(given->proto);
	walk_forwarded(trusted, head, exchange);
}

void
rg_exchange_begin(RgExchange *exchange, const RgConn *conn, const RgHttpHead *head)
{
	Given		given = {.origins = 0};

	for (int i = 0; i < head->nheaders; i++)
		note_header(&head->headers[i], &given);
	exchange->method = head->method;
	exchange->path = head->target;
	exchange->minor = head->minor;
	exchange->keep_alive = head->keep_alive && !conn->worker->draining;
	exchange->head_only = rg_slice_is(head->method, "HEAD");
	exchange->metrics = conn->metrics;
	exchange->sent_token = false;
	exchange->openai = rg_openai_path(head->target);
	exchange->gzip = exchange->gzip_public = false;
	exchange->started = rg_now();
	exchange->queued_us = exchange->database_us = 0;
	exchange->cors = given.origins == 1 ?
		rg_cors_find(&conn->worker->config->cors, given.origin) : 0;
	set_request_id(exchange, given.request_id);
	set_client(conn, head, &given, exchange);
	rg_trace_begin(given.traceparents == 1 ? given.traceparent : rg_slice(NULL, 0),
				   &exchange->trace);
}
