/*
 * audit_columns.h
 *		The columns that the log's own tables are expected to have.
 *
 * Rows are formed and read by position, and a superuser may ALTER any table: what
 * has other columns than it was made with is not touched.
 */
#ifndef RG_AUDIT_COLUMNS_H
#define RG_AUDIT_COLUMNS_H

#include "utils/relcache.h"

/* A column: its name and type. */
typedef struct RgLogColumn
{
	const char *name;
	Oid			type;
} RgLogColumn;

/* Those of relay_guard.audit_log and its partitions, in the order of Anum_audit_*. */
extern const RgLogColumn rg_audit_log_columns[];

/*
 * Error 55000 unless the first count columns are those, and all behind them have
 * been dropped.
 */
extern void rg_audit_require_columns(Relation table, const RgLogColumn *columns, int count);

#endif
