/*
 * reply_traits.h
 *		What the header lines of a reply say, as far as the gateway cares.
 */
#ifndef RG_REPLY_TRAITS_H
#define RG_REPLY_TRAITS_H

#include "json_text.h"

typedef struct RgReplyTraits
{
	bool		cache_control;	/* there is one */
	bool		cookie;			/* there is a Set-Cookie */
	bool		encoded;		/* there is a Content-Encoding */
	bool		file;			/* parts of the body may be asked for */
	RgSlice		type;			/* Content-Type */
	RgSlice		modified;		/* Last-Modified */
} RgReplyTraits;

/*
 * False when the lines could end an answer's head, or say where its body does.  The
 * slices point into them.
 */
extern bool rg_reply_traits(RgSlice lines, RgReplyTraits *traits)
			__attribute__((warn_unused_result));

/* Puts those lines that belong to a file, or those that a problem in its place has. */
extern void rg_reply_put_file_lines(RgText *text, RgSlice lines);
extern void rg_reply_put_other_lines(RgText *text, RgSlice lines);

#endif
