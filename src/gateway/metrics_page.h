/*
 * metrics_page.h
 *		The text of /metrics.
 */
#ifndef RG_METRICS_PAGE_H
#define RG_METRICS_PAGE_H

#include <libpq-fe.h>

#include "metric_text.h"
#include "metrics.h"

/* What the database adds: name, type, help, labels as JSON, value; rows of a name together. */
#define RG_METRICS_QUERY \
	"SELECT name, type, help, labels::text, value FROM relay_guard.metrics()"

/*
 * Everything that is measured, to be freed by the caller; NULL when memory is used up.
 * database is the answer to RG_METRICS_QUERY, or NULL when there is none.
 */
extern char *rg_metrics_page(const RgMetrics *metrics, const PGresult *database, size_t *len)
			__attribute__((warn_unused_result));

/* Did the database answer with metrics? */
extern bool rg_metrics_answer_valid(const PGresult *database);

/* The part of it that the database adds; what cannot be a metric is left out. */
extern void rg_metrics_put_database(RgMetricText *text, const PGresult *database);

#endif
