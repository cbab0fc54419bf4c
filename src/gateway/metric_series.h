/*
 * metric_series.h
 *		Which requests are counted apart from which others: a bounded table of
 *		(method, route, status), shared by all workers.
 *
 * A label that a client can make up is a way to fill the memory of whoever reads
 * the metrics.  So methods are those of HTTP, routes are templates of a catalog,
 * statuses are numbers of three digits, and there is a bound to all of them
 * together: what comes beyond it is counted under the route "other", and
 * beyond the bound of that, by the class of its status alone.
 *
 * Nothing is ever removed.  An entry is claimed by writing its hash, and
 * whoever uses one that has no text yet writes the text: those that meet write
 * the same bytes, and one that is killed meanwhile leaves nothing half-made.
 *
 * Pure C: needs no server, no event loop.
 */
#ifndef RG_METRIC_SERIES_H
#define RG_METRIC_SERIES_H

#include <stdatomic.h>
#include <stdint.h>

#include "slice.h"

#define RG_SERIES_MAX 2048		/* places; a power of two */
#define RG_SERIES_OWN 1536		/* with a route of their own */
#define RG_SERIES_ROUTE_MAX 160 /* bytes of a route's name */

/* What an entry stands for. */
typedef struct RgSeriesLabels
{
	RgSlice		method;			/* upper case, or "other" */
	RgSlice		route;			/* a template, or "other" */
	int			status;			/* below 10: a class of them, 5 for 500 to 599 */
} RgSeriesLabels;

typedef struct RgSeriesName
{
	_Atomic uint8_t written;
	uint8_t		method;
	uint16_t	status;
	uint16_t	route_len;
	char		route[RG_SERIES_ROUTE_MAX];
} RgSeriesName;

/* All zero is an empty one. */
typedef struct RgSeries
{
	_Atomic uint32_t own;		/* entries that have a route of their own */
	_Atomic uint32_t others;	/* entries under "other" */
	_Atomic uint64_t hashes[RG_SERIES_MAX]; /* 0: free */
	RgSeriesName names[RG_SERIES_MAX];
} RgSeries;

/*
 * The number of the series, below RG_SERIES_MAX, that counts such requests.  A
 * route that is empty, too long or not UTF-8 is "other", as is a method that is
 * not known.
 */
extern int	rg_series_find(RgSeries *series, RgSlice method, RgSlice route, int status);

/* What that series counts; false while it counts nothing. */
extern bool rg_series_labels(const RgSeries *series, int number, RgSeriesLabels *labels)
			__attribute__((warn_unused_result));

#endif
