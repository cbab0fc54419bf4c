/*
 * ring_file.c
 *		Reading the file of a key ring.
 */
#include "ring_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* What makes the open file unfit to hold keys, or NULL. */
static const char *
refuse(const struct stat *status)
{
	uid_t		reader = geteuid();

	if (!S_ISREG(status->st_mode))
		return "it is not a regular file";
	if (status->st_uid != reader && status->st_uid != 0 && reader != 0)
		return "it belongs to another user";
	if (status->st_mode & (status->st_uid == 0 ? S_IRWXO | S_IWGRP : S_IRWXO | S_IRWXG))
		return "others may read it";
	if (status->st_size > RG_RING_MAX_TEXT)
		return "it is larger than 64 kB";
	return NULL;
}

/* O_NONBLOCK: a named pipe in its place must hold nobody up. */
static int
open_file(const char *path, int access, struct stat *status, char *problem, size_t problem_size)
{
	int			fd = open(path, access | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	const char *unfit;

	if (fd < 0)
	{
		snprintf(problem, problem_size, "%s", strerror(errno));
		return -1;
	}
	unfit = fstat(fd, status) == 0 ? refuse(status) : strerror(errno);
	if (unfit == NULL)
		return fd;
	snprintf(problem, problem_size, "%s", unfit);
	close(fd);
	return -1;
}

int
rg_ring_file_open(const char *path, struct stat *status, char *problem, size_t problem_size)
{
	return open_file(path, O_RDONLY, status, problem, problem_size);
}

int
rg_ring_file_open_to_write(const char *path, struct stat *status, char *problem, size_t problem_size)
{
	return open_file(path, O_RDWR, status, problem, problem_size);
}

/* To the end of the file, or the room; -1 for an error. */
static ssize_t
read_all(int fd, char *data, size_t size)
{
	size_t		len = 0;

	while (len < size)
	{
		ssize_t		got = read(fd, data + len, size - len);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		len += got;
	}
	return len;
}

bool
rg_ring_file_read(int fd, const struct stat *status, RgRingText *text,
				  char *problem, size_t problem_size)
{
	size_t		expected = status->st_size;
	ssize_t		len;

	if (!rg_ring_text_new(text, expected + 1))
	{
		snprintf(problem, problem_size, "no guarded memory");
		return false;
	}
	len = read_all(fd, text->data, expected + 1);
	if (len >= 0 && (size_t) len <= expected)
	{
		text->len = len;
		return true;
	}
	snprintf(problem, problem_size, "%s", len < 0 ? strerror(errno) : "it grew while it was read");
	rg_ring_text_free(text);
	return false;
}

static bool
same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool
rg_ring_file_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
		same_time(a->st_mtim, b->st_mtim) && same_time(a->st_ctim, b->st_ctim);
}
