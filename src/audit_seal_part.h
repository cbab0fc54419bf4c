/*
 * audit_seal_part.h
 *		What becomes one seal: new rows of one month and one epoch, gathered in
 *		the order of (xid, id).
 */
#ifndef RG_AUDIT_SEAL_PART_H
#define RG_AUDIT_SEAL_PART_H

#include "datatype/timestamp.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/date.h"

#include "audit_row.h"
#include "audit_witness.h"
#include "id_ranges.h"

/* A row of the log as far as seals go. */
typedef struct RgAuditRow
{
	int64		id;
	uint64		xid;
	int32		epoch;
	TimestampTz occurred_at;
	uint8		mac[RG_AUDIT_MAC_BYTES];
} RgAuditRow;

typedef struct RgSealPart
{
	int32		row_epoch;
	DateADT		month;			/* its first day, UTC */
	int64		rows;
	RgIdRanges	ids;
	int64		unwitnessed;	/* transactions */
	int			nfindings;
	StringInfoData findings;	/* elements of a JSON array, if any */
	RgAuditMac	digest;
} RgSealPart;

typedef struct RgSealParts
{
	int32		own_epoch;
	List	   *parts;			/* of RgSealPart, other epochs' first, by
								 * month */
	RgSealPart *latest;			/* that took a row */
} RgSealParts;

/* The part of an epoch and month, made if need be in the current context. */
extern RgSealPart *rg_seal_part(RgSealParts *parts, int32 row_epoch, DateADT month);

/* Takes in a row; returns its part. */
extern RgSealPart *rg_seal_part_add(RgSealParts *parts, const RgAuditRow *row);

/* Adds an object of JSON to the findings; when there are many, only their number. */
extern void rg_seal_part_find(RgSealPart *part, const char *object);

/* The findings as text of jsonb, or NULL. */
extern char *rg_seal_part_findings(const RgSealPart *part);

#endif
