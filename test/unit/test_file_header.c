/*
 * test_file_header.c
 *		What is said of files, and which part of one is asked for.
 */
#include "file_header.h"
#include "gateway/byte_range.h"
#include "gateway/reply_traits.h"
#include "tap.h"

static void
types_are(bool valid, const char *const *types)
{
	for (; *types != NULL; types++)
		ok(rg_file_type_valid(rg_slice_of(*types)) == valid, "%.60s is %s type", *types, valid ? "a" : "no");
}

static void
test_types(void)
{
	static const char *const good[] = {
		"text/plain", "text/plain; charset=utf-8", "text/plain;charset=\"utf-8\" ; format=flowed",
		"application/vnd.oasis.opendocument.text", "image/svg+xml", NULL
	};
	static const char *const bad[] = {
		"text", "/plain", "text/", "text/plain;", "text/plain; charset", "text/plain; charset=", "text/plain\r\nX: 1",
		"text/plain; a=\"b\r\nX: 1\"", "text/plain; a=\"b", "text/plain, text/html", " text/plain", "text /plain",
		"text/\xc3\xa4", "text/plain ", NULL
	};
	char		longest[RG_FILE_TYPE_MAX + 2];

	types_are(true, good);
	types_are(false, bad);
	ok(!rg_file_type_valid(rg_slice(NULL, 0)), "what is not there is none");
	memset(longest, 'x', sizeof longest);
	longest[1] = '/';
	ok(rg_file_type_valid(rg_slice(longest, RG_FILE_TYPE_MAX)) &&
	   !rg_file_type_valid(rg_slice(longest, RG_FILE_TYPE_MAX + 1)), "nor what is too long");
}

static void
test_inert(void)
{
	static const char *const shown[] = {
		"text/plain", "TEXT/Plain; charset=utf-8", "image/png", "audio/mpeg", "video/mp4", "application/json;a=b", NULL
	};
	static const char *const saved[] = {
		"text/html", "text/html;charset=utf-8", "image/svg+xml", "application/xhtml+xml", "text/xml", "application/pdf",
		"text/javascript", "multipart/x-mixed-replace", "application/octet-stream", "text/plainx", "text/plai", "audio/",
		"videos/mp4", "text/event-stream", NULL
	};

	for (const char *const *type = shown; *type != NULL; type++)
		ok(rg_file_type_inert(rg_slice_of(*type)), "a browser may show %s", *type);
	for (const char *const *type = saved; *type != NULL; type++)
		ok(!rg_file_type_inert(rg_slice_of(*type)), "it is to save %s", *type);
}

static void
disposition(bool inert, const char *name, const char *expected)
{
	char		line[RG_FILE_DISPOSITION_MAX];
	RgText		text = {line, sizeof line, 0};

	rg_file_disposition_put(&text, inert, rg_slice_of(name));
	if (!ok(rg_slice_is(rg_slice(line, text.len), expected), "the name %s", name ? name : "that is not there"))
		printf("# %.*s\n", (int) text.len, line);
}

static void
test_dispositions(void)
{
	disposition(true, NULL, "");
	disposition(false, NULL, "Content-Disposition: attachment\r\n");
	disposition(true, "a b.txt", "Content-Disposition: inline; filename=\"a b.txt\"\r\n");
	disposition(false, "\xc3\xa4\xe2\x82\xac'.txt",
				"Content-Disposition: attachment; filename=\"__'.txt\"; filename*=UTF-8''%C3%A4%E2%82%AC%27.txt\r\n");
	disposition(false, "a\"b%20;c", "Content-Disposition: attachment; filename=\"a_b_20;c\"; filename*=UTF-8''a%22b%2520%3Bc\r\n");
	disposition(false, "..\\..\\/etc\r\nX: 1",
				"Content-Disposition: attachment; filename=\".._..__etc__X: 1\"; filename*=UTF-8''.._..__etc__X%3A%201\r\n");
	disposition(false, "\xe2\x80\xae" "gpj.exe\xc2\x85\xe2\x81\xa6",
				"Content-Disposition: attachment; filename=\"_gpj.exe__\"; filename*=UTF-8''_gpj.exe__\r\n");
}

/* Names are cut between characters, and the longest has room. */
static void
test_long_names(void)
{
	char		name[3 * RG_FILE_NAME_MAX];
	char		line[RG_FILE_DISPOSITION_MAX];
	RgText		text = {line, sizeof line, 0};

	for (size_t i = 0; i < sizeof name; i += 3)
		memcpy(name + i, "\xe2\x82\xac", 3);
	rg_file_disposition_put(&text, false, rg_slice(name + 3, sizeof name - 3));
	ok(text.len <= sizeof line && memcmp(line + text.len - 5, "AC\r\n", 4) != 0 && line[text.len - 3] == 'C',
	   "a name that is too long is cut");
	text.len = 0;
	name[0] = 'a';
	name[1] = 'b';
	name[2] = 'c';
	rg_file_disposition_put(&text, false, rg_slice(name + 1, sizeof name - 1));
	ok(text.len <= sizeof line && memcmp(line + text.len - 11, "%E2%82%AC\r\n", 11) == 0, "between characters");
}

static bool
asks_for(const char *header, size_t size, size_t first, size_t len)
{
	RgByteRange range = {0, 0};

	return rg_byte_range(rg_slice_of(header), size, &range) == RG_RANGE_PART &&
		range.first == first && range.len == len;
}

static RgRangeVerdict
verdict(const char *header, size_t size)
{
	RgByteRange range;

	return rg_byte_range(rg_slice_of(header), size, &range);
}

static void
test_ranges(void)
{
	static const char *const all[] = {
		"", "bytes", "bytes=", "bytes=-", "bytes=1", "bytes=a-b", "bytes=2-1", "bytes=0-1,3-4", "bytes= 0-1", "lines=0-1",
		"bytes=0-1 ", "bytes=--1", "bytes=9999999999999999-", "bytes=0-9999999999999999", NULL
	};
	bool		ignored = true;

	ok(asks_for("bytes=0-0", 10, 0, 1) && asks_for("bytes=3-", 10, 3, 7) && asks_for("BYTES=3-5", 10, 3, 3) &&
	   asks_for("bytes=0-9", 10, 0, 10), "a range");
	ok(asks_for("bytes=9-999999999999999", 10, 9, 1) && asks_for("bytes=-3", 10, 7, 3) &&
	   asks_for("bytes=-11", 10, 0, 10), "ends with the file");
	ok(verdict("bytes=10-", 10) == RG_RANGE_BEYOND && verdict("bytes=-0", 10) == RG_RANGE_BEYOND &&
	   verdict("bytes=0-", 0) == RG_RANGE_BEYOND && verdict("bytes=-1", 0) == RG_RANGE_BEYOND, "or begins behind it");
	for (const char *const *header = all; *header != NULL; header++)
		ignored &= verdict(*header, 10) == RG_RANGE_ALL;
	ok(ignored, "what is not one range of bytes asks for all of them");
}

static void
test_traits(void)
{
	RgReplyTraits traits;
	char		out[256];
	RgText		text = {out, sizeof out, 0};
	RgSlice		lines = RG_SLICE("Content-Type: a/b\r\nX-A: 1\r\nLast-Modified: now\r\nCache-Control: no-store\r\nAccept-Ranges: bytes\r\n");

	ok(rg_reply_traits(lines, &traits) && traits.file && traits.cache_control && !traits.cookie &&
	   rg_slice_is(traits.type, " a/b") && rg_slice_is(traits.modified, "now"), "what lines say");
	rg_reply_put_file_lines(&text, lines);
	ok(rg_slice_is(rg_slice(out, text.len), "Content-Type: a/b\r\nLast-Modified: now\r\nAccept-Ranges: bytes\r\n"),
	   "those of a file");
	text.len = 0;
	rg_reply_put_other_lines(&text, lines);
	ok(rg_slice_is(rg_slice(out, text.len), "X-A: 1\r\n"), "those of a problem in its place");
	ok(!rg_reply_traits(RG_SLICE("A: b\r\nContent-Length: 1\r\n"), &traits) && !rg_reply_traits(RG_SLICE("A: b\n\r\n"), &traits) &&
	   !rg_reply_traits(RG_SLICE("A: b"), &traits), "what would end a head is refused");
}

int
main(void)
{
	test_types();
	test_inert();
	test_dispositions();
	test_long_names();
	test_ranges();
	test_traits();
	return done();
}
