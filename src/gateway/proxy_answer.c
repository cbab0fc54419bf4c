/*
 * proxy_answer.c
 *		An upstream's answer on its way to the client: libcurl's callbacks.
 */
#include "proxy_transfer.h"

#include <stdlib.h>

#include "clock.h"
#include "conn_stream.h"
#include "http1.h"
#include "proxy_sockets.h"
#include "response.h"
#include "worker.h"

static void on_drained(void *arg);
static void on_gone(void *arg);

static const RgStreamer streamer = {on_drained, on_gone};

/* Ends the transfer from one of its callbacks; proxy.c tells the client. */
static size_t
break_off(RgProxy *proxy, const char *reason)
{
	proxy->reason = reason;
	return 0;
}

static void
extend(RgProxy *proxy)
{
	proxy->limit = rg_now() + proxy->order.idle_ms * 1000;
}

static void
on_drained(void *arg)
{
	RgProxy    *proxy = arg;

	if (!proxy->paused)
		return;
	proxy->paused = false;
	extend(proxy);
	rg_proxy_loop_resume(&proxy->transfer);
}

/* The client has left, and the transfer ends with it. */
static void
on_gone(void *arg)
{
	RgProxy    *proxy = arg;

	proxy->conn = NULL;
	proxy->streaming = false;
	rg_proxy_loop_remove(&proxy->transfer);
}

static void
put_own_lines(const RgProxy *proxy, RgText *lines)
{
	rg_text_put(lines, proxy->own);
	if (proxy->event_stream)
		rg_text_put(lines, RG_SLICE("X-Accel-Buffering: no\r\n"));
}

static bool
fits(const RgProxy *proxy, int64_t bytes)
{
	return proxy->order.max_response == 0 || bytes <= proxy->order.max_response;
}

/* From here on the stream's callbacks tell of the client. */
static void
hand_over(RgProxy *proxy, const RgResponse *response, int64_t content_length)
{
	RgConn	   *conn = proxy->conn;

	conn->proxy = NULL;
	proxy->streaming = rg_conn_stream(conn, &proxy->exchange, response, content_length,
									  &streamer, proxy);
	if (!proxy->streaming)
		proxy->conn = NULL;
}

static bool
begin_answer(RgProxy *proxy, int status)
{
	static char buffer[2 * RG_PROXY_MAX_HEAD];
	RgText		lines = {buffer, sizeof buffer, 0};
	RgSlice		raw = {proxy->head, proxy->head_len};
	RgResponse	response = {.status = status,.route = rg_slice_of(proxy->route)};
	RgProxyHead head;

	if (!rg_proxy_response_lines(raw, proxy->order.cookies, proxy->order.public, &lines, &head))
		return break_off(proxy, head.error) != 0;
	if (!fits(proxy, head.content_length))
		return break_off(proxy, "its answer is larger than max_response") != 0;
	proxy->event_stream = head.event_stream;
	put_own_lines(proxy, &lines);
	if (lines.len > lines.cap)
		return break_off(proxy, "its head is too long") != 0;
	response.headers = rg_slice(buffer, lines.len);
	response.cacheable = head.cache_control;
	proxy->exchange.keep_alive &= !proxy->conn->worker->draining;
	hand_over(proxy, &response, head.content_length);
	return true;
}

/* What it says before its answer (1xx) is between it and the gateway. */
static bool
end_head(RgProxy *proxy)
{
	long		status = 0;

	curl_easy_getinfo(proxy->transfer.curl, CURLINFO_RESPONSE_CODE, &status);
	extend(proxy);
	if (status < 100 || status > 599)
		return break_off(proxy, "its status is none that was asked for") != 0;
	if (status < 200)
	{
		proxy->head_len = 0;
		return true;
	}
	proxy->headed = true;
	return begin_answer(proxy, status);
}

static bool
keep_line(RgProxy *proxy, RgSlice line)
{
	if (proxy->head == NULL)
		proxy->head = malloc(RG_PROXY_MAX_HEAD);
	if (proxy->head == NULL || line.len > RG_PROXY_MAX_HEAD - proxy->head_len)
		return break_off(proxy, "its head is too long") != 0;
	memcpy(proxy->head + proxy->head_len, line.data, line.len);
	proxy->head_len += line.len;
	return true;
}

/*
 * Called before the request goes out.  What comes on a connection that has been
 * idle answers no request: were it used, the next client would get it, and its
 * answer the one after.  So it is left, and proxy.c takes another.
 */
int
rg_proxy_on_connection(void *arg, char *remote, char *local, int remote_port, int local_port)
{
	RgProxy    *proxy = arg;
	long		made = 0;

	curl_easy_getinfo(proxy->transfer.curl, CURLINFO_NUM_CONNECTS, &made);
	proxy->unclean = made == 0 &&
		rg_proxy_socket_readable(remote, remote_port, local, local_port);
	return proxy->unclean ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static bool
is_status_line(const RgProxy *proxy, RgSlice line)
{
	return proxy->head_len == 0 && line.len > 5 && memcmp(line.data, "HTTP/", 5) == 0;
}

/* Called for each line; those behind the body, its trailers, are left out. */
size_t
rg_proxy_on_header(char *data, size_t size, size_t count, void *arg)
{
	RgProxy    *proxy = arg;
	RgSlice		line = {data, size * count};
	bool		taken;

	if (proxy->transfer.leaving)
		return 0;
	if (proxy->headed || is_status_line(proxy, line))
		return line.len;
	taken = rg_http_line_blank(line) ? end_head(proxy) : keep_line(proxy, line);
	return taken ? line.len : 0;
}

size_t
rg_proxy_on_body(char *data, size_t size, size_t count, void *arg)
{
	RgProxy    *proxy = arg;
	RgSlice		bytes = {data, size * count};

	if (proxy->transfer.leaving || !proxy->streaming)
		return 0;
	if (rg_conn_stream_pending(proxy->conn) > RG_PROXY_PENDING)
	{
		proxy->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	proxy->received += bytes.len;
	if (!fits(proxy, proxy->received))
		return break_off(proxy, "its answer is larger than max_response");
	extend(proxy);
	rg_conn_stream_write(proxy->conn, bytes);
	return proxy->transfer.leaving ? 0 : bytes.len;
}
