/*
 * test_trace.c
 *		Trace Context to the letter.
 */
#include <stdlib.h>

#include "gateway/trace.h"
#include "tap.h"

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"

static bool
is_parent(const char *text)
{
	RgTrace		trace;

	return rg_traceparent_parse(rg_slice(text, strlen(text)), &trace);
}

static void
test_parents(void)
{
	ok(is_parent("00-" TRACE "-" SPAN "-01"), "version 00");
	ok(!is_parent("00-" TRACE "-" SPAN "-01-"), "which has nothing behind the flags");
	ok(!is_parent("00-" TRACE "-" SPAN "-01-more"), "nothing at all");
	ok(is_parent("cc-" TRACE "-" SPAN "-01") && is_parent("cc-" TRACE "-" SPAN "-01-more"), "a later version may have");
	ok(!is_parent("cc-" TRACE "-" SPAN "-01.more"), "behind a hyphen");
	ok(!is_parent("ff-" TRACE "-" SPAN "-01"), "version ff is none");
	ok(!is_parent("00-" TRACE "-" SPAN "-1") && !is_parent(""), "too short");
	ok(!is_parent("00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01"), "upper case");
	ok(!is_parent("00-" TRACE "-00F067AA0BA902B7-01") && !is_parent("00-" TRACE "-" SPAN "-0A"), "anywhere");
	ok(!is_parent("0A-" TRACE "-" SPAN "-01"), "nor in the version");
	ok(!is_parent("00-00000000000000000000000000000000-" SPAN "-01"), "a trace of zeros");
	ok(!is_parent("00-" TRACE "-0000000000000000-01"), "a span of zeros");
	ok(!is_parent("00_" TRACE "-" SPAN "-01") && !is_parent("00-" TRACE "_" SPAN "-01") &&
	   !is_parent("00-" TRACE "-" SPAN "_01"), "other separators");
	ok(!is_parent("00-4bf92f3577b34da6a3ce929d0e0e473g-" SPAN "-01"), "other digits");
	ok(!is_parent(" 00-" TRACE "-" SPAN "-01"), "a blank before");
}

static void
test_begin(void)
{
	RgTrace		trace;
	RgTrace		other;
	char		out[RG_TRACEPARENT_LEN];

	rg_trace_begin(RG_SLICE("00-" TRACE "-" SPAN "-01"), &trace);
	ok(trace.continued && memcmp(trace.trace_id, TRACE, RG_TRACE_ID_LEN) == 0, "a trace is continued");
	ok(memcmp(trace.span_id, SPAN, RG_SPAN_ID_LEN) != 0, "under a span of our own");
	rg_traceparent_write(&trace, out);
	ok(memcmp(out, "00-" TRACE "-", 36) == 0 && memcmp(out + 52, "-01", 3) == 0, "which is written with its flags");
	ok(rg_traceparent_parse(rg_slice(out, sizeof out), &other), "as a parent");
	rg_trace_begin(RG_SLICE("00-" TRACE "-" SPAN "-ff"), &trace);
	ok(memcmp(trace.flags, "03", 2) == 0, "flags that are not known are not handed on");
	rg_trace_begin(RG_SLICE("cc-" TRACE "-" SPAN "-01-x"), &trace);
	rg_traceparent_write(&trace, out);
	ok(trace.continued && memcmp(out, "00-" TRACE, 35) == 0, "a later version is continued as 00");
	rg_trace_begin(RG_SLICE("00-" TRACE "-" SPAN "-0"), &trace);
	rg_trace_begin(rg_slice(NULL, 0), &other);
	ok(!trace.continued && memcmp(trace.trace_id, TRACE, RG_TRACE_ID_LEN) != 0, "a wrong one is begun anew");
	ok(memcmp(trace.trace_id, other.trace_id, RG_TRACE_ID_LEN) != 0, "each time another");
	rg_traceparent_write(&trace, out);
	ok(rg_traceparent_parse(rg_slice(out, sizeof out), &other) && memcmp(out + 53, "02", 2) == 0, "and is not sampled");
}

static bool
state_is(const char *first, const char *second, const char *expected)
{
	RgTraceState state = {0};
	RgSlice		value;

	rg_tracestate_add(&state, rg_slice(first, strlen(first)));
	if (second != NULL)
		rg_tracestate_add(&state, rg_slice(second, strlen(second)));
	value = rg_tracestate_value(&state);
	return expected == NULL ? value.data == NULL : rg_slice_is(value, expected);
}

static void
test_states(void)
{
	ok(state_is("a=1,b=2", NULL, "a=1,b=2"), "members");
	ok(state_is("a=1", "b=2", "a=1,b=2"), "of two lines");
	ok(state_is(" a=1\t, b=2 ", NULL, "a=1,b=2"), "blanks around them");
	ok(state_is("a=1,,b=2,", "", "a=1,b=2"), "empty ones");
	ok(state_is("", NULL, NULL) && state_is(",", NULL, NULL), "nothing");
	ok(state_is("1tenant@system=a,a-_*/9=b", NULL, "1tenant@system=a,a-_*/9=b"), "keys");
	ok(state_is("1a=b", NULL, NULL) && state_is("A=b", NULL, NULL) && state_is("a@1=b", NULL, NULL) &&
	   state_is("a@=b", NULL, NULL) && state_is("@a=b", NULL, NULL) && state_is("a@b@c=d", NULL, NULL), "and what is none");
	ok(state_is("a@abcdefghijklmn=1", NULL, "a@abcdefghijklmn=1") && state_is("a@abcdefghijklmno=1", NULL, NULL), "a system's length");
	ok(state_is("a", NULL, NULL) && state_is("a=", NULL, NULL) && state_is("=a", NULL, NULL) &&
	   state_is("a=b=c", NULL, NULL) && state_is("a=\xc3\xa4", NULL, NULL), "malformed members");
	ok(state_is("a=b c!~", NULL, "a=b c!~"), "values");
	ok(state_is("a=1,a=2", NULL, NULL) && state_is("a=1", "a=2", NULL), "a key that comes twice");
	ok(state_is("a=1,ab=2,b=a", NULL, "a=1,ab=2,b=a"), "keys that begin alike");
	ok(state_is("a=1,B=2", NULL, NULL), "one spoils all");
}

/* count members of len bytes each, "k0001=vv…v" */
static RgTraceState
state_of(int count, size_t len)
{
	RgTraceState state = {0};

	for (int i = 0; i < count; i++)
	{
		char	   *member = malloc(len + 16);

		memset(member, 'v', len);
		snprintf(member, 7, "k%04d=", i);
		member[6] = 'v';
		rg_tracestate_add(&state, rg_slice(member, len));
		free(member);
	}
	return state;
}

static void
test_bounds(void)
{
	RgTraceState state = state_of(32, 10);

	ok(rg_tracestate_value(&state).len == 32 * 11 - 1, "32 members");
	state = state_of(33, 10);
	ok(rg_tracestate_value(&state).data == NULL, "but not 33");
	state = state_of(10, 100);
	ok(rg_tracestate_value(&state).len == 5 * 101 - 1, "as many as fit into 512 bytes, whole");
	state = state_of(1, 6 + 256);
	ok(rg_tracestate_value(&state).len == 262, "a value of 256");
	state = state_of(1, 6 + 257);
	ok(rg_tracestate_value(&state).data == NULL, "but not of 257");
}

int
main(void)
{
	test_parents();
	test_begin();
	test_states();
	test_bounds();
	return done();
}
