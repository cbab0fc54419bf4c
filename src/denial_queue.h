/*
 * denial_queue.h
 *		Refusals on their way into the audit log, first come first served, by
 *		database; only which slot holds which, not what is in it.
 *
 * A database and class may hold RG_DENIAL_QUEUE_SHARE slots.  Pure C: shared by
 * the extension and unit tests.  The caller serialises access.
 */
#ifndef RG_DENIAL_QUEUE_H
#define RG_DENIAL_QUEUE_H

#include "denial_rate.h"

#define RG_DENIAL_SLOTS 1024
#define RG_DENIAL_QUEUE_SHARE 128
#define RG_DENIAL_NO_SLOT (-1)

typedef struct RgDenialQueue
{
	int16_t		free;			/* the first that is; RG_DENIAL_NO_SLOT */
	int16_t		next[RG_DENIAL_SLOTS];
	uint8_t		class[RG_DENIAL_SLOTS];
	struct
	{
		int16_t		first,
					last;
		int16_t		count[RG_DENIAL_CLASSES];
	}			lists[RG_DENIAL_PLACES];
} RgDenialQueue;

extern void rg_denial_queue_init(RgDenialQueue *queue);

extern bool rg_denial_queue_has_room(const RgDenialQueue *queue, int place, RgDenialClass class);

/* The slot for one more; there is room. */
extern int	rg_denial_queue_push(RgDenialQueue *queue, int place, RgDenialClass class);

/* The place's first slot, and the one after a slot; RG_DENIAL_NO_SLOT at the end. */
extern int	rg_denial_queue_first(const RgDenialQueue *queue, int place);
extern int	rg_denial_queue_next(const RgDenialQueue *queue, int slot);

/* Frees the place's first slot, which there is. */
extern void rg_denial_queue_pop(RgDenialQueue *queue, int place);

#endif
