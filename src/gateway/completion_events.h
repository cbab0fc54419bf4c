/*
 * completion_events.h
 *		The events of a completion, kept by the database for whoever comes back.
 *
 * An event is sent when it has been kept, so that nobody has seen one that a later
 * reader of the stream lacks.  They are kept some at a time, at most twenty times a
 * second.  What got no answer is told again: the database knows which of it is there.
 */
#ifndef RG_COMPLETION_EVENTS_H
#define RG_COMPLETION_EVENTS_H

#include "provider_order.h"
#include "growing.h"

struct RgLane;

#define RG_COMPLETION_PIECE 8192	/* bytes of text of an event, at most */

/* Events as the database takes them (elements of an array) and as clients get them. */
typedef struct RgEventBatch
{
	RgGrowing	elements;
	RgGrowing	text;
	int64_t		last_id;
	bool		end;			/* no more will come */
} RgEventBatch;

typedef struct RgCompletionEvents
{
	const RgProviderOrder *order;	/* NULL: no events are kept */
	struct RgLane *lane;
	RgEventBatch next;
	RgEventBatch kept;			/* on its way into the database */
	int64_t		last_id;		/* of all that were kept; -1: none */
	int64_t		asked_at;
	int64_t		failing_since;	/* 0: the last answer was good */
	bool		asking;
	bool		ended;
	bool		failed;			/* they cannot be kept */
	void		(*on_kept) (void *arg, RgSlice text);
	void	   *arg;
} RgCompletionEvents;

/* on_kept: some events may be sent; called as well, without text, when it failed. */
extern void rg_completion_events_init(RgCompletionEvents *events, const RgProviderOrder *order,
									  struct RgLane *lane,
									  void (*on_kept) (void *arg, RgSlice text), void *arg);

/* False when too many wait to be kept, or it has failed: then nothing more can be. */
extern bool rg_completion_events_add(RgCompletionEvents *events, RgSlice name, RgSlice data)
			__attribute__((warn_unused_result));

/* The last one was added. */
extern void rg_completion_events_end(RgCompletionEvents *events);

/* Some twenty times a second. */
extern void rg_completion_events_tick(RgCompletionEvents *events, int64_t now);

/* Bytes that wait to be kept. */
extern size_t rg_completion_events_waiting(const RgCompletionEvents *events);

/* Whether there is nothing more to wait for. */
extern bool rg_completion_events_done(const RgCompletionEvents *events);

extern void rg_completion_events_free(RgCompletionEvents *events);

#endif
