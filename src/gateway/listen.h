/*
 * listen.h
 *		Where the gateway listens.
 */
#ifndef RG_LISTEN_H
#define RG_LISTEN_H

#include <stdbool.h>
#include <sys/socket.h>

typedef struct RgListen
{
	struct sockaddr_storage address;
	socklen_t	len;
} RgListen;

/*
 * Reads "127.0.0.1:8080", "[::1]:8080" or "unix:/path"; a port other than 0
 * takes the place of the text's.
 */
extern bool rg_listen_parse(const char *text, int port, RgListen *listen)
			__attribute__((warn_unused_result));

/*
 * Opens count listening sockets (non-blocking, close-on-exec).  For TCP each
 * is one of its own under SO_REUSEPORT, so that the kernel spreads new
 * connections evenly; a unix socket is one, count times.  They stay open in
 * the master: what waits in the queue of a worker that dies is served by its
 * successor.  False, with errno set, when somebody else listens there.
 */
extern bool rg_listen_open(const RgListen *listen, int count, int *sockets)
			__attribute__((warn_unused_result));

/* Closes them, and removes a unix socket's file. */
extern void rg_listen_close(const RgListen *listen, int count, int *sockets);

/* The same address and port, or path; both may be nowhere. */
extern bool rg_listen_same(const RgListen *a, const RgListen *b);

#endif
