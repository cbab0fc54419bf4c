/*
 * metric_text.c
 *		Writes metrics; metric_text.h has the contract.
 */
#include "metric_text.h"

#define MICROS 1000000

/* Help and label values: a line end or a quote would begin something else. */
static void
put_escaped(RgText *out, RgSlice text)
{
	for (size_t i = 0; i < text.len; i++)
	{
		char		c = text.data[i];

		if (c == '\\' || c == '"')
			rg_text_char(out, '\\');
		if (c == '\n')
			rg_text_put(out, RG_SLICE("\\n"));
		else
			rg_text_char(out, c);
	}
}

/* Help knows no escaped quotes. */
static void
put_help(RgText *out, RgSlice help)
{
	for (size_t i = 0; i < help.len; i++)
		if (help.data[i] == '"')
			rg_text_char(out, '"');
		else
			put_escaped(out, rg_slice(help.data + i, 1));
}

void
rg_metric_begin(RgMetricText *text, RgSlice name, RgSlice type, RgSlice help)
{
	text->name = name;
	rg_text_put(&text->out, RG_SLICE("# HELP "));
	rg_text_put(&text->out, name);
	rg_text_char(&text->out, ' ');
	put_help(&text->out, help);
	rg_text_put(&text->out, RG_SLICE("\n# TYPE "));
	rg_text_put(&text->out, name);
	rg_text_char(&text->out, ' ');
	rg_text_put(&text->out, type);
	rg_text_char(&text->out, '\n');
}

void
rg_metric_sample(RgMetricText *text, const char *suffix)
{
	rg_text_put(&text->out, text->name);
	rg_text_put(&text->out, rg_slice_of(suffix));
	text->labels = 0;
}

void
rg_metric_label(RgMetricText *text, RgSlice name, RgSlice value)
{
	rg_text_char(&text->out, text->labels++ > 0 ? ',' : '{');
	rg_text_put(&text->out, name);
	rg_text_put(&text->out, RG_SLICE("=\""));
	put_escaped(&text->out, value);
	rg_text_char(&text->out, '"');
}

static void
end_labels(RgMetricText *text)
{
	if (text->labels > 0)
		rg_text_char(&text->out, '}');
	rg_text_char(&text->out, ' ');
}

void
rg_metric_value(RgMetricText *text, RgSlice value)
{
	end_labels(text);
	rg_text_put(&text->out, value);
	rg_text_char(&text->out, '\n');
}

void
rg_metric_number(RgMetricText *text, int64_t value)
{
	end_labels(text);
	rg_text_number(&text->out, value);
	rg_text_char(&text->out, '\n');
}

void
rg_metric_seconds(RgMetricText *text, uint64_t micros)
{
	uint32_t	rest = micros % MICROS;

	end_labels(text);
	rg_text_number(&text->out, micros / MICROS);
	rg_text_char(&text->out, '.');
	for (uint32_t digit = MICROS / 10; digit > 0; digit /= 10)
		rg_text_char(&text->out, '0' + rest / digit % 10);
	rg_text_char(&text->out, '\n');
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

bool
rg_metric_label_valid(RgSlice name)
{
	if (name.len == 0 || !is_letter(name.data[0]) ||
		(name.len > 1 && memcmp(name.data, "__", 2) == 0))
		return false;
	for (size_t i = 1; i < name.len; i++)
		if (!is_letter(name.data[i]) && !is_digit(name.data[i]))
			return false;
	return true;
}

bool
rg_metric_name_valid(RgSlice name)
{
	for (size_t i = 0; i < name.len; i++)
		if (!is_letter(name.data[i]) && name.data[i] != ':' &&
			(i == 0 || !is_digit(name.data[i])))
			return false;
	return name.len > 0;
}
