/*
 * transport.c
 *		Clients' bytes by TLS; transport.h has the contract.
 *
 * OpenSSL reads one record at a time (no read-ahead), so that what a client
 * sends early waits in the kernel, as it does without TLS; only the rest of a
 * record that was too long for its reader is in here.
 */
#include "transport.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>
#include <unistd.h>

#include "tls.h"

#define RECORD SSL3_RT_MAX_PLAIN_LENGTH

/* Method names are upper-case letters; no version of TLS begins with one. */
static bool
begins_http(char byte)
{
	return byte >= 'A' && byte <= 'Z';
}

/* A client that says nothing costs nothing but its socket. */
static RgHandshake
begin_handshake(RgTransport *transport, SSL_CTX *context)
{
	char		byte;
	ssize_t		got = recv(transport->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return RG_HANDSHAKE_WAITS;
	if (got <= 0)
		return RG_HANDSHAKE_FAILED;
	if (begins_http(byte))
		return RG_HANDSHAKE_PLAIN;
	transport->tls = rg_tls_new(context, transport->fd);
	return transport->tls ? RG_HANDSHAKE_DONE : RG_HANDSHAKE_FAILED;
}

/*
 * Of a failed call: EAGAIN, or EPROTO after which nothing more may be said to
 * the client, not even that this is the end.
 */
static int
failure(RgTransport *transport, int result)
{
	int			error = SSL_get_error(transport->tls, result);

	transport->waits_to_write = error == SSL_ERROR_WANT_WRITE;
	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
		return EAGAIN;
	SSL_set_quiet_shutdown(transport->tls, 1);
	return EPROTO;
}

RgHandshake
rg_transport_handshake(RgTransport *transport, struct ssl_ctx_st *context)
{
	RgHandshake begun = RG_HANDSHAKE_DONE;
	int			result;

	if (transport->tls == NULL)
		begun = begin_handshake(transport, context);
	if (begun != RG_HANDSHAKE_DONE)
		return begun;
	ERR_clear_error();
	result = SSL_accept(transport->tls);
	if (result == 1)
		return RG_HANDSHAKE_DONE;
	return failure(transport, result) == EAGAIN ? RG_HANDSHAKE_WAITS : RG_HANDSHAKE_FAILED;
}

ssize_t
rg_transport_tls_recv(RgTransport *transport, void *data, size_t room, bool peek)
{
	size_t		got;
	int			result;

	ERR_clear_error();
	result = peek ? SSL_peek_ex(transport->tls, data, room, &got)
		: SSL_read_ex(transport->tls, data, room, &got);
	if (result == 1)
		return got;
	if (SSL_get_error(transport->tls, result) == SSL_ERROR_ZERO_RETURN)
		return 0;
	errno = failure(transport, result);
	return -1;
}

bool
rg_transport_tls_pending(const RgTransport *transport)
{
	return SSL_pending(transport->tls) > 0;
}

/*
 * The next bytes that make a record, after those that have gone: where they
 * are, or put together in buffer.
 */
static struct iovec
next_record(const struct iovec *pieces, int count, size_t gone, char *buffer)
{
	struct iovec record = {buffer, 0};
	struct iovec whole;

	for (; count > 0 && record.iov_len < RECORD; pieces++, count--)
	{
		size_t		skip = gone < pieces->iov_len ? gone : pieces->iov_len;
		size_t		room = RECORD - record.iov_len;
		size_t		len = pieces->iov_len - skip;
		char	   *from = (char *) pieces->iov_base + skip;

		gone -= skip;
		len = len < room ? len : room;
		if (record.iov_len == 0 && (count == 1 || len == RECORD))
		{
			whole.iov_base = from;
			whole.iov_len = len;
			return whole;
		}
		memcpy(buffer + record.iov_len, from, len);
		record.iov_len += len;
	}
	return record;
}

/*
 * Each call of OpenSSL takes a record or nothing.  One that was encrypted but
 * did not go is asked for again with the same bytes, and perhaps more.
 */
ssize_t
rg_transport_tls_send(RgTransport *transport, const struct iovec *pieces, int count)
{
	static char buffer[RECORD];
	struct iovec record;
	size_t		gone = 0;

	while ((record = next_record(pieces, count, gone, buffer)).iov_len > 0)
	{
		size_t		written;
		int			result;

		ERR_clear_error();
		result = SSL_write_ex(transport->tls, record.iov_base, record.iov_len, &written);
		if (result == 1)
		{
			gone += written;
			continue;
		}
		errno = failure(transport, result);
		if (errno == EAGAIN && !transport->waits_to_write)
			errno = EPROTO;		/* to read first is for renegotiations only */
		return gone > 0 && errno == EAGAIN ? (ssize_t) gone : -1;
	}
	return gone;
}

const char *
rg_transport_failure(void)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	return reason != NULL ? reason : "the client has gone";
}

/* The alert; a peer that does not take even that is left alone. */
static void
notify_close(struct ssl_st *tls)
{
	ERR_clear_error();
	if (SSL_is_init_finished(tls))
		(void) SSL_shutdown(tls);
}

static void
forget_tls(RgTransport *transport)
{
	SSL_free(transport->tls);
	transport->tls = NULL;
}

void
rg_transport_end(RgTransport *transport)
{
	if (transport->tls != NULL)
	{
		notify_close(transport->tls);
		forget_tls(transport);
	}
	shutdown(transport->fd, SHUT_WR);
}

void
rg_transport_close(RgTransport *transport, bool whole)
{
	if (transport->tls != NULL && whole)
		notify_close(transport->tls);
	forget_tls(transport);
	close(transport->fd);
}
