/*
 * worker.c
 *		The event loop of a process that serves; worker.h has the contract.
 */
#include "worker.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "anchor.h"
#include "clock.h"
#include "completion.h"
#include "conn_class.h"
#include "deny.h"
#include "log.h"
#include "metrics_endpoint.h"
#include "peer.h"
#include "proxy.h"
#include "proxy_fallback.h"
#include "represent.h"
#include "response.h"
#include "sse.h"
#include "webhook.h"

#define TICK_US 50000
#define ACCEPTS_A_TURN 64
#define MAX_HANDSHAKES 1024		/* each may hold 200 kB */
#define HANDSHAKE_GRACE 1000000

static void
start_accepting(RgWorker *worker)
{
	if (worker->accepting || worker->draining)
		return;
	worker->accepting = true;
	event_add(&worker->accept_event, NULL);
}

static void
stop_accepting(RgWorker *worker)
{
	if (worker->accepting)
		event_del(&worker->accept_event);
	worker->accepting = false;
}

void
rg_worker_conn_gone(RgWorker *worker)
{
	start_accepting(worker);
}

/*
 * Newcomers wait in the kernel's queue; but for a connection that says nothing,
 * or very little, only as long as the grace.
 */
static bool
has_room_for_handshake(RgWorker *worker)
{
	const RgConnList *list = &worker->lists[RG_CONN_IN_HANDSHAKE];
	int64_t		begun;

	if (list->count < MAX_HANDSHAKES)
		return true;
	begun = list->first->limit - worker->config->header_timeout;
	if (rg_now() < begun + HANDSHAKE_GRACE)
		return false;
	rg_conn_close(list->first);
	return true;
}

/*
 * At the cap the connection that has been idle for longest makes room; if all
 * are busy, newcomers wait in the kernel's queue.
 */
static bool
has_room(RgWorker *worker)
{
	RgConn	   *idle = worker->lists[RG_CONN_IDLE].first;

	if (worker->nconns < worker->max_conns && has_room_for_handshake(worker))
		return true;
	if (worker->nconns >= worker->max_conns && idle != NULL)
		rg_conn_close(idle);
	stop_accepting(worker);
	return false;
}

/* Out of descriptors: the next tick tries again, rather than this loop. */
static bool
accept_one(RgWorker *worker)
{
	struct sockaddr_storage peer = {.ss_family = AF_UNIX};
	socklen_t	len = sizeof peer;
	int			fd = accept4(worker->listener, (struct sockaddr *) &peer, &len,
							 SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0)
		rg_conn_new(worker, fd, (const struct sockaddr *) &peer);
	else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
		stop_accepting(worker);
	return fd >= 0;
}

static void
on_accept(evutil_socket_t fd, short what, void *arg)
{
	RgWorker   *worker = arg;

	(void) fd;
	(void) what;
	for (int i = 0; i < ACCEPTS_A_TURN && has_room(worker); i++)
		if (!accept_one(worker))
			break;
}

static bool
has_drained(const RgWorker *worker, int64_t now)
{
	bool		idle = worker->nconns == 0 && rg_completion_idle() && rg_webhook_idle();

	return worker->draining && (idle || now >= worker->drain_until);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	RgWorker   *worker = arg;
	int64_t		now = rg_now();

	(void) fd;
	(void) what;
	rg_lane_tick(&worker->reads, now);
	rg_lane_tick(&worker->writes, now);
	rg_lane_tick(&worker->slow, now);
	rg_sse_tick(now);
	rg_proxy_tick(now);
	rg_completion_tick(now);
	rg_webhook_tick(now);
	rg_conn_expire(worker, now);
	if (worker->draining)
		rg_conn_close_idle(worker);
	if (worker->nconns < worker->max_conns || worker->lists[RG_CONN_IDLE].first != NULL)
		start_accepting(worker);
	if (has_drained(worker, now))
		event_base_loopbreak(worker->base);
}

static void
on_second(evutil_socket_t fd, short what, void *arg)
{
	(void) fd;
	(void) what;
	rg_anchor_tick(arg);
	rg_proxy_fallback_tick(arg);
	rg_sse_second(rg_now());
	rg_webhook_second(rg_now());
	rg_output_check(arg, rg_now());
	rg_metrics_second(arg);
	rg_access_log_flush();
}

static void
on_flush(evutil_socket_t fd, short what, void *arg)
{
	RgWorker   *worker = arg;

	(void) fd;
	(void) what;
	rg_lane_flush(&worker->reads);
	rg_lane_flush(&worker->writes);
	rg_lane_flush(&worker->slow);
	rg_sse_flush();
	rg_webhook_flush();
}

static void
on_sweep(evutil_socket_t fd, short what, void *arg)
{
	(void) fd;
	(void) what;
	rg_conn_sweep(arg);
}

/* What has begun may end; nothing new begins. */
static void
on_stop(evutil_socket_t signal, short what, void *arg)
{
	RgWorker   *worker = arg;

	(void) signal;
	(void) what;
	if (worker->draining)
		return;
	stop_accepting(worker);
	rg_metrics_stop();
	worker->draining = true;
	worker->drain_until = rg_now() + worker->config->drain_timeout;
	rg_conn_close_idle(worker);
	rg_sse_drain();
	rg_proxy_drain();
	rg_completion_drain();
	rg_webhook_drain();
}

void
rg_worker_flush_soon(RgWorker *worker)
{
	if (!event_pending(&worker->flush_event, EV_TIMEOUT | EV_READ, NULL))
		event_active(&worker->flush_event, EV_TIMEOUT, 0);
}

/*
 * What is activated in a turn of the loop runs after the input that activated
 * it, when that has a lower priority.
 */
static void
add_late(RgWorker *worker, struct event *event, event_callback_fn callback)
{
	event_assign(event, worker->base, -1, 0, callback, worker);
	event_priority_set(event, 1);
}

static void
add_timer(RgWorker *worker, struct event *event, event_callback_fn callback, int micros)
{
	struct timeval interval = {micros / 1000000, micros % 1000000};

	event_assign(event, worker->base, -1, EV_PERSIST, callback, worker);
	event_priority_set(event, 0);
	event_add(event, &interval);
}

static void
add_signal(RgWorker *worker, struct event *event, int signal)
{
	evsignal_assign(event, worker->base, signal, on_stop, worker);
	event_priority_set(event, 0);
	event_add(event, NULL);
}

static bool
add_events(RgWorker *worker)
{
	worker->base = event_base_new();
	if (worker->base == NULL || event_base_priority_init(worker->base, 2) != 0)
		return false;
	event_assign(&worker->accept_event, worker->base, worker->listener,
				 EV_READ | EV_PERSIST, on_accept, worker);
	add_timer(worker, &worker->tick_event, on_tick, TICK_US);
	add_timer(worker, &worker->second_event, on_second, 1000000);
	add_late(worker, &worker->flush_event, on_flush);
	add_late(worker, &worker->sweep_event, on_sweep);
	add_signal(worker, &worker->term_event, SIGTERM);
	add_signal(worker, &worker->int_event, SIGINT);
	return true;
}

/*
 * A quarter of the descriptors is for the database, upstreams and files: whoever only
 * connects must not take those.
 */
int
rg_worker_max_conns(const RgConfig *config)
{
	rlim_t		share = (config->max_connections + config->workers - 1) / config->workers;
	rlim_t		allowed;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return share;
	allowed = limit.rlim_cur - limit.rlim_cur / 4;
	return share < allowed ? share : allowed;
}

static RgWorker *
new_worker(const RgConfig *config, int listener)
{
	RgWorker   *worker = calloc(1, sizeof *worker);

	if (worker == NULL)
		return NULL;
	worker->config = config;
	worker->listener = listener;
	worker->max_conns = rg_worker_max_conns(config);
	rg_static_load(config->web_root, &worker->files);
	rg_lane_init(&worker->reads, worker, "reads", config->read_connections);
	rg_lane_init(&worker->writes, worker, "writes", config->write_connections);
	rg_lane_init_slow(&worker->slow, worker);
	return worker;
}

/*
 * Without its master a worker ends too: nobody would stop it, and the next
 * master could not listen.
 */
static void
follow_master(pid_t master)
{
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != master)
		raise(SIGTERM);
}

int
rg_worker_run(const RgConfig *config, int listener, pid_t master)
{
	RgWorker   *worker = new_worker(config, listener);

	if (worker == NULL || !add_events(worker))
	{
		rg_log(RG_LOG_ERROR, "a worker cannot start: out of memory", NULL);
		return EXIT_FAILURE;
	}
	follow_master(master);
	rg_response_init(config);
	rg_deny_init(config);
	rg_peer_init(config, worker->max_conns);
	rg_represent_init(config);
	rg_proxy_init(worker);
	rg_completion_init(worker);
	rg_webhook_init(worker);
	rg_output_init(worker);
	rg_job_limit_memory(config->max_body_memory);
	on_tick(-1, 0, worker);
	start_accepting(worker);
	rg_metrics_second(worker);
	event_base_dispatch(worker->base);
	rg_lane_close(&worker->reads);
	rg_lane_close(&worker->writes);
	rg_lane_close(&worker->slow);
	rg_sse_close();
	rg_webhook_close();
	rg_access_log_close();
	return EXIT_SUCCESS;
}
