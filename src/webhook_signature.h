/*
 * webhook_signature.h
 *		Secrets and signatures of webhooks, as texts.
 *
 * Three forms, all of them HMAC-SHA256:
 *
 * standard: Standard Webhooks, "v1,<base64>" of id.timestamp.body, under the
 * bytes behind "whsec_"; a header lists several, separated by spaces.
 *
 * body: "sha256=<hex>" of the body alone, as GitHub's X-Hub-Signature-256.
 *
 * slack: "v0=<hex>" of v0:timestamp:body.
 *
 * The last two have the secret's text for their key, "whsec_" included, as
 * receivers of these forms take it.  So under one secret, what is signed in
 * another form never passes for the standard one, nor the other way round.
 *
 * Pure C: shared by the extension and unit tests.
 */
#ifndef RG_WEBHOOK_SIGNATURE_H
#define RG_WEBHOOK_SIGNATURE_H

#include <stdint.h>

#include "slice.h"

#define RG_WEBHOOK_PREFIX "whsec_"
#define RG_WEBHOOK_KEY_BYTES 32 /* of a secret that is made here */
#define RG_WEBHOOK_SECRET_MAX 256	/* bytes of text */

/* Room for any signature, or for a secret that is made here, NUL included. */
#define RG_WEBHOOK_TEXT_SIZE 80

typedef enum RgWebhookForm
{
	RG_WEBHOOK_STANDARD,
	RG_WEBHOOK_BODY,
	RG_WEBHOOK_SLACK
} RgWebhookForm;

/* What is signed; of the parts that a form leaves out nothing is read. */
typedef struct RgWebhook
{
	RgSlice		id;
	RgSlice		timestamp;		/* decimal seconds since 1970 */
	RgSlice		body;
} RgWebhook;

/* Makes a secret of random bytes, "whsec_<base64>". */
extern void rg_webhook_secret_make(char secret[RG_WEBHOOK_TEXT_SIZE]);

/*
 * What is wrong with a secret, as the end of a sentence that starts with "the
 * secret"; NULL when it will do: whsec_ and the base64 of 24 to 64 bytes, or any
 * other visible ASCII of 32 to 256 characters, and not to be guessed.
 */
extern const char *rg_webhook_secret_refusal(RgSlice secret);

/* Whether a secret that was not refused can sign in that form. */
extern bool rg_webhook_secret_signs(RgWebhookForm form, RgSlice secret);

/*
 * Whether all parts are there and read only one way: an id of 1 to 255 visible
 * ASCII characters without a full stop, a timestamp that
 * rg_webhook_timestamp() reads.
 */
extern bool rg_webhook_fits(RgWebhookForm form, const RgWebhook *webhook);

/* The same for the id alone. */
extern bool rg_webhook_id_fits(RgSlice id);

/* Reads 1 to 12 decimal digits, without leading zeros and with nothing else. */
extern bool rg_webhook_timestamp(RgSlice text, int64_t *seconds)
			__attribute__((warn_unused_result));

/* Signs; false when the secret does not sign in that form, or memory is short. */
extern bool rg_webhook_sign(RgWebhookForm form, RgSlice secret, const RgWebhook *webhook,
							char signature[RG_WEBHOOK_TEXT_SIZE])
			__attribute__((warn_unused_result));

/*
 * Whether a header has that signature: the standard form's among at most 16, any
 * other alone.  How long it takes tells where spaces are and nothing else.
 */
extern bool rg_webhook_listed(RgWebhookForm form, RgSlice header, const char *signature)
			__attribute__((warn_unused_result));

#endif
