/*
 * event_signal.h
 *		Who follows streams of events is told, through shared memory, which ones
 *		have news.
 *
 * Not by NOTIFY: that takes a lock of the whole server at every commit, so it would have
 * to be batched by a process of its own.  This costs a commit less than a
 * microsecond, and wakes at once.
 */
#ifndef RG_EVENT_SIGNAL_H
#define RG_EVENT_SIGNAL_H

/* Parts of the shared memory hooks of counter.c. */
extern void rg_event_signal_request_shmem(void);
extern void rg_event_signal_startup_shmem(void);

#endif
