/*
 * test_sse_text.c
 *		Events as text, orders, and the rows and ids that streams begin with.
 */
#include <string.h>

#include "event_row.h"
#include "gateway/sse_text.h"
#include "tap.h"

static void
spells(RgSlice event, RgSlice data, const char *expected)
{
	char		buffer[256];
	RgText		text = {buffer, sizeof buffer, 0};

	rg_sse_event(&text, RG_SLICE("7"), event, data);
	ok(text.len == strlen(expected) && memcmp(buffer, expected, text.len) == 0, "%s", expected);
}

static void
test_events(void)
{
	const RgSlice none = {NULL, 0};
	RgText		small = {NULL, 0, 0};

	spells(none, RG_SLICE("x"), "id: 7\ndata: x\n\n");
	spells(RG_SLICE("note"), RG_SLICE("x"), "id: 7\nevent: note\ndata: x\n\n");
	spells(none, RG_SLICE(""), "id: 7\ndata: \n\n");
	spells(none, RG_SLICE("a\nb"), "id: 7\ndata: a\ndata: b\n\n");
	spells(none, RG_SLICE("a\r\nb\rc\n"), "id: 7\ndata: a\ndata: b\ndata: c\ndata: \n\n");
	spells(none, RG_SLICE("\r\r\n\n"), "id: 7\ndata: \ndata: \ndata: \ndata: \n\n");
	spells(none, RG_SLICE("a\nid: 9\nretry: 1"), "id: 7\ndata: a\ndata: id: 9\ndata: retry: 1\n\n");
	rg_sse_event(&small, RG_SLICE("7"), none, RG_SLICE("x"));
	ok(small.len == strlen("id: 7\ndata: x\n\n"), "a buffer that is too small learns the size");
}

static void
refuses_order(const char *json)
{
	RgSseOrder	order;

	ok(!rg_sse_order_parse(rg_slice(json, strlen(json)), &order), "no order: %s", json);
}

static void
test_orders(void)
{
	RgSseOrder	order;

	ok(rg_sse_order_parse(RG_SLICE("{\"kind\":\"stream\",\"number\":3,\"token\":\"01234567-0123-0123-0123-0123456789ab\",\"after\":-1}"), &order) &&
	   order.number == 3 && order.after == -1 &&
	   strcmp(order.token, "01234567-0123-0123-0123-0123456789ab") == 0, "an order");
	refuses_order("");
	refuses_order("[]");
	refuses_order("{\"number\":3,\"after\":1}");
	refuses_order("{\"number\":3,\"token\":\"short\",\"after\":1}");
	refuses_order("{\"number\":\"3\",\"token\":\"01234567-0123-0123-0123-0123456789ab\",\"after\":1}");
}

static bool
parse_row(const char *json, RgEventRow *row)
{
	return rg_event_row_parse(rg_slice(json, strlen(json)), row);
}

static void
test_rows(void)
{
	RgEventRow	row;

	ok(parse_row("{\"stream\":\"a\"}", &row) && strcmp(row.stream, "a") == 0 && !row.has_after, "a stream");
	ok(parse_row("{\"stream\":\"a\",\"after\":null}", &row) && !row.has_after, "without a place");
	ok(parse_row("{\"stream\":\"a\",\"after\":7}", &row) && row.has_after && row.after == 7, "with one");
	ok(parse_row("{\"stream\":null}", &row) && row.stream[0] == '\0', "none");
	ok(!parse_row("{\"stream\":\"\"}", &row), "an empty name is none");
	ok(!parse_row("{\"stream\":1}", &row), "nor is a number");
	ok(!parse_row("{\"name\":\"a\"}", &row), "the column has a name");
	ok(!parse_row("{\"stream\":\"a\",\"after\":\"7\"}", &row), "a place is a number");
	ok(!parse_row("{\"stream\":\"a\",\"after\":7.5}", &row), "and whole");
	ok(!parse_row("", &row), "nothing is no row");
}

static bool
parse_id(const char *text, int64_t *id)
{
	return rg_event_id_parse(rg_slice(text, strlen(text)), id);
}

static void
test_ids(void)
{
	int64_t		id;

	ok(parse_id("0", &id) && id == 0, "0 is an id");
	ok(parse_id("999999999999999999", &id) && id == INT64_C(999999999999999999), "18 digits are");
	ok(!parse_id("1000000000000000000", &id), "19 are not");
	ok(!parse_id("", &id) && !parse_id("-1", &id) && !parse_id("1 ", &id) && !parse_id("0x1", &id), "nothing else is");
}

int
main(void)
{
	test_events();
	test_orders();
	test_rows();
	test_ids();
	return done();
}
