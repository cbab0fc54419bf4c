/*
 * ledger_epoch.h
 *		Which database wrote a row of the ledger, as a number.
 */
#ifndef RG_LEDGER_EPOCH_H
#define RG_LEDGER_EPOCH_H

/*
 * This one's: rows and transaction ids of the same epoch belong together.  Not 0.
 * Error 55000 when the database has lost what tells it from others.
 */
extern int32 rg_ledger_epoch(void);

#endif
