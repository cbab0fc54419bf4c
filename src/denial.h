/*
 * denial.h
 *		Refusals that the audit log is to know of.
 *
 * A refused transaction is gone with all it wrote, so a refusal is noted in
 * shared memory, as a denial, and the sealer of its database writes it a moment
 * later: for plain SQL as well as for serve(), and without a round trip.  denial_rate.h says
 * how a flood is bounded, denial_shared.h what is not noted.  No byte of a
 * token, a key or a value is ever in a note.
 */
#ifndef RG_DENIAL_H
#define RG_DENIAL_H

#include "fmgr.h"

#include "context.h"
#include "denial_rate.h"
#include "frame.h"

/* Absent where nothing is known, or given. */
typedef struct RgDenied
{
	RgDenialClass class;
	RgSlice		code;			/* a word; what is none becomes "other" */
	int			http_status;	/* 0: none */
	const RgIdentity *identity; /* verified; NULL: nobody knows who it was */
	RgSlice		subject;		/* whom a genuine credential names that is not
								 * good any more */
	RgSlice		request_id;		/* of these two only where neither a request
								 * nor an identity has them */
	RgSlice		client_ip;		/* an inet without its header */
	RgSlice		label;			/* of an encrypted value */
	uint32		values;			/* how many did not open */
} RgDenied;

/* Notes a refusal.  Nothing without shared memory or on a standby; never an error. */
extern void rg_denial_note(const RgDenied *denied);

/*
 * From now on refusals are those of a request that is being served; NULL: of no
 * request.  What it points to stays until then.
 */
extern void rg_denial_serving(const RgRequest *request);

/*
 * Notes an error on its way out of serve() if it is answered 401 or 403, or 429
 * because a quota or a budget is used up, and nothing was noted of the request
 * so far.  detail is the code of an error of class RG, or NULL.
 */
extern void rg_denial_note_error(int sqlerrcode, const char *detail);

/*
 * Notes that authenticate() or its like, whose second and third arguments are
 * request id and address, refused what it was given.  A call without a
 * credential is no refusal of one.
 */
extern void rg_denial_note_credentials(FunctionCallInfo fcinfo, const char *code, RgSlice subject);

/*
 * Notes an encrypted value that did not open; those of one label, read by one
 * identity in one transaction, become one note with their number.
 */
extern void rg_denial_note_value(RgSlice aad);

/*
 * For the worker that writes them, outside of a transaction: again and again while
 * it is true that more is to come, be it a count that is not due yet.  What
 * cannot be written just now is kept, and tried again after a while.  When the
 * worker is to stop everything is written.
 */
extern bool rg_denial_drain(void);

#endif
