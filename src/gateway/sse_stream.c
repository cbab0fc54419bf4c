/*
 * sse_stream.c
 *		The streams that a worker has clients of; sse_stream.h has the contract.
 */
#include "sse_stream.h"

#include <stdlib.h>

#define BUCKETS 4096

static RgSseStream *buckets[BUCKETS];

void
rg_sse_list_append(RgSseList *list, RgSseClient *client)
{
	client->earlier = list->last;
	client->later = NULL;
	if (list->last != NULL)
		list->last->later = client;
	else
		list->first = client;
	list->last = client;
	list->count++;
}

void
rg_sse_list_remove(RgSseList *list, RgSseClient *client)
{
	if (client->earlier != NULL)
		client->earlier->later = client->later;
	else
		list->first = client->later;
	if (client->later != NULL)
		client->later->earlier = client->earlier;
	else
		list->last = client->earlier;
	list->count--;
}

/* Numbers are given one after the other. */
static unsigned
bucket_of(int64_t number)
{
	return (uint64_t) number % BUCKETS;
}

RgSseStream *
rg_sse_stream_find(int64_t number)
{
	RgSseStream *stream = buckets[bucket_of(number)];

	while (stream != NULL && stream->number != number)
		stream = stream->next;
	return stream;
}

RgSseStream *
rg_sse_stream_next(const RgSseStream *stream)
{
	unsigned	bucket = stream ? bucket_of(stream->number) + 1 : 0;

	if (stream != NULL && stream->next != NULL)
		return stream->next;
	while (bucket < BUCKETS && buckets[bucket] == NULL)
		bucket++;
	return bucket < BUCKETS ? buckets[bucket] : NULL;
}

static RgSseStream *
add_stream(const RgSseOrder *order)
{
	RgSseStream **bucket = &buckets[bucket_of(order->number)];
	RgSseStream *stream = calloc(1, sizeof *stream);

	if (stream == NULL)
		return NULL;
	stream->number = order->number;
	stream->last_id = order->after;
	memcpy(stream->token, order->token, sizeof stream->token);
	stream->next = *bucket;
	*bucket = stream;
	return stream;
}

bool
rg_sse_stream_join(RgSseClient *client, const RgSseOrder *order)
{
	RgSseStream *stream = rg_sse_stream_find(order->number);

	if (stream == NULL)
		stream = add_stream(order);
	if (stream == NULL)
		return false;
	client->stream = stream;
	client->next = stream->clients;
	client->place = &stream->clients;
	if (client->next != NULL)
		client->next->place = &client->next;
	stream->clients = client;
	return true;
}

void
rg_sse_stream_leave(RgSseClient *client)
{
	*client->place = client->next;
	if (client->next != NULL)
		client->next->place = client->place;
	rg_sse_stream_release(client->stream);
}

void
rg_sse_stream_release(RgSseStream *stream)
{
	RgSseStream **at = &buckets[bucket_of(stream->number)];

	if (stream->clients != NULL || stream->reading || stream->due)
		return;
	while (*at != stream)
		at = &(*at)->next;
	*at = stream->next;
	free(stream);
}
