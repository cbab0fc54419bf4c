/*
 * proxy_loop.c
 *		libcurl's transfers in a worker's event loop; proxy_loop.h has the
 *		contract.
 */
#include "proxy_loop.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

#define MAX_IDLE_CONNECTIONS 64L	/* kept open for the next requests */

static struct event_base *base;
static CURLM *multi;
static struct event timer;
static int	inside = 0;			/* libcurl's functions that are on the stack */
static RgTransfer *list = NULL;

static void
list_transfer(RgTransfer *transfer)
{
	if (transfer->listed)
		return;
	transfer->listed = true;
	transfer->next = list;
	list = transfer;
}

static void
start(RgTransfer *transfer)
{
	transfer->running = curl_multi_add_handle(multi, transfer->curl) == CURLM_OK;
	if (!transfer->running)
		transfer->calls->done(transfer, CURLE_OUT_OF_MEMORY);
}

static void
stop(RgTransfer *transfer)
{
	if (transfer->running)
		curl_multi_remove_handle(multi, transfer->curl);
	transfer->calls->free(transfer);
}

static void
settle_transfer(RgTransfer *transfer)
{
	if (transfer->leaving)
		stop(transfer);
	else if (!transfer->running)
		start(transfer);
}

/* What callbacks have asked for. */
static void
settle(void)
{
	RgTransfer *transfer;

	while (inside == 0 && (transfer = list) != NULL)
	{
		list = transfer->next;
		transfer->listed = false;
		settle_transfer(transfer);
	}
}

/* Those that ended are told, when libcurl has returned. */
static void
tell_ended(void)
{
	CURLMsg    *message;
	int			left;

	while (inside == 0 && (message = curl_multi_info_read(multi, &left)) != NULL)
	{
		RgTransfer *transfer = NULL;
		CURLcode	code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **) &transfer);
		if (!transfer->leaving)
			transfer->calls->done(transfer, code);
	}
}

static void
leave(void)
{
	inside--;
	settle();
	tell_ended();
}

static void
act(curl_socket_t fd, int what)
{
	int			running;

	inside++;
	curl_multi_socket_action(multi, fd, what, &running);
	leave();
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void) fd;
	(void) what;
	(void) arg;
	act(CURL_SOCKET_TIMEOUT, 0);
}

static void
on_socket(evutil_socket_t fd, short what, void *arg)
{
	(void) arg;
	act(fd, (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static int
set_timer(CURLM *unused, long timeout_ms, void *arg)
{
	struct timeval timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000};

	(void) unused;
	(void) arg;
	if (timeout_ms < 0)
		event_del(&timer);
	else
		event_add(&timer, &timeout);
	return 0;
}

static void
forget_socket(curl_socket_t fd, struct event *event)
{
	curl_multi_assign(multi, fd, NULL);
	if (event == NULL)
		return;
	event_del(event);
	free(event);
}

/* The event of a socket is freed when libcurl is done with it. */
static int
watch_socket(CURL *curl, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct event *event = socket_arg;
	short		interest = (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0);

	(void) curl;
	(void) arg;
	if (what == CURL_POLL_REMOVE)
	{
		forget_socket(fd, event);
		return 0;
	}
	if (event == NULL)
		event = calloc(1, sizeof *event);
	else
		event_del(event);
	if (event == NULL)
		return -1;
	curl_multi_assign(multi, fd, event);
	event_assign(event, base, fd, interest | EV_PERSIST, on_socket, NULL);
	event_priority_set(event, 0);
	if (interest != 0)
		event_add(event, NULL);
	return 0;
}

bool
rg_proxy_loop_init(struct event_base *event_base)
{
	base = event_base;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || (multi = curl_multi_init()) == NULL)
		return false;
	event_assign(&timer, base, -1, 0, on_timer, NULL);
	event_priority_set(&timer, 0);
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, MAX_IDLE_CONNECTIONS);
	curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long) CURLPIPE_NOTHING);
	return true;
}

void
rg_proxy_loop_add(RgTransfer *transfer)
{
	curl_easy_setopt(transfer->curl, CURLOPT_PRIVATE, transfer);
	list_transfer(transfer);
	settle();
}

void
rg_proxy_loop_restart(RgTransfer *transfer)
{
	curl_multi_remove_handle(multi, transfer->curl);
	transfer->running = false;
	list_transfer(transfer);
	settle();
}

void
rg_proxy_loop_remove(RgTransfer *transfer)
{
	transfer->leaving = true;
	list_transfer(transfer);
	settle();
}

/* What had been held back is taken now; that it was refused libcurl tells nobody else. */
void
rg_proxy_loop_resume(RgTransfer *transfer)
{
	CURLcode	code;

	inside++;
	code = curl_easy_pause(transfer->curl, CURLPAUSE_CONT);
	if (code != CURLE_OK && !transfer->leaving)
		transfer->calls->done(transfer, code);
	leave();
}
