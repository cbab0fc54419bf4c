/*
 * address_bucket.h
 *		Token buckets of addresses, in shared memory of fixed size.
 *
 * They stand in for the database's limits while it is away.  All workers of a
 * gateway share them, without locks, so a limit is one whichever worker a client
 * meets, and a worker that dies leaves nothing locked.  An entry that is full again
 * says nothing, so its place is free; where none is, that which would be full first
 * makes room: whoever has thousands of addresses is beyond a limit by address.
 *
 * Keys are SipHash under a random key: nobody can choose addresses that meet.
 *
 * No event loop here: unit tests use it as it is.
 */
#ifndef RG_ADDRESS_BUCKET_H
#define RG_ADDRESS_BUCKET_H

#include "forwarded.h"

#define RG_ADDRESS_BUCKETS 8192
#define RG_BUCKET_MIN_RATE 0.001	/* tokens a second */
#define RG_BUCKET_MAX_RATE 10000
#define RG_BUCKET_MAX_BURST 100000

typedef struct RgAddressBuckets RgAddressBuckets;

/* Some 130 kB that children of this process share; NULL when memory is short. */
extern RgAddressBuckets *rg_address_buckets_new(void)
			__attribute__((warn_unused_result));

extern void rg_address_buckets_free(RgAddressBuckets *buckets);

/*
 * Takes a token from the bucket of that name and address (IPv6: its /64), which
 * holds burst of them and gets rate a second.  0, or when there is none, the
 * microseconds until there will be; then nothing was taken.  now is rg_now().
 */
extern int64_t rg_address_bucket_take(RgAddressBuckets *buckets, RgSlice name,
									  const RgAddress *address, double rate, int burst,
									  int64_t now)
			__attribute__((warn_unused_result));

#endif
