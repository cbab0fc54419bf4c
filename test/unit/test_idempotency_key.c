/*
 * test_idempotency_key.c
 *		Which keys are taken, and what makes two requests the same.
 */
#include <string.h>

#include "idempotency_key.h"
#include "tap.h"

static const RgIdempotencyScope scope = {
	.user_id = RG_SLICE("u"),.workspace_id = RG_SLICE("w"),.address = RG_SLICE("192.0.2.1"),
	.method = RG_SLICE("POST"),.route = RG_SLICE("/a/{b}"),.key = RG_SLICE("k"),
};
static const RgIdempotencyPayload payload = {
	.path = RG_SLICE("/a/1"),.query = RG_SLICE("q=1"),.role = RG_SLICE("user"),.body = RG_SLICE("{}"),
};

static void
test_keys(void)
{
	char		bytes[RG_IDEMPOTENCY_KEY_MAX + 1];

	memset(bytes, 'k', sizeof bytes);
	ok(rg_idempotency_key_valid(rg_slice(bytes, RG_IDEMPOTENCY_KEY_MAX)), "255 bytes are a key");
	ok(!rg_idempotency_key_valid(rg_slice(bytes, RG_IDEMPOTENCY_KEY_MAX + 1)), "256 are not");
	ok(!rg_idempotency_key_valid(rg_slice("", 0)), "nor is none");
	for (int c = 0; c < 256; c++)
	{
		bytes[1] = (char) c;
		if (rg_idempotency_key_valid(rg_slice(bytes, 3)) != (c > ' ' && c <= '~'))
			ok(false, "byte %d", c);
	}
	ok(true, "visible ASCII characters are taken, and no others");
}

static bool
scopes_differ(RgIdempotencyScope other)
{
	uint8_t		a[RG_IDEMPOTENCY_HASH];
	uint8_t		b[RG_IDEMPOTENCY_HASH];

	rg_idempotency_scope(&scope, a);
	rg_idempotency_scope(&other, b);
	return memcmp(a, b, sizeof a) != 0;
}

static void
test_scope(void)
{
	RgIdempotencyScope other = scope;

	other.address = RG_SLICE("192.0.2.2");
	ok(!scopes_differ(other), "a user's address does not count");
	other.user_id = rg_slice(NULL, 0);
	ok(scopes_differ(other), "an address is no user");
	other = scope;
	other.user_id = RG_SLICE("uw");
	other.workspace_id = RG_SLICE("");
	ok(scopes_differ(other), "no field runs over into the next");
	other = scope;
	other.workspace_id = rg_slice(NULL, 0);
	ok(scopes_differ(other), "the workspace counts");
	other = scope;
	other.method = RG_SLICE("PUT");
	ok(scopes_differ(other), "so does the method");
	other = scope;
	other.route = RG_SLICE("/a/{c}");
	ok(scopes_differ(other), "and the route");
	other = scope;
	other.key = RG_SLICE("K");
	ok(scopes_differ(other), "and the key, to the letter");
}

static bool
payloads_differ(RgIdempotencyPayload other)
{
	uint8_t		a[RG_IDEMPOTENCY_HASH];
	uint8_t		b[RG_IDEMPOTENCY_HASH];

	rg_idempotency_fingerprint(&payload, a);
	rg_idempotency_fingerprint(&other, b);
	return memcmp(a, b, sizeof a) != 0;
}

static void
test_payload(void)
{
	RgIdempotencyPayload other = payload;

	ok(!payloads_differ(other), "the same is the same");
	other.path = RG_SLICE("/a/2");
	ok(payloads_differ(other), "another path of the route is another request");
	other = payload;
	other.query = RG_SLICE("");
	ok(payloads_differ(other), "so is another query");
	other = payload;
	other.role = RG_SLICE("admin");
	ok(payloads_differ(other), "and another role");
	other = payload;
	other.body = RG_SLICE("{} ");
	ok(payloads_differ(other), "and another body");
}

int
main(void)
{
	test_keys();
	test_scope();
	test_payload();
	return done();
}
