/*
 * master.c
 *		Keeps the workers, and the process that fetches keys; master.h has the
 *		contract.
 *
 * It does nothing else: no request is read here, so nothing that a client
 * sends can end it.
 */
#include "master.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "anchor.h"
#include "clock.h"
#include "keys.h"
#include "log.h"
#include "metrics.h"
#include "metrics_endpoint.h"
#include "proxy_fallback.h"
#include "role_check.h"
#include "systemd.h"
#include "webhook.h"
#include "worker.h"

#define MAX_WORKERS 256
#define SECOND		INT64_C(1000000)
#define LIVED_LONG	(10 * SECOND)
#define FIRST_DELAY (SECOND / 20)
#define LAST_DELAY	(5 * SECOND)
#define KILL_AFTER	(2 * SECOND)	/* beyond DRAIN_TIMEOUT */

typedef struct Slot
{
	pid_t		process;		/* 0: to be started at start_at */
	pid_t		leaving;		/* its predecessor, told to end */
	int			listener;		/* -1: the one that fetches keys */
	int			half;			/* 0 or 1: which of its two metric slots */
	int			failures;		/* in a row */
	int64_t		started;
	int64_t		start_at;
} Slot;

typedef struct Master
{
	RgConfig   *config;
	int			count;
	Slot		slots[MAX_WORKERS];
	Slot		keys;
	int			rolling;		/* slot to be replaced next; count: none */
	sigset_t	signals;
	bool		reloading;		/* not all workers have been replaced */
	bool		activated;		/* the sockets are systemd's */
	bool		stopping;
} Master;

static int
metric_slot(const Master *master, const Slot *slot, int half)
{
	return 2 * (slot - master->slots) + half;
}

/* To reload is the master's affair, though SIGHUP may be sent to all of them at once. */
static void
run_worker(const Master *master, const Slot *slot, pid_t parent)
{
	signal(SIGHUP, SIG_IGN);
	sigprocmask(SIG_UNBLOCK, &master->signals, NULL);
	rg_metrics_attach(metric_slot(master, slot, slot->half));
	exit(rg_worker_run(master->config, slot->listener, parent));
}

/* It has no business with clients. */
static void
run_keys(const Master *master, pid_t parent)
{
	for (int i = 0; i < master->count; i++)
		close(master->slots[i].listener);
	exit(rg_keys_run(master->config, parent));
}

static bool
fetches_keys(const Slot *slot)
{
	return slot->listener < 0;
}

static void
start_process(const Master *master, Slot *slot)
{
	pid_t		parent = getpid();
	pid_t		child;

	slot->started = rg_now();
	child = fork();
	if (child == 0 && fetches_keys(slot))
		run_keys(master, parent);
	if (child == 0)
		run_worker(master, slot, parent);
	if (child > 0)
	{
		slot->process = child;
		return;
	}
	rg_log(RG_LOG_ERROR, "a process cannot be started", "reason", strerror(errno), NULL);
	slot->start_at = slot->started + SECOND;
}

/* At once, unless it keeps dying young. */
static int64_t
restart_delay(Slot *slot, int64_t now)
{
	int64_t		delay;

	if (now - slot->started >= LIVED_LONG)
		slot->failures = 0;
	if (slot->failures == 0)
	{
		slot->failures = 1;
		return 0;
	}
	delay = slot->failures < 8 ? FIRST_DELAY << slot->failures : LAST_DELAY;
	slot->failures++;
	return delay < LAST_DELAY ? delay : LAST_DELAY;
}

static void
note_death(Slot *slot, int status)
{
	int64_t		now = rg_now();
	const char *how = WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "it exited";

	slot->process = 0;
	slot->start_at = now + restart_delay(slot, now);
	rg_metrics_died(fetches_keys(slot));
	rg_log(RG_LOG_ERROR, fetches_keys(slot) ? "the fetcher of keys died and will be replaced"
		   : "a worker died and will be replaced", "reason", how, NULL);
}

static void
note_end_of_worker(const Master *master, const Slot *slot, pid_t pid)
{
	if (!fetches_keys(slot) && (slot->process == pid || slot->leaving == pid))
		rg_metrics_detach(metric_slot(master, slot, slot->process == pid ? slot->half : !slot->half));
}

static void
note_exit_of(const Master *master, Slot *slot, pid_t pid, int status)
{
	note_end_of_worker(master, slot, pid);
	if (slot->leaving == pid)
		slot->leaving = 0;
	else if (slot->process == pid && !master->stopping)
		note_death(slot, status);
	else if (slot->process == pid)
		slot->process = 0;
}

static void
note_exit(Master *master, pid_t pid, int status)
{
	for (int i = 0; i < master->count; i++)
		note_exit_of(master, &master->slots[i], pid, status);
	note_exit_of(master, &master->keys, pid, status);
}

static void
reap(Master *master)
{
	pid_t		pid;
	int			status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		note_exit(master, pid, status);
}

static bool
is_due(const Slot *slot, int64_t now)
{
	return slot->process == 0 && slot->start_at <= now;
}

/* Of those that fetch keys there is never a second, which would import too. */
static void
start_missing(Master *master)
{
	int64_t		now = rg_now();

	for (int i = 0; i < master->count; i++)
		if (is_due(&master->slots[i], now))
			start_process(master, &master->slots[i]);
	if (is_due(&master->keys, now) && master->keys.leaving == 0 &&
		*master->config->jwks_url != '\0')
		start_process(master, &master->keys);
}

/*
 * One slot at a time: its new worker takes over the socket and with it the
 * queue of connections, while the old one finishes what it has.  Whom a reload
 * just before this one has told to end is waited for: his successor has the
 * configuration of that reload, and makes room too.
 */
static void
continue_rolling(Master *master)
{
	Slot	   *slot;

	if (master->rolling > 0 && master->slots[master->rolling - 1].leaving != 0)
		return;
	if (master->rolling >= master->count || master->slots[master->rolling].leaving != 0)
		return;
	slot = &master->slots[master->rolling++];
	if (slot->process == 0)
		return;
	slot->leaving = slot->process;
	slot->process = 0;
	slot->half = !slot->half;
	start_process(master, slot);
	kill(slot->leaving, SIGTERM);
}

/* It has nothing to finish. */
static void
replace_keys(Slot *slot)
{
	slot->start_at = 0;
	if (slot->process == 0)
		return;
	slot->leaving = slot->process;
	slot->process = 0;
	kill(slot->leaving, SIGTERM);
}

/* The sockets are open, and as many as the slots: what is removed at the end is theirs. */
static void
keep_sockets(RgConfig *config, const RgConfig *former)
{
	if (!rg_listen_same(&config->listen, &former->listen) ||
		!rg_listen_same(&config->metrics_listen, &former->metrics_listen) ||
		config->workers != former->workers)
		rg_log(RG_LOG_WARNING, "LISTEN, RELAY_PORT, METRICS_LISTEN and WORKERS stay as they were until a restart",
			   NULL);
	config->listen = former->listen;
	config->metrics_listen = former->metrics_listen;
	config->workers = former->workers;
}

/* What the old workers were forked with stays theirs. */
static void
reload(Master *master)
{
	RgConfig   *config;

	rg_systemd_notify_reload();
	master->reloading = true;
	config = rg_config_load_to_serve(stderr);
	if (config == NULL)
	{
		rg_log(RG_LOG_ERROR, "the configuration has mistakes, the old one stays", NULL);
		return;
	}
	if (!rg_access_log_open(config->access_log))
		rg_log(RG_LOG_ERROR, "the access log cannot be opened, the old one stays",
			   "file", config->access_log, "reason", strerror(errno), NULL);
	rg_log_level(config->log_level);
	keep_sockets(config, master->config);
	rg_config_free(master->config);
	master->config = config;
	master->rolling = 0;
	replace_keys(&master->keys);
	rg_log(RG_LOG_INFO, "the configuration was read again", NULL);
}

static void
note_reloaded(Master *master)
{
	if (!master->reloading || master->rolling < master->count)
		return;
	master->reloading = false;
	rg_systemd_notify("READY=1");
}

static void
signal_slot(const Slot *slot, int signal)
{
	if (slot->process != 0)
		kill(slot->process, signal);
	if (slot->leaving != 0)
		kill(slot->leaving, signal);
}

static void
signal_all(const Master *master, int signal)
{
	for (int i = 0; i < master->count; i++)
		signal_slot(&master->slots[i], signal);
	signal_slot(&master->keys, signal);
}

static bool
is_used(const Slot *slot)
{
	return slot->process != 0 || slot->leaving != 0;
}

static bool
has_processes(const Master *master)
{
	for (int i = 0; i < master->count; i++)
		if (is_used(&master->slots[i]))
			return true;
	return is_used(&master->keys);
}

/* The next signal, or 0 when none comes within the time. */
static int
wait_signal(const Master *master, int64_t micros)
{
	struct timespec timeout = {micros / SECOND, micros % SECOND * 1000};
	int			signal = sigtimedwait(&master->signals, NULL, &timeout);

	return signal > 0 ? signal : 0;
}

static void
stop(Master *master)
{
	int64_t		deadline = rg_now() + master->config->drain_timeout + KILL_AFTER;

	rg_log(RG_LOG_INFO, "relay_gateway stops", NULL);
	rg_systemd_notify("STOPPING=1");
	master->stopping = true;
	signal_all(master, SIGTERM);
	while (has_processes(master) && rg_now() < deadline)
	{
		wait_signal(master, SECOND / 10);
		reap(master);
	}
	signal_all(master, SIGKILL);
}

static void
supervise(Master *master)
{
	for (;;)
	{
		int			signal = wait_signal(master, SECOND / 10);

		if (signal == SIGTERM || signal == SIGINT)
			return;
		if (signal == SIGHUP)
			reload(master);
		reap(master);
		continue_rolling(master);
		note_reloaded(master);
		start_missing(master);
	}
}

static void
block_signals(Master *master)
{
	sigemptyset(&master->signals);
	sigaddset(&master->signals, SIGTERM);
	sigaddset(&master->signals, SIGINT);
	sigaddset(&master->signals, SIGHUP);
	sigaddset(&master->signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, &master->signals, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* Every connection is a descriptor: as many as the system allows. */
static void
raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void
check_descriptors(const RgConfig *config)
{
	int			allowed = rg_worker_max_conns(config);
	char		text[12];

	if ((int64_t) allowed * config->workers >= config->max_connections)
		return;
	snprintf(text, sizeof text, "%d", allowed);
	rg_log(RG_LOG_WARNING, "there are no descriptors for MAX_CONNECTIONS", "connections of a worker", text,
		   "suggestion", "Raise LimitNOFILE, or ulimit -n.", NULL);
}

/* Several workers of one socket take connections from the same queue. */
static void
take_listeners(Master *master, const int *sockets, int count)
{
	for (int i = 0; i < master->count; i++)
		master->slots[i].listener = sockets[i % count];
	master->activated = true;
}

static bool
open_listeners(Master *master)
{
	int			sockets[MAX_WORKERS];
	const char *why;
	int			passed = rg_systemd_sockets(sockets, master->count, &why);

	if (passed < 0)
	{
		rg_log(RG_LOG_ERROR, "the sockets that systemd passes cannot be used", "reason", why, NULL);
		return false;
	}
	if (passed > 0)
	{
		take_listeners(master, sockets, passed);
		return true;
	}
	if (!rg_listen_open(&master->config->listen, master->count, sockets))
	{
		rg_log(RG_LOG_ERROR, "the gateway cannot listen", "at", master->config->listen_text,
			   "reason", strerror(errno), "suggestion",
			   "Choose another LISTEN or RELAY_PORT, or stop what listens there.", NULL);
		return false;
	}
	for (int i = 0; i < master->count; i++)
		master->slots[i].listener = sockets[i];
	return true;
}

static bool
open_metrics(const RgConfig *config)
{
	if (rg_metrics_open(config))
		return true;
	rg_log(RG_LOG_ERROR, "the gateway cannot listen for /metrics", "at",
		   config->metrics_listen_text, "reason", strerror(errno), "suggestion",
		   "Choose another METRICS_LISTEN, or set it to off; each gateway of a machine needs its own.", NULL);
	return false;
}

static void
close_listeners(Master *master)
{
	int			sockets[MAX_WORKERS];

	if (master->activated)
		return;
	for (int i = 0; i < master->count; i++)
		sockets[i] = master->slots[i].listener;
	rg_listen_close(&master->config->listen, master->count, sockets);
	rg_metrics_close(master->config);
}

static bool
prepare(Master *master)
{
	const RgConfig *config = master->config;

	if (!rg_access_log_open(config->access_log))
	{
		rg_log(RG_LOG_ERROR, "the access log cannot be opened", "file", config->access_log,
			   "reason", strerror(errno), NULL);
		return false;
	}
	if (!rg_keys_share() || !rg_anchor_share() || !rg_proxy_fallback_share() || !rg_webhook_share() ||
		!rg_metrics_share(master->count))
	{
		rg_log(RG_LOG_ERROR, "the gateway cannot start: out of memory", NULL);
		return false;
	}
	raise_descriptor_limit();
	check_descriptors(config);
	return open_listeners(master) && open_metrics(config);
}

static void
note_listening(const Master *master)
{
	const RgConfig *config = master->config;
	char		port[8];

	rg_systemd_notify("READY=1");
	if (master->activated)
	{
		rg_log(RG_LOG_INFO, "relay_gateway listens", "at", "the sockets of systemd", NULL);
		return;
	}
	snprintf(port, sizeof port, "%d", (int) config->port);
	rg_log(RG_LOG_INFO, "relay_gateway listens", "at", config->listen_text,
		   "port", config->port ? port : NULL, NULL);
}

int
rg_master_run(RgConfig *config)
{
	static Master master;

	master.config = config;
	master.count = master.rolling = config->workers;
	master.keys.listener = -1;
	block_signals(&master);
	rg_log_level(config->log_level);
	if (!rg_role_check_at_start(config) || !prepare(&master))
		return EXIT_FAILURE;
	start_missing(&master);
	note_listening(&master);
	supervise(&master);
	stop(&master);
	close_listeners(&master);
	return EXIT_SUCCESS;
}
