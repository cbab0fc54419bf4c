/*
 * proxy_sockets.h
 *		The sockets of connections to upstreams.
 *
 * libcurl uses connections again, but does not look whether something has come on
 * one since its last answer.  That would be taken for the next answer, which is
 * another client's; so it is looked for here.
 */
#ifndef RG_PROXY_SOCKETS_H
#define RG_PROXY_SOCKETS_H

#include <curl/curl.h>
#include <stdbool.h>

/* Lets the sockets of that handle be opened and closed here. */
extern void rg_proxy_sockets_use(CURL *curl);

/*
 * Whether something has come on the connection between these addresses and ports,
 * its end included.  True as well when there is no such connection.
 */
extern bool rg_proxy_socket_readable(const char *remote, int remote_port,
									 const char *local, int local_port);

#endif
