/*
 * audit_value.h
 *		Values of an audited table as the audit log shows them.
 */
#ifndef RG_AUDIT_VALUE_H
#define RG_AUDIT_VALUE_H

#include "executor/tuptable.h"
#include "fmgr.h"

#include "audit_object.h"
#include "slice.h"

typedef struct RgAuditColumn RgAuditColumn;

/* Makes a JSON value of one that is not null, in the current context; result is all zeros. */
typedef void (*RgAuditConvert) (const RgAuditColumn *column, Datum value,
								RgAuditValue *result);

struct RgAuditColumn
{
	int			index;			/* in the slot, from 0 */
	int16		length;			/* of the type, as pg_type has it */
	bool		by_value;
	RgAuditKey	key;
	RgAuditConvert convert;
	Oid			type;
	FmgrInfo   *function;		/* the output function or to_jsonb(); called
								 * by convert */
};

/* Chooses how values of the column's type are shown; what that needs is in the current context. */
extern void rg_audit_choose_conversion(RgAuditColumn *column, Oid type);

/* The type's output function, palloc'd: how keys are shown. */
extern FmgrInfo *rg_audit_output(Oid type);

/* A column of which only "[redacted]" is shown. */
extern void rg_audit_redacted(const RgAuditColumn *column, Datum value, RgAuditValue *result);

/* An encrypted column: {"key_id": n, "digest": SHA-256 of the envelope in hex}. */
extern void rg_audit_encrypted(const RgAuditColumn *column, Datum value, RgAuditValue *result);

/* Whether the column's values in both rows are the same bytes. */
extern bool rg_audit_unchanged(const RgAuditColumn *column, TupleTableSlot *old_row,
							   TupleTableSlot *new_row);

/* The object of those columns of the row for which chosen, by place, is true; all when NULL. */
extern RgAuditJson rg_audit_object(const RgAuditColumn *columns, int ncolumns,
								   TupleTableSlot *row, const bool *chosen);

#define RG_AUDIT_KEY_BYTES 1024

/*
 * The row's key as text: that of one column, or a JSON array of several.  Of one
 * of more than RG_AUDIT_KEY_BYTES, "sha256:" and the digest in hex.
 */
extern RgSlice rg_audit_key(const RgAuditColumn *keys, int nkeys, TupleTableSlot *row);

#endif
