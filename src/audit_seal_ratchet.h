/*
 * audit_seal_ratchet.h
 *		The server's ratchet: relay_guard.audit_ratchet_file, and how a sealing
 *		uses it.
 *
 * A seal of step i is committed, then the file goes on to i + 1.  A server that
 * ends in between leaves a file at a step that a seal has: the next sealing goes
 * on behind that seal.  Another ratchet that was put in its place goes on from
 * where it stands, a new one from 0.
 */
#ifndef RG_AUDIT_SEAL_RATCHET_H
#define RG_AUDIT_SEAL_RATCHET_H

#include "audit_seal_message.h"

/* The setting; called from _PG_init. */
extern void rg_seal_ratchet_init(void);

/* Whether there is to be one. */
extern bool rg_seal_ratchet_wanted(void);

/* The last seal with a proof; step is negative where there is none. */
typedef struct RgProvedSeal
{
	int64		step;
	uint8		root[RG_AUDIT_HASH_BYTES];
	uint8		proof[RG_AUDIT_HASH_BYTES];
} RgProvedSeal;

/*
 * Makes the ratchet ready for the seal behind that one.  When it cannot be used,
 * or is another than made that proof, the problem; otherwise NULL.
 */
extern const char *rg_seal_ratchet_open(const RgProvedSeal *last)
			__attribute__((warn_unused_result));

/* The step of the next proof; negative when there is no ratchet. */
extern int64 rg_seal_ratchet_step(void);

/* Makes the proof of that step and goes on to the next. */
extern void rg_seal_ratchet_prove(const uint8 root[RG_AUDIT_HASH_BYTES],
								  uint8 proof[RG_AUDIT_HASH_BYTES]);

/* After the commit: the file follows.  Raises nothing but a warning. */
extern void rg_seal_ratchet_commit(void);

/* Wipes the ratchet. */
extern void rg_seal_ratchet_close(void);

#endif
