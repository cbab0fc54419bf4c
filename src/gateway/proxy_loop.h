/*
 * proxy_loop.h
 *		libcurl's transfers in a worker's event loop.
 *
 * Nothing in here blocks: names are resolved by a thread of libcurl's, which a
 * transfer that ends early leaves behind.  libcurl may not be called from its own
 * callbacks; so what is added or removed there happens right after them.
 */
#ifndef RG_PROXY_LOOP_H
#define RG_PROXY_LOOP_H

#include <curl/curl.h>
#include <stdbool.h>

struct event_base;

struct RgTransfer;

/* What whoever starts a transfer is told of it. */
typedef struct RgTransferCalls
{
	void		(*done) (struct RgTransfer *transfer, CURLcode code);	/* it ended by itself */
	void		(*free) (struct RgTransfer *transfer);	/* the last call */
} RgTransferCalls;

/* A transfer of libcurl's; stands first in whatever has more to say of it. */
typedef struct RgTransfer
{
	CURL	   *curl;
	const RgTransferCalls *calls;
	struct RgTransfer *next;	/* to be looked at after libcurl's callbacks */
	bool		listed;			/* there */
	bool		running;		/* libcurl has it */
	bool		leaving;		/* to be freed */
} RgTransfer;

/* Once a process; false when memory is used up. */
extern bool rg_proxy_loop_init(struct event_base *base)
			__attribute__((warn_unused_result));

/* Starts a transfer whose curl and calls have been set up. */
extern void rg_proxy_loop_add(RgTransfer *transfer);

/* Starts one anew that has ended. */
extern void rg_proxy_loop_restart(RgTransfer *transfer);

/* Stops it, wherever it is; free will be called. */
extern void rg_proxy_loop_remove(RgTransfer *transfer);

/* Goes on with one that a callback has paused. */
extern void rg_proxy_loop_resume(RgTransfer *transfer);

#endif
