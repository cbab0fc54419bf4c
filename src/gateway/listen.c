/*
 * listen.c
 *		Listening sockets; listen.h has the contract.
 */
#include "listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 4096

static bool
parse_unix(const char *path, RgListen *listen)
{
	struct sockaddr_un *address = (struct sockaddr_un *) &listen->address;

	if (*path != '/' || strlen(path) >= sizeof address->sun_path)
		return false;
	address->sun_family = AF_UNIX;
	strcpy(address->sun_path, path);
	listen->len = sizeof *address;
	return true;
}

static bool
parse_port(const char *text, int *port)
{
	char	   *end;
	long		number;

	if (*text < '0' || *text > '9')
		return false;
	number = strtol(text, &end, 10);
	*port = number;
	return *end == '\0' && number > 0 && number < 65536;
}

/* host is changed: brackets are taken off. */
static bool
set_host(char *host, int port, RgListen *listen)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *) &listen->address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *) &listen->address;
	size_t		len = strlen(host);

	if (len > 2 && host[0] == '[' && host[len - 1] == ']')
	{
		host[len - 1] = '\0';
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		listen->len = sizeof *v6;
		return inet_pton(AF_INET6, host + 1, &v6->sin6_addr) == 1;
	}
	v4->sin_family = AF_INET;
	v4->sin_port = htons(port);
	listen->len = sizeof *v4;
	return inet_pton(AF_INET, host, &v4->sin_addr) == 1;
}

bool
rg_listen_parse(const char *text, int port, RgListen *listen)
{
	char		host[64];
	const char *colon = strrchr(text, ':');
	int			given;

	memset(listen, 0, sizeof *listen);
	if (strncmp(text, "unix:", 5) == 0)
		return parse_unix(text + 5, listen);
	if (colon == NULL || (size_t) (colon - text) >= sizeof host ||
		!parse_port(colon + 1, &given))
		return false;
	memcpy(host, text, colon - text);
	host[colon - text] = '\0';
	return set_host(host, port ? port : given, listen);
}

static bool
is_unix(const RgListen *listen)
{
	return listen->address.ss_family == AF_UNIX;
}

static int
bound_socket(const RgListen *listen, bool share)
{
	int			one = 1;
	int			fd = socket(listen->address.ss_family,
							SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (share)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
	if (bind(fd, (const struct sockaddr *) &listen->address, listen->len) == 0)
		return fd;
	close(fd);
	return -1;
}

/*
 * Under SO_REUSEPORT a second gateway of the same user would silently take
 * half of the connections, so whether the port is free is asked without it.
 */
static bool
is_free(const RgListen *listen)
{
	int			fd = bound_socket(listen, false);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

static bool
open_tcp(const RgListen *listen_at, int count, int *sockets)
{
	if (!is_free(listen_at))
		return false;
	for (int i = 0; i < count; i++)
	{
		sockets[i] = bound_socket(listen_at, true);
		if (sockets[i] < 0 || listen(sockets[i], BACKLOG) != 0)
			return false;
	}
	return true;
}

/* Removes the file of a socket that nobody listens at any more. */
static bool
remove_leftover(const RgListen *listen)
{
	const char *path = ((const struct sockaddr_un *) &listen->address)->sun_path;
	int			fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool		taken = fd >= 0 &&
	connect(fd, (const struct sockaddr *) &listen->address, listen->len) == 0;
	bool		leftover = !taken && errno == ECONNREFUSED;

	close(fd);
	if (leftover)
		return unlink(path) == 0;
	errno = EADDRINUSE;
	return !taken;
}

static bool
open_unix(const RgListen *listen_at, int count, int *sockets)
{
	int			fd;

	if (!remove_leftover(listen_at))
		return false;
	fd = bound_socket(listen_at, false);
	if (fd < 0 || listen(fd, BACKLOG) != 0)
		return false;
	for (int i = 0; i < count; i++)
		sockets[i] = fd;
	return true;
}

bool
rg_listen_open(const RgListen *listen, int count, int *sockets)
{
	return is_unix(listen) ? open_unix(listen, count, sockets)
		: open_tcp(listen, count, sockets);
}

bool
rg_listen_same(const RgListen *a, const RgListen *b)
{
	return a->len == b->len && memcmp(&a->address, &b->address, a->len) == 0;
}

void
rg_listen_close(const RgListen *listen, int count, int *sockets)
{
	for (int i = 0; i < (is_unix(listen) ? 1 : count); i++)
		close(sockets[i]);
	if (is_unix(listen))
		unlink(((const struct sockaddr_un *) &listen->address)->sun_path);
}
