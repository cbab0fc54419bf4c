/*
 * denial_rate.h
 *		Which refusals become a row of the audit log, and how many were left out.
 *
 * A flood of refusals must neither fill the log nor vanish from it.  Each source
 * (a user, an address or a role, with one reason) has a token bucket, and each
 * class of refusals of a database has one for all its sources together, which
 * an attacker with many addresses meets.  What finds a bucket empty is counted
 * at its source; the count comes with that source's next row, or by itself when
 * it is a minute old.  Classes have their own buckets and places, so that
 * whoever sends forged tokens does not hide a value that does not open.
 *
 * When a class has more sources than places, one whose bucket is full again
 * makes room; if there is none, the count of another goes to the class as a
 * whole.  So every refusal is in exactly one row or one count.
 *
 * Pure C: shared by the extension and unit tests.  The caller serialises access.
 * All times are nanoseconds of one clock that never goes back.
 */
#ifndef RG_DENIAL_RATE_H
#define RG_DENIAL_RATE_H

#include <stdint.h>

#include "rate_algorithm.h"
#include "slice.h"

#define RG_DENIAL_PLACES 64		/* databases */
#define RG_DENIAL_SOURCES 1024	/* of a class, of all databases */
#define RG_DENIAL_BURST 10		/* of a source, then as many a minute */
#define RG_DENIAL_ALL_BURST 100 /* of a class, before as many a minute: */
#define RG_DENIAL_ALL_A_MINUTE 30
#define RG_DENIAL_TELL_AFTER (INT64_C(60) * 1000000000)

#define RG_DENIAL_CODE_SIZE 64
#define RG_DENIAL_USER_SIZE 320 /* the longest subject of a token, and a
								 * prefix */
#define RG_DENIAL_ROLE_SIZE 64
#define RG_DENIAL_ADDRESS_SIZE 18

typedef enum RgDenialClass
{
	RG_DENIAL_CREDENTIALS,		/* nobody knows who it was */
	RG_DENIAL_FORBIDDEN,
	RG_DENIAL_VALUE,			/* an encrypted value that does not open */
	RG_DENIAL_QUOTA,			/* a quota or a budget is used up */
	RG_DENIAL_CLASSES
} RgDenialClass;

/* Its word in SQL. */
extern const char *rg_denial_class_name(RgDenialClass class);

/* What a source's refusals have in common.  All zero: a class as a whole. */
typedef struct RgDenialWho
{
	char		code[RG_DENIAL_CODE_SIZE];	/* the reason, a word */
	char		user_id[RG_DENIAL_USER_SIZE];	/* "": not known */
	char		role[RG_DENIAL_ROLE_SIZE];	/* session_user; "": a request */
	uint8_t		address[RG_DENIAL_ADDRESS_SIZE];	/* an inet without its
													 * header */
	uint8_t		address_len;	/* 0: not known */
	int16_t		http_status;	/* 0: none */
} RgDenialWho;

typedef struct RgDenialBudget
{
	RgRateState state;
	uint64_t	left_out;		/* of sources that had to go */
	int64_t		left_since;		/* when the first of them was */
} RgDenialBudget;

typedef struct RgDenialSource
{
	int32_t		place;
	RgRateState state;
	uint64_t	left_out;
	int64_t		left_since;
} RgDenialSource;

/* All zero is an empty one. */
typedef struct RgDenialRates
{
	RgDenialBudget budgets[RG_DENIAL_PLACES][RG_DENIAL_CLASSES];
	uint64_t	keys[RG_DENIAL_CLASSES][RG_DENIAL_SOURCES]; /* 0: not in use */
	RgDenialSource sources[RG_DENIAL_CLASSES][RG_DENIAL_SOURCES];
	RgDenialWho who[RG_DENIAL_CLASSES][RG_DENIAL_SOURCES];
} RgDenialRates;

/* A count that is due. */
typedef struct RgDenialCount
{
	RgDenialClass class;
	RgDenialWho who;
	uint64_t	left_out;
} RgDenialCount;

/*
 * A refusal of that source; key is a keyed hash of place, class and source, and
 * room says whether a row could be kept.  True: it becomes a row, which tells of
 * *left_out others before it.  False: it was counted.
 */
extern bool rg_denial_rate_take(RgDenialRates *rates, int place, RgDenialClass class,
								uint64_t key, const RgDenialWho *who, bool room,
								int64_t now, uint64_t *left_out)
			__attribute__((warn_unused_result));

/*
 * The next count of the place that is due, or the next of all, which is then
 * told.  Start with *at 0; false after the last.  Counts beyond the bucket of
 * their class go into the one of the class as a whole.
 */
extern bool rg_denial_rate_due(RgDenialRates *rates, int place, int64_t now, bool all,
							   int *at, RgDenialCount *count)
			__attribute__((warn_unused_result));

/* When the oldest count of the place will be due; INT64_MAX when there is none. */
extern int64_t rg_denial_rate_next(const RgDenialRates *rates, int place);

/* Forgets everything of the place; what its counts were together. */
extern uint64_t rg_denial_rate_forget(RgDenialRates *rates, int place);

#endif
