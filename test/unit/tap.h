/*
 * tap.h
 *		The few lines of TAP that the unit tests need.
 */
#ifndef TAP_H
#define TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static int	tap_count;
static int	tap_failures;

/* One test: passed or not, and its name (a printf format). */
__attribute__((format(printf, 2, 3)))
static inline bool
ok(bool passed, const char *name,...)
{
	va_list		args;

	tap_count++;
	tap_failures += !passed;
	printf("%sok %d - ", passed ? "" : "not ", tap_count);
	va_start(args, name);
	vprintf(name, args);
	va_end(args);
	putchar('\n');
	return passed;
}

/* The plan; what main() returns. */
static inline int
done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failures > 0;
}

#endif
