/*
 * keyring_file.c
 *		Changing the file of a key ring.
 *
 * The lock is on the file itself, which only those who may read the ring can
 * open.  A new file takes its place, so who gets the lock has to look whether
 * what it locked is still the file of that name.
 */
#include "keyring_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "ring_file.h"

#define LOCK_TRIES 600			/* 50 ms each */

/* Of a name that nobody would give to a ring of his own. */
#define SUCCESSOR ".being-edited"

bool
rg_keyring_file_fail(const char *path, const char *what, const char *why)
{
	fprintf(stderr, "the key ring %s %s: %s\n", path, what, why);
	return false;
}

RgRing *
rg_keyring_file_parse(const char *path, char *error, size_t error_size)
{
	struct stat status;
	int			fd = rg_ring_file_open(path, &status, error, error_size);
	RgRingText	text = {NULL, 0};
	RgRing	   *ring = NULL;

	if (fd < 0)
		return NULL;
	if (rg_ring_file_read(fd, &status, &text, error, error_size))
		ring = rg_ring_parse(rg_slice(text.data, text.len), error, error_size);
	rg_ring_text_free(&text);
	close(fd);
	return ring;
}

static void
pause_ms(long ms)
{
	struct timespec pause = {0, ms * 1000000};

	nanosleep(&pause, NULL);
}

/* Whether the name still stands for the open file. */
static bool
is_current(const RgKeyringFile *file)
{
	struct stat named;

	return lstat(file->path, &named) == 0 && named.st_dev == file->status.st_dev &&
		named.st_ino == file->status.st_ino;
}

/* False without a problem: somebody else has the lock, or has replaced the file. */
static bool
try_lock(RgKeyringFile *file, char *problem, size_t size)
{
	bool		locked;

	problem[0] = '\0';
	file->fd = rg_ring_file_open(file->path, &file->status, problem, size);
	if (file->fd < 0)
		return false;
	locked = flock(file->fd, LOCK_EX | LOCK_NB) == 0;
	if (locked && is_current(file))
		return true;
	if (!locked && errno != EWOULDBLOCK)
		snprintf(problem, size, "%s", strerror(errno));
	close(file->fd);
	file->fd = -1;
	return false;
}

static bool
lock(RgKeyringFile *file)
{
	char		problem[128];

	for (int i = 0; i < LOCK_TRIES; i++)
	{
		if (try_lock(file, problem, sizeof problem))
			return true;
		if (problem[0] != '\0')
			return rg_keyring_file_fail(file->path, "cannot be used", problem);
		pause_ms(50);
	}
	return rg_keyring_file_fail(file->path, "cannot be changed", "somebody else has it locked");
}

bool
rg_keyring_file_open(RgKeyringFile *file, const char *path)
{
	char		problem[128];

	file->path = path;
	file->text.data = NULL;
	if (!lock(file))
		return false;
	if (rg_ring_file_read(file->fd, &file->status, &file->text, problem, sizeof problem))
		return true;
	close(file->fd);
	return rg_keyring_file_fail(path, "cannot be read", problem);
}

void
rg_keyring_file_close(RgKeyringFile *file)
{
	rg_ring_text_free(&file->text);
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
}

static bool
write_all(int fd, const RgRingText *text)
{
	size_t		done = 0;

	while (done < text->len)
	{
		ssize_t		written = write(fd, text->data + done, text->len - done);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return false;
		done += written;
	}
	return fsync(fd) == 0;
}

/* Opens the folder that the file stands in. */
static int
open_folder(const char *path)
{
	char		copy[PATH_MAX];

	snprintf(copy, sizeof copy, "%s", path);
	return open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* A name is on disk when its folder is. */
static bool
sync_folder(const char *path)
{
	int			fd = open_folder(path);
	bool		synced = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		close(fd);
	return synced;
}

/* path and suffix; false when that is too long for a name. */
static bool
make_name(const char *path, const char *suffix, char name[PATH_MAX])
{
	if (snprintf(name, PATH_MAX, "%s%s", path, suffix) < PATH_MAX)
		return true;
	errno = ENAMETOOLONG;
	return false;
}

/* What went wrong before is what errno tells. */
static void
close_quietly(int fd)
{
	int			error = errno;

	close(fd);
	errno = error;
}

/* Owner and mode of the former file; only root gives files away. */
static bool
take_over(int fd, const struct stat *former)
{
	return (geteuid() != 0 || fchown(fd, former->st_uid, former->st_gid) == 0) &&
		fchmod(fd, former->st_mode & 07777) == 0;
}

/*
 * Writes what is to replace the file.  Whoever has the lock is the only one to
 * use that name: what stands there was left by one that broke off.
 */
static bool
write_successor(const RgKeyringFile *file, const char *name, const RgRingText *text)
{
	int			fd;
	bool		written;

	if (unlink(name) != 0 && errno != ENOENT)
		return false;
	fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	written = take_over(fd, &file->status) && write_all(fd, text);
	if (!written)
		close_quietly(fd);
	return written && close(fd) == 0;
}

static bool
is_same(const RgRingText *a, const RgRingText *b)
{
	return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

bool
rg_keyring_file_replace(const RgKeyringFile *file, const RgRingText *text)
{
	char		name[PATH_MAX];

	if (is_same(text, &file->text))
		return true;
	if (!make_name(file->path, SUCCESSOR, name))
		return rg_keyring_file_fail(file->path, "cannot be written", strerror(errno));
	if (!write_successor(file, name, text) || rename(name, file->path) != 0)
	{
		rg_keyring_file_fail(file->path, "cannot be written", strerror(errno));
		unlink(name);
		return false;
	}
	return sync_folder(file->path) ||
		rg_keyring_file_fail(file->path, "may not be on disk yet", strerror(errno));
}

static void
unlink_quietly(const char *name)
{
	int			error = errno;

	unlink(name);
	errno = error;
}

/* Gives a complete file its name, unless that is taken. */
static bool
publish(const char *name, const char *path)
{
	bool		linked = link(name, path) == 0;

	unlink_quietly(name);
	return linked && sync_folder(path);
}

bool
rg_keyring_file_publish(const char *path, const RgRingText *text)
{
	char		name[PATH_MAX];
	int			fd = make_name(path, ".XXXXXX", name) ? mkostemp(name, O_CLOEXEC) : -1;
	bool		written;

	if (fd < 0)
		return false;
	written = write_all(fd, text);
	if (!written)
		close_quietly(fd);
	if (written && close(fd) == 0)
		return publish(name, path);
	unlink_quietly(name);
	return false;
}

bool
rg_keyring_file_create(const char *path, const RgRingText *text)
{
	return rg_keyring_file_publish(path, text) ||
		rg_keyring_file_fail(path, "cannot be written", strerror(errno));
}

bool
rg_keyring_file_in_memory(const char *path)
{
	struct statfs status;
	int			fd = open_folder(path);
	bool		known = fd >= 0 && fstatfs(fd, &status) == 0;

	if (fd >= 0)
		close(fd);
	return known && (status.f_type == TMPFS_MAGIC || status.f_type == RAMFS_MAGIC);
}
