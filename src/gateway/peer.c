/*
 * peer.c
 *		The other end of a connection; peer.h has the contract.
 */
#include "peer.h"

#include <errno.h>
#include <stdlib.h>

#include "clock.h"
#include "conn_limit.h"
#include "log.h"
#include "proxy_protocol.h"
#include "worker.h"

static RgConnLimit *limit = NULL;	/* NULL: none */

void
rg_peer_init(const RgConfig *config, int max_conns)
{
	if (config->max_connections_per_ip == 0)
		return;
	limit = rg_conn_limit_new(config->max_connections_per_ip, max_conns);
	if (limit == NULL)
		rg_log(RG_LOG_WARNING, "no memory to count the connections of addresses", NULL);
}

/* Whoever is refused may come again at once; the log hears of it once a second. */
static void
log_refusal(const RgConn *conn, const char *why)
{
	static int64_t last = 0;
	int64_t		now = rg_now();

	if (last != 0 && now < last + 1000000)
		return;
	last = now;
	rg_log(RG_LOG_WARNING, "a connection was refused", "peer", conn->peer_text,
		   "reason", why, NULL);
}

static void
set_peer(RgConn *conn, const RgAddress *address)
{
	conn->peer = *address;
	rg_address_text(&conn->peer, conn->peer_text);
}

/* A unix socket's client is this machine. */
static RgAddress
address_of(const struct sockaddr *address)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *) address;
	const struct sockaddr_in *v4 = (const struct sockaddr_in *) address;
	RgAddress	result = {.bytes = {[10] = 0xff,[11] = 0xff,[12] = 127,[15] = 1}};

	if (address->sa_family == AF_INET)
		memcpy(result.bytes + 12, &v4->sin_addr, 4);
	else if (address->sa_family == AF_INET6)
		memcpy(result.bytes, &v6->sin6_addr, 16);
	return result;
}

static bool
is_trusted(const RgConn *conn)
{
	return rg_networks_contain(&conn->worker->config->trusted_proxies, &conn->peer);
}

static bool
count(RgConn *conn)
{
	if (limit == NULL || is_trusted(conn))
		return true;
	conn->counted = rg_conn_limit_take(limit, &conn->peer);
	if (!conn->counted)
		log_refusal(conn, "the address has as many connections as MAX_CONNECTIONS_PER_IP allows");
	return conn->counted;
}

bool
rg_peer_new(RgConn *conn, const struct sockaddr *address)
{
	RgAddress	peer = address_of(address);

	set_peer(conn, &peer);
	if (conn->metrics)
		return true;
	if (conn->worker->config->proxy_protocol != RG_ON)
		return count(conn);
	if (!is_trusted(conn))
		log_refusal(conn, "PROXY_PROTOCOL is on, and this is none of TRUSTED_PROXIES");
	return is_trusted(conn);
}

static RgPeerRead
refuse(const RgConn *conn, const char *why)
{
	log_refusal(conn, why);
	return RG_PEER_REFUSED;
}

static RgPeerRead
take_header(RgConn *conn, const RgProxyHeader *header)
{
	free(conn->input.data);
	memset(&conn->input, 0, sizeof conn->input);
	conn->secure = header->secure;
	if (header->has_client)
		set_peer(conn, &header->client);
	return count(conn) ? RG_PEER_KNOWN : RG_PEER_REFUSED;
}

/* What the socket has of the bytes still wanted; 0 when nothing has come. */
static ssize_t
receive(RgConn *conn, size_t wanted)
{
	RgBytes    *input = &conn->input;
	ssize_t		got = recv(conn->transport.fd, input->data + input->len, wanted, MSG_DONTWAIT);

	if (got > 0)
		input->len += got;
	else if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return got > 0 ? got : -1;
}

RgPeerRead
rg_peer_read(RgConn *conn)
{
	RgBytes    *input = &conn->input;
	RgProxyHeader header;

	if (input->data == NULL && (input->data = malloc(RG_PROXY_MAX)) == NULL)
		return RG_PEER_REFUSED;
	for (;;)
	{
		int			whole = rg_proxy_length(input->data, input->len, &header);
		ssize_t		got;

		if (whole < 0)
			return refuse(conn, header.error);
		if (input->len == (size_t) whole)
			break;
		got = receive(conn, whole - input->len);
		if (got <= 0)
			return got < 0 ? RG_PEER_REFUSED : RG_PEER_WAITS;
	}
	if (!rg_proxy_parse(input->data, input->len, &header))
		return refuse(conn, header.error);
	return take_header(conn, &header);
}

void
rg_peer_gone(RgConn *conn)
{
	if (conn->counted)
		rg_conn_limit_give(limit, &conn->peer);
	conn->counted = false;
}
