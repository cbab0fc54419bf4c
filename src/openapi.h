/*
 * openapi.h
 *		/openapi.json, kept by a backend until the routes or the limits change.
 */
#ifndef RG_OPENAPI_H
#define RG_OPENAPI_H

/* Watches the tables that the document is made of; called from _PG_init. */
extern void rg_openapi_init(void);

#endif
