/*
 * upsert.h
 *		INSERT ... ON CONFLICT through the views that decrypt.
 */
#ifndef RG_UPSERT_H
#define RG_UPSERT_H

/* Installs the hook; called from _PG_init. */
extern void rg_upsert_init(void);

#endif
