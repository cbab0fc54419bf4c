/*
 * open_cursors.c
 *		Whether cursors are open.
 *
 * PostgreSQL keeps its table of portals to itself; the view is the way in.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/portal.h"

#include "open_cursors.h"

/*
 * The client's unnamed portal is the statement that asks, unless that is a
 * fast-path call, or the portal is being read for the second time.
 */
static bool
unnamed_is_cursor(void)
{
	Portal		unnamed = GetPortalByName("");

	return PortalIsValid(unnamed) &&
		(unnamed->status != PORTAL_ACTIVE || !unnamed->atStart);
}

bool
rg_open_cursors(void)
{
	bool		found;

	if (unnamed_is_cursor())
		return true;
	SPI_connect();
	if (SPI_execute("SELECT FROM pg_catalog.pg_cursors WHERE name OPERATOR(pg_catalog.<>) ''",
					false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read pg_cursors");
	found = SPI_processed > 0;
	SPI_finish();
	return found;
}
