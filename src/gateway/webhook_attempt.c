/*
 * webhook_attempt.c
 *		One attempt to deliver a webhook; webhook_attempt.h has the contract.
 *
 * The URL is somebody's who may mean ill, so nothing is believed of it.  libcurl
 * resolves the name, once, and shows every address before it connects there: what is
 * not public, and not in WEBHOOK_ALLOW_NETWORKS, gets no socket.  There is no second
 * question to the name service whose answer could be another one.  No connection is
 * used that somebody else's request has made (an upstream of the proxy may well be
 * in the own network), and none is left for them.
 */
#include "webhook_attempt.h"

#include <jansson.h>
#include <libpq-fe.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "address_public.h"
#include "clock.h"
#include "keys_fetch.h"

#define MAX_ANSWER 65536		/* bytes of head and of body each */
#define MAX_LINE 8192
#define MAX_HEADERS 32
#define MAX_CONNECT_MS 10000L
#define MAX_RETRY_AFTER 86400	/* seconds */

static char *
copy(const char *text)
{
	return text != NULL ? strdup(text) : NULL;
}

/* Whatever is not one line of printable text has no place in a head. */
static bool
is_printable(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char) *text < 0x20 || *text == 0x7f)
			return false;
	return true;
}

static bool
add_line(RgWebhookAttempt *attempt, const char *line)
{
	struct curl_slist *lines = curl_slist_append(attempt->lines, line);

	if (lines == NULL)
		return false;
	attempt->lines = lines;
	return true;
}

/* One without value is left out: libcurl would take it for one of its own to be. */
static bool
add_header(RgWebhookAttempt *attempt, const char *name, const char *value)
{
	char		line[MAX_LINE];
	int			len;

	if (name == NULL || (value != NULL && !is_printable(value)) || !is_printable(name))
		return false;
	if (value == NULL || *value == '\0')
		return true;
	len = snprintf(line, sizeof line, "%s: %s", name, value);
	return len > 0 && (size_t) len < sizeof line && add_line(attempt, line);
}

/* Beside the given ones: libcurl would ask first whether the body is wanted. */
static bool
read_headers(RgWebhookAttempt *attempt, const char *text)
{
	json_t	   *headers = json_loads(text, 0, NULL);
	size_t		count = json_array_size(headers);
	bool		valid = json_is_array(headers) && count % 2 == 0 && count <= 2 * MAX_HEADERS;

	for (size_t i = 0; valid && i < count; i += 2)
		valid = add_header(attempt, json_string_value(json_array_get(headers, i)),
						   json_string_value(json_array_get(headers, i + 1)));
	json_decref(headers);
	return valid && add_line(attempt, "Expect:");
}

static bool
read_order(RgWebhookAttempt *attempt, const RgWebhookOrder *order)
{
	attempt->delivery = copy(order->delivery);
	attempt->attempt = copy(order->attempt);
	attempt->url = copy(order->url);
	attempt->body = PQunescapeBytea((const unsigned char *) order->body, &attempt->body_len);
	attempt->timeout_ms = strtol(order->timeout_ms, NULL, 10);
	return attempt->delivery != NULL && attempt->attempt != NULL && attempt->url != NULL &&
		attempt->body != NULL && attempt->timeout_ms > 0 && read_headers(attempt, order->headers);
}

RgWebhookAttempt *
rg_webhook_attempt_new(const RgConfig *config, const RgWebhookOrder *order)
{
	RgWebhookAttempt *attempt = calloc(1, sizeof *attempt);

	if (attempt == NULL)
		return NULL;
	attempt->config = config;
	if (read_order(attempt, order))
	{
		attempt->plain = strncasecmp(attempt->url, "https:", strlen("https:")) != 0;
		return attempt;
	}
	rg_webhook_attempt_free(attempt);
	return NULL;
}

void
rg_webhook_attempt_free(RgWebhookAttempt *attempt)
{
	curl_easy_cleanup(attempt->transfer.curl);
	curl_slist_free_all(attempt->lines);
	free(attempt->delivery);
	free(attempt->attempt);
	free(attempt->url);
	PQfreemem(attempt->body);
	free(attempt);
}

/*
 * Where it may connect to
 */

static bool
is_own_network(const RgWebhookAttempt *attempt, const RgAddress *address)
{
	return rg_networks_contain(&attempt->config->webhook_networks, address);
}

static bool
may_connect(const RgWebhookAttempt *attempt, const RgAddress *address)
{
	if (attempt->plain)
		return rg_address_loopback(address);
	return rg_address_public(address) || (is_own_network(attempt, address) && !rg_address_metadata(address));
}

static void
refuse_address(RgWebhookAttempt *attempt, const RgAddress *address, const char *why)
{
	char		text[INET6_ADDRSTRLEN];

	rg_address_text(address, text);
	attempt->refused = true;
	snprintf(attempt->reason, sizeof attempt->reason, "%s is %s", text, why);
}

/* Once one address of a name was refused, the others are not trusted either. */
static curl_socket_t
open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
	RgWebhookAttempt *attempt = arg;
	RgAddress	address;

	if (purpose != CURLSOCKTYPE_IPCXN || attempt->refused || !rg_address_of(&to->addr, &address))
		return CURL_SOCKET_BAD;
	if (may_connect(attempt, &address))
		return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
	refuse_address(attempt, &address, "not a public address");
	return CURL_SOCKET_BAD;
}

/*
 * Called when there is a connection and before anything of the message goes out.
 * This machine may have a public address; who comes from that same address, past
 * every firewall, is trusted by what listens here.
 */
static int
on_connection(void *arg, char *remote, char *local, int remote_port, int local_port)
{
	RgWebhookAttempt *attempt = arg;
	RgAddress	address;

	(void) remote_port;
	(void) local_port;
	if (!rg_address_parse(rg_slice_of(remote), &address))
		return CURL_PREREQFUNC_ABORT;
	if (attempt->plain || is_own_network(attempt, &address) || strcmp(remote, local) != 0)
		return CURL_PREREQFUNC_OK;
	refuse_address(attempt, &address, "an address of this machine");
	return CURL_PREREQFUNC_ABORT;
}

/*
 * The answer
 */

/* A whole head is the answer: what comes behind it changes nothing. */
static void
end_head(RgWebhookAttempt *attempt)
{
	long		status = 0;

	curl_easy_getinfo(attempt->transfer.curl, CURLINFO_RESPONSE_CODE, &status);
	if (status < 200 || status > 999)
		return;
	attempt->status = status;
	attempt->read = 0;
}

static size_t
on_header(char *data, size_t size, size_t count, void *arg)
{
	RgWebhookAttempt *attempt = arg;
	size_t		len = size * count;

	attempt->read += len;
	if (attempt->transfer.leaving || attempt->read > MAX_ANSWER)
		return 0;
	if (len > 0 && (*data == '\r' || *data == '\n'))
		end_head(attempt);
	return len;
}

/* Thrown away, and not all of it is waited for. */
static size_t
on_body(char *data, size_t size, size_t count, void *arg)
{
	RgWebhookAttempt *attempt = arg;
	size_t		len = size * count;

	(void) data;
	attempt->read += len;
	return attempt->transfer.leaving || attempt->read > MAX_ANSWER ? 0 : len;
}

/*
 * The request
 */

static void
set_destination(const RgWebhookAttempt *attempt)
{
	CURL	   *curl = attempt->transfer.curl;
	bool		production = attempt->config->environment == RG_PRODUCTION;

	curl_easy_setopt(curl, CURLOPT_URL, attempt->url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, production ? "https" : "http,https");
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
}

static void
set_trust(const RgWebhookAttempt *attempt)
{
	CURL	   *curl = attempt->transfer.curl;
	const char *ca_file = attempt->config->webhook_ca_file;

	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	if (*ca_file != '\0')
		curl_easy_setopt(curl, CURLOPT_CAINFO, ca_file);
}

static void
set_limits(const RgWebhookAttempt *attempt)
{
	CURL	   *curl = attempt->transfer.curl;
	long		connect_ms = attempt->timeout_ms < MAX_CONNECT_MS ? attempt->timeout_ms : MAX_CONNECT_MS;

	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, attempt->timeout_ms);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	/* a name that is being looked up must not be waited for */
	curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(curl, CURLOPT_HTTP_CONTENT_DECODING, 0L);
}

static void
set_callbacks(RgWebhookAttempt *attempt)
{
	CURL	   *curl = attempt->transfer.curl;

	curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, attempt);
	curl_easy_setopt(curl, CURLOPT_PREREQFUNCTION, on_connection);
	curl_easy_setopt(curl, CURLOPT_PREREQDATA, attempt);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, attempt);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, attempt);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, attempt->error);
}

bool
rg_webhook_attempt_set_up(RgWebhookAttempt *attempt)
{
	CURL	   *curl = attempt->transfer.curl = curl_easy_init();

	attempt->started = rg_now();
	if (curl == NULL || !rg_keys_url_allowed(attempt->url, false))
	{
		rg_webhook_attempt_judge(attempt, curl == NULL ? CURLE_OUT_OF_MEMORY : CURLE_URL_MALFORMAT);
		return false;
	}
	set_destination(attempt);
	set_trust(attempt);
	set_limits(attempt);
	set_callbacks(attempt);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, attempt->lines);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) attempt->body_len);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDS, attempt->body);
	return true;
}

/*
 * What came of it
 */

static RgWebhookResult
result_of_status(int status)
{
	return status / 100 == 2 ? RG_WEBHOOK_DELIVERED : status == 410 ? RG_WEBHOOK_GONE : RG_WEBHOOK_REJECTED;
}

static RgWebhookResult
result_of_code(CURLcode code)
{
	switch (code)
	{
		case CURLE_OPERATION_TIMEDOUT:
			return RG_WEBHOOK_TIMEOUT;
		case CURLE_COULDNT_RESOLVE_HOST:
		case CURLE_COULDNT_CONNECT:
			return RG_WEBHOOK_UNREACHABLE;
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CONNECT_ERROR:
		case CURLE_SSL_CACERT_BADFILE:
			return RG_WEBHOOK_UNTRUSTED;
		case CURLE_URL_MALFORMAT:
		case CURLE_UNSUPPORTED_PROTOCOL:
			return RG_WEBHOOK_REFUSED_URL;
		default:
			return RG_WEBHOOK_BROKEN;
	}
}

static const char *
reason_of_code(const RgWebhookAttempt *attempt, CURLcode code)
{
	if (result_of_code(code) == RG_WEBHOOK_REFUSED_URL)
		return "the URL is not https://, or has a user in it";
	if (code == CURLE_WRITE_ERROR)
		return "the head of the answer is too long";
	return *attempt->error != '\0' ? attempt->error : curl_easy_strerror(code);
}

/* A certificate's names may stand in it, as their owner wrote them. */
static void
set_reason(RgWebhookAttempt *attempt, const char *reason)
{
	snprintf(attempt->reason, sizeof attempt->reason, "%s", reason);
	for (char *at = attempt->reason; *at != '\0'; at++)
		if (*at < 0x20 || *at > 0x7e)
			*at = '?';
}

static void
judge_status(RgWebhookAttempt *attempt)
{
	curl_off_t	retry_after = 0;
	char		reason[64];

	attempt->result = result_of_status(attempt->status);
	*attempt->reason = '\0';	/* of another of its addresses */
	if (attempt->result == RG_WEBHOOK_DELIVERED)
		return;
	curl_easy_getinfo(attempt->transfer.curl, CURLINFO_RETRY_AFTER, &retry_after);
	attempt->retry_after = retry_after < 0 ? 0 : retry_after < MAX_RETRY_AFTER ? retry_after : MAX_RETRY_AFTER;
	snprintf(reason, sizeof reason, "the answer is HTTP %d%s", attempt->status,
			 attempt->status / 100 == 3 ? ", and redirects are not followed" : "");
	set_reason(attempt, reason);
}

void
rg_webhook_attempt_judge(RgWebhookAttempt *attempt, CURLcode code)
{
	if (attempt->status != 0)
		judge_status(attempt);
	else if (attempt->refused)
		attempt->result = RG_WEBHOOK_REFUSED_ADDRESS;
	else
	{
		attempt->result = result_of_code(code == CURLE_OK ? CURLE_WEIRD_SERVER_REPLY : code);
		set_reason(attempt, reason_of_code(attempt, code == CURLE_OK ? CURLE_WEIRD_SERVER_REPLY : code));
	}
}
