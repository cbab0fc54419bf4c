/*
 * upstream.c
 *		The table upstream; upstream.h has the contract.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "config_cache.h"
#include "upstream.h"

/* Columns of relay_guard.upstream that serve() reads; those of fail_mode follow */
enum
{
	Anum_upstream_name, Anum_upstream_url, Anum_upstream_strip_prefix,
	Anum_upstream_connect_timeout, Anum_upstream_answer_timeout, Anum_upstream_idle_timeout,
	Anum_upstream_max_response, Anum_upstream_cookies, Anum_upstream_auth,
	Natts_upstream
};

typedef struct Upstreams
{
	int			count;
	RgUpstream *upstreams;
} Upstreams;

/* The table's CHECKs let no interval in that has months, or is long. */
static int64
milliseconds(Datum value)
{
	const Interval *interval = DatumGetIntervalP(value);

	return interval->day * INT64CONST(86400000) + interval->time / 1000;
}

static int
count_slashes(const char *path)
{
	int			count = 0;

	while (*path != '\0')
		count += *path++ == '/';
	return count;
}

/* The base path starts at the first slash after the scheme's two. */
static void
split_url(const char *url, RgUpstream *upstream)
{
	const char *host = strstr(url, "://") + strlen("://");
	const char *base = host + strcspn(host, "/");

	upstream->origin = rg_slice(url, base - url);
	upstream->base = rg_slice(base, strlen(base));
}

static void
read_row(const Datum *values, const bool *nulls, RgUpstream *upstream)
{
	upstream->name = TextDatumGetCString(values[Anum_upstream_name]);
	split_url(TextDatumGetCString(values[Anum_upstream_url]), upstream);
	upstream->prefix = TextDatumGetCString(values[Anum_upstream_strip_prefix]);
	upstream->strip = count_slashes(upstream->prefix);
	upstream->connect_ms = milliseconds(values[Anum_upstream_connect_timeout]);
	upstream->answer_ms = milliseconds(values[Anum_upstream_answer_timeout]);
	upstream->idle_ms = milliseconds(values[Anum_upstream_idle_timeout]);
	upstream->max_response = nulls[Anum_upstream_max_response] ? 0 :
		DatumGetInt64(values[Anum_upstream_max_response]);
	upstream->cookies = DatumGetBool(values[Anum_upstream_cookies]);
	upstream->auth = strcmp(TextDatumGetCString(values[Anum_upstream_auth]), "bearer") == 0 ?
		RG_UPSTREAM_BEARER : RG_UPSTREAM_SIGNATURE;
}

static void *
load_upstreams(TableScanDesc scan, MemoryContext context, void *previous)
{
	Upstreams  *all = palloc0(sizeof *all);
	int			size = 8;
	Datum	   *values;
	bool	   *nulls;

	all->upstreams = palloc(sizeof(RgUpstream) * size);
	while (rg_config_next(scan, &values, &nulls))
	{
		if (all->count == size)
			all->upstreams = repalloc(all->upstreams, sizeof(RgUpstream) * (size *= 2));
		read_row(values, nulls, &all->upstreams[all->count++]);
	}
	return all;
}

static RgConfigCache upstream_cache = {
	.table = "upstream",.natts = Natts_upstream,.load = load_upstreams
};

void
rg_upstream_init(void)
{
	rg_config_register(&upstream_cache);
}

const RgUpstream *
rg_upstream(const char *name)
{
	const Upstreams *all = rg_config_get(&upstream_cache);

	for (int i = 0; i < all->count; i++)
		if (strcmp(all->upstreams[i].name, name) == 0)
			return &all->upstreams[i];
	return NULL;
}
