/*
 * forwarded.h
 *		Addresses, networks, and who the client behind our proxies is.
 *
 * Pure C: needs no server, no event loop.
 */
#ifndef RG_FORWARDED_H
#define RG_FORWARDED_H

#include <stdint.h>

#include "slice.h"

#define RG_MAX_NETWORKS 64

/* IPv6, or IPv4 mapped into it (::ffff:a.b.c.d). */
typedef struct RgAddress
{
	uint8_t		bytes[16];
} RgAddress;

typedef struct RgNetwork
{
	RgAddress	address;
	int			bits;			/* of the 128 */
} RgNetwork;

typedef struct RgNetworks
{
	int			count;
	RgNetwork	list[RG_MAX_NETWORKS];
} RgNetworks;

/* Reads "192.0.2.1" or "2001:db8::1"; nothing else, ports neither. */
extern bool rg_address_parse(RgSlice text, RgAddress *address)
			__attribute__((warn_unused_result));

/* Writes it, IPv4 in its own form; out holds INET6_ADDRSTRLEN bytes. */
extern void rg_address_text(const RgAddress *address, char *out);

/*
 * Reads a comma-separated list of networks ("10.0.0.0/8, ::1") into networks.
 * False, with the entry that is none in *bad, else.  The empty list is one.
 */
extern bool rg_networks_parse(RgSlice text, RgNetworks *networks, RgSlice *bad)
			__attribute__((warn_unused_result));

extern bool rg_networks_contain(const RgNetworks *networks,
								const RgAddress *address);

/*
 * Walks an X-Forwarded-For value from its right end, as long as *client, at
 * first the peer, is a trusted proxy: what such a one wrote becomes *client.
 * Stops at the first address that is not trusted, or is none: everything left
 * of it, lines before this one included, may be the client's own invention.
 * True when it did not stop, so that the line before may be walked.
 */
extern bool rg_forwarded_client(const RgNetworks *trusted, RgSlice value,
								RgAddress *client);

#endif
