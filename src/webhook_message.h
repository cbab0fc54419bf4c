/*
 * webhook_message.h
 *		Webhooks that are to be sent; sql/59_webhook_outbox.sql has the rest.
 */
#ifndef RG_WEBHOOK_MESSAGE_H
#define RG_WEBHOOK_MESSAGE_H

/* Defines relay_guard.webhook_keep_days; called from _PG_init. */
extern void rg_webhook_message_init(void);

#endif
