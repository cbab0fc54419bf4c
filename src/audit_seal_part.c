/*
 * audit_seal_part.c
 *		Gathering rows into what becomes seals.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "audit_month.h"
#include "audit_seal_part.h"

/* Who deletes a million rows must not make a seal that nobody can read. */
#define MAX_FINDINGS 1000

static RgSealPart *
make_part(int32 row_epoch, DateADT month)
{
	char	   *memory = palloc0(sizeof(RgSealPart) + RG_AUDIT_MAC_ALIGNMENT);
	RgSealPart *part = (RgSealPart *) TYPEALIGN(RG_AUDIT_MAC_ALIGNMENT, memory);

	part->row_epoch = row_epoch;
	part->month = month;
	initStringInfo(&part->findings);
	crypto_generichash_init(&part->digest, NULL, 0, RG_AUDIT_MAC_BYTES);
	return part;
}

/* Whether a's seal comes before b's: what is taken over first, then by month. */
static bool
precedes(const RgSealParts *parts, const RgSealPart *a, const RgSealPart *b)
{
	bool		a_own = a->row_epoch == parts->own_epoch;
	bool		b_own = b->row_epoch == parts->own_epoch;

	if (a_own != b_own)
		return b_own;
	if (a->row_epoch != b->row_epoch)
		return a->row_epoch < b->row_epoch;
	return a->month < b->month;
}

static void
insert_part(RgSealParts *parts, RgSealPart *part)
{
	int			at = 0;

	while (at < list_length(parts->parts) && precedes(parts, list_nth(parts->parts, at), part))
		at++;
	parts->parts = list_insert_nth(parts->parts, at, part);
}

static bool
is_of(const RgSealPart *part, int32 row_epoch, DateADT month)
{
	return part->row_epoch == row_epoch && part->month == month;
}

RgSealPart *
rg_seal_part(RgSealParts *parts, int32 row_epoch, DateADT month)
{
	ListCell   *cell;
	RgSealPart *part;

	foreach(cell, parts->parts)
	{
		if (is_of(lfirst(cell), row_epoch, month))
			return lfirst(cell);
	}
	part = make_part(row_epoch, month);
	insert_part(parts, part);
	return part;
}

RgSealPart *
rg_seal_part_add(RgSealParts *parts, const RgAuditRow *row)
{
	DateADT		month = rg_audit_month(row->occurred_at);
	RgSealPart *part = parts->latest;

	if (part == NULL || !is_of(part, row->epoch, month))
		part = parts->latest = rg_seal_part(parts, row->epoch, month);
	part->rows++;
	rg_id_ranges_add(&part->ids, row->id);
	crypto_generichash_update(&part->digest, row->mac, sizeof row->mac);
	return part;
}

void
rg_seal_part_find(RgSealPart *part, const char *object)
{
	if (part->nfindings < MAX_FINDINGS)
		appendStringInfo(&part->findings, "%s%s", part->nfindings > 0 ? ", " : "", object);
	part->nfindings++;
}

char *
rg_seal_part_findings(const RgSealPart *part)
{
	int			more = part->nfindings - MAX_FINDINGS;

	if (part->nfindings == 0)
		return NULL;
	if (more > 0)
		return psprintf("[%s, {\"more\": %d}]", part->findings.data, more);
	return psprintf("[%s]", part->findings.data);
}
