/*
 * keyring.h
 *		The server's key ring: relay_guard.keyring_file and what it is used for.
 *
 * Every function here raises an error with a hint when the server has no key
 * ring, or not the key that is asked for.
 *
 * The file is read again when it has changed, and that is looked for after a
 * reload of the configuration, before a key is refused as unknown or retired,
 * and, at most every 100 ms, before a new value is sealed.  So no read fails
 * while keys rotate, and soon after a new key is primary every backend uses it,
 * whatever it is doing.
 */
#ifndef RG_KEYRING_H
#define RG_KEYRING_H

#include "envelope.h"
#include "ring.h"

/* Defines the GUC and, at preload, reads the ring; called from _PG_init. */
extern void rg_keyring_init(void);

/* Whether the server was told where its ring is, be it readable or not; raises nothing. */
extern bool rg_keyring_configured(void);

/* Whether there is a ring; raises nothing. */
extern bool rg_keyring_available(void);

/* The ring, or NULL; good until the next call of anything here.  Raises nothing. */
extern const RgRing *rg_keyring(void);

/* Whether this process's copy of the ring is locked into memory. */
extern bool rg_keyring_locked(void);

/* The id of the key that makes new values. */
extern uint32 rg_keyring_primary(void);

/* The subkey of a key that is not retired; the caller wipes it. */
extern void rg_keyring_subkey(RgPurpose purpose, uint32 key_id, uint8 subkey[RG_KEY_BYTES]);

/*
 * The subkey that authenticates what a key's time left in the audit log, even of
 * one that is retired: the log cannot be written anew.  False when the ring does
 * not have it, or there is none; raises nothing.  The caller wipes it.
 */
extern bool rg_keyring_audit_key(uint32 key_id, uint8 subkey[RG_KEY_BYTES])
			__attribute__((warn_unused_result));

/* Whether the ring has that key and it is not retired. */
extern bool rg_keyring_usable(uint32 key_id);

/*
 * Seals plaintext under the primary key into out, which holds its length +
 * RG_ENVELOPE_OVERHEAD.
 */
extern void rg_keyring_seal_to(RgPurpose purpose, RgSlice aad, RgSlice plaintext, uint8 *out);

/*
 * Opens an envelope (one: rg_envelope_key_id() is not 0) into out, which holds
 * its length - RG_ENVELOPE_OVERHEAD.  False when it is not authentic under that
 * AAD; an unknown or retired key is an error that names it.
 */
extern bool rg_keyring_open_to(RgPurpose purpose, RgSlice aad, RgSlice envelope, uint8 *out)
			__attribute__((warn_unused_result));

/* As rg_keyring_seal_to(), into palloc'd memory. */
extern RgSlice rg_keyring_seal(RgPurpose purpose, RgSlice aad, RgSlice plaintext);

/*
 * Opens an envelope into palloc'd memory.  False when it is not authentic
 * under that AAD, or no envelope at all; an unknown key is an error that names
 * it.
 */
extern bool rg_keyring_open(RgPurpose purpose, RgSlice aad, RgSlice envelope,
							RgSlice *plaintext);

/* Bumped whenever the ring is read anew. */
extern uint64 rg_keyring_generation(void);

#endif
