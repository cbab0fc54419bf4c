/*
 * webhook.h
 *		Webhooks that are sent: what webhook_send() has put into the database's
 *		outbox goes to its receivers.
 *
 * webhook_claim() leases deliveries, signed for this attempt, to whoever asks;
 * webhook_done() is told what came of each.  One worker of all asks once a second,
 * any other when it has just answered a request that sent something.  What is leased
 * to a worker that dies, or that the database hears no more of, is leased anew when
 * the lease is over: a receiver may get a message twice, by the same webhook-id.
 */
#ifndef RG_WEBHOOK_H
#define RG_WEBHOOK_H

#include <stdbool.h>
#include <stdint.h>

struct RgWorker;

/*
 * Before the first fork: makes what workers share.  False when there is no memory
 * for it.
 */
extern bool rg_webhook_share(void)
			__attribute__((warn_unused_result));

/* Once a process, behind rg_proxy_init(); with WEBHOOKS=off nothing is sent. */
extern void rg_webhook_init(struct RgWorker *worker);

/* There is something to be sent, said the database. */
extern void rg_webhook_want(void);

/* Reports and reconnects; some twenty times a second. */
extern void rg_webhook_tick(int64_t now);

/* Asks for what is due, where that is this worker's part; once a second. */
extern void rg_webhook_second(int64_t now);

/* Sends on what the last turn of the loop has put into buffers. */
extern void rg_webhook_flush(void);

/* Begins nothing any more; what is under way may end. */
extern void rg_webhook_drain(void);

/* Is nothing under way? */
extern bool rg_webhook_idle(void);

extern void rg_webhook_close(void);

#endif
