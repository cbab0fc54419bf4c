/*
 * resolve.h
 *		The addresses of the database's host, without waiting for them.
 *
 * PQconnectStart() asks the name service itself and waits for its answer, and
 * with it would everybody whom this process serves.
 */
#ifndef RG_RESOLVE_H
#define RG_RESOLVE_H

#include <netdb.h>

typedef enum RgResolution
{
	RG_RESOLVED,
	RG_RESOLVING,
	RG_UNRESOLVED
} RgResolution;

typedef struct RgResolver
{
	char	   *host;			/* NULL: there is no name to ask for */
	bool		asked;
	struct addrinfo hints;
	struct gaicb question;
	const char *error;			/* of RG_UNRESOLVED */
	char	   *hosts;			/* the name once for each address, by commas, … */
	char	   *addresses;		/* … and these: libpq's host and hostaddr */
} RgResolver;

/*
 * Takes the host from a connection string and libpq's environment.  A path, an
 * address, several hosts and a hostaddr are left to libpq.
 */
extern void rg_resolver_init(RgResolver *resolver, const char *conninfo);

/*
 * Asks, or looks for the answer; to be called again while it says
 * RG_RESOLVING.  After any other word the next call asks anew.
 */
extern RgResolution rg_resolver_poll(RgResolver *resolver);

#endif
