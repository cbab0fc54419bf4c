/*
 * audit_settings.c
 *		Settings of a session that decide how values are printed, and must not
 *		decide how the audit log shows them.
 *
 * Anybody may set them: with extra_float_digits = -15, two different numbers
 * would look the same.  Most sessions have what is wanted, so nothing is set.
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/bytea.h"
#include "utils/float.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "audit_settings.h"

#define EXACT_FLOAT_DIGITS 1

static bool
element_by_settings(Oid type)
{
	switch (type)
	{
		case FLOAT4OID:
		case FLOAT8OID:
		case TIMESTAMPTZOID:
		case INTERVALOID:
		case BYTEAOID:
			return true;
		default:
			return false;
	}
}

/* Of a type that anybody made, nothing is known but that an enum has names. */
bool
rg_audit_printed_by_settings(Oid type)
{
	Oid			base = getBaseType(type);
	Oid			element = get_base_element_type(base);

	if (OidIsValid(element))
		return rg_audit_printed_by_settings(element);
	if (type_is_range(base) || type_is_multirange(base) || type_is_rowtype(base))
		return true;
	if (base >= FirstNormalObjectId)
		return !type_is_enum(base);
	return element_by_settings(base);
}

static bool
in_utc(void)
{
	const char *zone = pg_get_timezone_name(session_timezone);

	return strcmp(zone, "UTC") == 0 || strcmp(zone, "Etc/UTC") == 0;
}

static void
set(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

int
rg_audit_settings_begin(void)
{
	int			level = NewGUCNestLevel();

	if (extra_float_digits < EXACT_FLOAT_DIGITS)
		set("extra_float_digits", "1");
	if (DateStyle != USE_ISO_DATES)
		set("DateStyle", "ISO");
	if (IntervalStyle != INTSTYLE_POSTGRES)
		set("IntervalStyle", "postgres");
	if (bytea_output != BYTEA_OUTPUT_HEX)
		set("bytea_output", "hex");
	if (!in_utc())
		set("TimeZone", "UTC");
	return level;
}

int
rg_audit_names_begin(void)
{
	int			level = NewGUCNestLevel();

	set("search_path", "pg_catalog");
	return level;
}

void
rg_audit_settings_end(int level)
{
	AtEOXact_GUC(true, level);
}
