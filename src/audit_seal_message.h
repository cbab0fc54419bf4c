/*
 * audit_seal_message.h
 *		What a seal of the audit log says, and how that is bound.
 *
 * The message of a seal is the byte 0x02 and its fields in the order of the
 * struct, each as its length (32 bits, big-endian) and its bytes; an absent one
 * has the length 0xFFFFFFFF and no bytes.  Numbers are big-endian, in 8 bytes
 * or, where they are int32_t here, 4.
 *
 *		root = BLAKE2b-256(message)
 *		mac = BLAKE2b-256 keyed with the audit subkey of key_id, of 0x03 and root
 *		proof = BLAKE2b-256 keyed with the ratchet's key of step, of 0x04 and root
 *
 * Pure C: shared by the sealer, the verifier and unit tests.
 */
#ifndef RG_AUDIT_SEAL_MESSAGE_H
#define RG_AUDIT_SEAL_MESSAGE_H

#include <stdint.h>

#include "ratchet.h"
#include "ring.h"
#include "slice.h"

#define RG_AUDIT_HASH_BYTES 32

/* A row of relay_guard.audit_seal but for what is computed from the others. */
typedef struct RgAuditSeal
{
	int64_t		seal_id;
	int32_t		epoch;			/* of snap */
	int32_t		row_epoch;		/* of the rows */
	RgSlice		snap;			/* as pg_snapshot prints it */
	RgSlice		month;			/* YYYY-MM-DD, the first of the month in UTC */
	int64_t		rows;
	RgSlice		ids;			/* as int8multirange prints it */
	RgSlice		digest;			/* BLAKE2b-256 of the rows' MACs by (xid, id) */
	int64_t		unwitnessed;
	RgSlice		findings;		/* as jsonb prints it, or absent */
	int64_t		sealed_at;		/* microseconds since 1970-01-01 UTC */
	RgSlice		previous;		/* root of seal_id - 1; absent in the first */
	int32_t		key_id;
	int64_t		step;			/* negative: absent */
} RgAuditSeal;

extern void rg_audit_seal_root(const RgAuditSeal *seal, uint8_t root[RG_AUDIT_HASH_BYTES]);

extern void rg_audit_seal_mac(const uint8_t key[RG_KEY_BYTES], const uint8_t root[RG_AUDIT_HASH_BYTES],
							  uint8_t mac[RG_AUDIT_HASH_BYTES]);

extern void rg_audit_seal_proof(const uint8_t step_key[RG_RATCHET_KEY_BYTES],
								const uint8_t root[RG_AUDIT_HASH_BYTES],
								uint8_t proof[RG_AUDIT_HASH_BYTES]);

#endif
