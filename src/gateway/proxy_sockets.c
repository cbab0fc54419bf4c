/*
 * proxy_sockets.c
 *		The sockets of connections to upstreams; proxy_sockets.h has the
 *		contract.
 *
 * Before a request goes out, libcurl tells the connection's addresses, but not its
 * socket: hence the list.
 */
#include "proxy_sockets.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NAME_SIZE (2 * (INET6_ADDRSTRLEN + 8))

typedef struct Socket
{
	struct Socket *next;
	int			fd;
	char		name[NAME_SIZE];	/* its two ends; "" until it was asked for */
} Socket;

static Socket *sockets = NULL;

static curl_socket_t
open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	Socket	   *opened = calloc(1, sizeof *opened);

	(void) arg;
	(void) purpose;
	if (opened == NULL)
		return CURL_SOCKET_BAD;
	opened->fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
	if (opened->fd < 0)
	{
		free(opened);
		return CURL_SOCKET_BAD;
	}
	opened->next = sockets;
	sockets = opened;
	return opened->fd;
}

static int
close_socket(void *arg, curl_socket_t fd)
{
	Socket	  **place = &sockets;
	Socket	   *closed;

	(void) arg;
	while (*place != NULL && (*place)->fd != fd)
		place = &(*place)->next;
	closed = *place;
	if (closed != NULL)
		*place = closed->next;
	free(closed);
	return close(fd);
}

void
rg_proxy_sockets_use(CURL *curl)
{
	curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(curl, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
}

static int
read_end(const struct sockaddr_storage *end, char text[INET6_ADDRSTRLEN])
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *) end;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *) end;
	bool		is_v4 = end->ss_family == AF_INET;

	inet_ntop(end->ss_family, is_v4 ? (const void *) &v4->sin_addr : (const void *) &v6->sin6_addr,
			  text, INET6_ADDRSTRLEN);
	return ntohs(is_v4 ? v4->sin_port : v6->sin6_port);
}

static void
write_name(char name[NAME_SIZE], const char *remote, int remote_port, const char *local,
		   int local_port)
{
	snprintf(name, NAME_SIZE, "%s %d %s %d", remote, remote_port, local, local_port);
}

/* One that is not connected yet stays without a name. */
static void
name_socket(Socket *sock)
{
	struct sockaddr_storage ends[2];
	socklen_t	sizes[2] = {sizeof ends[0], sizeof ends[1]};
	char		texts[2][INET6_ADDRSTRLEN] = {"", ""};
	int			ports[2];

	if (getpeername(sock->fd, (struct sockaddr *) &ends[0], &sizes[0]) != 0 ||
		getsockname(sock->fd, (struct sockaddr *) &ends[1], &sizes[1]) != 0)
		return;
	for (int i = 0; i < 2; i++)
		ports[i] = read_end(&ends[i], texts[i]);
	write_name(sock->name, texts[0], ports[0], texts[1], ports[1]);
}

bool
rg_proxy_socket_readable(const char *remote, int remote_port, const char *local, int local_port)
{
	char		name[NAME_SIZE];
	char		byte;

	write_name(name, remote, remote_port, local, local_port);
	for (Socket *sock = sockets; sock != NULL; sock = sock->next)
	{
		if (*sock->name == '\0')
			name_socket(sock);
		if (strcmp(sock->name, name) == 0)
			return recv(sock->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
	}
	return true;
}
