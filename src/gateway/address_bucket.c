/*
 * address_bucket.c
 *		Token buckets of addresses; address_bucket.h has the contract.
 *
 * A bucket is one number (GCRA): when it will be full.  Each token that is taken
 * puts that off by the time it takes to come back.
 */
#include "address_bucket.h"

#include <sodium.h>
#include <stdatomic.h>
#include <sys/mman.h>

#define WAYS 8
#define SETS (RG_ADDRESS_BUCKETS / WAYS)

typedef struct Bucket
{
	_Atomic uint64_t key;		/* 0: nobody's */
	_Atomic int64_t full_at;	/* rg_now() */
} Bucket;

struct RgAddressBuckets
{
	unsigned char secret[crypto_shorthash_KEYBYTES];
	Bucket		sets[SETS][WAYS];
};

RgAddressBuckets *
rg_address_buckets_new(void)
{
	RgAddressBuckets *buckets = mmap(NULL, sizeof *buckets, PROT_READ | PROT_WRITE,
									 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (buckets == MAP_FAILED)
		return NULL;
	crypto_shorthash_keygen(buckets->secret);
	return buckets;
}

void
rg_address_buckets_free(RgAddressBuckets *buckets)
{
	if (buckets != NULL)
		munmap(buckets, sizeof *buckets);
}

static uint64_t
make_key(const RgAddressBuckets *buckets, RgSlice name, const RgAddress *address)
{
	static const uint8_t mapped[12] = {[10] = 0xff,[11] = 0xff};
	uint64_t	parts[3] = {0};
	uint64_t	key;

	crypto_shorthash((unsigned char *) &parts[0], (const unsigned char *) name.data, name.len,
					 buckets->secret);
	memcpy(&parts[1], address->bytes, memcmp(address->bytes, mapped, sizeof mapped) == 0 ? 16 : 8);
	crypto_shorthash((unsigned char *) &key, (const unsigned char *) parts, sizeof parts,
					 buckets->secret);
	return key != 0 ? key : 1;
}

/*
 * The bucket of a key.  Two that come at once may each take a place for it; then
 * one of them is found from the next time on.
 */
static Bucket *
find_bucket(Bucket set[WAYS], uint64_t key, int64_t now)
{
	Bucket	   *first = &set[0];
	uint64_t	former;

	for (int i = 0; i < WAYS; i++)
	{
		if (atomic_load(&set[i].key) == key)
			return &set[i];
		if (atomic_load(&set[i].full_at) < atomic_load(&first->full_at))
			first = &set[i];
	}
	former = atomic_load(&first->key);
	if (atomic_compare_exchange_strong(&first->key, &former, key))
		atomic_store(&first->full_at, now);
	return first;
}

int64_t
rg_address_bucket_take(RgAddressBuckets *buckets, RgSlice name, const RgAddress *address,
					   double rate, int burst, int64_t now)
{
	uint64_t	key = make_key(buckets, name, address);
	Bucket	   *bucket = find_bucket(buckets->sets[key % SETS], key, now);
	int64_t		token = 1e6 / rate;
	int64_t		full_at = atomic_load(&bucket->full_at);
	int64_t		from;

	do
	{
		from = full_at > now ? full_at : now;
		if (from - now > (burst - 1) * token)
			return from - now - (burst - 1) * token;
	} while (!atomic_compare_exchange_weak(&bucket->full_at, &full_at, from + token));
	return 0;
}
