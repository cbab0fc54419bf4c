/*
 * violation.c
 *		Filling in why a request was refused, within bounds.
 */
#include "violation.h"

#include <stdarg.h>
#include <stdio.h>

#include "utf8.h"

/* What was cut to size must not end inside a character. */
static void
cut(char *text, int printed)
{
	if (printed >= RG_VIOLATION_TEXT)
		text[rg_utf8_trim(text, RG_VIOLATION_TEXT - 1)] = '\0';
	else if (printed < 0)
		text[0] = '\0';
}

bool
rg_violate(RgViolation *violation, int status, const char *code,
		   const char *detail,...)
{
	va_list		args;

	violation->status = status;
	violation->code = code;
	violation->pointer[0] = '\0';
	violation->suggestion[0] = '\0';
	va_start(args, detail);
	cut(violation->detail,
		vsnprintf(violation->detail, RG_VIOLATION_TEXT, detail, args));
	va_end(args);
	return false;
}

void
rg_violation_suggest(RgViolation *violation, const char *format,...)
{
	va_list		args;

	va_start(args, format);
	cut(violation->suggestion,
		vsnprintf(violation->suggestion, RG_VIOLATION_TEXT, format, args));
	va_end(args);
}

/* Writes "/name", escaped, to out; the length, 0 when it does not fit. */
static size_t
write_segment(char out[RG_VIOLATION_TEXT], const char *name)
{
	size_t		n = 0;

	out[n++] = '/';
	for (; *name; name++)
	{
		if (n + 2 >= RG_VIOLATION_TEXT)
			return 0;
		if (*name == '~' || *name == '/')
			out[n++] = '~';
		out[n++] = *name == '~' ? '0' : *name == '/' ? '1' : *name;
	}
	return n;
}

void
rg_violation_prepend(RgViolation *violation, const char *name)
{
	char		segment[RG_VIOLATION_TEXT];
	size_t		n = write_segment(segment, name);
	size_t		len = strlen(violation->pointer);

	while (len > 0 && n + len >= RG_VIOLATION_TEXT)
		while (len > 0 && violation->pointer[--len] != '/')
			;
	memmove(violation->pointer + n, violation->pointer, len);
	memcpy(violation->pointer, segment, n);
	violation->pointer[n + len] = '\0';
}

void
rg_violation_prepend_index(RgViolation *violation, size_t index)
{
	char		digits[24];

	snprintf(digits, sizeof digits, "%zu", index);
	rg_violation_prepend(violation, digits);
}
