/*
 * ratchet_file.c
 *		Reading a ratchet's file and advancing it.
 */
#include "ratchet_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "ring_file.h"

#define LOCK_TRIES 100			/* 10 ms each */

static bool
fail(char *problem, size_t size, const char *why)
{
	snprintf(problem, size, "%s", why);
	return false;
}

static bool
lock(int fd)
{
	struct timespec pause = {0, 10 * 1000000};

	for (int i = 0; i < LOCK_TRIES; i++)
	{
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return true;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return false;
		nanosleep(&pause, NULL);
	}
	return false;
}

/* Opens and locks; -1 with the problem. */
static int
open_locked(const char *path, char *problem, size_t size)
{
	struct stat status;
	int			fd = rg_ring_file_open_to_write(path, &status, problem, size);

	if (fd < 0 || lock(fd))
		return fd;
	close(fd);
	(void) fail(problem, size, "somebody else has it locked");
	return -1;
}

static bool
read_ratchet(int fd, RgRatchet *ratchet, char *problem, size_t size)
{
	char		text[RG_RATCHET_TEXT_SIZE];
	ssize_t		len = pread(fd, text, sizeof text, 0);
	bool		parsed;

	if (len < 0)
		return fail(problem, size, strerror(errno));
	parsed = rg_ratchet_parse(rg_slice(text, len), ratchet) ||
		fail(problem, size, "it holds no ratchet");
	sodium_memzero(text, sizeof text);
	return parsed;
}

/* A text never gets shorter from one step to the next. */
static bool
write_ratchet(int fd, const RgRatchet *ratchet, char *problem, size_t size)
{
	char		text[RG_RATCHET_TEXT_SIZE];
	size_t		len = rg_ratchet_format(ratchet, text);
	ssize_t		written = pwrite(fd, text, len, 0);

	sodium_memzero(text, sizeof text);
	if (written < 0 || fsync(fd) != 0)
		return fail(problem, size, strerror(errno));
	return (size_t) written == len || fail(problem, size, "it could be written in part only");
}

bool
rg_ratchet_file_read(const char *path, RgRatchet *ratchet, char *problem, size_t problem_size)
{
	int			fd = open_locked(path, problem, problem_size);
	bool		done;

	if (fd < 0)
		return false;
	done = read_ratchet(fd, ratchet, problem, problem_size);
	close(fd);
	return done;
}

static bool
advance(int fd, int64_t step, char *problem, size_t size)
{
	RgRatchet	ratchet;
	bool		done;

	if (!read_ratchet(fd, &ratchet, problem, size))
		return false;
	if (ratchet.step >= step)
		done = true;
	else if (!rg_ratchet_advance_to(&ratchet, step))
		done = fail(problem, size, "it is too many steps behind");
	else
		done = write_ratchet(fd, &ratchet, problem, size);
	rg_ratchet_wipe(&ratchet);
	return done;
}

bool
rg_ratchet_file_advance(const char *path, int64_t step, char *problem, size_t problem_size)
{
	int			fd = open_locked(path, problem, problem_size);
	bool		done;

	if (fd < 0)
		return false;
	done = advance(fd, step, problem, problem_size);
	close(fd);
	return done;
}
