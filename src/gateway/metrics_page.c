/*
 * metrics_page.c
 *		What the gateway measures, as text; metrics_page.h has the contract.
 */
#include "metrics_page.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "metric_refusals.h"

#define FIRST_SIZE 65536
#define TRIES 4					/* counters may grow by a digit meanwhile */

typedef struct Page
{
	const RgMetrics *metrics;
	const PGresult *database;
	RgMetricText text;
} Page;

/* A number of the slots, as a sample; those of one name stand together. */
typedef struct Sample
{
	const char *name;
	const char *label;			/* NULL: none */
	const char *value;			/* of the label */
	int			number;			/* RgMetricCounter or RgMetricGauge */
	const char *help;			/* where the name is the first of its kind */
} Sample;

static const Sample counters[] = {
	{"http_errors_total", "class", "4xx", RG_COUNT_CLIENT_ERRORS, "Answers that are errors."},
	{"http_errors_total", "class", "5xx", RG_COUNT_SERVER_ERRORS, NULL},
	{"relay_connections_accepted_total", NULL, NULL, RG_COUNT_ACCEPTED,
	"Connections of clients."},
	{"relay_database_failures_total", "reason", "queue_full", RG_COUNT_QUEUE_FULL,
	"Requests that got no result from the database."},
	{"relay_database_failures_total", "reason", "queue_timeout", RG_COUNT_QUEUE_EXPIRED, NULL},
	{"relay_database_failures_total", "reason", "timeout", RG_COUNT_DATABASE_EXPIRED, NULL},
	{"relay_database_failures_total", "reason", "down", RG_COUNT_DATABASE_DOWN, NULL},
	{"relay_database_failures_total", "reason", "lost", RG_COUNT_DATABASE_LOST, NULL},
	{"relay_readers_cut_off_total", "reason", "slow", RG_COUNT_CUT_FOR_SLOWNESS,
	"Clients that did not read their answers."},
	{"relay_readers_cut_off_total", "reason", "memory", RG_COUNT_CUT_FOR_MEMORY, NULL},
	{"relay_db_connections_lost_total", NULL, NULL, RG_COUNT_DATABASE_LOSSES,
	"Connections to the database that were lost or given up."},
	{"relay_denials_repeated_total", NULL, NULL, RG_COUNT_DENIALS_REPEATED,
	"Refusals by limits that were repeated from memory, without asking the database."},
	{"relay_response_cache_total", "result", "hit", RG_COUNT_CACHE_HITS,
	"Answers of cached routes: from memory, after all checks, or made anew."},
	{"relay_response_cache_total", "result", "miss", RG_COUNT_CACHE_MISSES, NULL},
	{"relay_response_cache_evictions_total", NULL, NULL, RG_COUNT_CACHE_EVICTIONS,
	"Bodies that were dropped to make room for others."},
	{"relay_completions_total", "outcome", "finished", RG_COUNT_COMPLETIONS_FINISHED,
	"Requests that a language model was to answer."},
	{"relay_completions_total", "outcome", "client_left", RG_COUNT_COMPLETIONS_LEFT, NULL},
	{"relay_completions_total", "outcome", "failed", RG_COUNT_COMPLETIONS_FAILED, NULL},
	{"relay_completions_total", "outcome", "refused", RG_COUNT_COMPLETIONS_REFUSED, NULL},
	{"relay_completion_tokens_total", "kind", "input", RG_COUNT_TOKENS_INPUT,
	"Tokens that completions were charged."},
	{"relay_completion_tokens_total", "kind", "output", RG_COUNT_TOKENS_OUTPUT, NULL},
	{"relay_webhook_attempts_total", "result", "delivered", RG_COUNT_WEBHOOK_DELIVERED,
	"Webhooks that were sent, or were to be, by what came of it."},
	{"relay_webhook_attempts_total", "result", "gone", RG_COUNT_WEBHOOK_GONE, NULL},
	{"relay_webhook_attempts_total", "result", "rejected", RG_COUNT_WEBHOOK_REJECTED, NULL},
	{"relay_webhook_attempts_total", "result", "timeout", RG_COUNT_WEBHOOK_TIMEOUT, NULL},
	{"relay_webhook_attempts_total", "result", "unreachable", RG_COUNT_WEBHOOK_UNREACHABLE, NULL},
	{"relay_webhook_attempts_total", "result", "untrusted", RG_COUNT_WEBHOOK_UNTRUSTED, NULL},
	{"relay_webhook_attempts_total", "result", "refused_address", RG_COUNT_WEBHOOK_REFUSED_ADDRESS, NULL},
	{"relay_webhook_attempts_total", "result", "refused_url", RG_COUNT_WEBHOOK_REFUSED_URL, NULL},
	{"relay_webhook_attempts_total", "result", "broken", RG_COUNT_WEBHOOK_BROKEN, NULL},
};

static const Sample gauges[] = {
	{"relay_connections", "state", "idle", RG_GAUGE_CONNS_IDLE,
	"Connections of clients, by what they wait for."},
	{"relay_connections", "state", "handshake", RG_GAUGE_CONNS_IN_HANDSHAKE, NULL},
	{"relay_connections", "state", "head", RG_GAUGE_CONNS_IN_HEAD, NULL},
	{"relay_connections", "state", "body", RG_GAUGE_CONNS_IN_BODY, NULL},
	{"relay_connections", "state", "database", RG_GAUGE_CONNS_IN_DATABASE, NULL},
	{"relay_connections", "state", "write", RG_GAUGE_CONNS_IN_WRITE, NULL},
	{"relay_connections", "state", "closing", RG_GAUGE_CONNS_LINGERING, NULL},
	{"relay_connections", "state", "stream", RG_GAUGE_STREAMS, NULL},
	{"relay_stream_active", NULL, NULL, RG_GAUGE_STREAMS,
	"Answers that are being streamed, those whose client reads slowly not counted."},
	{"relay_db_connections", "state", "down", RG_GAUGE_PGS_DOWN,
	"Connections to the database."},
	{"relay_db_connections", "state", "connecting", RG_GAUGE_PGS_CONNECTING, NULL},
	{"relay_db_connections", "state", "idle", RG_GAUGE_PGS_IDLE, NULL},
	{"relay_db_connections", "state", "busy", RG_GAUGE_PGS_BUSY, NULL},
	{"relay_queue_length", NULL, NULL, RG_GAUGE_QUEUED,
	"Requests that wait for a connection to the database."},
	{"relay_output_bytes", NULL, NULL, RG_GAUGE_OUTPUT_BYTES,
	"Of answers that clients have not taken yet."},
	{"relay_response_cache_bytes", NULL, NULL, RG_GAUGE_CACHE_BYTES,
	"Of answers that are held for cached routes."},
	{"relay_webhook_active", NULL, NULL, RG_GAUGE_WEBHOOKS,
	"Webhooks that are with receivers, or whose report is with the database."},
	{"relay_access_log_broken", NULL, NULL, RG_GAUGE_LOG_BROKEN,
	"Workers that cannot write the access log: lines are lost."},
};

#define NCOUNTERS ((int) (sizeof counters / sizeof counters[0]))
#define NGAUGES ((int) (sizeof gauges / sizeof gauges[0]))

static const RgSlice counter = {"counter", 7};
static const RgSlice gauge = {"gauge", 5};
static const RgSlice histogram = {"histogram", 9};

static int64_t
sum_counter(const RgMetrics *metrics, int number)
{
	int64_t		sum = 0;

	for (int i = 0; i < metrics->count; i++)
		sum += atomic_load_explicit(&metrics->slots[i].counters[number], memory_order_relaxed);
	return sum;
}

static int64_t
sum_gauge(const RgMetrics *metrics, int number)
{
	int64_t		sum = 0;

	for (int i = 0; i < metrics->count; i++)
		sum += atomic_load_explicit(&metrics->slots[i].gauges[number], memory_order_relaxed);
	return sum;
}

static int64_t
sum_refusal(const RgMetrics *metrics, int word)
{
	int64_t		sum = 0;

	for (int i = 0; i < metrics->count; i++)
		sum += atomic_load_explicit(&metrics->slots[i].refusals[word], memory_order_relaxed);
	return sum;
}

static void
begin(Page *page, const char *name, RgSlice type, const char *help)
{
	rg_metric_begin(&page->text, rg_slice_of(name), type, rg_slice_of(help));
}

/* A metric of one sample. */
static void
put_one(Page *page, const char *name, RgSlice type, const char *help, int64_t value)
{
	begin(page, name, type, help);
	rg_metric_sample(&page->text, "");
	rg_metric_number(&page->text, value);
}

static void
put_samples(Page *page, const Sample *samples, int count, RgSlice type,
			int64_t (*sum) (const RgMetrics *metrics, int number))
{
	for (int i = 0; i < count; i++)
	{
		if (samples[i].help != NULL)
			begin(page, samples[i].name, type, samples[i].help);
		rg_metric_sample(&page->text, "");
		if (samples[i].label != NULL)
			rg_metric_label(&page->text, rg_slice_of(samples[i].label), rg_slice_of(samples[i].value));
		rg_metric_number(&page->text, sum(page->metrics, samples[i].number));
	}
}

/* The histograms of all slots as one; found by its offset in a slot. */
static void
sum_histogram(const RgMetrics *metrics, size_t offset, RgHistogram *sum)
{
	memset(sum, 0, sizeof *sum);
	for (int i = 0; i < metrics->count; i++)
	{
		const RgHistogram *part = (const void *) ((const char *) &metrics->slots[i] + offset);

		for (int bucket = 0; bucket < RG_BUCKETS; bucket++)
			sum->counts[bucket] += atomic_load_explicit(&part->counts[bucket], memory_order_relaxed);
		sum->sum += atomic_load_explicit(&part->sum, memory_order_relaxed);
	}
}

static size_t
offset_of_series(int number)
{
	return offsetof(RgMetricSlot, requests) + number * sizeof(RgHistogram);
}

static uint64_t
count_of(const RgHistogram *histogram)
{
	uint64_t	count = 0;

	for (int bucket = 0; bucket < RG_BUCKETS; bucket++)
		count += histogram->counts[bucket];
	return count;
}

/* Labels that all samples of a histogram have; NULL: none. */
static void
put_series_labels(RgMetricText *text, const RgSeriesLabels *labels)
{
	char		status[8];

	if (labels == NULL)
		return;
	snprintf(status, sizeof status, labels->status < 10 ? "%dxx" : "%d", labels->status);
	rg_metric_label(text, RG_SLICE("method"), labels->method);
	rg_metric_label(text, RG_SLICE("route"), labels->route);
	rg_metric_label(text, RG_SLICE("status"), rg_slice_of(status));
}

static RgSlice
bound_text(int bucket)
{
	static const char *const bounds[RG_BUCKETS] = {
		"0.005", "0.01", "0.025", "0.05", "0.075", "0.1", "0.25", "0.5", "0.75",
		"1", "2.5", "5", "7.5", "10", "+Inf"
	};

	return rg_slice_of(bounds[bucket]);
}

static void
put_histogram(RgMetricText *text, const RgHistogram *histogram, const RgSeriesLabels *labels)
{
	uint64_t	count = 0;

	for (int bucket = 0; bucket < RG_BUCKETS; bucket++)
	{
		count += histogram->counts[bucket];
		rg_metric_sample(text, "_bucket");
		put_series_labels(text, labels);
		rg_metric_label(text, RG_SLICE("le"), bound_text(bucket));
		rg_metric_number(text, count);
	}
	rg_metric_sample(text, "_sum");
	put_series_labels(text, labels);
	rg_metric_seconds(text, histogram->sum);
	rg_metric_sample(text, "_count");
	put_series_labels(text, labels);
	rg_metric_number(text, count);
}

/* Calls put for every series that has counted anything. */
static void
for_each_series(Page *page, void (*put) (RgMetricText *text, const RgHistogram *histogram,
										 const RgSeriesLabels *labels))
{
	RgSeriesLabels labels;
	RgHistogram sum;

	for (int i = 0; i < RG_SERIES_MAX; i++)
	{
		if (!rg_series_labels(&page->metrics->series, i, &labels))
			continue;
		sum_histogram(page->metrics, offset_of_series(i), &sum);
		put(&page->text, &sum, &labels);
	}
}

static void
put_count(RgMetricText *text, const RgHistogram *histogram, const RgSeriesLabels *labels)
{
	rg_metric_sample(text, "");
	put_series_labels(text, labels);
	rg_metric_number(text, count_of(histogram));
}

static void
put_requests(Page *page)
{
	RgHistogram sum;

	begin(page, "http_requests_total", counter, "Requests that were answered.");
	for_each_series(page, put_count);
	begin(page, "http_request_duration_seconds", histogram,
		  "Time from a request's head to its answer.");
	for_each_series(page, put_histogram);
	begin(page, "relay_queue_wait_seconds", histogram,
		  "Time that requests waited for a connection to the database.");
	sum_histogram(page->metrics, offsetof(RgMetricSlot, queue_wait), &sum);
	put_histogram(&page->text, &sum, NULL);
}

static void
put_webhooks(Page *page)
{
	RgHistogram sum;

	begin(page, "webhook_duration_seconds", histogram,
		  "Time from an attempt's begin to its answer, or to its failure.");
	sum_histogram(page->metrics, offsetof(RgMetricSlot, webhooks), &sum);
	put_histogram(&page->text, &sum, NULL);
}

static int64_t
sum_refusals(const Page *page, RgRefusalKind kind)
{
	int64_t		sum = 0;
	int			count;
	const RgRefusalWord *words = rg_refusal_words(&count);

	for (int i = 0; i < count; i++)
		if (words[i].kinds & kind)
			sum += sum_refusal(page->metrics, i);
	return sum;
}

static void
put_by_reason(Page *page, RgRefusalKind kind)
{
	int			count;
	const RgRefusalWord *words = rg_refusal_words(&count);

	for (int i = 0; i < count; i++)
	{
		if (!(words[i].kinds & kind))
			continue;
		rg_metric_sample(&page->text, "");
		rg_metric_label(&page->text, RG_SLICE("reason"), rg_slice_of(words[i].word));
		rg_metric_number(&page->text, sum_refusal(page->metrics, i));
	}
}

static void
put_refusals(Page *page)
{
	begin(page, "relay_auth_failures_total", counter, "Refused credentials, or none where some are needed.");
	put_by_reason(page, RG_REFUSAL_AUTH);
	put_one(page, "relay_csrf_failures_total", counter,
			"Requests with a session's cookie that another site may have caused.",
			sum_refusals(page, RG_REFUSAL_CSRF));
	begin(page, "relay_security_violations_total", counter,
		  "Requests that no well-meaning program sends.");
	put_by_reason(page, RG_REFUSAL_VIOLATION);
}

/* Of the workers together, shared pages counted in each. */
static int64_t
resident_bytes(pid_t process)
{
	char		path[32];
	char		text[64];
	int			fd;
	ssize_t		len;
	long		resident = 0;

	snprintf(path, sizeof path, "/proc/%d/statm", (int) process);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	len = read(fd, text, sizeof text - 1);
	close(fd);
	text[len > 0 ? len : 0] = '\0';
	return sscanf(text, "%*d %ld", &resident) == 1 ? resident * sysconf(_SC_PAGESIZE) : 0;
}

/* Where the system can say it without a walk through them: Linux from 6.2 on; else 0. */
static int64_t
open_files(pid_t process)
{
	char		path[32];
	struct stat status;

	snprintf(path, sizeof path, "/proc/%d/fd", (int) process);
	return stat(path, &status) == 0 ? status.st_size : 0;
}

static int64_t
sum_processes(const RgMetrics *metrics, int64_t (*measure) (pid_t process))
{
	int64_t		sum = 0;

	for (int i = 0; i < metrics->count; i++)
	{
		pid_t		process = atomic_load(&metrics->slots[i].process);

		if (process != 0)
			sum += measure(process);
	}
	return sum;
}

static int64_t
one(pid_t process)
{
	(void) process;
	return 1;
}

static void
put_system(Page *page)
{
	const RgMetrics *metrics = page->metrics;
	int64_t		files = sum_processes(metrics, open_files);

	begin(page, "process_cpu_seconds_total", counter, "What all workers have spent, those that ended too.");
	rg_metric_sample(&page->text, "");
	rg_metric_seconds(&page->text, sum_counter(metrics, RG_COUNT_CPU_MICROSECONDS));
	put_one(page, "process_resident_memory_bytes", gauge, "Of all workers.",
			sum_processes(metrics, resident_bytes));
	if (files > 0)
		put_one(page, "process_open_fds", gauge, "Of all workers.", files);
	begin(page, "process_start_time_seconds", gauge, "When the gateway started, since 1970.");
	rg_metric_sample(&page->text, "");
	rg_metric_seconds(&page->text, metrics->started);
}

static void
put_processes(Page *page)
{
	const RgMetrics *metrics = page->metrics;

	put_one(page, "relay_workers", gauge, "Processes that serve.", sum_processes(metrics, one));
	begin(page, "relay_process_deaths_total", counter, "Processes that died and were replaced.");
	rg_metric_sample(&page->text, "");
	rg_metric_label(&page->text, RG_SLICE("process"), RG_SLICE("worker"));
	rg_metric_number(&page->text, metrics->worker_deaths);
	rg_metric_sample(&page->text, "");
	rg_metric_label(&page->text, RG_SLICE("process"), RG_SLICE("keys"));
	rg_metric_number(&page->text, metrics->keys_deaths);
	put_one(page, "relay_metric_series", gauge, "Series of requests that are counted apart.",
			metrics->series.own + metrics->series.others);
	put_one(page, "relay_metric_series_max", gauge,
			"How many there can be; beyond, requests are counted as of the route other.",
			RG_SERIES_OWN);
	begin(page, "relay_build_info", gauge, "Always 1.");
	rg_metric_sample(&page->text, "");
	rg_metric_label(&page->text, RG_SLICE("version"), RG_SLICE(RG_VERSION));
	rg_metric_number(&page->text, 1);
}

static void
put_database(Page *page)
{
	bool		up = rg_metrics_answer_valid(page->database);

	put_one(page, "relay_database_up", gauge, "Whether the database answered this request for metrics.", up);
	if (up)
		rg_metrics_put_database(&page->text, page->database);
}

static void
put_page(Page *page)
{
	put_requests(page);
	put_webhooks(page);
	put_samples(page, counters, NCOUNTERS, counter, sum_counter);
	put_samples(page, gauges, NGAUGES, gauge, sum_gauge);
	put_refusals(page);
	put_processes(page);
	put_system(page);
	put_database(page);
}

char *
rg_metrics_page(const RgMetrics *metrics, const PGresult *database, size_t *len)
{
	Page		page = {.metrics = metrics,.database = database,.text.out.cap = FIRST_SIZE};
	RgText	   *out = &page.text.out;

	for (int i = 0; i < TRIES; i++)
	{
		char	   *data = realloc(out->data, out->cap);

		if (data == NULL)
			break;
		out->data = data;
		out->len = 0;
		put_page(&page);
		*len = out->len;
		if (out->len <= out->cap)
			return data;
		out->cap = out->len + out->len / 16;
	}
	free(out->data);
	return NULL;
}
