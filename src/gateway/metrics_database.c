/*
 * metrics_database.c
 *		The database's metrics as text; metrics_page.h has the contract.
 *
 * What comes is checked: one row that is no metric would have Prometheus refuse
 * the whole page.
 */
#include <jansson.h>
#include <stdio.h>

#include "metrics_page.h"

enum
{
	NAME, TYPE, HELP, LABELS, VALUE, COLUMNS
};

static RgSlice
field(const PGresult *result, int row, int column)
{
	return rg_slice(PQgetvalue(result, row, column), PQgetlength(result, row, column));
}

static bool
has_name(const PGresult *result, int row, RgSlice name)
{
	return rg_slice_equal(field(result, row, NAME), name);
}

/* PostgreSQL's words for what is no number are not Prometheus's. */
static RgSlice
value_of(const PGresult *result, int row)
{
	RgSlice		value = field(result, row, VALUE);

	if (rg_slice_is(value, "Infinity"))
		return RG_SLICE("+Inf");
	if (rg_slice_is(value, "-Infinity"))
		return RG_SLICE("-Inf");
	return value;
}

static bool
is_type(RgSlice type)
{
	return rg_slice_is(type, "counter") || rg_slice_is(type, "gauge");
}

/*
 * Is that metric on the page already: one of the gateway's own, or one whose rows
 * do not stand together?  What has no room is not looked at, for then the page is
 * written again.
 */
static bool
is_written(const RgText *out, RgSlice name)
{
	char		line[128];
	int			len = snprintf(line, sizeof line, "\n# TYPE %.*s ", (int) name.len, name.data);

	return len >= (int) sizeof line ||
		memmem(out->data, out->len < out->cap ? out->len : out->cap, line, len) != NULL;
}

static bool
begins_metric(const RgMetricText *text, const PGresult *result, int row)
{
	RgSlice		name = field(result, row, NAME);

	return rg_metric_name_valid(name) && is_type(field(result, row, TYPE)) &&
		!is_written(&text->out, name);
}

static json_t *
read_labels(const PGresult *result, int row)
{
	RgSlice		text = field(result, row, LABELS);
	json_t	   *labels = json_loadb(text.data, text.len, 0, NULL);

	if (json_is_object(labels))
		return labels;
	json_decref(labels);
	return NULL;
}

static bool
are_labels(json_t *labels)
{
	const char *name;
	json_t	   *value;

	json_object_foreach(labels, name, value)
		if (!rg_metric_label_valid(rg_slice_of(name)) || !json_is_string(value))
		return false;
	return labels != NULL;
}

static void
put_labels(RgMetricText *text, json_t *labels)
{
	const char *name;
	json_t	   *value;

	json_object_foreach(labels, name, value)
		rg_metric_label(text, rg_slice_of(name),
						rg_slice(json_string_value(value), json_string_length(value)));
}

static void
put_sample(RgMetricText *text, const PGresult *result, int row)
{
	json_t	   *labels = read_labels(result, row);

	if (are_labels(labels) && !PQgetisnull(result, row, VALUE))
	{
		rg_metric_sample(text, "");
		put_labels(text, labels);
		rg_metric_value(text, value_of(result, row));
	}
	json_decref(labels);
}

bool
rg_metrics_answer_valid(const PGresult *database)
{
	return database != NULL && PQresultStatus(database) == PGRES_TUPLES_OK &&
		PQnfields(database) == COLUMNS;
}

void
rg_metrics_put_database(RgMetricText *text, const PGresult *database)
{
	int			rows = PQntuples(database);
	int			row = 0;

	while (row < rows)
	{
		RgSlice		name = field(database, row, NAME);
		bool		begins = begins_metric(text, database, row);

		if (begins)
			rg_metric_begin(text, name, field(database, row, TYPE), field(database, row, HELP));
		for (; row < rows && has_name(database, row, name); row++)
			if (begins)
				put_sample(text, database, row);
	}
}
