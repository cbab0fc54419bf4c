/*
 * event_order.h
 *		Routes of result stream: what the gateway is told to send.
 */
#ifndef RG_EVENT_ORDER_H
#define RG_EVENT_ORDER_H

#include "answer.h"

/* The lookup of streams; called from _PG_init. */
extern void rg_event_order_init(void);

/*
 * The row that the route's statement made is the answer's body.  It becomes the
 * order to follow that stream from there, {"kind":"stream","number":…,
 * "token":"…","after":…}, or a refusal: there is no such stream (404), events have
 * been missed that are not kept any more (410), it has ended and all of it was
 * seen (204).  The header Last-Event-ID is where the client is, before the row.
 */
extern void rg_event_order(const RgRequest *request, RgAnswer *answer);

#endif
