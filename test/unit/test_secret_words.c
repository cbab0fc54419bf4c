/*
 * test_secret_words.c
 *		What takes secrets is found wherever SQL stands, and little else is.
 */
#include <stdlib.h>

#include "secret_words.h"
#include "tap.h"

static const char *
named(RgSlice text)
{
	RgSlice		execute;

	return rg_secret_word(text, &execute);
}

static bool
names(const char *text)
{
	return named(rg_slice_of(text)) != NULL;
}

static void
found(const char *text)
{
	ok(names(text), "found: %.*s", (int) strcspn(text, "\n"), text);
}

static void
passed(const char *text)
{
	ok(!names(text), "not taken for one: %.*s", (int) strcspn(text, "\n"), text);
}

static void
test_calls(void)
{
	found("SELECT relay_guard.encrypt('x', '')");
	found("SELECT encrypt($1, $2)");
	found("select ENCRYPT (a) from t");
	found("SELECT Relay_Guard . Try_Decrypt_Jsonb\n\t(v, a)");
	found("SELECT \"relay_guard\".\"encrypt\" ('x')");
	found("SELECT encrypt/* why not (a) /* nested */ */-- and\n ('x')");
	found("SELECT encrypt -- of C:\\new\n ('x')");
	found("SELECT 1; SELECT aad('x')");
	found("aad(");
	found("(aad(");
	found("1aad(");
	found("SELECT 1/encrypt('x')");
	found("\xc3\xa4 aad('\xc3\xa4')");
}

static void
test_nested(void)
{
	found("DO $$BEGIN PERFORM relay_guard.encrypt('x', ''); END$$");
	found("DO $$encrypt('x')$$");
	found("DO $tag$encrypt('x')$tag$");
	found("EXECUTE 'SELECT encrypt(''x'')'");
	found("SQL statement \"SELECT relay_guard.aad('x')\"\nPL/pgSQL function f() line 3 at SQL statement");
	found("{\"Query Text\": \"SELECT\\nencrypt('x')\"}");
	found("{\"Query Text\": \"SELECT\\u000bencrypt('x')\"}");
	found("{\"Query Text\": \"SELECT\\r\\nrelay_guard.\\\"encrypt\\\"\\n\\t(1)\"}");
	found("{\"Query Text\": \"SELECT encrypt\\u000b(1)\"}");
	found("{\"Query Text\": \"SELECT encrypt -- it\\n(1)\"}");
	found("<Query-Text>SELECT encrypt&#x0d;\n(1)</Query-Text>");
	found("<Query-Text>SELECT &quot;encrypt&quot;(1)</Query-Text>");
}

static void
test_views(void)
{
	found("INSERT INTO shop.decrypted_card VALUES ('x')");
	found("TABLE \"shop\".\"decrypted_card\"");
	found("SELECT * FROM Decrypted_Card");
	found("\\ndecrypted_card");
	found("SELECT U&\"\\0065ncrypt\"('x')");
	found("SELECT a.u&\"!0065ncrypt\" UESCAPE '!' ('x')");
	found("{\"Query Text\": \"SELECT\\nU&\\\"...");
	passed("SELECT U&'x', U & \"x\"");
	passed("SELECT * FROM undecrypted_card");
	passed("SELECT decrypted FROM card");
}

static void
test_others(void)
{
	passed("");
	passed("SELECT encrypted('x')");
	passed("SELECT my_encrypt('x')");
	passed("SELECT encrypt FROM card WHERE (a)");
	passed("SELECT relay_guard.encrypt_column('card', 'number', '{id}')");
	passed("INSERT INTO menu VALUES ('we serve food')");
	passed("SELECT relay_guard.is_envelope(v), relay_guard.key_id(v)");
	passed("SELECT aad");
	passed("\xe2\x82\xac" "aad(");
	passed("SELECT relay_guard.issue_token('alice')");
}

static void
test_names(void)
{
	found("api_key_hash(");
	found("authenticate_api_key(");
	found("decrypt_bytea(");
	found("jwks_import(");
	found("jwt_key_add(");
	found("opens(");
	found("reencrypt(");
	found("serve(");
	found("webhook_sign(");
	ok(strcmp(named(RG_SLICE("x TRY_DECRYPT_TEXT(")), "try_decrypt_text()") == 0, "a function's name");
	ok(strcmp(named(RG_SLICE("decrypted_x")), "a decrypted_ view") == 0, "a view has no name");
	ok(strcmp(named(RG_SLICE("serve(aad(")), "serve()") == 0, "the first of several");
}

static bool
literal(const char *text)
{
	return rg_sql_has_literal(rg_slice_of(text));
}

static void
test_literals(void)
{
	ok(!literal("SELECT relay_guard.encrypt($1, relay_guard.aad($2, t1.a::text)) FROM t1"), "parameters are none");
	ok(!literal(""), "nor is nothing");
	ok(literal("SELECT 'x'"), "a string");
	ok(literal("SELECT \"x\""), "a name in quotes, for it may have been meant as a string");
	ok(literal("SELECT $$x$$") && literal("SELECT $a$x$a$"), "dollar quotes");
	ok(literal("SELECT 4111") && literal("(4") && literal("SELECT .5"), "numbers");
	ok(literal("SELECT a$b"), "a dollar in a name, to be on the safe side");
	ok(literal("DO $"), "a quote that was cut off");
	ok(!literal("SELECT a1, b_2 FROM t3"), "digits in names are none");
}

static bool
executes(const char *text, const char *name)
{
	RgSlice		execute;
	RgSlice		found;

	return rg_secret_word(rg_slice_of(text), &execute) == NULL &&
		rg_sql_next_prepared(&execute, &found) && rg_slice_is(found, name);
}

static void
test_execute(void)
{
	RgSlice		rest;
	RgSlice		name;

	ok(executes("EXECUTE s('x')", "s"), "EXECUTE and a name");
	ok(executes("EXPLAIN execute /* it */ \"S\" ('x')", "\"S\""), "in quotes, behind a comment");
	ok(executes("EXECUTE \" a-\"\"b\" ('x')", "\" a-\"\"b\""), "with whatever stands in the quotes");
	ok(executes("EXECUTE \"a\"\"", "\"a\"\""), "which may have been cut off");
	ok(executes("EXECUTE a$1('x')", "a$1"), "with a $");
	ok(executes("EXECUTE 'x'; EXECUTE s", "s"), "behind one that has no name");
	ok(!executes("EXECUTED s", "s") && !executes("EXECUTE 'SELECT'", "SELECT"), "and nothing else");
	ok(!executes("SELECT 1", "1") && !executes("", ""), "nor where there is no EXECUTE");
	rg_secret_word(RG_SLICE("EXECUTE a; EXECUTE b; EXECUTE"), &rest);
	ok(rg_sql_next_prepared(&rest, &name) && rg_slice_is(name, "a"), "the first of several");
	ok(rg_sql_next_prepared(&rest, &name) && rg_slice_is(name, "b"), "the next");
	ok(!rg_sql_next_prepared(&rest, &name), "and no more");
}

static size_t
prepared_in(RgSlice text)
{
	RgSlice		execute;
	RgSlice		name;
	size_t		count = 0;

	rg_secret_word(text, &execute);
	while (rg_sql_next_prepared(&execute, &name))
		count++;
	return count;
}

/* Comments without end after each of many names must not take quadratic time. */
static void
test_long(void)
{
	size_t		len = 4 << 20;
	char	   *text = malloc(len);

	for (size_t i = 0; i < len; i++)
		text[i] = "aad/*"[i % 5];
	ok(named(rg_slice(text, len)) != NULL, "a gap longer than anyone writes counts as a call");
	memset(text, ' ', len);
	memcpy(text + len - 4, "aad(", 4);
	ok(named(rg_slice(text, len)) != NULL, "the end of a long text is looked at");
	for (size_t i = 0; i < len; i++)
		text[i] = "execute$"[i % 8];
	ok(prepared_in(rg_slice(text, len)) == len / 8, "names that run into each other are not looked at to their end");
	free(text);
}

int
main(void)
{
	test_calls();
	test_nested();
	test_views();
	test_others();
	test_names();
	test_literals();
	test_execute();
	test_long();
	return done();
}
