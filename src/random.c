/*
 * random.c
 *		Buffered random bytes; random.h has the contract.
 *
 * The buffer stands in a page that the kernel hands to a child as zeros,
 * however the child was made: handlers of pthread_atfork() are only called by
 * fork() itself.  Where the kernel does not do that there is no buffer.
 */
#define _DEFAULT_SOURCE
#include "random.h"

#include <sodium.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

typedef struct RandomPool
{
	size_t		left;			/* not drawn yet: the first so many bytes */
	uint8_t		bytes[RG_RANDOM_BUFFER];
} RandomPool;

static RandomPool *
make_pool(void)
{
	RandomPool *pool = mmap(NULL, sizeof *pool, PROT_READ | PROT_WRITE,
							MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pool == MAP_FAILED)
		return NULL;
	if (madvise(pool, sizeof *pool, MADV_WIPEONFORK) != 0)
	{
		munmap(pool, sizeof *pool);
		return NULL;
	}
	return pool;
}

/* NULL where there is to be none. */
static RandomPool *
get_pool(void)
{
	static RandomPool *pool = NULL;
	static bool tried = false;

	if (!tried)
		pool = make_pool();
	tried = true;
	return pool;
}

/* The kernel's generator works byte by byte; 32 of its bytes are as good a start. */
static void
refill(RandomPool *pool)
{
	uint8_t		seed[randombytes_SEEDBYTES];

	randombytes_buf(seed, sizeof seed);
	randombytes_buf_deterministic(pool->bytes, sizeof pool->bytes, seed);
	sodium_memzero(seed, sizeof seed);
	pool->left = sizeof pool->bytes;
}

void
rg_random(void *out, size_t len)
{
	RandomPool *pool = get_pool();

	if (pool == NULL || len > sizeof pool->bytes)
	{
		randombytes_buf(out, len);
		return;
	}
	if (pool->left < len)
		refill(pool);
	pool->left -= len;
	memcpy(out, pool->bytes + pool->left, len);
	sodium_memzero(pool->bytes + pool->left, len);
}
