/*
 * plaintext.h
 *		What can be encrypted, as bytes: text and jsonb in UTF-8 whatever the
 *		database's encoding, jsonb in its text form, bytea as it is.
 *
 * No error of these functions says what the value is.
 */
#ifndef RG_PLAINTEXT_H
#define RG_PLAINTEXT_H

#include "slice.h"

typedef enum RgPlaintext
{
	RG_PLAIN_TEXT,
	RG_PLAIN_BYTEA,
	RG_PLAIN_JSONB
} RgPlaintext;

/* The type of that kind. */
extern Oid	rg_plaintext_type(RgPlaintext kind);

/* Text of the server in UTF-8: itself, or palloc'd. */
extern RgSlice rg_plaintext_utf8(const char *text, int len);

/* The value's bytes: its own, or palloc'd ones. */
extern RgSlice rg_plaintext_bytes(RgPlaintext kind, Datum value);

/*
 * Makes the value of a palloc'd varlena that holds the bytes, and which may
 * become the value itself.
 */
extern Datum rg_plaintext_value(RgPlaintext kind, struct varlena *bytes);

#endif
