/*
 * usage_row.h
 *		What rows of the ledger begin with: who, and when.
 */
#ifndef RG_USAGE_ROW_H
#define RG_USAGE_ROW_H

#include "context.h"
#include "ledger.h"

/* Now, in whole milliseconds, as a uuid of version 7 has it. */
extern TimestampTz rg_usage_now(void);

/* A row that is empty but for the identity, which may be NULL. */
extern RgLedgerRow rg_usage_row(const RgIdentity *identity);

/* Makes it the first row of a new reservation, whose windows are those of now. */
extern void rg_usage_row_reserve(RgLedgerRow *row);

#endif
