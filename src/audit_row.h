/*
 * audit_row.h
 *		What a row of the audit log is authenticated by: BLAKE2b-256 keyed with
 *		the ring's subkey for audit, over the row's values as they are stored.
 *
 * docs/formats.md has the message byte by byte.  What the rows of one statement
 * share comes first, so that it is hashed once.
 *
 * Pure C.
 */
#ifndef RG_AUDIT_ROW_H
#define RG_AUDIT_ROW_H

#include <sodium.h>
#include <stdint.h>

#include "ring.h"
#include "slice.h"

#define RG_AUDIT_MAC_BYTES 32

/* The first byte of a message says what it is of. */
typedef enum RgAuditTag
{
	RG_AUDIT_TAG_ROW = 1,
	RG_AUDIT_TAG_SEAL = 2,
	RG_AUDIT_TAG_SEAL_MAC = 3,
	RG_AUDIT_TAG_PROOF = 4
} RgAuditTag;

/* What the rows of a statement share; texts in UTF-8, data NULL for NULL. */
typedef struct RgAuditShared
{
	uint64_t	xid;
	int64_t		occurred_at;	/* microseconds since 1970-01-01 UTC */
	int32_t		epoch;
	int32_t		key_id;
	RgSlice		action;
	RgSlice		resource_type;
	RgSlice		actor;
	RgSlice		via;
	RgSlice		session_role;
	RgSlice		workspace_id;
	RgSlice		api_key_id;		/* canonical form */
	RgSlice		session_id;
	RgSlice		request_id;
	RgSlice		client_ip;		/* as PostgreSQL prints an inet */
	RgSlice		source;
	RgSlice		status;
} RgAuditShared;

/* What each has of its own; jsonb in the text form that PostgreSQL prints. */
typedef struct RgAuditOwn
{
	int64_t		id;
	RgSlice		resource_id;
	RgSlice		old_values;
	RgSlice		new_values;
	RgSlice		details;
} RgAuditOwn;

/*
 * A hash that has taken in the shared part; whoever made it wipes it.  It stands
 * at a multiple of RG_AUDIT_MAC_ALIGNMENT bytes, more than palloc() gives.
 */
typedef crypto_generichash_state RgAuditMac;

#define RG_AUDIT_MAC_ALIGNMENT 64

extern void rg_audit_mac_begin(RgAuditMac *mac, const uint8_t key[RG_KEY_BYTES],
							   const RgAuditShared *shared);
extern void rg_audit_mac_row(const RgAuditMac *begun, const RgAuditOwn *own,
							 uint8_t out[RG_AUDIT_MAC_BYTES]);

/* Fields of a message: 32 bits of length, then the bytes; absent is length 2^32 - 1. */
extern void rg_audit_hash_slice(RgAuditMac *mac, RgSlice field);
extern void rg_audit_hash_int32(RgAuditMac *mac, int32_t value);
extern void rg_audit_hash_int64(RgAuditMac *mac, int64_t value);

#endif
