/*
 * test_random.c
 *		Buffered random bytes, and that no two envelopes of a family of processes
 *		have the same nonce.
 *
 * RG_LONG=1 seals ten million instead of one million.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "envelope.h"
#include "random.h"
#include "tap.h"

#define CHILDREN 8
#define PROCESSES (2 * CHILDREN + 1)	/* each child has one of its own */

typedef uint8_t Nonce[RG_ENVELOPE_NONCE];

/* One after another for each process, in memory that they share. */
static Nonce *nonces;
static size_t per_process;

static RgSealer *sealer;

static void
seal(Nonce nonce)
{
	uint8_t		envelope[RG_ENVELOPE_OVERHEAD];
	RgSlice		none = {NULL, 0};

	if (!rg_envelope_seal(sealer, none, none, envelope))
		abort();
	memcpy(nonce, envelope + RG_ENVELOPE_HEADER, sizeof(Nonce));
}

static void
seal_all(int process)
{
	for (size_t i = 0; i < per_process; i++)
		seal(nonces[process * per_process + i]);
}

/* fork(), or what it does without the handlers of pthread_atfork(). */
static pid_t
make_child(bool bare)
{
	return bare ? syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : fork();
}

static bool
wait_for(int children)
{
	bool		all = true;

	for (int i = 0; i < children; i++)
	{
		int			status;

		all &= wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
	}
	return all;
}

/* A child leaves some of its buffer to the grandchild, which draws at the same time. */
static void
live(int process, bool bare)
{
	Nonce		drawn;
	pid_t		child;

	seal(drawn);
	child = make_child(bare);
	seal_all(child == 0 ? process + CHILDREN : process);
	_exit(child == 0 || (child > 0 && wait_for(1)) ? 0 : 1);
}

static int
compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(Nonce));
}

static size_t
repeats(size_t count)
{
	size_t		found = 0;

	qsort(nonces, count, sizeof *nonces, compare);
	for (size_t i = 1; i < count; i++)
		found += compare(nonces[i - 1], nonces[i]) == 0;
	return found;
}

static void
test_family(size_t total)
{
	size_t		size;
	Nonce		drawn;

	per_process = total / PROCESSES + 1;
	total = per_process * PROCESSES;
	size = total * sizeof(Nonce);
	nonces = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	fflush(stdout);
	seal(drawn);
	for (int process = 1; process <= CHILDREN; process++)
		if (make_child(process % 2) == 0)
			live(process, process % 4 >= 2);
	seal_all(0);
	ok(wait_for(CHILDREN), "%d processes, forks of forks, draw at once", PROCESSES);
	ok(repeats(total) == 0, "no nonce of their %zu envelopes comes twice", total);
	munmap(nonces, size);
}

/* Every byte of a nonce takes every value. */
static void
test_spread(void)
{
	static bool seen[RG_ENVELOPE_NONCE][UINT8_MAX + 1];
	size_t		missing = 0;

	for (int i = 0; i < 10000; i++)
	{
		Nonce		nonce;

		seal(nonce);
		for (int byte = 0; byte < RG_ENVELOPE_NONCE; byte++)
			seen[byte][nonce[byte]] = true;
	}
	for (int byte = 0; byte < RG_ENVELOPE_NONCE; byte++)
		for (int value = 0; value <= UINT8_MAX; value++)
			missing += !seen[byte][value];
	ok(missing == 0, "every byte of a nonce takes every value");
}

/*
 * As many bytes as were asked for, and no more, whatever the buffer holds; for
 * a byte to stay what it was by chance a few times over is one in 2^40.
 */
static bool
fills(size_t len)
{
	static uint8_t out[3 * RG_RANDOM_BUFFER];
	bool		first = len == 0,
				last = len == 0;

	for (int i = 0; i < 5; i++)
	{
		memset(out, 0, sizeof out);
		rg_random(out + 1, len);
		first |= out[1] != 0;
		last |= out[len] != 0;
		if (out[0] != 0 || out[len + 1] != 0)
			return false;
	}
	return first && last;
}

static void
test_lengths(void)
{
	size_t		wrong = 0;

	for (size_t len = 0; len <= 2 * RG_RANDOM_BUFFER; len++)
		wrong += !fills(len);
	ok(wrong == 0, "every length up to two buffers is filled, and no byte more");
}

int
main(void)
{
	const char *prolonged = getenv("RG_LONG");
	uint8_t		key[32] = {1};

	sealer = rg_sealer_new(key, 1);
	test_lengths();
	test_spread();
	test_family(prolonged != NULL && strcmp(prolonged, "1") == 0 ? 10000000 : 1000000);
	rg_sealer_free(sealer);
	return done();
}
