/*
 * webhook.c
 *		Sends webhooks; webhook.h has the contract.
 */
#include "webhook.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "metrics.h"
#include "webhook_outbox.h"
#include "worker.h"

#define MOST 16					/* of one question */
#define SILENCE INT64_C(3000000)	/* after which another worker asks */

/* Shared by all workers. */
typedef struct Turn
{
	_Atomic		pid_t worker;	/* who asks once a second */
	_Atomic int64_t asked;		/* rg_now() when that was */
} Turn;

static Turn *turn;

static RgWebhookOutbox outbox;
static RgWebhookAttempt *attempts = NULL;
static int64_t count = 0;
static bool draining = false;

bool
rg_webhook_share(void)
{
	void	   *page = mmap(NULL, sizeof *turn, PROT_READ | PROT_WRITE,
							MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return false;
	turn = page;
	return true;
}

void
rg_webhook_init(RgWorker *worker)
{
	if (worker->config->webhooks == RG_ON)
		outbox.worker = worker;
}

static int64_t
room(void)
{
	return outbox.worker->config->webhook_limit - count;
}

static void
go_on(void)
{
	if (outbox.wanted && !outbox.asking && !draining && room() > 0 && rg_now() >= outbox.retry_at)
		rg_webhook_ask(&outbox, room() < MOST ? room() : MOST);
}

void
rg_webhook_want(void)
{
	if (outbox.worker == NULL)
		return;
	outbox.wanted = true;
	go_on();
}

void
rg_webhook_answered(void)
{
	go_on();
}

/*
 * Attempts
 */

static void
link_attempt(RgWebhookAttempt *attempt)
{
	attempt->next = attempts;
	if (attempts != NULL)
		attempts->previous = attempt;
	attempts = attempt;
	rg_metrics_set(RG_GAUGE_WEBHOOKS, ++count);
}

static void
unlink_attempt(RgWebhookAttempt *attempt)
{
	if (attempt->previous != NULL)
		attempt->previous->next = attempt->next;
	else
		attempts = attempt->next;
	if (attempt->next != NULL)
		attempt->next->previous = attempt->previous;
	rg_metrics_set(RG_GAUGE_WEBHOOKS, --count);
}

static void
on_free(RgTransfer *transfer)
{
	RgWebhookAttempt *attempt = (RgWebhookAttempt *) transfer;

	unlink_attempt(attempt);
	rg_webhook_attempt_free(attempt);
}

static void
end(RgWebhookAttempt *attempt)
{
	attempt->ended = true;
	rg_metrics_webhook(RG_COUNT_WEBHOOK_DELIVERED + attempt->result, rg_now() - attempt->started);
	rg_webhook_report(&outbox, attempt);
}

static void
on_done(RgTransfer *transfer, CURLcode code)
{
	RgWebhookAttempt *attempt = (RgWebhookAttempt *) transfer;

	rg_webhook_attempt_judge(attempt, code);
	end(attempt);
}

static const RgTransferCalls calls = {on_done, on_free};

void
rg_webhook_begin(const RgWebhookOrder *order, int64_t lease_end)
{
	RgWebhookAttempt *attempt = rg_webhook_attempt_new(outbox.worker->config, order);

	if (attempt == NULL)
	{
		rg_log(RG_LOG_ERROR, "a webhook cannot be sent: it is malformed, or memory is used up",
			   "delivery", order->delivery, NULL);
		return;
	}
	attempt->lease_end = lease_end;
	attempt->transfer.calls = &calls;
	link_attempt(attempt);
	if (rg_webhook_attempt_set_up(attempt))
		rg_proxy_loop_add(&attempt->transfer);
	else
		end(attempt);
}

/* There is room for another, and its receiver may be given one more. */
void
rg_webhook_reported(RgWebhookAttempt *attempt)
{
	rg_proxy_loop_remove(&attempt->transfer);
	rg_webhook_want();
}

static void
report_again(int64_t now)
{
	for (RgWebhookAttempt *attempt = attempts, *next; attempt != NULL; attempt = next)
	{
		next = attempt->next;
		if (attempt->ended && !attempt->reporting && attempt->report_at <= now)
			rg_webhook_report(&outbox, attempt);
	}
}

/*
 * The worker's calls
 */

/*
 * It goes on with one worker until that falls silent, as one does that receivers keep
 * busy with all it may have under way: the others need no connection.
 */
static bool
is_my_turn(int64_t now)
{
	pid_t		holder = atomic_load(&turn->worker);

	if (holder == getpid())
		return true;
	return now - atomic_load(&turn->asked) >= SILENCE &&
		atomic_compare_exchange_strong(&turn->worker, &holder, getpid());
}

void
rg_webhook_second(int64_t now)
{
	if (outbox.worker == NULL || draining || room() <= 0 || !is_my_turn(now))
		return;
	atomic_store(&turn->asked, now);
	rg_webhook_want();
}

void
rg_webhook_tick(int64_t now)
{
	if (!outbox.connected)
		return;
	rg_lane_tick(&outbox.lane, now);
	report_again(now);
	go_on();
}

void
rg_webhook_flush(void)
{
	if (outbox.connected)
		rg_lane_flush(&outbox.lane);
}

void
rg_webhook_drain(void)
{
	draining = true;
	if (atomic_load(&turn->worker) == getpid())
		atomic_store(&turn->asked, 0);
}

bool
rg_webhook_idle(void)
{
	return count == 0 && !outbox.asking;
}

void
rg_webhook_close(void)
{
	if (outbox.connected)
		rg_lane_close(&outbox.lane);
}
