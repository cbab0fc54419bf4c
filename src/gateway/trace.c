/*
 * trace.c
 *		Trace Context; trace.h has the contract.
 */
#include "trace.h"

#include <stdint.h>

#include "random.h"

#define MAX_KEY 256
#define MAX_TENANT 241
#define MAX_SYSTEM 14
#define MAX_VALUE 256

static bool
is_hex(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
			return false;
	return true;
}

static bool
is_zero(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] != '0')
			return false;
	return true;
}

/* Version 00 ends after the flags; a later one may go on behind a hyphen. */
static bool
is_length(RgSlice text)
{
	if (text.len < RG_TRACEPARENT_LEN)
		return false;
	if (memcmp(text.data, "00", 2) == 0)
		return text.len == RG_TRACEPARENT_LEN;
	return text.len == RG_TRACEPARENT_LEN || text.data[RG_TRACEPARENT_LEN] == '-';
}

static bool
is_framed(const char *at)
{
	return is_hex(at, 2) && memcmp(at, "ff", 2) != 0 && at[2] == '-' && at[35] == '-' &&
		at[52] == '-' && is_hex(at + 53, 2);
}

static bool
is_id(const char *at, size_t len)
{
	return is_hex(at, len) && !is_zero(at, len);
}

bool
rg_traceparent_parse(RgSlice text, RgTrace *trace)
{
	if (!is_length(text) || !is_framed(text.data) ||
		!is_id(text.data + 3, RG_TRACE_ID_LEN) || !is_id(text.data + 36, RG_SPAN_ID_LEN))
		return false;
	memcpy(trace->trace_id, text.data + 3, RG_TRACE_ID_LEN);
	memcpy(trace->span_id, text.data + 36, RG_SPAN_ID_LEN);
	memcpy(trace->flags, text.data + 53, 2);
	trace->continued = true;
	return true;
}

/* An id of zeros means none, hence one bit; a trace's last 7 bytes have to be random. */
static void
new_id(char *out, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t		bytes[RG_TRACE_ID_LEN / 2];

	rg_random(bytes, len / 2);
	bytes[0] |= 1;
	for (size_t i = 0; i < len / 2; i++)
	{
		out[2 * i] = digits[bytes[i] >> 4];
		out[2 * i + 1] = digits[bytes[i] & 15];
	}
}

/* Of the flags two are known: sampled, and that the trace's id is random. */
static void
keep_known_flags(char flags[2])
{
	int			low = flags[1] <= '9' ? flags[1] - '0' : flags[1] - 'a' + 10;

	flags[0] = '0';
	flags[1] = '0' + (low & 3);
}

void
rg_trace_begin(RgSlice parent, RgTrace *trace)
{
	if (rg_traceparent_parse(parent, trace))
		keep_known_flags(trace->flags);
	else
	{
		new_id(trace->trace_id, RG_TRACE_ID_LEN);
		memcpy(trace->flags, "02", 2);
		trace->continued = false;
	}
	new_id(trace->span_id, RG_SPAN_ID_LEN);
}

void
rg_traceparent_write(const RgTrace *trace, char out[RG_TRACEPARENT_LEN])
{
	memcpy(out, "00-", 3);
	memcpy(out + 3, trace->trace_id, RG_TRACE_ID_LEN);
	out[35] = '-';
	memcpy(out + 36, trace->span_id, RG_SPAN_ID_LEN);
	out[52] = '-';
	memcpy(out + 53, trace->flags, 2);
}

static RgSlice
trim(RgSlice text)
{
	while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
		text.data++, text.len--;
	while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t'))
		text.len--;
	return text;
}

static bool
is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
are_key_chars(RgSlice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (!is_lower(text.data[i]) && !is_digit(text.data[i]) &&
			memchr("_-*/", text.data[i], 4) == NULL)
			return false;
	return text.len > 0;
}

/* A simple key, or tenant@system. */
static bool
is_key(RgSlice key)
{
	const char *at = key.len > 0 ? memchr(key.data, '@', key.len) : NULL;
	RgSlice		tenant = key;
	RgSlice		system;

	if (at == NULL)
		return key.len <= MAX_KEY && are_key_chars(key) && is_lower(key.data[0]);
	tenant.len = at - key.data;
	system = rg_slice(at + 1, key.len - tenant.len - 1);
	return tenant.len <= MAX_TENANT && are_key_chars(tenant) &&
		(is_lower(tenant.data[0]) || is_digit(tenant.data[0])) &&
		system.len <= MAX_SYSTEM && are_key_chars(system) && is_lower(system.data[0]);
}

/* Printable, neither comma nor equals sign, and no blank at the end. */
static bool
is_value(RgSlice value)
{
	if (value.len < 1 || value.len > MAX_VALUE || value.data[value.len - 1] == ' ')
		return false;
	for (size_t i = 0; i < value.len; i++)
		if (value.data[i] < 0x20 || value.data[i] > 0x7e || value.data[i] == ',' ||
			value.data[i] == '=')
			return false;
	return true;
}

/* Cuts the first entry off a comma-separated list. */
static RgSlice
take_first(RgSlice *list)
{
	const char *comma = memchr(list->data, ',', list->len);
	RgSlice		first = rg_slice(list->data, comma ? (size_t) (comma - list->data) : list->len);
	size_t		used = first.len + (comma != NULL);

	list->data += used;
	list->len -= used;
	return trim(first);
}

static bool
split_member(RgSlice member, RgSlice *key, RgSlice *value)
{
	const char *equals = memchr(member.data, '=', member.len);

	if (equals == NULL)
		return false;
	*key = rg_slice(member.data, equals - member.data);
	*value = rg_slice(equals + 1, member.len - key->len - 1);
	return is_key(*key) && is_value(*value);
}

/* Among what is handed on; what found no room does not matter any more. */
static bool
has_key(const RgTraceState *state, RgSlice key)
{
	RgSlice		rest = rg_slice(state->text, state->len);

	while (rest.len > 0)
	{
		RgSlice		member = take_first(&rest);

		if (member.len > key.len && member.data[key.len] == '=' &&
			memcmp(member.data, key.data, key.len) == 0)
			return true;
	}
	return false;
}

static void
append(RgTraceState *state, RgSlice member)
{
	size_t		comma = state->len > 0;

	if (state->full || state->len + comma + member.len > sizeof state->text)
	{
		state->full = true;
		return;
	}
	if (comma)
		state->text[state->len++] = ',';
	memcpy(state->text + state->len, member.data, member.len);
	state->len += member.len;
}

void
rg_tracestate_add(RgTraceState *state, RgSlice line)
{
	while (line.len > 0 && !state->malformed)
	{
		RgSlice		member = take_first(&line);
		RgSlice		key;
		RgSlice		value;

		if (member.len == 0)
			continue;
		if (++state->members > RG_TRACESTATE_MEMBERS ||
			!split_member(member, &key, &value) || has_key(state, key))
			state->malformed = true;
		else
			append(state, member);
	}
}
