/*
 * transport.h
 *		A client's bytes, as they are or by TLS, behind the calls that a plain
 *		socket has.
 *
 * Non-blocking throughout.  By TLS a client can end its side, and still read,
 * as by TCP; it cannot renegotiate.
 */
#ifndef RG_TRANSPORT_H
#define RG_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct ssl_st;
struct ssl_ctx_st;

typedef struct RgTransport
{
	int			fd;
	bool		waits_to_write; /* after EAGAIN of anything but send */
	struct ssl_st *tls;			/* NULL: plain, or nothing has come yet */
} RgTransport;

typedef enum RgHandshake
{
	RG_HANDSHAKE_DONE,
	RG_HANDSHAKE_WAITS,
	RG_HANDSHAKE_PLAIN,			/* that is no TLS but HTTP; nothing was read */
	RG_HANDSHAKE_FAILED
} RgHandshake;

/* Goes on with the handshake, which its first call begins. */
extern RgHandshake rg_transport_handshake(RgTransport *transport, struct ssl_ctx_st *context)
			__attribute__((warn_unused_result));

/* Why it failed just now. */
extern const char *rg_transport_failure(void);

/* As the functions below, of a transport that has tls. */
extern ssize_t rg_transport_tls_recv(RgTransport *transport, void *data, size_t room, bool peek)
			__attribute__((warn_unused_result));
extern ssize_t rg_transport_tls_send(RgTransport *transport, const struct iovec *pieces, int count)
			__attribute__((warn_unused_result));
extern bool rg_transport_tls_pending(const RgTransport *transport)
			__attribute__((warn_unused_result));

/* recv(): 0 when the client has ended its side, -1 with errno. */
static inline ssize_t
rg_transport_recv(RgTransport *transport, void *data, size_t room)
{
	return transport->tls ? rg_transport_tls_recv(transport, data, room, false)
		: recv(transport->fd, data, room, MSG_DONTWAIT);
}

/*
 * The same for one byte that will be read once more: is the client still
 * there, and has it ended its side?
 */
static inline ssize_t
rg_transport_peek(RgTransport *transport)
{
	char		byte;

	return transport->tls ? rg_transport_tls_recv(transport, &byte, 1, true)
		: recv(transport->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
}

/*
 * sendmsg(): how much of the pieces has gone, -1 with errno.  What has not
 * gone must come again, at the head of what is sent next: by TLS it may be
 * encrypted already.
 */
static inline ssize_t
rg_transport_send(RgTransport *transport, struct iovec *pieces, int count)
{
	struct msghdr message = {.msg_iov = pieces,.msg_iovlen = count};

	return transport->tls ? rg_transport_tls_send(transport, pieces, count)
		: sendmsg(transport->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Is there something to read that the socket does not tell of any more? */
static inline bool
rg_transport_pending(const RgTransport *transport)
{
	return transport->tls != NULL && rg_transport_tls_pending(transport);
}

/*
 * Says to the client that nothing follows.  What it still sends can be read
 * and dropped, as it came.
 */
extern void rg_transport_end(RgTransport *transport);

/*
 * Closes.  By TLS a client sees a difference: whole says to it that nothing is
 * missing (RFC 8446, 6.1).
 */
extern void rg_transport_close(RgTransport *transport, bool whole);

#endif
