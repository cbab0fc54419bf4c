/*
 * lock_class.h
 *		Classes of relay_guard's own heavyweight locks.
 *
 * The fourth field of LOCKTAG_ADVISORY; those of pg_advisory_lock() are 1 and 2.
 */
#ifndef RG_LOCK_CLASS_H
#define RG_LOCK_CLASS_H

#define RG_LOCK_PROCEDURE	0x5247	/* relation, number */
#define RG_LOCK_ACCOUNT		0x5248	/* 64 bits of its key */
#define RG_LOCK_RESERVATION	0x5249	/* 64 random bits of its uuid */
#define RG_LOCK_IDEMPOTENCY	0x524a	/* 64 bits of its scope */

#endif
