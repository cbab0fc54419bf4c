/*
 * test_ratchet.c
 *		The ratchet's steps and its text.
 */
#include <string.h>

#include "ratchet.h"
#include "tap.h"

#define FIRST "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define THIRD "O3PztxztuGec2WrboIIVm9C2Y4Ycucc7DrC3i7uyxic="
#define TEXT(step, key) "relay_guard audit ratchet 1\nstep " step "\nkey " key "\n"

static bool
parse(const char *text, RgRatchet *ratchet)
{
	return rg_ratchet_parse(rg_slice(text, strlen(text)), ratchet);
}

static void
test_steps(void)
{
	RgRatchet	ratchet;
	char		text[RG_RATCHET_TEXT_SIZE];

	ok(parse(TEXT("0", FIRST), &ratchet) && ratchet.step == 0, "reads its text");
	ok(rg_ratchet_advance_to(&ratchet, 3), "goes three steps");
	ok(rg_ratchet_format(&ratchet, text) == strlen(text) &&
	   strcmp(text, TEXT("3", THIRD)) == 0, "the key of step 3");
	ok(!rg_ratchet_advance_to(&ratchet, 2) && ratchet.step == 3, "never goes back");
	ok(rg_ratchet_advance_to(&ratchet, 3) && ratchet.step == 3, "may stay");
	ok(!rg_ratchet_advance_to(&ratchet, 4 + RG_RATCHET_MAX_ADVANCE) && ratchet.step == 3,
	   "does not go as far as anybody says");
}

static void
test_largest(void)
{
	RgRatchet	ratchet;
	char		text[RG_RATCHET_TEXT_SIZE];

	ok(parse(TEXT("999999999999999999", FIRST), &ratchet) &&
	   rg_ratchet_format(&ratchet, text) == strlen(TEXT("999999999999999999", FIRST)),
	   "the largest number of steps");
}

static void
test_new(void)
{
	RgRatchet	one;
	RgRatchet	two;
	char		text[RG_RATCHET_TEXT_SIZE];

	ok(rg_ratchet_new(&one) && rg_ratchet_new(&two) && one.step == 0 &&
	   memcmp(one.key, two.key, sizeof one.key) != 0, "new ones differ");
	rg_ratchet_format(&one, text);
	ok(parse(text, &two) && memcmp(&one, &two, sizeof one) == 0, "what is written is read");
}

static void
refuses(const char *text, const char *what)
{
	RgRatchet	ratchet = {.step = 1,.key = {1}};
	RgRatchet	wiped = {0};

	ok(!parse(text, &ratchet) && memcmp(&ratchet, &wiped, sizeof wiped) == 0, "refuses %s", what);
}

static void
test_refusals(void)
{
	refuses("", "nothing");
	refuses("relay_guard audit ratchet 2\nstep 0\nkey " FIRST "\n", "another version");
	refuses(TEXT("", FIRST), "no step");
	refuses(TEXT("-1", FIRST), "a negative step");
	refuses(TEXT("1000000000000000000", FIRST), "a step too large");
	refuses(TEXT("0", "AAAA"), "a short key");
	refuses(TEXT("0", FIRST "AAAA"), "a long key");
	refuses(TEXT("0", "!AECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="), "no base64");
	refuses(TEXT("0", FIRST) "\n", "something behind it");
	refuses("relay_guard audit ratchet 1\nstep 0\nkey " FIRST, "a text cut short");
}

int
main(void)
{
	test_steps();
	test_largest();
	test_new();
	test_refusals();
	return done();
}
