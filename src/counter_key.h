/*
 * counter_key.h
 *		What a counter is found by.
 */
#ifndef RG_COUNTER_KEY_H
#define RG_COUNTER_KEY_H

#include "datatype/timestamp.h"

#include "counter.h"

/* Makes the cache of relay_guard.installation known; called once. */
extern void rg_counter_key_init(void);

/*
 * The keyed hash of this database, a policy and a value; nobody who does not
 * know the installation's key can choose values that collide.
 */
extern RgCounterKey rg_counter_key(int32 policy, RgSlice value);

/* The same for a value that has a role's own numbers, and so is counted apart. */
extern RgCounterKey rg_counter_role_key(int32 policy, RgSlice role, RgSlice value);

/*
 * The key of an account: of one version of a policy, in the window that begins
 * then, for a value.
 */
extern RgCounterKey rg_counter_account_key(int64 version, TimestampTz from, RgSlice value);

/* The key of the policy's overflow counter, which no value has. */
extern RgCounterKey rg_counter_overflow_key(int32 policy);

/*
 * What stands for a value where others see it: always the same, and nobody who does
 * not know the installation's key learns the value from it.
 */
extern RgCounterKey rg_counter_pseudonym(RgSlice value);

/* Names the extension as installed in this database; another after DROP. */
extern uint64 rg_counter_owner(void);

#endif
