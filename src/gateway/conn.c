/*
 * conn.c
 *		Clients' connections; conn.h has the contract.
 *
 * Bytes come in here, heads and bodies are cut out of them, and what is left
 * waits until the answer has gone.  Nothing in here frees a connection at
 * once, so that a caller may go on to look at its state.
 */
#include "conn.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "body.h"
#include "clock.h"
#include "completion.h"
#include "conn_class.h"
#include "conn_stream.h"
#include "log.h"
#include "metrics.h"
#include "metrics_endpoint.h"
#include "peer.h"
#include "proxy.h"
#include "request.h"
#include "worker.h"

static void on_event(evutil_socket_t fd, short what, void *arg);
static void process(RgConn *conn, RgSlice input);

/* What OpenSSL has read, but nobody took, the kernel does not tell of. */
static void
read_on(RgConn *conn)
{
	if (conn->interest & EV_READ && rg_transport_pending(&conn->transport))
		event_active(&conn->event, EV_READ, 0);
}

static void
set_interest(RgConn *conn, short interest)
{
	if (conn->interest == interest)
		return;
	if (conn->interest != 0)
		event_del(&conn->event);
	conn->interest = interest;
	if (interest == 0)
		return;
	event_assign(&conn->event, conn->worker->base, conn->transport.fd,
				 interest | EV_PERSIST, on_event, conn);
	event_add(&conn->event, NULL);
	read_on(conn);
}

static void
free_bytes(RgBytes *bytes)
{
	free(bytes->data);
	memset(bytes, 0, sizeof *bytes);
}

/* The socket is the client's from here on. */
static void
begin(RgConn *conn)
{
	bool		tls = conn->worker->config->tls != NULL && !conn->metrics;

	conn->state = tls ? RG_CONN_HANDSHAKE : RG_CONN_HEAD;
	rg_conn_class_set(conn, tls ? RG_CONN_IN_HANDSHAKE : RG_CONN_IN_HEAD);
}

static RgConn *
new_conn(RgWorker *worker, int fd, const struct sockaddr *peer, bool metrics)
{
	RgConn	   *conn = calloc(1, sizeof *conn);
	int			one = 1;

	if (conn == NULL)
	{
		close(fd);
		return NULL;
	}
	if (peer->sa_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	conn->worker = worker;
	conn->transport.fd = fd;
	conn->metrics = metrics;
	if (!rg_peer_new(conn, peer))
	{
		close(fd);
		free(conn);
		return NULL;
	}
	worker->nconns++;
	conn->state = RG_CONN_PROXY;
	rg_conn_class_enter(conn, RG_CONN_IN_HANDSHAKE);
	if (worker->config->proxy_protocol != RG_ON || metrics)
		begin(conn);
	set_interest(conn, EV_READ);
	return conn;
}

void
rg_conn_new(RgWorker *worker, int fd, const struct sockaddr *peer)
{
	if (new_conn(worker, fd, peer, false) != NULL)
		rg_metrics_count(RG_COUNT_ACCEPTED, 1);
}

bool
rg_conn_new_metrics(RgWorker *worker, int fd, const struct sockaddr *peer)
{
	return new_conn(worker, fd, peer, true) != NULL;
}

/* A job in the database goes on alone; one that still lacks its body does not. */
static void
leave_job(RgConn *conn)
{
	if (conn->job == NULL)
		return;
	if (conn->state == RG_CONN_BODY)
		rg_job_free(conn->job);
	else
		conn->job->conn = NULL;
	conn->job = NULL;
}

/* Nothing pending has no limit here; what is has that of every answer. */
void
rg_conn_streaming(RgConn *conn)
{
	bool		pending = conn->output.len > 0;
	RgConnClass class = pending ? RG_CONN_IN_WRITE : RG_CONN_STREAMING;

	if (conn->state == RG_CONN_CLOSED)
		return;
	conn->state = RG_CONN_STREAM;
	if (conn->class != class)
		rg_conn_class_set(conn, class);
	set_interest(conn, pending ? EV_READ | EV_WRITE : EV_READ);
}

void
rg_conn_close(RgConn *conn)
{
	if (conn->state == RG_CONN_CLOSED)
		return;
	leave_job(conn);
	set_interest(conn, 0);
	rg_conn_class_leave(conn);
	rg_transport_close(&conn->transport, conn->state == RG_CONN_HEAD);
	rg_output_free(conn);
	conn->state = RG_CONN_CLOSED;
	rg_peer_gone(conn);
	rg_conn_stream_gone(conn);
	rg_proxy_gone(conn);
	rg_completion_gone(conn);
	conn->next = conn->worker->closed;
	conn->worker->closed = conn;
	event_active(&conn->worker->sweep_event, 0, 0);
}

void
rg_conn_reset(RgConn *conn)
{
	struct linger now = {.l_onoff = 1,.l_linger = 0};

	if (conn->state != RG_CONN_CLOSED)
		setsockopt(conn->transport.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	rg_conn_close(conn);
}

void
rg_conn_sweep(RgWorker *worker)
{
	RgConn	   *conn;

	while ((conn = worker->closed) != NULL)
	{
		worker->closed = conn->next;
		free_bytes(&conn->input);
		if (conn->metrics)
			rg_metrics_conn_gone(conn);
		free(conn);
		worker->nconns--;
		rg_worker_conn_gone(worker);
	}
}

/*
 * Closing at once would reset the connection when the client has sent more
 * than was read, and the reset would take the answer with it.
 */
static void
linger(RgConn *conn)
{
	rg_transport_end(&conn->transport);
	conn->state = RG_CONN_LINGER;
	rg_conn_class_set(conn, RG_CONN_LINGERING);
	set_interest(conn, EV_READ);
}

static void
process_kept(RgConn *conn)
{
	if (!conn->processing && conn->input.len > 0)
		process(conn, rg_slice(conn->input.data, conn->input.len));
}

/* The answer is with the client's kernel, all of it. */
static void
after_answer(RgConn *conn)
{
	if (!conn->keep_alive)
	{
		linger(conn);
		return;
	}
	conn->state = RG_CONN_HEAD;
	rg_conn_class_set(conn, RG_CONN_IDLE);
	set_interest(conn, EV_READ);
	process_kept(conn);
}

void
rg_conn_answered(RgConn *conn, bool keep_alive)
{
	if (conn->state == RG_CONN_CLOSED)
		return;
	conn->keep_alive = keep_alive;
	if (conn->output.len == 0)
	{
		after_answer(conn);
		return;
	}
	conn->state = RG_CONN_WRITE;
	rg_conn_class_set(conn, RG_CONN_IN_WRITE);
	set_interest(conn, EV_WRITE);
}

void
rg_conn_send(RgConn *conn, struct iovec *pieces, int count)
{
	ssize_t		sent = 0;

	if (conn->state == RG_CONN_CLOSED)
		return;
	if (conn->output.len == 0)
		sent = rg_transport_send(&conn->transport, pieces, count);
	if (sent < 0 && errno != EAGAIN && errno != EINTR)
	{
		rg_conn_close(conn);
		return;
	}
	if (!rg_output_keep(conn, pieces, count, sent > 0 ? sent : 0))
		rg_conn_close(conn);
}

void
rg_conn_read_body(RgConn *conn, RgJob *job)
{
	conn->job = job;
	job->conn = conn;
	conn->state = RG_CONN_BODY;
	conn->body_since = rg_now();
	conn->body_seen = 0;
	rg_conn_class_set(conn, RG_CONN_IN_BODY);
}

void
rg_conn_wait(RgConn *conn, RgJob *job)
{
	conn->job = job;
	if (job != NULL)
		job->conn = conn;
	conn->state = RG_CONN_WAIT;
	rg_conn_class_set(conn, RG_CONN_IN_DATABASE);
}

/* False when more must come first. */
static bool
take_head(RgConn *conn, RgSlice *input)
{
	RgHttpHead *head = &conn->worker->head;
	int			len = rg_http_head(input->data, input->len, &conn->scanned, head);

	if (len == 0)
		return false;
	conn->scanned = 0;
	if (len < 0)
	{
		input->len = 0;
		rg_request_malformed(conn, head, -len);
		return false;
	}
	input->data += len;
	input->len -= len;
	rg_request_head(conn, head, input->len > 0);
	return true;
}

/* Keeps what is left of the input for later; rest may be part of it already. */
static void
keep_input(RgConn *conn, RgSlice rest)
{
	if (rest.len == 0 || conn->state == RG_CONN_LINGER || conn->state == RG_CONN_CLOSED)
	{
		free_bytes(&conn->input);
		return;
	}
	if (conn->input.data == NULL)
		conn->input.data = malloc(RG_HTTP_MAX_HEAD);
	if (conn->input.data == NULL)
	{
		rg_conn_close(conn);
		return;
	}
	memmove(conn->input.data, rest.data, rest.len);
	conn->input.len = rest.len;
}

/* The head's time runs from its first byte, and is not extended by further ones. */
static void
note_head_begun(RgConn *conn)
{
	if (conn->state == RG_CONN_HEAD && conn->input.len > 0 && conn->class == RG_CONN_IDLE)
		rg_conn_class_set(conn, RG_CONN_IN_HEAD);
}

static void
process(RgConn *conn, RgSlice input)
{
	bool		more = true;

	conn->processing = true;
	while (more && input.len > 0 &&
		   (conn->state == RG_CONN_HEAD || conn->state == RG_CONN_BODY))
		more = conn->state == RG_CONN_HEAD ? take_head(conn, &input)
			: rg_body_take(conn, &input);
	conn->processing = false;
	keep_input(conn, input);
	note_head_begun(conn);
}

static void
await_transport(RgConn *conn)
{
	set_interest(conn, conn->transport.waits_to_write ? EV_WRITE : EV_READ);
}

/* Reads; 0 when nothing came, or the connection is closed now. */
static size_t
receive(RgConn *conn, char *data, size_t room)
{
	ssize_t		got = rg_transport_recv(&conn->transport, data, room);

	if (got > 0)
		return got;
	if (got == 0 || (errno != EAGAIN && errno != EINTR))
		rg_conn_close(conn);
	else
		await_transport(conn);
	return 0;
}

/* After what is kept, if anything is, else into the worker's buffer. */
static void
read_input(RgConn *conn)
{
	RgBytes    *kept = &conn->input;
	char	   *start = kept->data ? kept->data : conn->worker->input;
	size_t		got = receive(conn, start + kept->len, RG_HTTP_MAX_HEAD - kept->len);

	if (got > 0)
		process(conn, rg_slice(start, kept->len + got));
}

/* A body of known length is read where it will be needed. */
static void
read_counted(RgConn *conn)
{
	size_t		room;
	char	   *data = rg_body_room(conn, &room);
	size_t		got = data ? receive(conn, data, room) : 0;

	if (got > 0)
		rg_body_received(conn, got);
}

static void
read_and_drop(RgConn *conn)
{
	receive(conn, conn->worker->input, sizeof conn->worker->input);
}

/*
 * While the answer is being made: what comes early waits in the kernel, and a
 * client that has gone gives up its place.  One that only ended its side may
 * still read.
 */
static void
watch_waiting(RgConn *conn)
{
	ssize_t		got = rg_transport_peek(&conn->transport);

	if (got < 0 && errno != EAGAIN && errno != EINTR)
		rg_conn_close(conn);
	else
		set_interest(conn, conn->interest & ~EV_READ);
	conn->ended = got == 0;
}

static void
read_proxy(RgConn *conn)
{
	RgPeerRead	how = rg_peer_read(conn);

	if (how == RG_PEER_REFUSED)
		rg_conn_close(conn);
	else if (how == RG_PEER_KNOWN)
	{
		begin(conn);
		rg_worker_conn_gone(conn->worker);
	}
}

static void
fail_handshake(RgConn *conn)
{
	rg_log(RG_LOG_DEBUG, "a TLS handshake failed", "client", conn->peer_text,
		   "reason", rg_transport_failure(), NULL);
	rg_conn_close(conn);
}

/* Whoever speaks HTTP where TLS is spoken is told so, in HTTP. */
static void
shake_hands(RgConn *conn)
{
	RgHandshake how = rg_transport_handshake(&conn->transport,
											 conn->worker->config->tls);

	if (how == RG_HANDSHAKE_WAITS)
		await_transport(conn);
	else if (how == RG_HANDSHAKE_FAILED)
		fail_handshake(conn);
	else
	{
		conn->state = RG_CONN_HEAD;
		rg_conn_class_set(conn, RG_CONN_IN_HEAD);
		set_interest(conn, EV_READ);
		rg_worker_conn_gone(conn->worker);
	}
	if (how == RG_HANDSHAKE_PLAIN)
	{
		rg_http_give_up("", 0, &conn->worker->head);
		conn->worker->head.error = "TLS is spoken here, not plain HTTP";
		rg_request_malformed(conn, &conn->worker->head, 400);
	}
}

static void
on_readable(RgConn *conn)
{
	switch (conn->state)
	{
		case RG_CONN_PROXY:
			read_proxy(conn);
			break;
		case RG_CONN_HANDSHAKE:
			shake_hands(conn);
			break;
		case RG_CONN_HEAD:
			read_input(conn);
			break;
		case RG_CONN_BODY:
			if (conn->job->body_left > 0)
				read_counted(conn);
			else
				read_input(conn);
			break;
		case RG_CONN_LINGER:
			read_and_drop(conn);
			break;
		default:
			watch_waiting(conn);
	}
	if (conn->ended && (conn->state == RG_CONN_STREAM || conn->proxy != NULL || conn->completion != NULL))
		rg_conn_close(conn);
	read_on(conn);
}

static void
after_output(RgConn *conn)
{
	if (conn->state == RG_CONN_STREAM)
		rg_conn_stream_drained(conn);
	else
		after_answer(conn);
}

static void
on_writable(RgConn *conn)
{
	RgOutput   *output = &conn->output;
	struct iovec piece = {output->data + output->at, output->len - output->at};
	ssize_t		sent = rg_transport_send(&conn->transport, &piece, 1);

	if (sent < 0 && errno != EAGAIN && errno != EINTR)
	{
		rg_conn_close(conn);
		return;
	}
	rg_output_sent(conn, sent > 0 ? sent : 0);
	if (output->at == output->len)
	{
		rg_output_free(conn);
		after_output(conn);
	}
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	RgConn	   *conn = arg;

	(void) fd;
	if (what & EV_WRITE && (conn->state == RG_CONN_WRITE || conn->state == RG_CONN_STREAM))
	{
		on_writable(conn);
		return;
	}
	if (what & EV_WRITE)
		set_interest(conn, EV_READ);
	on_readable(conn);
}
