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

/* With so many or more, the shortest that is read back as the same number */
#define EXACT_FLOAT_DIGITS 1

static int
settings_of_builtin(Oid type)
{
	switch (type)
	{
		case FLOAT4OID:
		case FLOAT8OID:
			return RG_AUDIT_FLOATS;
		case DATEOID:
		case TIMESTAMPOID:
			return RG_AUDIT_DATES;
		case TIMESTAMPTZOID:
			return RG_AUDIT_DATES | RG_AUDIT_ZONES;
		case INTERVALOID:
			return RG_AUDIT_INTERVALS;
		case BYTEAOID:
			return RG_AUDIT_BYTES;
		default:
			return 0;
	}
}

/* Of a type that anybody made, nothing is known but that an enum has names. */
int
rg_audit_settings_printed(Oid type)
{
	Oid			base = getBaseType(type);
	Oid			element = get_base_element_type(base);

	if (OidIsValid(element))
		return rg_audit_settings_printed(element);
	if (type_is_range(base) || type_is_multirange(base) || type_is_rowtype(base) ||
		(base >= FirstNormalObjectId && !type_is_enum(base)))
		return RG_AUDIT_ANYTHING;
	return settings_of_builtin(base);
}

/* JSON has dates in one style only; audit_value.c prints times in UTC, but not those in arrays. */
int
rg_audit_settings_in_json(Oid type)
{
	Oid			base = getBaseType(type);
	Oid			element = get_base_element_type(base);

	if (base == DATEOID || base == TIMESTAMPOID || base == TIMESTAMPTZOID)
		return 0;
	if (OidIsValid(element) && getBaseType(element) == TIMESTAMPTZOID)
		return RG_AUDIT_ZONES;
	return OidIsValid(element) ? rg_audit_settings_in_json(element) : rg_audit_settings_printed(base);
}

static bool
in_utc(void)
{
	const char *zone = pg_get_timezone_name(session_timezone);

	return strcmp(zone, "UTC") == 0 || strcmp(zone, "Etc/UTC") == 0;
}

/* Those of the settings that are not as they should be. */
static int
wrong(int settings)
{
	int			right = (extra_float_digits >= EXACT_FLOAT_DIGITS ? RG_AUDIT_FLOATS : 0) |
	(DateStyle == USE_ISO_DATES ? RG_AUDIT_DATES : 0) |
	(IntervalStyle == INTSTYLE_POSTGRES ? RG_AUDIT_INTERVALS : 0) |
	(bytea_output == BYTEA_OUTPUT_HEX ? RG_AUDIT_BYTES : 0);

	settings &= ~right;
	return (settings & RG_AUDIT_ZONES) && in_utc() ? settings & ~RG_AUDIT_ZONES : settings;
}

static void
set(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

int
rg_audit_settings_begin(int settings)
{
	int			todo = wrong(settings);
	int			level;

	if (todo == 0)
		return 0;
	level = NewGUCNestLevel();
	if (todo & RG_AUDIT_FLOATS)
		set("extra_float_digits", "1");
	if (todo & RG_AUDIT_DATES)
		set("DateStyle", "ISO");
	if (todo & RG_AUDIT_ZONES)
		set("TimeZone", "UTC");
	if (todo & RG_AUDIT_INTERVALS)
		set("IntervalStyle", "postgres");
	if (todo & RG_AUDIT_BYTES)
		set("bytea_output", "hex");
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
	if (level != 0)
		AtEOXact_GUC(true, level);
}
