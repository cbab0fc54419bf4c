/*
 * audit_object.h
 *		A JSON object as jsonb and as the text that PostgreSQL prints of it, made
 *		side by side: the audit log stores the one, its MAC takes in the other.
 *
 * With PostgreSQL's functions the keys of every row would be sorted, and the
 * finished jsonb read again to print it.  Here they come sorted, and the text
 * is at hand.  All of it is in the current context.
 */
#ifndef RG_AUDIT_OBJECT_H
#define RG_AUDIT_OBJECT_H

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

#include "slice.h"

/* A jsonb and its text in the server's encoding; stored NULL when absent. */
typedef struct RgAuditJson
{
	Jsonb	   *stored;
	RgSlice		text;
} RgAuditJson;

typedef struct RgAuditKey
{
	RgSlice		name;
	RgSlice		label;			/* as it is printed: "name": */
} RgAuditKey;

/* A value, and its text if that is at hand and needs no quotes. */
typedef struct RgAuditValue
{
	JsonbValue	json;			/* a scalar or, whole, jbvBinary */
	RgSlice		text;
} RgAuditValue;

typedef struct RgAuditObject
{
	StringInfoData jsonb;
	StringInfoData text;
	int			nkeys;			/* that it is to have */
	int			nentries;		/* keys and values that it has */
	uint32		size;			/* of these in bytes */
} RgAuditObject;

/* The name, which stays where it is, as a key. */
extern RgAuditKey rg_audit_key_named(const char *name);

/*
 * First all keys in jsonb's order (length, then bytes; none twice), then their
 * values in the same.
 */
extern void rg_audit_object_begin(RgAuditObject *object, int nkeys);
extern void rg_audit_object_key(RgAuditObject *object, const RgAuditKey *key);
extern void rg_audit_object_value(RgAuditObject *object, const RgAuditKey *key,
								  const RgAuditValue *value);
extern RgAuditJson rg_audit_object_end(RgAuditObject *object);

/* Any jsonb with its text; NULL is absent. */
extern RgAuditJson rg_audit_json(Jsonb *value);

#endif
