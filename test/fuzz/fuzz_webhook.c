/*
 * fuzz_webhook.c
 *		Webhooks: what headers say is read one way or not at all, and a secret
 *		that is not refused signs.
 *
 * The input is a secret, an id, a timestamp, a header of signatures and a body,
 * each ended by a NUL.
 */
#include "fuzz.h"

#include "webhook_signature.h"

static void
check_timestamp(RgSlice text)
{
	int64_t		seconds;
	char		again[32];

	if (!rg_webhook_timestamp(text, &seconds))
		return;
	require(seconds >= 0 && seconds < INT64_C(1000000000000));
	snprintf(again, sizeof again, "%lld", (long long) seconds);
	require(rg_slice_is(text, again));
}

static void
check_id(RgSlice id)
{
	if (!rg_webhook_id_fits(id))
		return;
	require(id.len > 0 && id.len <= 255);
	for (size_t i = 0; i < id.len; i++)
		require(id.data[i] > ' ' && id.data[i] < 127 && id.data[i] != '.');
}

/* Whether a word of the header is the signature. */
static bool
has_word(RgSlice header, const char *signature)
{
	size_t		len = strlen(signature);

	for (size_t at = 0; at + len <= header.len; at++)
		if (memcmp(header.data + at, signature, len) == 0 &&
			(at == 0 || header.data[at - 1] == ' ') &&
			(at + len == header.len || header.data[at + len] == ' '))
			return true;
	return false;
}

/* To the letter, and no letter more. */
static void
check_longer(RgWebhookForm form, const char *signature)
{
	char		longer[RG_WEBHOOK_TEXT_SIZE + 1];

	snprintf(longer, sizeof longer, "%sx", signature);
	require(!rg_webhook_listed(form, rg_slice_of(longer), signature));
	require(!rg_webhook_listed(form, rg_slice(signature, strlen(signature) - 1), signature));
}

/* The header alone, and with the signature behind it. */
static void
check_header(RgWebhookForm form, RgSlice header, const char *signature)
{
	size_t		size = header.len + strlen(signature) + 2;
	char	   *longer = malloc(size);
	int			words = 2;

	for (size_t i = 0; i < header.len; i++)
		words += header.data[i] == ' ';
	snprintf(longer, size, "%.*s %s", (int) header.len, header.data, signature);
	require(!rg_webhook_listed(form, header, signature) || has_word(header, signature));
	require(rg_webhook_listed(form, rg_slice(longer, size - 1), signature) ==
			(form == RG_WEBHOOK_STANDARD && words <= 16 && size - 1 <= 4096));
	free(longer);
}

static void
check_form(RgWebhookForm form, RgSlice secret, const RgWebhook *webhook, RgSlice header)
{
	char		signature[RG_WEBHOOK_TEXT_SIZE];

	require(rg_webhook_sign(form, secret, webhook, signature) == rg_webhook_secret_signs(form, secret));
	if (!rg_webhook_secret_signs(form, secret))
		return;
	require(strlen(signature) < sizeof signature);
	require(rg_webhook_listed(form, rg_slice_of(signature), signature));
	check_longer(form, signature);
	check_header(form, header, signature);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	RgSlice		rest = rg_slice((const char *) data, size);
	RgSlice		secret = take_field(&rest);
	RgWebhook	webhook = {.id = take_field(&rest),.timestamp = take_field(&rest)};
	RgSlice		header = take_field(&rest);

	webhook.body = rest;
	check_timestamp(webhook.timestamp);
	check_id(webhook.id);
	if (rg_webhook_secret_refusal(secret) != NULL)
		secret = RG_SLICE("whsec_q1HPm3uaNAP0svHB9VhOYfCXFrsyK2N7JUQbbDDWLGY=");
	for (RgWebhookForm form = RG_WEBHOOK_STANDARD; form <= RG_WEBHOOK_SLACK; form++)
		check_form(form, secret, &webhook, header);
	return 0;
}
