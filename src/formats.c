/*
 * formats.c
 *		uuid, date, time, date-time, email and uri.
 *
 * What passes here, PostgreSQL's input functions accept as well: years 0001
 * to 9999, offsets to 15:59, and fractions short enough for its buffers.
 */
#include "formats.h"

#define MAX_FRACTION 9
#define MAX_OFFSET_HOUR 15
#define MAX_EMAIL 254
#define MAX_EMAIL_LOCAL 64

/* What is left to read; a failed take leaves it anywhere. */
typedef struct Reader
{
	const char *at;
	const char *end;
} Reader;

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
	return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

static bool
is_hex(char c)
{
	return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

static bool
take(Reader *reader, char c)
{
	if (reader->at == reader->end || *reader->at != c)
		return false;
	reader->at++;
	return true;
}

/* A number of exactly so many digits, within bounds. */
static bool
take_number(Reader *reader, int digits, int min, int max, int *out)
{
	int			value = 0;

	if (reader->end - reader->at < digits)
		return false;
	for (; digits > 0; digits--)
	{
		char		c = *reader->at++;

		if (!is_digit(c))
			return false;
		value = value * 10 + (c - '0');
	}
	*out = value;
	return value >= min && value <= max;
}

static int
days_of(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool		leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return days[month - 1] + (month == 2 && leap);
}

static bool
take_date(Reader *reader)
{
	int			year;
	int			month;
	int			day;

	return take_number(reader, 4, 1, 9999, &year) && take(reader, '-') &&
		take_number(reader, 2, 1, 12, &month) && take(reader, '-') &&
		take_number(reader, 2, 1, days_of(year, month), &day);
}

/* ".123", or nothing */
static bool
take_fraction(Reader *reader)
{
	const char *start;

	if (!take(reader, '.'))
		return true;
	start = reader->at;
	while (reader->at < reader->end && is_digit(*reader->at))
		reader->at++;
	return reader->at > start && reader->at - start <= MAX_FRACTION;
}

/* hh:mm:ss and a fraction, as the minute of the day and the second */
static bool
take_time(Reader *reader, int *minute_of_day, int *second)
{
	int			hour;
	int			minute;

	if (!take_number(reader, 2, 0, 23, &hour) || !take(reader, ':') ||
		!take_number(reader, 2, 0, 59, &minute) || !take(reader, ':') ||
		!take_number(reader, 2, 0, 60, second))
		return false;
	*minute_of_day = hour * 60 + minute;
	return take_fraction(reader);
}

/* Z or +hh:mm, as minutes */
static bool
take_offset(Reader *reader, int *offset)
{
	int			sign = 1;
	int			hours;
	int			minutes;

	*offset = 0;
	if (take(reader, 'Z') || take(reader, 'z'))
		return true;
	if (take(reader, '-'))
		sign = -1;
	else if (!take(reader, '+'))
		return false;
	if (!take_number(reader, 2, 0, MAX_OFFSET_HOUR, &hours) ||
		!take(reader, ':') || !take_number(reader, 2, 0, 59, &minutes))
		return false;
	*offset = sign * (hours * 60 + minutes);
	return true;
}

/* A leap second is the last of a UTC day (RFC 3339, 5.7). */
static bool
second_exists(int second, int minute_of_day, int offset)
{
	return second < 60 || (minute_of_day - offset + 2880) % 1440 == 1439;
}

bool
rg_format_date_time(RgSlice text)
{
	Reader		reader = {text.data, text.data + text.len};
	int			minute_of_day;
	int			second;
	int			offset;

	return take_date(&reader) && (take(&reader, 'T') || take(&reader, 't')) &&
		take_time(&reader, &minute_of_day, &second) &&
		take_offset(&reader, &offset) && reader.at == reader.end &&
		second_exists(second, minute_of_day, offset);
}

bool
rg_format_date(RgSlice text)
{
	Reader		reader = {text.data, text.data + text.len};

	return take_date(&reader) && reader.at == reader.end;
}

bool
rg_format_time(RgSlice text)
{
	Reader		reader = {text.data, text.data + text.len};
	int			minute_of_day;
	int			second;

	return take_time(&reader, &minute_of_day, &second) && second < 60 &&
		reader.at == reader.end;
}

bool
rg_format_uuid(RgSlice text)
{
	if (text.len != 36)
		return false;
	for (size_t i = 0; i < text.len; i++)
	{
		bool		dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? text.data[i] != '-' : !is_hex(text.data[i]))
			return false;
	}
	return true;
}

static bool
is_blank(unsigned char c)
{
	return c <= ' ' || c == 0x7F;
}

static bool
has_blank(RgSlice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (is_blank(text.data[i]))
			return true;
	return false;
}

/* Labels of a domain: none is empty. */
static bool
is_domain(RgSlice text)
{
	if (text.len == 0 || text.data[0] == '.' || text.data[text.len - 1] == '.')
		return false;
	for (size_t i = 1; i < text.len; i++)
		if (text.data[i] == '.' && text.data[i - 1] == '.')
			return false;
	return true;
}

bool
rg_format_email(RgSlice text)
{
	const char *at = text.len ? memchr(text.data, '@', text.len) : NULL;
	RgSlice		domain;
	size_t		local;

	if (at == NULL || text.len > MAX_EMAIL || has_blank(text))
		return false;
	local = at - text.data;
	domain = (RgSlice)
	{
		at + 1, text.len - local - 1
	};
	return local > 0 && local <= MAX_EMAIL_LOCAL && is_domain(domain) &&
		memchr(domain.data, '@', domain.len) == NULL;
}

static bool
is_scheme_char(char c)
{
	return is_letter(c) || is_digit(c) || c == '+' || c == '-' || c == '.';
}

bool
rg_format_uri(RgSlice text)
{
	size_t		i = 0;

	while (i < text.len && is_scheme_char(text.data[i]))
		i++;
	if (i == 0 || !is_letter(text.data[0]) || i + 1 >= text.len ||
		text.data[i] != ':')
		return false;
	for (; i < text.len; i++)
		if ((unsigned char) text.data[i] >= 0x80)
			return false;
	return !has_blank(text);
}

static const RgFormat formats[] = {
	{"uuid", rg_format_uuid, "a UUID", "7c9e6679-7425-40de-944b-e07fc1f90ae7"},
	{"date", rg_format_date, "a date", "2026-01-31"},
	{"time", rg_format_time, "a time of day without offset", "13:45:00"},
	{"date-time", rg_format_date_time, "a date and time with offset",
	"2026-01-31T13:45:00Z"},
	{"email", rg_format_email, "an e-mail address", "ada@example.com"},
	{"uri", rg_format_uri, "an absolute URI", "https://example.com/"},
};

const RgFormat *
rg_format_find(const char *name)
{
	for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
		if (strcmp(formats[i].name, name) == 0)
			return &formats[i];
	return NULL;
}
