/*
 * webhook_outbox.h
 *		The database's outbox of webhooks, as a worker sees it: asking for what is
 *		due, and reporting what came of it.
 */
#ifndef RG_WEBHOOK_OUTBOX_H
#define RG_WEBHOOK_OUTBOX_H

#include "lane.h"
#include "webhook_attempt.h"

typedef struct RgWebhookOutbox
{
	struct RgWorker *worker;	/* NULL: nothing is sent */
	RgLane		lane;			/* one connection, once there was something to
								 * ask */
	bool		connected;		/* there is one, or it is being made */
	bool		wanted;			/* something may be due */
	bool		asking;
	int			asked_for;
	int64_t		asked_at;
	int64_t		delay;			/* after the last failure; 0: there was an
								 * answer */
	int64_t		retry_at;		/* nothing is asked before */
} RgWebhookOutbox;

/* Asks for at most so many; on_order is called for each that was leased. */
extern void rg_webhook_ask(RgWebhookOutbox *outbox, int most);

/* Tells what came of it; rg_webhook_reported() is called when that is done with. */
extern void rg_webhook_report(RgWebhookOutbox *outbox, RgWebhookAttempt *attempt);

/* Of webhook.c: begins it; does not need it any more; has there been an answer? */
extern void rg_webhook_begin(const RgWebhookOrder *order, int64_t lease_end);
extern void rg_webhook_reported(RgWebhookAttempt *attempt);
extern void rg_webhook_answered(void);

#endif
