/*
 * peer.h
 *		Who is at the other end of a connection: whoever connected, or whom a
 *		trusted proxy announces by the PROXY protocol; and how many connections he
 *		may have.
 */
#ifndef RG_PEER_H
#define RG_PEER_H

#include "config.h"
#include "conn.h"

typedef enum RgPeerRead
{
	RG_PEER_KNOWN,
	RG_PEER_WAITS,				/* more must come first */
	RG_PEER_REFUSED				/* to be closed without an answer */
} RgPeerRead;

/* Once a worker; max_conns: the most that it has. */
extern void rg_peer_init(const RgConfig *config, int max_conns);

/*
 * Notes who has connected, and counts the connection.  False when it is not to
 * be served: PROXY_PROTOCOL is on and it comes from no trusted proxy, or the
 * address has its share (MAX_CONNECTIONS_PER_IP; trusted proxies have no limit).
 * Neither holds for readers of the metrics.
 */
extern bool rg_peer_new(RgConn *conn, const struct sockaddr *address)
			__attribute__((warn_unused_result));

/*
 * Reads a PROXY protocol header off the socket, and not a byte more; then
 * the peer is whom it names, for all that asks who that is.
 */
extern RgPeerRead rg_peer_read(RgConn *conn)
			__attribute__((warn_unused_result));

/* The connection is closed. */
extern void rg_peer_gone(RgConn *conn);

#endif
