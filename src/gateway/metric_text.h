/*
 * metric_text.h
 *		The text format that Prometheus reads, version 0.0.4.
 *
 * Pure C: needs no server, no event loop.
 */
#ifndef RG_METRIC_TEXT_H
#define RG_METRIC_TEXT_H

#include <stdint.h>

#include "json_text.h"

#define RG_METRIC_TYPE "text/plain; version=0.0.4; charset=utf-8"

typedef struct RgMetricText
{
	RgText		out;
	RgSlice		name;			/* of the metric whose samples are written */
	int			labels;			/* of the sample, so far */
} RgMetricText;

/* Starts a metric; its samples follow. */
extern void rg_metric_begin(RgMetricText *text, RgSlice name, RgSlice type, RgSlice help);

/* A sample: its name with that suffix, its labels one by one, its value. */
extern void rg_metric_sample(RgMetricText *text, const char *suffix);
extern void rg_metric_label(RgMetricText *text, RgSlice name, RgSlice value);
extern void rg_metric_value(RgMetricText *text, RgSlice value);
extern void rg_metric_number(RgMetricText *text, int64_t value);

/* Microseconds as seconds, exactly. */
extern void rg_metric_seconds(RgMetricText *text, uint64_t micros);

/* Can it be the name of a metric, or of a label? */
extern bool rg_metric_name_valid(RgSlice name);
extern bool rg_metric_label_valid(RgSlice name);

#endif
