/*
 * webhook_outbox.h
 *		Webhooks on their way: what the tables of 59_webhook_outbox.sql need in C.
 */
#ifndef RG_WEBHOOK_OUTBOX_H
#define RG_WEBHOOK_OUTBOX_H

/* Defines relay_guard.webhook_keep_days; called from _PG_init. */
extern void rg_webhook_outbox_init(void);

#endif
