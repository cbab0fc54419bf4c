/*
 * decrypt_log.h
 *		Tells the server's log of values that did not open, so that an operator
 *		notices who moves or damages them.
 */
#ifndef RG_DECRYPT_LOG_H
#define RG_DECRYPT_LOG_H

#include "fmgr.h"

/*
 * Notes that a value did not open in that call of an SQL function.  A backend writes a
 * line a second at most, with the number of values since the line before;
 * neither the value nor its AAD is in it.
 */
extern void rg_decrypt_log(FunctionCallInfo fcinfo);

#endif
