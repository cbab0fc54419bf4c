/*
 * metrics.c
 *		Counts; metrics.h has the contract.
 *
 * A slot has one writer, so an addition is a load, an add and a store: atomic
 * only in that no reader sees half a number.
 */
#include "metrics.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "clock.h"

const		int32_t rg_bucket_bounds[RG_BUCKETS - 1] = {
	5000, 10000, 25000, 50000, 75000, 100000, 250000, 500000, 750000,
	1000000, 2500000, 5000000, 7500000, 10000000
};

static RgMetrics *shared = NULL;
static RgMetricSlot *own = NULL;	/* NULL: nobody counts what this process
									 * does */
static uint64_t cpu_before;		/* of the slot's earlier processes */

bool
rg_metrics_share(int workers)
{
	int			count = 2 * workers;
	void	   *memory = mmap(NULL, sizeof *shared + count * sizeof shared->slots[0],
							  PROT_READ | PROT_WRITE,
							  MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		return false;
	shared = memory;
	shared->count = count;
	shared->started = rg_wall_clock();
	return true;
}

const RgMetrics *
rg_metrics_shared(void)
{
	return shared;
}

static void
add(_Atomic uint64_t *number, uint64_t more)
{
	atomic_store_explicit(number, atomic_load_explicit(number, memory_order_relaxed) + more,
						  memory_order_relaxed);
}

static void
clear_gauges(RgMetricSlot *slot)
{
	for (int i = 0; i < RG_GAUGES; i++)
		atomic_store_explicit(&slot->gauges[i], 0, memory_order_relaxed);
}

void
rg_metrics_attach(int slot)
{
	own = &shared->slots[slot];
	clear_gauges(own);
	cpu_before = own->counters[RG_COUNT_CPU_MICROSECONDS];
	atomic_store(&own->process, getpid());
}

void
rg_metrics_detach(int slot)
{
	atomic_store(&shared->slots[slot].process, 0);
	clear_gauges(&shared->slots[slot]);
}

void
rg_metrics_died(bool keys)
{
	add(keys ? &shared->keys_deaths : &shared->worker_deaths, 1);
}

void
rg_metrics_count(RgMetricCounter counter, uint64_t more)
{
	if (own != NULL)
		add(&own->counters[counter], more);
}

void
rg_metrics_set(RgMetricGauge gauge, int64_t value)
{
	if (own != NULL)
		atomic_store_explicit(&own->gauges[gauge], value, memory_order_relaxed);
}

static void
observe(RgHistogram *histogram, int64_t micros)
{
	int			bucket = 0;

	while (bucket < RG_BUCKETS - 1 && micros > rg_bucket_bounds[bucket])
		bucket++;
	add(&histogram->counts[bucket], 1);
	add(&histogram->sum, micros > 0 ? micros : 0);
}

static void
count_error(const RgAnswered *answered)
{
	int			word = rg_refusal_find(answered->status, answered->body);

	rg_metrics_count(answered->status < 500 ? RG_COUNT_CLIENT_ERRORS : RG_COUNT_SERVER_ERRORS, 1);
	if (word >= 0)
		add(&own->refusals[word], 1);
}

void
rg_metrics_answered(const RgAnswered *answered)
{
	int			series;

	if (own == NULL)
		return;
	series = rg_series_find(&shared->series, answered->method, answered->route,
							answered->status);
	observe(&own->requests[series], answered->total_us);
	if (answered->status >= 400)
		count_error(answered);
}

void
rg_metrics_queue_wait(int64_t micros)
{
	if (own != NULL)
		observe(&own->queue_wait, micros);
}

void
rg_metrics_webhook(RgMetricCounter result, int64_t micros)
{
	rg_metrics_count(result, 1);
	if (own != NULL)
		observe(&own->webhooks, micros);
}

static uint64_t
micros_of(struct timeval time)
{
	return time.tv_sec * UINT64_C(1000000) + time.tv_usec;
}

void
rg_metrics_tick(void)
{
	struct rusage usage;

	if (own == NULL || getrusage(RUSAGE_SELF, &usage) != 0)
		return;
	atomic_store_explicit(&own->counters[RG_COUNT_CPU_MICROSECONDS],
						  cpu_before + micros_of(usage.ru_utime) + micros_of(usage.ru_stime),
						  memory_order_relaxed);
}
