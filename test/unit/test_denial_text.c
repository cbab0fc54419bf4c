/*
 * test_denial_text.c
 *		What an attacker chooses, in an audit row.
 */
#include "denial_text.h"
#include "aad.h"
#include "tap.h"

static char out[64];

static const char *
clean(const char *text, size_t len)
{
	memset(out, 'x', sizeof out);
	rg_denial_clean(rg_slice(text, len), out, 16);
	return out;
}

static const char *
clean_request(const char *method, const char *path)
{
	memset(out, 'x', sizeof out);
	rg_denial_clean_request(rg_slice_of(method), rg_slice_of(path), out, 32);
	return out;
}

static void
test_clean(void)
{
	ok(strcmp(clean("/a/b", 4), "/a/b") == 0, "printable text stays");
	ok(strcmp(clean("a\r\nb\tc\x1b[2J", 10), "a??b?c?[2J") == 0, "line ends and escapes are replaced");
	ok(strcmp(clean("a\0b", 3), "a?b") == 0, "a NUL byte is replaced");
	ok(strcmp(clean("\xff\xfe\xc3", 3), "???") == 0, "what is no UTF-8 is replaced");
	ok(strcmp(clean("\xe2\x80\xae" "abc", 6), "???abc") == 0, "letters from right to left are replaced");
	ok(strcmp(clean("0123456789abcde", 15), "0123456789abcde") == 0, "what fits is whole");
	ok(strcmp(clean("0123456789abcdef", 16), "0123456789ab...") == 0, "what does not is cut, and says so");
	ok(strcmp(clean(NULL, 0), "") == 0, "nothing stays nothing");
}

static void
test_request(void)
{
	ok(strcmp(clean_request("GET", "/a?token=secret"), "GET /a") == 0, "a query is left out");
	ok(strcmp(clean_request("GET", "/a#token"), "GET /a") == 0, "so is a fragment");
	ok(strcmp(clean_request("GET", "/\" \\x"), "GET /\" \\x") == 0, "quotes are JSON's to escape");
	ok(strcmp(clean_request("ABCDEFGHIJKL", "/0123456789012345678901234567890"),
			  "ABCD... /0123456789012345678...") == 0, "method and path are cut");
	ok(strlen(out) == 31, "and fill the room that there is");
}

static bool
is_word(const char *text)
{
	return rg_denial_is_word(rg_slice_of(text), 16);
}

static void
test_words(void)
{
	ok(is_word("token_expired") && is_word("a1"), "a word is a word");
	ok(!is_word("") && !is_word("a b") && !is_word("A") && !is_word("a\n") && !is_word("\xc3\xa4"),
	   "anything else is none");
	ok(!is_word("0123456789abcdef") && is_word("0123456789abcde"), "nor one that is too long");
}

static RgSlice
label_of(const RgSlice *parts, int count)
{
	static char aad[1024];

	rg_aad_write(parts, count, (uint8_t *) aad);
	return rg_denial_label(rg_slice(aad, rg_aad_length(parts, count)));
}

static void
test_labels(void)
{
	static char long_text[201];
	RgSlice		parts[] = {RG_SLICE("public.note.body"), RG_SLICE("7")};
	RgSlice		absent[] = {{NULL, 0}, RG_SLICE("7")};
	RgSlice		oversized[] = {{long_text, sizeof long_text}};

	ok(rg_slice_is(label_of(parts, 2), "public.note.body"), "the label is the first part of an AAD");
	ok(label_of(absent, 2).data == NULL, "an absent part is no label");
	ok(label_of(parts, 0).data == NULL, "nor is no part at all");
	ok(label_of(oversized, 1).data == NULL, "nor one of more than 200 bytes");
	for (size_t len = 0; len < 24; len++)
		if (rg_denial_label(rg_slice("\0\0\0\1\0\0\0\20public.note.body", len)).data != NULL)
			ok(false, "an AAD that ends at %zu has no label", len);
	ok(rg_denial_label(rg_slice("\0\0\0\1\0\0\0\20public.note.body", 24)).len == 16,
	   "an AAD that ends too early has no label");
	ok(rg_denial_label(rg_slice("\0\0\0\1\377\377\377\376abc", 11)).data == NULL, "a length that lies is none");
}

static bool
table_is(const char *label, const char *table)
{
	return rg_slice_is(rg_denial_label_table(rg_slice_of(label)), table);
}

static bool
has_no_table(const char *label)
{
	return rg_denial_label_table(rg_slice_of(label)).data == NULL;
}

static void
test_tables(void)
{
	ok(table_is("public.note.body", "note"), "a label of three names has a table");
	ok(has_no_table("note") && has_no_table("note.body") && has_no_table("a.b.c.d"), "others have none");
	ok(has_no_table("..") && has_no_table("a..c") && has_no_table(".b.c") && has_no_table("a.b.") &&
	   has_no_table(""), "nor have empty names");
}

int
main(void)
{
	test_clean();
	test_request();
	test_words();
	test_labels();
	test_tables();
	return done();
}
