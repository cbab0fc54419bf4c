/*
 * The message of a row of the audit log: no field can take another's place, and
 * absent is not empty.
 */
#include <string.h>

#include "audit_row.h"
#include "tap.h"

static const uint8_t key[RG_KEY_BYTES] = {1, 2, 3};

static RgAuditShared
shared_part(void)
{
	RgAuditShared shared = {
		.xid = 700,
		.occurred_at = 1700000000123456,
		.epoch = -5,
		.key_id = 7,
		.action = RG_SLICE("UPDATE"),
		.resource_type = RG_SLICE("file"),
		.session_role = RG_SLICE("app"),
		.source = RG_SLICE("trigger"),
		.status = RG_SLICE("ok"),
	};

	return shared;
}

static void
mac_of(const RgAuditShared *shared, const RgAuditOwn *own, uint8_t out[RG_AUDIT_MAC_BYTES])
{
	RgAuditMac	mac;

	rg_audit_mac_begin(&mac, key, shared);
	rg_audit_mac_row(&mac, own, out);
}

static bool
same(const RgAuditShared *a, const RgAuditOwn *x, const RgAuditShared *b, const RgAuditOwn *y)
{
	uint8_t		left[RG_AUDIT_MAC_BYTES];
	uint8_t		right[RG_AUDIT_MAC_BYTES];

	mac_of(a, x, left);
	mac_of(b, y, right);
	return memcmp(left, right, sizeof left) == 0;
}

static void
test_every_field(void)
{
	const RgAuditOwn own = {.id = 1,.resource_id = RG_SLICE("1")};
	RgAuditShared base = shared_part();
	RgSlice    *fields[] = {
		&base.action, &base.resource_type, &base.actor, &base.via, &base.session_role,
		&base.workspace_id, &base.api_key_id, &base.session_id, &base.request_id,
		&base.client_ip, &base.source, &base.status,
	};
	RgAuditShared untouched = base;
	int			found = 0;

	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
	{
		RgSlice		kept = *fields[i];

		*fields[i] = RG_SLICE("x");
		found += !same(&base, &own, &untouched, &own);
		*fields[i] = rg_slice("", 0);
		found += !same(&base, &own, &untouched, &own);
		*fields[i] = kept;
	}
	ok(found == 24, "another value, or an empty one, in any text changes the MAC");
	ok(same(&base, &own, &untouched, &own), "the same values have the same");
}

static void
test_numbers(void)
{
	const RgAuditOwn own = {.id = 1};
	const RgAuditOwn next = {.id = 2};
	RgAuditShared base = shared_part();
	RgAuditShared changed = base;

	changed.xid++;
	ok(!same(&base, &own, &changed, &own), "the transaction is in the MAC");
	changed = base;
	changed.occurred_at++;
	ok(!same(&base, &own, &changed, &own), "a microsecond is in the MAC");
	changed = base;
	changed.epoch = 5;
	ok(!same(&base, &own, &changed, &own), "the epoch is in the MAC");
	changed = base;
	changed.key_id++;
	ok(!same(&base, &own, &changed, &own), "the key's id is in the MAC");
	ok(!same(&base, &own, &base, &next), "the id is in the MAC");
}

static void
test_own_fields(void)
{
	const RgAuditOwn in_old = {.id = 1,.old_values = RG_SLICE("{}")};
	const RgAuditOwn in_new = {.id = 1,.new_values = RG_SLICE("{}")};
	const RgAuditOwn in_details = {.id = 1,.details = RG_SLICE("{}")};
	const RgAuditOwn in_resource = {.id = 1,.resource_id = RG_SLICE("{}")};
	RgAuditShared base = shared_part();

	ok(!same(&base, &in_old, &base, &in_new), "old is not new");
	ok(!same(&base, &in_new, &base, &in_details), "new is not details");
	ok(!same(&base, &in_resource, &base, &in_old), "nor the resource's id old");
}

int
main(void)
{
	if (sodium_init() < 0)
		return 1;
	test_every_field();
	test_numbers();
	test_own_fields();
	return done();
}
