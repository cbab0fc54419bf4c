/*
 * test_audit_seal_message.c
 *		Root, MAC and proof of seals, against values that another implementation
 *		of BLAKE2b made.
 */
#include <sodium.h>
#include <string.h>

#include "audit_seal_message.h"
#include "tap.h"

static uint8_t digest[RG_AUDIT_HASH_BYTES];

static RgAuditSeal
first_seal(void)
{
	RgAuditSeal seal = {.seal_id = 1,.epoch = -5,.row_epoch = -5,.rows = 3,
		.sealed_at = INT64_C(1795257600000000),.key_id = 7,.step = -1,
		.snap = RG_SLICE("10:20:10,12"),.month = RG_SLICE("2026-11-01"),
	.ids = RG_SLICE("{[1,4)}"),.digest = {(char *) digest, sizeof digest}};

	return seal;
}

static RgAuditSeal
second_seal(const uint8_t previous[RG_AUDIT_HASH_BYTES])
{
	RgAuditSeal seal = first_seal();

	seal.seal_id = 2;
	seal.row_epoch = 99;
	seal.rows = 0;
	seal.unwitnessed = 2;
	seal.sealed_at++;
	seal.step = 3;
	seal.snap = RG_SLICE("10:20:");
	seal.month = RG_SLICE("2026-12-01");
	seal.ids = RG_SLICE("{}");
	seal.findings = RG_SLICE("[{\"xid\": 11}]");
	seal.previous = rg_slice((const char *) previous, RG_AUDIT_HASH_BYTES);
	return seal;
}

static void
is(const uint8_t hash[RG_AUDIT_HASH_BYTES], const char *expected, const char *name)
{
	char		hex[2 * RG_AUDIT_HASH_BYTES + 1];

	sodium_bin2hex(hex, sizeof hex, hash, RG_AUDIT_HASH_BYTES);
	ok(strcmp(hex, expected) == 0, "%s: %s", name, hex);
}

static void
test_values(void)
{
	RgAuditSeal first = first_seal();
	RgAuditSeal second;
	uint8_t		root[RG_AUDIT_HASH_BYTES];
	uint8_t		hash[RG_AUDIT_HASH_BYTES];
	uint8_t		key[32];

	for (int i = 0; i < 32; i++)
		key[i] = (uint8_t) (100 + i);
	rg_audit_seal_root(&first, root);
	is(root, "4215a7257b4633ce8a9904ede37a2f41c0590421e12d00e64ed1830c0dabed4e", "first root");
	second = second_seal(root);
	rg_audit_seal_root(&second, hash);
	is(hash, "fa18e113162023381e7907ae4fb6d0182c89ee05167960a22c818be64f23f275", "second root");
	rg_audit_seal_mac(key, hash, root);
	is(root, "e1326d74c9568382e9d5ff9c6288a55316ce507dbb0787ab36131d990866a136", "its MAC");
	rg_audit_seal_proof(key, hash, root);
	is(root, "2efb946edeab842c147d0b38a5941516d739e5a0c495e9974f03df602f244b7b", "its proof");
}

static void
differs(const RgAuditSeal *seal, const char *field)
{
	RgAuditSeal first = first_seal();
	uint8_t		a[RG_AUDIT_HASH_BYTES];
	uint8_t		b[RG_AUDIT_HASH_BYTES];

	rg_audit_seal_root(&first, a);
	rg_audit_seal_root(seal, b);
	ok(memcmp(a, b, sizeof a) != 0, "the root is bound to %s", field);
}

#define DIFFERS(field, value) \
	do { \
		RgAuditSeal seal = first_seal(); \
		seal.field = value; \
		differs(&seal, #field); \
	} while (0)

static void
test_every_field_counts(void)
{
	DIFFERS(seal_id, 2);
	DIFFERS(epoch, 5);
	DIFFERS(row_epoch, 5);
	DIFFERS(snap, RG_SLICE("10:20:10"));
	DIFFERS(month, RG_SLICE("2026-12-01"));
	DIFFERS(rows, 4);
	DIFFERS(ids, RG_SLICE("{[1,5)}"));
	DIFFERS(digest, rg_slice("", 0));
	DIFFERS(unwitnessed, 1);
	DIFFERS(findings, rg_slice("", 0));
	DIFFERS(sealed_at, 0);
	DIFFERS(previous, rg_slice((const char *) digest, sizeof digest));
	DIFFERS(key_id, 8);
	DIFFERS(step, 0);
}

int
main(void)
{
	for (int i = 0; i < RG_AUDIT_HASH_BYTES; i++)
		digest[i] = (uint8_t) i;
	test_values();
	test_every_field_counts();
	return done();
}
