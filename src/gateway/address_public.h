/*
 * address_public.h
 *		Whether an address is one of the public Internet.
 *
 * Whoever may name a URL that the gateway asks could have it ask what only the
 * gateway reaches: the machine itself, the network it is in, the metadata service of
 * a cloud (server-side request forgery).  A name says nothing about that, for its
 * owner may let it point anywhere, and elsewhere a moment later; so it is the
 * address that a connection is about to be made to that is looked at.
 *
 * Pure C: needs no server, no event loop.
 */
#ifndef RG_ADDRESS_PUBLIC_H
#define RG_ADDRESS_PUBLIC_H

#include <sys/socket.h>

#include "forwarded.h"

/*
 * False for what the IANA's registries of special purpose addresses call not
 * globally reachable (RFC 6890), for all of IPv6 that is not unicast space in use,
 * for ways to write an IPv4 address within IPv6 that is itself not public or that
 * some relay would translate, and for the metadata services that have a public one.
 */
extern bool rg_address_public(const RgAddress *address);

/*
 * Whether it is a metadata service of a cloud, which tells credentials to whoever is on
 * the machine: no receiver, whatever network it is in.  None of them is public.
 */
extern bool rg_address_metadata(const RgAddress *address);

/* 127.0.0.0/8 and ::1. */
extern bool rg_address_loopback(const RgAddress *address);

/* False, and nothing read, for what is neither IPv4 nor IPv6. */
extern bool rg_address_of(const struct sockaddr *from, RgAddress *address)
			__attribute__((warn_unused_result));

#endif
