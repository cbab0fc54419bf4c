/*
 * test_webhook_signature.c
 *		Signatures of webhooks against published ones, and what is refused.
 *
 * The vectors' folder is named by RELAY_VECTORS, else it is ../shared/vectors
 * where that is there.  Without it the rows are skipped, which under CI=true
 * is a failure.
 */
#include <sodium.h>
#include <stdlib.h>

#include "tap.h"
#include "webhook_signature.h"

#define VECTORS "webhooks_signatures.tsv"
#define ROWS 3
#define SECRET "whsec_q1HPm3uaNAP0svHB9VhOYfCXFrsyK2N7JUQbbDDWLGY="
#define TEXT_SECRET "f3b9ac70e1d24685b7c04fa1829d36e5"

/* One row; columns by number, NUL-terminated. */
enum
{
	SCHEME, RESULT, SECRET_TEXT, ID, TIMESTAMP, BODY, SIGNATURE,
	COLUMNS
};

static RgWebhook
webhook(const char *id, const char *timestamp, const char *body)
{
	RgWebhook	made = {
		rg_slice(id, strlen(id)), rg_slice(timestamp, strlen(timestamp)),
		rg_slice(body, strlen(body))
	};

	return made;
}

static bool
signs(RgWebhookForm form, const char *secret, const RgWebhook *made, const char *expected)
{
	char		signature[RG_WEBHOOK_TEXT_SIZE];

	return rg_webhook_sign(form, rg_slice_of(secret), made, signature) &&
		strcmp(signature, expected) == 0;
}

static bool
same(RgWebhookForm form, const char *secret, const RgWebhook *a, const RgWebhook *b)
{
	char		signature[RG_WEBHOOK_TEXT_SIZE];

	return rg_webhook_sign(form, rg_slice_of(secret), a, signature) &&
		signs(form, secret, b, signature);
}

/* Signed as published, fit to be verified, and found in the header. */
static bool
row_agrees(char *const row[COLUMNS])
{
	RgWebhookForm form = strcmp(row[SCHEME], "slack") == 0 ? RG_WEBHOOK_SLACK :
	strcmp(row[SCHEME], "github-octokit") == 0 ? RG_WEBHOOK_BODY : RG_WEBHOOK_STANDARD;
	RgWebhook	made = webhook(row[ID], row[TIMESTAMP], row[BODY]);
	RgWebhook	other = webhook(row[ID], row[TIMESTAMP], "{}");

	return strcmp(row[RESULT], "valid") == 0 &&
		rg_webhook_fits(form, &made) &&
		signs(form, row[SECRET_TEXT], &made, row[SIGNATURE]) &&
		!signs(form, row[SECRET_TEXT], &other, row[SIGNATURE]) &&
		rg_webhook_listed(form, rg_slice_of(row[SIGNATURE]), row[SIGNATURE]);
}

static int
split(char *line, char *row[COLUMNS])
{
	int			n = 0;

	line[strcspn(line, "\n")] = '\0';
	for (char *column = line; column != NULL && n < COLUMNS;)
		row[n++] = strsep(&column, "\t");
	return n;
}

static int
read_rows(FILE *file, int *wrong)
{
	char	   *line = NULL;
	size_t		size = 0;
	char	   *row[COLUMNS];
	int			rows = -1;

	while (getline(&line, &size, file) > 0)
		if (split(line, row) != COLUMNS || (++rows > 0 && !row_agrees(row)))
		{
			printf("# %s: not as published\n", row[SCHEME]);
			++*wrong;
		}
	free(line);
	return rows;
}

static void
test_vectors(void)
{
	const char *folder = getenv("RELAY_VECTORS");
	const char *ci = getenv("CI");
	bool		must_run = ci != NULL && strcmp(ci, "true") == 0;
	char		path[4096];
	FILE	   *file;
	int			wrong = 0;
	int			rows;

	snprintf(path, sizeof path, "%s/%s",
			 folder != NULL && *folder != '\0' ? folder : "../shared/vectors", VECTORS);
	file = fopen(path, "r");
	if (file == NULL)
	{
		ok(!must_run, "vectors " VECTORS "%s %d rows: RELAY_VECTORS is not set",
		   must_run ? ": not run," : " # skip", ROWS);
		return;
	}
	rows = read_rows(file, &wrong);
	fclose(file);
	ok(rows == ROWS && wrong == 0, "vectors " VECTORS ": %d rows, %d not as published", rows, wrong);
}

static void
test_what_is_signed(void)
{
	RgWebhook	first = webhook("msg_1", "1614265330", "{}");
	RgWebhook	other_id = webhook("msg_2", "1614265330", "{}");
	RgWebhook	later = webhook("msg_1", "1614265331", "{}");
	RgWebhook	moved = webhook("msg_1", "161426533", "0{}");

	ok(!same(RG_WEBHOOK_STANDARD, SECRET, &first, &other_id), "pain: the id outside the MAC");
	ok(!same(RG_WEBHOOK_STANDARD, SECRET, &first, &later), "pain: a retry under the first timestamp's signature");
	ok(!same(RG_WEBHOOK_STANDARD, SECRET, &first, &moved), "no byte moves from one part to the next");
	ok(!same(RG_WEBHOOK_SLACK, TEXT_SECRET, &first, &later), "Slack's form has the timestamp inside");
	ok(same(RG_WEBHOOK_BODY, TEXT_SECRET, &first, &later), "the body's form has the body alone");
}

/* What passes in one form must not pass, cut differently, in another. */
static void
test_forms_are_apart(void)
{
	RgWebhook	message = webhook("msg_1", "1614265330", "{}");
	RgWebhook	whole = webhook("", "", "msg_1.1614265330.{}");
	uint8_t		mac[2][RG_WEBHOOK_KEY_BYTES];
	char		signature[2][RG_WEBHOOK_TEXT_SIZE];

	if (!rg_webhook_sign(RG_WEBHOOK_STANDARD, RG_SLICE(SECRET), &message, signature[0]) ||
		!rg_webhook_sign(RG_WEBHOOK_BODY, RG_SLICE(SECRET), &whole, signature[1]) ||
		sodium_base642bin(mac[0], sizeof mac[0], signature[0] + 3, strlen(signature[0] + 3), NULL,
						  NULL, NULL, sodium_base64_VARIANT_ORIGINAL) != 0 ||
		sodium_hex2bin(mac[1], sizeof mac[1], signature[1] + 7, 64, NULL, NULL, NULL) != 0)
		abort();
	ok(memcmp(mac[0], mac[1], sizeof mac[0]) != 0, "one secret, two forms: two keys");
	ok(!rg_webhook_sign(RG_WEBHOOK_STANDARD, RG_SLICE(TEXT_SECRET), &message, signature[0]),
	   "a secret without whsec_ signs nothing of Standard Webhooks");
	ok(!rg_webhook_secret_signs(RG_WEBHOOK_STANDARD, RG_SLICE(TEXT_SECRET)) &&
	   rg_webhook_secret_signs(RG_WEBHOOK_SLACK, RG_SLICE(TEXT_SECRET)) &&
	   rg_webhook_secret_signs(RG_WEBHOOK_BODY, RG_SLICE(SECRET)) &&
	   rg_webhook_secret_signs(RG_WEBHOOK_STANDARD, RG_SLICE(SECRET)), "and says so before");
}

static void
test_timestamp(const char *text, size_t len, bool valid)
{
	int64_t		seconds;

	ok(rg_webhook_timestamp(rg_slice(text, len), &seconds) == valid, "timestamp \"%.*s\": %s",
	   (int) strcspn(text, "\n"), text, valid ? "read" : "refused");
}

static void
test_timestamps(void)
{
	static const char *const bad[] = {
		"", "NaN", "nan", "inf", "Infinity", "-1", "+1614265330", " 1614265330", "1614265330 ",
		"1614265330.0", "1.6e9", "0x60377e72", "01614265330", "1614265330\n", "1614265330,1",
		"1614265330000000000000", "18446744073709551616", "9223372036854775808", "1000000000000",
		"\xd9\xa1\xd9\xa6", "1_614"
	};
	int64_t		seconds;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		test_timestamp(bad[i], strlen(bad[i]), false);
	test_timestamp("1614265330\0", 11, false);
	test_timestamp("0", 1, true);
	test_timestamp("999999999999", 12, true);
	ok(rg_webhook_timestamp(RG_SLICE("1614265330"), &seconds) && seconds == 1614265330,
	   "and has its value");
	ok(!rg_webhook_timestamp(rg_slice(NULL, 0), &seconds), "none is refused");
}

static void
test_ids(void)
{
	static const char *const bad[] = {
		"", "a.b", ".", "a b", "a\r\nx-evil: 1", "a\tb", "\x7f", "h\xc3\xa4", " a", "a "
	};
	char		longest[256];
	int			taken = 0;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		taken += rg_webhook_id_fits(rg_slice(bad[i], strlen(bad[i])));
	ok(taken == 0, "ids with full stops, spaces, line ends or beyond ASCII: %d taken", taken);
	memset(longest, 'a', sizeof longest);
	ok(rg_webhook_id_fits(rg_slice(longest, 255)) && !rg_webhook_id_fits(rg_slice(longest, 256)),
	   "an id has at most 255 characters");
	ok(rg_webhook_id_fits(RG_SLICE("msg_p5jXN8AQM9LWM0D4loKWxJek")) &&
	   rg_webhook_id_fits(RG_SLICE("{0}/~!")), "any other will do");
	ok(!rg_webhook_id_fits(rg_slice(NULL, 0)), "none is refused");
}

static void
test_fits(void)
{
	RgWebhook	good = webhook("msg_1", "1614265330", "");
	RgWebhook	stop = webhook("msg.1", "1614265330", "");
	RgWebhook	never = webhook("msg_1", "NaN", "");
	RgWebhook	nothing = {good.id, good.timestamp, {NULL, 0}};

	ok(rg_webhook_fits(RG_WEBHOOK_STANDARD, &good), "an empty body is one");
	ok(!rg_webhook_fits(RG_WEBHOOK_STANDARD, &nothing) && !rg_webhook_fits(RG_WEBHOOK_BODY, &nothing),
	   "none is none");
	ok(!rg_webhook_fits(RG_WEBHOOK_STANDARD, &stop), "an id with a full stop is refused");
	ok(!rg_webhook_fits(RG_WEBHOOK_STANDARD, &never) && !rg_webhook_fits(RG_WEBHOOK_SLACK, &never),
	   "pain: a timestamp that is NaN passes");
	ok(rg_webhook_fits(RG_WEBHOOK_SLACK, &stop) && rg_webhook_fits(RG_WEBHOOK_BODY, &never),
	   "what a form leaves out is not looked at");
}

static bool
listed(RgWebhookForm form, const char *header)
{
	static const char signature[] = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

	return rg_webhook_listed(form, rg_slice(header, strlen(header)), signature);
}

/* So many signatures, the last of which is the one. */
static bool
listed_last(int count)
{
	char		header[8192] = "";

	for (int i = 1; i < count; i++)
		strcat(header, "v1,x ");
	strcat(header, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
	return listed(RG_WEBHOOK_STANDARD, header);
}

static void
test_lists(void)
{
#define GOOD "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
#define BAD "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OF="
	static const char *const bad[] = {
		"", " ", "v1,", BAD, BAD " " BAD, "v2" "," "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
		"v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
		"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE", GOOD "=", GOOD ",", "," GOOD, GOOD "\n", "\t" GOOD,
		"V1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "v1,g0hM9SsE-OTPJTGt_tmIKtSyZlE3uFJELVlNIOLJ1OE="
	};
	char		longest[5000];
	int			taken = 0;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		taken += listed(RG_WEBHOOK_STANDARD, bad[i]);
	ok(taken == 0, "headers without the signature, or with one that is not it to the letter: %d taken", taken);
	ok(listed(RG_WEBHOOK_STANDARD, GOOD), "the signature alone");
	ok(listed(RG_WEBHOOK_STANDARD, BAD " " GOOD) && listed(RG_WEBHOOK_STANDARD, GOOD " " BAD) &&
	   listed(RG_WEBHOOK_STANDARD, "v1a,AAAA  " GOOD " "), "among others, wherever it stands");
	ok(listed_last(16) && !listed_last(17), "of more than 16 none is believed");
	memset(longest, 'a', sizeof longest);
	memcpy(longest, GOOD " ", sizeof GOOD);
	ok(rg_webhook_listed(RG_WEBHOOK_STANDARD, rg_slice(longest, 4096), GOOD) &&
	   !rg_webhook_listed(RG_WEBHOOK_STANDARD, rg_slice(longest, 4097), GOOD), "nor in more than 4096 bytes");
	ok(listed(RG_WEBHOOK_BODY, GOOD) && !listed(RG_WEBHOOK_BODY, BAD " " GOOD) &&
	   !listed(RG_WEBHOOK_SLACK, GOOD " "), "other forms have one signature");
	ok(!rg_webhook_listed(RG_WEBHOOK_STANDARD, rg_slice(NULL, 0), GOOD), "no header");
}

/* In libsodium's place, for the whole of this program: the same, and counted. */
static int	compared;

int
sodium_memcmp(const void *a, const void *b, size_t len)
{
	const volatile uint8_t *bytes = a;
	const volatile uint8_t *others = b;
	uint8_t		difference = 0;

	for (size_t i = 0; i < len; i++)
		difference |= bytes[i] ^ others[i];
	compared++;
	return difference == 0 ? 0 : -1;
}

static int
count_compared(const char *header, bool expected)
{
	compared = 0;
	return listed(RG_WEBHOOK_STANDARD, header) == expected ? compared : -1;
}

static void
test_constant_time(void)
{
	ok(count_compared(GOOD " " BAD " " BAD, true) == 3 &&
	   count_compared(BAD " " BAD " " GOOD, true) == 3 &&
	   count_compared(BAD " " BAD " " BAD, false) == 3,
	   "pain: how long a comparison takes tells how much was right");
}

static void
refused(const char *secret, const char *expected)
{
	const char *reason = rg_webhook_secret_refusal(rg_slice(secret, strlen(secret)));

	ok(reason != NULL && strcmp(reason, expected) == 0, "secret \"%.*s\" %s",
	   (int) strcspn(secret, "\n"), secret, reason != NULL ? reason : "is accepted");
}

static void
accepted(const char *secret)
{
	const char *reason = rg_webhook_secret_refusal(rg_slice_of(secret));

	ok(reason == NULL, "secret \"%.40s\" %s", secret, reason != NULL ? reason : "is accepted");
}

static void
test_secrets(void)
{
	const char *invisible = "is empty, or has spaces at its ends or characters that are not visible ASCII";
	const char *no_base64 = "starts with whsec_ and goes on with no base64 of up to 64 bytes";
	char		longest[258] = "";

	refused("", invisible);
	refused(TEXT_SECRET "\n", invisible);
	refused(" " TEXT_SECRET, invisible);
	refused(SECRET " ", invisible);
	refused(TEXT_SECRET "\xc3\xa4", invisible);
	refused("whsec_", "stands for fewer than 24 bytes");
	refused("whsec_q1HPm3uaNAP0svHB9VhOYfCXFrsyK2M=", "stands for fewer than 24 bytes");
	refused("whsec_q1HPm3uaNAP0svHB9VhOYfCXFrsyK2N7JUQbbDDWLGY", no_base64);
	refused("whsec_q1HPm3uaNAP0svHB9VhOYfCXFrsyK2N7JUQbbDDWLGZ=", no_base64);
	refused("whsec_q1HPm3uaNAP0svHB9VhOYfCXFrsyK2N7JUQbbDDWLG-_", no_base64);
	refused("whsec_q1HPm3uaNAP0svHB9VhOYfCX FrsyK2N7JUQbbDDWLGY=", no_base64);
	refused("whsec_q1HPm3uaNAP0svHB9VhOYfCXFrsyK2N7JUQbbDDWLGYq1HPm3uaNAP0svHB9VhOYfCXFrsyK2N7JUQbbDDWLGYaaaa", no_base64);
	refused("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "has fewer than 8 different bytes");
	refused("whsec_secretsecretsecretsecretsecretse", "has fewer than 8 different bytes");
	refused("whsec_Y2hhbmdlbWUtY2hhbmdlbWUtY2hhbmdlbWUt", "repeats itself");
	refused("whsec_bXktc3VwZXItc2VjcmV0LXBhc3N3b3JkLTEyMw==", "is made of well-known words");
	refused("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "is an example of somebody's documentation");
	refused("whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==",
			"is a key for signatures of version v1a, which are not made here");
	refused("mysecret", "is shorter than 32 bytes");
	refused("changeme-changeme-changeme-changeme", "repeats itself");
	memset(longest, 'x', 257);
	refused(longest, "is longer than 256 bytes");
	accepted(SECRET);
	accepted("whsec_q1HPm3uaNAP0svHB9VhOYfCXFrsyK2N7");
	accepted(TEXT_SECRET);
	accepted("It is nobody's business, what I wrote to Vera");
}

static void
test_made_secrets(void)
{
	char		secret[2][RG_WEBHOOK_TEXT_SIZE];
	int			refusals = 0;

	for (int i = 0; i < 2000; i++)
	{
		rg_webhook_secret_make(secret[i % 2]);
		refusals += rg_webhook_secret_refusal(rg_slice_of(secret[i % 2])) != NULL;
	}
	ok(refusals == 0, "of 2,000 secrets that are made here %d are refused", refusals);
	ok(strcmp(secret[0], secret[1]) != 0 && strlen(secret[0]) == 50, "they differ, and have 256 bits");
}

int
main(void)
{
	if (sodium_init() < 0)
		return 1;
	test_vectors();
	test_what_is_signed();
	test_forms_are_apart();
	test_timestamps();
	test_ids();
	test_fits();
	test_lists();
	test_constant_time();
	test_secrets();
	test_made_secrets();
	return done();
}
