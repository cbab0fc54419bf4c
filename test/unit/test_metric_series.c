/*
 * test_metric_series.c
 *		What is counted apart, how much of it there can be, and by how many.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/metric_series.h"
#include "gateway/metric_text.h"
#include "tap.h"

static RgSeries *series;

static int
find(const char *method, const char *route, int status)
{
	return rg_series_find(series, rg_slice_of(method), rg_slice_of(route), status);
}

static bool
counts(int number, const char *method, const char *route, int status)
{
	RgSeriesLabels labels;

	return rg_series_labels(series, number, &labels) && rg_slice_is(labels.method, method) &&
		rg_slice_is(labels.route, route) && labels.status == status;
}

static void
start(void)
{
	series = mmap(NULL, sizeof *series, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static void
test_labels(void)
{
	char		long_route[RG_SERIES_ROUTE_MAX + 2] = {0};
	int			first = find("GET", "/a/{id}", 200);

	memset(long_route, 'x', RG_SERIES_ROUTE_MAX + 1);
	ok(first == find("GET", "/a/{id}", 200), "the same request has the same series");
	ok(first != find("GET", "/a/{id}", 404) && first != find("PUT", "/a/{id}", 200) &&
	   first != find("GET", "/a/{i}", 200), "status, method and route count apart");
	ok(counts(first, "GET", "/a/{id}", 200), "a series knows its labels");
	ok(counts(find("BREW", "/a/{id}", 200), "other", "/a/{id}", 200), "an unknown method is other");
	ok(counts(find("get", "/a/{id}", 200), "other", "/a/{id}", 200), "so is one in lower case");
	ok(counts(find("GET", "", 404), "GET", "other", 404), "no route is other");
	ok(counts(find("GET", "\xff", 404), "GET", "other", 404), "a route that is not UTF-8 is other");
	ok(counts(find("GET", long_route, 404), "GET", "other", 404), "a long one is other");
	long_route[RG_SERIES_ROUTE_MAX] = '\0';
	ok(counts(find("GET", long_route, 404), "GET", long_route, 404), "the longest is not");
	ok(counts(find("GET", "/a", 99999), "GET", "/a", 0), "a status that is none is 0");
}

static int
count_series(void)
{
	RgSeriesLabels labels;
	int			count = 0;

	for (int i = 0; i < RG_SERIES_MAX; i++)
		count += rg_series_labels(series, i, &labels);
	return count;
}

/* Every one its own, as far as labels go. */
static void
test_apart(void)
{
	static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"};
	static const char *const routes[] = {"/a", "/b", "/api/v1/knowledge/files/{id}", "/aaaaaaaa", "/aaaaaaaab"};
	bool		apart = true;

	for (int m = 0; m < 7; m++)
		for (int r = 0; r < 5; r++)
			for (int status = 200; status < 240; status++)
				apart = counts(find(methods[m], routes[r], status), methods[m], routes[r], status) && apart;
	ok(apart && series->own == 7 * 5 * 40, "no two requests share a series by chance");
}

static void
test_bounds(void)
{
	char		route[32];
	int			known = find("GET", "/known", 200);
	int			beyond;

	for (int i = 0; i < 100000; i++)
	{
		snprintf(route, sizeof route, "/r%d", i);
		beyond = find("GET", route, 200);
	}
	ok(counts(beyond, "GET", "other", 200), "beyond the bound a route is other");
	ok(series->own == RG_SERIES_OWN, "%d have a route of their own", RG_SERIES_OWN);
	ok(find("GET", "/known", 200) == known, "those that were there stay");
	for (int status = 100; status < 600; status++)
		for (int method = 0; method < 2; method++)
			beyond = find(method ? "GET" : "POST", "", status);
	ok(counts(beyond, "other", "other", 5), "beyond that bound only the class of the status is known");
	ok(counts(find("PUT", "/new", 202), "other", "other", 2), "of each status its own");
	ok(count_series() < RG_SERIES_MAX - 100, "places stay free, so that a search ends");
}

/* Eight processes make the same series at once; each exits with 1 if it differs. */
static void
test_many(void)
{
	int			status;
	bool		same = true;
	char		route[32];

	for (int child = 0; child < 8; child++)
		if (fork() == 0)
		{
			for (int i = 0; i < 500; i++)
			{
				snprintf(route, sizeof route, "/shared/%d", i);
				if (!counts(find("GET", route, 200), "GET", route, 200))
					_exit(1);
			}
			_exit(0);
		}
	while (wait(&status) > 0)
		same = same && status == 0;
	ok(same, "processes that meet see whole labels");
	ok(series->own == 500 && count_series() == 500, "and make each series once");
}

static void
test_text(void)
{
	char		data[512];
	RgMetricText text = {.out = {data, sizeof data, 0}};

	rg_metric_begin(&text, RG_SLICE("a_total"), RG_SLICE("counter"), RG_SLICE("x\ny\\z \"q\""));
	rg_metric_sample(&text, "");
	rg_metric_label(&text, RG_SLICE("l"), RG_SLICE("a\"b\\c\nd"));
	rg_metric_label(&text, RG_SLICE("m"), RG_SLICE("{}"));
	rg_metric_number(&text, -7);
	rg_metric_sample(&text, "_sum");
	rg_metric_seconds(&text, 12000345);
	ok(rg_slice_is(rg_slice(data, text.out.len),
				   "# HELP a_total x\\ny\\\\z \"q\"\n# TYPE a_total counter\n"
				   "a_total{l=\"a\\\"b\\\\c\\nd\",m=\"{}\"} -7\na_total_sum 12.000345\n"),
	   "nothing in a label or help ends it");
	ok(rg_metric_name_valid(RG_SLICE("a:b_1")) && !rg_metric_name_valid(RG_SLICE("1a")) &&
	   !rg_metric_name_valid(RG_SLICE("a b")) && !rg_metric_name_valid(RG_SLICE("")) &&
	   !rg_metric_name_valid(RG_SLICE("a\n")), "names of metrics");
	ok(rg_metric_label_valid(RG_SLICE("a_1")) && !rg_metric_label_valid(RG_SLICE("a:b")) &&
	   !rg_metric_label_valid(RG_SLICE("__a")) && !rg_metric_label_valid(RG_SLICE("1")),
	   "names of labels");
}

int
main(void)
{
	start();
	test_labels();
	start();
	test_apart();
	start();
	test_bounds();
	start();
	test_many();
	test_text();
	return done();
}
