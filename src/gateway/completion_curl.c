/*
 * completion_curl.c
 *		A request to a provider, as libcurl is told of it.
 */
#include "completion_call.h"

#include <sodium.h>
#include <stdio.h>

#include "order_json.h"
#include "proxy_aim.h"
#include "worker.h"

#define MAX_LINE 16384
#define BUFFER 16384L

/* What each handshake would otherwise begin anew with a provider. */
static CURLSH * sessions = NULL;

static bool
add_line(RgCompletion *call, const char *line)
{
	struct curl_slist *lines = curl_slist_append(call->lines, line);

	if (lines == NULL)
		return false;
	call->lines = lines;
	return true;
}

static bool
add_header(RgCompletion *call, const char *name, RgSlice value)
{
	char		line[MAX_LINE];
	int			len = snprintf(line, sizeof line, "%s: %.*s", name, (int) value.len, value.data);
	bool		added = len > 0 && (size_t) len < sizeof line && add_line(call, line);

	sodium_memzero(line, sizeof line);
	return added;
}

/* How the provider knows us. */
static bool
add_ordered(RgCompletion *call)
{
	const char *name;
	const char *value;

	for (int i = 0; rg_order_header(call->order.json, i, &name, &value); i++)
		if (!add_header(call, name, rg_slice_of(value)))
			return false;
	return true;
}

/* The gateway's span is the parent of the provider's; nothing of the client goes along. */
static bool
add_own(RgCompletion *call)
{
	char		parent[RG_TRACEPARENT_LEN];

	rg_traceparent_write(&call->exchange.trace, parent);
	return add_header(call, "traceparent", rg_slice(parent, sizeof parent)) &&
		add_line(call, "Content-Type: application/json") &&
		add_line(call, call->order.stream ? "Accept: text/event-stream" : "Accept: application/json") &&
		add_line(call, "User-Agent: relay_guard/" RG_VERSION) && add_line(call, "Expect:");
}

/*
 * libcurl sends a request again that a connection which had been idle did not answer.
 * Nobody knows then whether it was carried out, and each time costs: so it gets a
 * connection of its own, whose handshake may go on where an earlier one ended.
 */
static void
set_connection(CURL *curl)
{
	if (sessions == NULL && (sessions = curl_share_init()) != NULL)
		curl_share_setopt(sessions, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
	curl_easy_setopt(curl, CURLOPT_SHARE, sessions);
	curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, BUFFER);
}

static void
set_request(RgCompletion *call)
{
	CURL	   *curl = call->transfer.curl;

	curl_easy_setopt(curl, CURLOPT_POST, 1L);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) call->order.body.len);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDS, call->order.body.data);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, call->lines);
}

static void
set_callbacks(RgCompletion *call)
{
	CURL	   *curl = call->transfer.curl;

	curl_easy_setopt(curl, CURLOPT_PREREQFUNCTION, rg_completion_on_connection);
	curl_easy_setopt(curl, CURLOPT_PREREQDATA, call);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, rg_completion_on_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, call);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, rg_completion_on_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, call);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, call->error);
}

bool
rg_completion_set_up(RgCompletion *call, const char *ca_file)
{
	const RgAim aim = {
		.url = call->order.url,.target = call->order.target,
		.connect_ms = call->order.connect_ms,.ca_file = ca_file
	};

	call->transfer.curl = curl_easy_init();
	if (call->transfer.curl == NULL || !add_ordered(call) || !add_own(call))
		return false;
	rg_proxy_aim(call->transfer.curl, &aim);
	set_connection(call->transfer.curl);
	set_request(call);
	set_callbacks(call);
	return true;
}

/* The lines hold the key. */
void
rg_completion_clean_up(RgCompletion *call)
{
	curl_easy_cleanup(call->transfer.curl);
	call->transfer.curl = NULL;
	for (struct curl_slist *line = call->lines; line != NULL; line = line->next)
		sodium_memzero(line->data, strlen(line->data));
	curl_slist_free_all(call->lines);
	call->lines = NULL;
}
