/*
 * webhook_secret.h
 *		Named secrets of which several may be valid at once: those of webhooks, and,
 *		under names that are reserved, those of upstreams and webhook endpoints.
 *
 * A secret is stored sealed and opened for every use: that takes half a
 * microsecond, and nothing has to be kept, noticed or wiped later.
 */
#ifndef RG_WEBHOOK_SECRET_H
#define RG_WEBHOOK_SECRET_H

#include "fmgr.h"

#include "slice.h"

/*
 * What the names of upstreams' secrets start with.  Nobody signs with those but
 * serve(), whose word for an identity their signatures are.
 */
#define RG_UPSTREAM_SECRETS "upstream/"

/* The same of webhook endpoints, with which webhook_claim() signs. */
#define RG_ENDPOINT_SECRETS "endpoint/"

/* The live secrets of a name, oldest first; the current one is the last. */
typedef struct RgLiveSecrets
{
	text	   *name;			/* the caller's to set; all else is zero then */
	int32		version;		/* of the row that was read last, or 0 */
	bool		at_end;			/* whether that was the current one */
	bool		any;			/* whether there was one */
	RgSlice		secret;			/* the caller's to wipe */
} RgLiveSecrets;

/*
 * The next one that is valid now.  The current one has to open, else it is an
 * error; a former one that does not is passed over with a warning.  Needs no
 * privilege.
 */
extern bool rg_live_secret_next(RgLiveSecrets *secrets);

/* The name of an endpoint's secrets. */
extern text * rg_endpoint_secret_name(RgSlice endpoint);

/*
 * Stores a secret (data NULL: one that is made here) as the name's current one;
 * that which it replaces stays valid for keep_old, an interval.  Returns what was
 * made, else NULL.  Rights are the current user's.
 */
extern text * rg_webhook_secret_store(text * name, RgSlice secret, Datum keep_old);

#define RG_GIVEN_KEY_MAX 4096	/* bytes */

/*
 * Stores a key that is only shown to whoever gave it: any visible ASCII up to that
 * length, for how good it is was his to see to.
 */
extern void rg_given_key_store(text * name, RgSlice key, Datum keep_old);

#endif
