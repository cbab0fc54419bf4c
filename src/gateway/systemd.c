/*
 * systemd.c
 *		Socket activation and notification; systemd.h has the contract.
 */
#include "systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"

#define FIRST_SOCKET 3

/* The number in a variable, or -1. */
static long
number_in(const char *name)
{
	const char *text = getenv(name);
	char	   *end;
	long		number;

	if (text == NULL || *text < '0' || *text > '9')
		return -1;
	number = strtol(text, &end, 10);
	return *end == '\0' ? number : -1;
}

static bool
has_option(int fd, int option, int wanted)
{
	int			value = 0;
	socklen_t	len = sizeof value;

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 && value == wanted;
}

/* A socket of Accept=yes is a connection, and one of ListenDatagram= no stream. */
static bool
take_socket(int fd)
{
	int			flags = fcntl(fd, F_GETFL);

	return flags >= 0 && has_option(fd, SO_TYPE, SOCK_STREAM) && has_option(fd, SO_ACCEPTCONN, 1) &&
		fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

static void
forget_environment(void)
{
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
}

int
rg_systemd_sockets(int *sockets, int room, const char **why)
{
	bool		ours = number_in("LISTEN_PID") == getpid();
	long		count = number_in("LISTEN_FDS");

	forget_environment();
	if (!ours || count <= 0)
		return 0;
	*why = "there are more of them than workers";
	if (count > room)
		return -1;
	*why = "one of them is no listening stream socket";
	for (int i = 0; i < count; i++)
	{
		if (!take_socket(FIRST_SOCKET + i))
			return -1;
		sockets[i] = FIRST_SOCKET + i;
	}
	return count;
}

/* A path, or the name of an abstract socket behind an @. */
static socklen_t
notify_address(struct sockaddr_un *address)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t		len = path ? strlen(path) : 0;

	if (len < 2 || len >= sizeof address->sun_path || (*path != '/' && *path != '@'))
		return 0;
	memset(address, 0, sizeof *address);
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, path, len);
	if (*path == '@')
		address->sun_path[0] = '\0';
	return offsetof(struct sockaddr_un, sun_path) + len;
}

/* Whoever does not hear it is not waited for. */
void
rg_systemd_notify(const char *state)
{
	struct sockaddr_un address;
	socklen_t	len = notify_address(&address);
	int			fd;

	if (len == 0)
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void) sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT,
				  (struct sockaddr *) &address, len);
	close(fd);
}

void
rg_systemd_notify_reload(void)
{
	char		state[64];

	snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long) rg_now());
	rg_systemd_notify(state);
}
