/*
 * json_render.h
 *		One column's values as JSON: how its type is rendered is decided once.
 */
#ifndef RG_JSON_RENDER_H
#define RG_JSON_RENDER_H

#include "fmgr.h"

#include "json_out.h"

typedef struct RgJsonColumn RgJsonColumn;

/* Appends a value that is not null to out->buf. */
typedef void (*RgJsonRender) (RgJsonOut *out, RgJsonColumn *column, Datum value);

struct RgJsonColumn
{
	int			index;			/* in the slot, from 0 */
	int			key_len;
	char	   *key;			/* {"name": or ,"name": */
	RgJsonRender render;
	bool		allocates;		/* so it runs in the row's context */
	FmgrInfo	function;		/* the output function or to_json() */
};

/* Sets how values of a type are rendered; what that needs is in context. */
extern void rg_json_choose_render(RgJsonColumn *column, Oid type,
								  MemoryContext context);

/* Error 54000 when so many more bytes would be over max_bytes. */
extern void rg_json_check_room(const RgJsonOut *out, Size bytes);

#endif
