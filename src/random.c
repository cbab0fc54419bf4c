/*
 * random.c
 *		Buffered random bytes; random.h has the contract.
 */
#include "random.h"

#include <pthread.h>
#include <sodium.h>
#include <stdint.h>
#include <string.h>

static uint8_t pool[512];
static size_t left = 0;
static pthread_once_t registered = PTHREAD_ONCE_INIT;

/* A child must not draw what its parent will draw. */
static void
forget_in_child(void)
{
	left = 0;
}

static void
watch_fork(void)
{
	pthread_atfork(NULL, NULL, forget_in_child);
}

void
rg_random(void *out, size_t len)
{
	pthread_once(&registered, watch_fork);
	if (left < len)
	{
		randombytes_buf(pool, sizeof pool);
		left = sizeof pool;
	}
	left -= len;
	memcpy(out, pool + left, len);
	sodium_memzero(pool + left, len);
}
