/*
 * log_reader.c
 *		Readers of logs; log_reader.h has the contract.
 */
#include "log_reader.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>

#include "clock.h"

/* With a state of its own: that of fd is shared with whoever else writes there. */
int
rg_log_reader_open(int fd)
{
	struct stat status;
	char		path[32];
	int			opened;

	if (fstat(fd, &status) != 0 || !S_ISFIFO(status.st_mode))
		return fd;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	opened = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	return opened >= 0 ? opened : fd;
}

bool
rg_log_reader_has_room(int fd, int64_t until)
{
	struct pollfd wanted = {.fd = fd,.events = POLLOUT};
	int64_t		left = until - rg_now();

	return poll(&wanted, 1, left > 0 ? left / 1000 : 0) == 1 && (wanted.revents & POLLOUT);
}
