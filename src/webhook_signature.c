/*
 * webhook_signature.c
 *		Secrets and signatures of webhooks; webhook_signature.h has the
 *		contract.
 */
#include "webhook_signature.h"

#include <sodium.h>
#include <stdio.h>

#include "verifier.h"

#define MIN_KEY 24				/* bytes; Standard Webhooks, as is MAX_KEY */
#define MAX_KEY 64
#define MAX_ID 255
#define MAX_DIGITS 12			/* of a timestamp: the year 33658 */
#define MAX_LISTED 16
#define MAX_HEADER 4096
#define MAX_PARTS 5

static bool
starts_with(RgSlice text, const char *prefix)
{
	return text.len >= strlen(prefix) && memcmp(text.data, prefix, strlen(prefix)) == 0;
}

static RgSlice
behind(RgSlice text, const char *prefix)
{
	return rg_slice(text.data + strlen(prefix), text.len - strlen(prefix));
}

static bool
is_standard(RgSlice secret)
{
	return starts_with(secret, RG_WEBHOOK_PREFIX);
}

/* The bytes of a whsec_ secret.  libsodium takes bytes above 127 for digits. */
static bool
decode_key(RgSlice secret, uint8_t key[MAX_KEY], size_t *len)
{
	RgSlice		base64 = behind(secret, RG_WEBHOOK_PREFIX);

	return sodium_base642bin(key, MAX_KEY, base64.data, base64.len, NULL, len, NULL,
							 sodium_base64_VARIANT_ORIGINAL) == 0;
}

void
rg_webhook_secret_make(char secret[RG_WEBHOOK_TEXT_SIZE])
{
	uint8_t		key[RG_WEBHOOK_KEY_BYTES];
	size_t		prefix = strlen(RG_WEBHOOK_PREFIX);

	randombytes_buf(key, sizeof key);
	memcpy(secret, RG_WEBHOOK_PREFIX, prefix);
	sodium_bin2base64(secret + prefix, RG_WEBHOOK_TEXT_SIZE - prefix, key, sizeof key,
					  sodium_base64_VARIANT_ORIGINAL);
	sodium_memzero(key, sizeof key);
}

static bool
is_visible(RgSlice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.data[i] < ' ' || text.data[i] > '~')
			return false;
	return text.len > 0 && text.data[0] != ' ' && text.data[text.len - 1] != ' ';
}

/* Both what was typed and what it stands for can be a poor one. */
static const char *
refuse_standard(RgSlice secret)
{
	RgSlice		base64 = behind(secret, RG_WEBHOOK_PREFIX);
	uint8_t		key[MAX_KEY];
	size_t		len;
	const char *reason;

	if (!decode_key(secret, key, &len))
		reason = "starts with whsec_ and goes on with no base64 of up to 64 bytes";
	else if (len < MIN_KEY)
		reason = "stands for fewer than 24 bytes";
	else if ((reason = rg_verifier_guessable_secret(base64)) == NULL)
		reason = rg_verifier_guessable_secret(rg_slice((char *) key, len));
	sodium_memzero(key, sizeof key);
	return reason;
}

const char *
rg_webhook_secret_refusal(RgSlice secret)
{
	if (!is_visible(secret))
		return "is empty, or has spaces at its ends or characters that are not visible ASCII";
	if (secret.len > RG_WEBHOOK_SECRET_MAX)
		return "is longer than 256 bytes";
	if (starts_with(secret, "whsk_") || starts_with(secret, "whpk_"))
		return "is a key for signatures of version v1a, which are not made here";
	return is_standard(secret) ? refuse_standard(secret) : rg_verifier_weak_secret(secret);
}

bool
rg_webhook_secret_signs(RgWebhookForm form, RgSlice secret)
{
	return form != RG_WEBHOOK_STANDARD || is_standard(secret);
}

/*
 * With a full stop in the id, one text would be that of two messages, and one's
 * signature good for the other; with a line end, a header two.
 */
bool
rg_webhook_id_fits(RgSlice id)
{
	if (id.len == 0 || id.len > MAX_ID)
		return false;
	for (size_t i = 0; i < id.len; i++)
		if (id.data[i] <= ' ' || id.data[i] > '~' || id.data[i] == '.')
			return false;
	return true;
}

bool
rg_webhook_timestamp(RgSlice text, int64_t *seconds)
{
	*seconds = 0;
	if (text.len == 0 || text.len > MAX_DIGITS || (text.data[0] == '0' && text.len > 1))
		return false;
	for (size_t i = 0; i < text.len; i++)
	{
		if (text.data[i] < '0' || text.data[i] > '9')
			return false;
		*seconds = *seconds * 10 + (text.data[i] - '0');
	}
	return true;
}

bool
rg_webhook_fits(RgWebhookForm form, const RgWebhook *webhook)
{
	int64_t		seconds;

	return webhook->body.data != NULL &&
		(form != RG_WEBHOOK_STANDARD || rg_webhook_id_fits(webhook->id)) &&
		(form == RG_WEBHOOK_BODY || rg_webhook_timestamp(webhook->timestamp, &seconds));
}

/* What is hashed, in order; returns how many parts. */
static int
list_parts(RgWebhookForm form, const RgWebhook *webhook, RgSlice parts[MAX_PARTS])
{
	int			n = 0;

	if (form == RG_WEBHOOK_STANDARD)
	{
		parts[n++] = webhook->id;
		parts[n++] = RG_SLICE(".");
		parts[n++] = webhook->timestamp;
		parts[n++] = RG_SLICE(".");
	}
	else if (form == RG_WEBHOOK_SLACK)
	{
		parts[n++] = RG_SLICE("v0:");
		parts[n++] = webhook->timestamp;
		parts[n++] = RG_SLICE(":");
	}
	parts[n++] = webhook->body;
	return n;
}

static bool
hash(RgSlice key, const RgSlice *parts, int nparts, uint8_t mac[RG_HS256_BYTES])
{
	RgVerifier *signer = rg_verifier_hs256(key);
	bool		hashed = signer != NULL && rg_verifier_sign_parts(signer, parts, nparts, mac);

	rg_verifier_free(signer);
	return hashed;
}

static void
write_signature(RgWebhookForm form, const uint8_t mac[RG_HS256_BYTES],
				char signature[RG_WEBHOOK_TEXT_SIZE])
{
	static const char *const prefixes[] = {
		[RG_WEBHOOK_STANDARD] = "v1,",
		[RG_WEBHOOK_BODY] = "sha256=",
		[RG_WEBHOOK_SLACK] = "v0=",
	};
	size_t		len = strlen(prefixes[form]);

	memcpy(signature, prefixes[form], len);
	if (form == RG_WEBHOOK_STANDARD)
		sodium_bin2base64(signature + len, RG_WEBHOOK_TEXT_SIZE - len, mac, RG_HS256_BYTES,
						  sodium_base64_VARIANT_ORIGINAL);
	else
		sodium_bin2hex(signature + len, RG_WEBHOOK_TEXT_SIZE - len, mac, RG_HS256_BYTES);
}

bool
rg_webhook_sign(RgWebhookForm form, RgSlice secret, const RgWebhook *webhook,
				char signature[RG_WEBHOOK_TEXT_SIZE])
{
	RgSlice		parts[MAX_PARTS];
	int			nparts = list_parts(form, webhook, parts);
	uint8_t		key[MAX_KEY];
	uint8_t		mac[RG_HS256_BYTES];
	size_t		len;
	bool		hashed;

	if (form != RG_WEBHOOK_STANDARD)
		hashed = hash(secret, parts, nparts, mac);
	else
		hashed = is_standard(secret) && decode_key(secret, key, &len) &&
			hash(rg_slice((char *) key, len), parts, nparts, mac);
	sodium_memzero(key, sizeof key);
	if (hashed)
		write_signature(form, mac, signature);
	sodium_memzero(mac, sizeof mac);
	return hashed;
}

/* Up to the next space. */
static size_t
word_length(RgSlice text)
{
	const char *space = memchr(text.data, ' ', text.len);

	return space != NULL ? (size_t) (space - text.data) : text.len;
}

/* It looks at all of them, whichever is the one. */
bool
rg_webhook_listed(RgWebhookForm form, RgSlice header, const char *signature)
{
	int			left = form == RG_WEBHOOK_STANDARD ? MAX_LISTED : 1;
	size_t		wanted = strlen(signature);
	size_t		len;
	bool		listed = false;

	if (header.data == NULL || header.len > MAX_HEADER)
		return false;
	for (size_t at = 0; at <= header.len; at += len + 1)
	{
		if (left-- == 0)
			return false;
		len = word_length(rg_slice(header.data + at, header.len - at));
		if (len == wanted)
			listed |= sodium_memcmp(header.data + at, signature, wanted) == 0;
	}
	return listed;
}
