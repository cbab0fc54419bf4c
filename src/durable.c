/*
 * durable.c
 *		Commits that no session setting can lose.
 *
 * ForceSyncCommit() sees to the disk alone: whether to wait for standbys is asked of
 * the setting, at the commit.
 */
#include "postgres.h"

#include "access/xact.h"
#include "replication/syncrep.h"
#include "utils/guc.h"

#include "durable.h"

static bool wanted = false;

static bool
has_synchronous_standbys(void)
{
	return SyncRepStandbyNames != NULL && SyncRepStandbyNames[0] != '\0';
}

static void
on_transaction(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT && wanted && synchronous_commit < SYNCHRONOUS_COMMIT_ON &&
		has_synchronous_standbys())
		(void) set_config_option("synchronous_commit", "on", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, 0, false);
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		wanted = false;
}

void
rg_commit_durably(void)
{
	static bool registered = false;

	if (!registered)
		RegisterXactCallback(on_transaction, NULL);
	registered = true;
	wanted = true;
	ForceSyncCommit();
}
