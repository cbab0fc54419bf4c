/*
 * cache_change.c
 *		What a transaction invalidates: the tags that cache_invalidate() names,
 *		and every cached answer of the database when it changes a catalog.
 *
 * Nobody has to say that a policy, a right, a function, a role or a route has
 * changed: such a change sends invalidation messages, and a transaction that is
 * about to commit knows its own.  They are looked at then, and the slots of the
 * catalogs announced like those of tags.
 *
 * What was announced ends when all resources of the transaction are released:
 * later than in PostgreSQL's callback for commits, after which invalidation
 * messages are yet to be sent.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "postmaster/autovacuum.h"
#include "storage/sinval.h"
#include "tcop/utility.h"
#include "utils/resowner.h"

#include "cache_change.h"
#include "cache_slot.h"
#include "identity.h"

#if PG_VERSION_NUM >= 170000
#define is_autovacuum_worker() AmAutoVacuumWorkerProcess()
#else
#define is_autovacuum_worker() IsAutoVacuumWorkerProcess()
#endif

#define IGNORED_MAX 16

typedef struct Change
{
	uint32		slot;
	int			level;			/* of the subtransaction */
} Change;

/* Slots of tags, then of catalogs. */
static Change changes[RG_CACHE_CHANGES_MAX + 3];
static int	nchanges = 0;
static bool announced = false;
static bool committed = false;

/* Tables whose messages mean nothing here. */
static Oid	ignored[IGNORED_MAX];
static int	nignored = 0;

static ProcessUtility_hook_type previous_process_utility = NULL;

static void
forget(void)
{
	nchanges = nignored = 0;
	announced = committed = false;
}

static bool
has_slot(uint32 slot)
{
	for (int i = 0; i < nchanges; i++)
		if (changes[i].slot == slot)
			return true;
	return false;
}

/* While others' callbacks for this commit run, there is no later announcement. */
static void
add_slot(uint32 slot)
{
	if (has_slot(slot))
		return;
	changes[nchanges].slot = slot;
	changes[nchanges++].level = GetCurrentTransactionNestLevel();
	if (announced)
		rg_cache_slot_announce(slot);
}

static void
add_key(const RgCacheKey *key)
{
	static const RgCacheKey all = {{"", 0}, true};
	uint32		everything = rg_cache_slot_of(&all);

	if (has_slot(everything))
		return;
	add_slot(nchanges < RG_CACHE_CHANGES_MAX ? rg_cache_slot_of(key) : everything);
}

PG_FUNCTION_INFO_V1(relay_guard_cache_invalidate);

/* cache_invalidate(pattern text) */
Datum
relay_guard_cache_invalidate(PG_FUNCTION_ARGS)
{
	RgSlice		pattern = rg_text_argument(fcinfo, 0);
	RgCacheKey	key;

	if (pattern.data == NULL)
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("a pattern of cached answers must not be null"));
	if (!rg_cache_slot_available())
		PG_RETURN_VOID();
	key = rg_cache_pattern(pattern);
	add_key(&key);
	PG_RETURN_VOID();
}

/*
 * Savepoints: what was added in one goes with it, or becomes its parent's.
 */
static void
on_subtransaction(SubXactEvent event, SubTransactionId subid, SubTransactionId parent, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();

	if (event == SUBXACT_EVENT_ABORT_SUB)
		while (nchanges > 0 && changes[nchanges - 1].level >= level)
			nchanges--;
	if (event == SUBXACT_EVENT_COMMIT_SUB)
		for (int i = nchanges; i > 0 && changes[i - 1].level >= level; i--)
			changes[i - 1].level = level - 1;
}

/*
 * Catalogs
 */

void
rg_cache_change_ignore(Oid relid)
{
	for (int i = 0; i < nignored; i++)
		if (ignored[i] == relid)
			return;
	if (nignored < IGNORED_MAX)
		ignored[nignored++] = relid;
}

static bool
is_ignored(const SharedInvalidationMessage * message)
{
	if (message->id != SHAREDINVALRELCACHE_ID)
		return false;
	for (int i = 0; i < nignored; i++)
		if (ignored[i] == message->rc.relId)
			return true;
	return false;
}

/* InvalidOid for what all databases share. */
static Oid
database_of(const SharedInvalidationMessage * message)
{
	if (message->id >= 0)
		return message->cc.dbId;
	switch (message->id)
	{
		case SHAREDINVALCATALOG_ID:
			return message->cat.dbId;
		case SHAREDINVALRELCACHE_ID:
			return message->rc.dbId;
		case SHAREDINVALRELMAP_ID:
			return message->rm.dbId;
		case SHAREDINVALSNAPSHOT_ID:
			return message->sn.dbId;
		default:
			return InvalidOid;
	}
}

/* Autovacuum changes statistics, which change no answer. */
static void
add_catalogs(void)
{
	SharedInvalidationMessage *messages;
	bool		init_file;
	int			count = is_autovacuum_worker() ? 0 :
	xactGetCommittedInvalidationMessages(&messages, &init_file);

	for (int i = 0; i < count; i++)
		if (!is_ignored(&messages[i]))
			add_slot(rg_cache_slot_of_catalogs(database_of(&messages[i])));
}

/*
 * The transaction's end
 */

static void
announce(void)
{
	if (!rg_cache_slot_available())
		return;
	add_catalogs();
	for (int i = 0; i < nchanges; i++)
		rg_cache_slot_announce(changes[i].slot);
	announced = true;
}

static void
end(void)
{
	for (int i = 0; announced && i < nchanges; i++)
		rg_cache_slot_end(changes[i].slot, committed);
	forget();
}

/* It would have to be remembered until COMMIT PREPARED, over restarts. */
static void
refuse_prepare(void)
{
	if (nchanges > 0)
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("cannot PREPARE a transaction that has called cache_invalidate()"));
}

static void
on_transaction(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			announce();
			break;
		case XACT_EVENT_COMMIT:
			committed = true;
			break;
		case XACT_EVENT_ABORT:
			end();
			break;
		case XACT_EVENT_PRE_PREPARE:
			refuse_prepare();
			break;
		case XACT_EVENT_PREPARE:
			forget();
			break;
		default:
			break;
	}
}

static void
on_release(ResourceReleasePhase phase, bool is_commit, bool is_top_level, void *arg)
{
	if (phase == RESOURCE_RELEASE_AFTER_LOCKS && is_top_level && committed)
		end();
}

/*
 * What a prepared transaction has changed only its file knows: every COMMIT
 * PREPARED counts as a change of catalogs.
 */
static void
around_commit_prepared(bool before)
{
	uint32		own = rg_cache_slot_of_catalogs(MyDatabaseId);
	uint32		common = rg_cache_slot_of_catalogs(InvalidOid);

	if (before)
	{
		rg_cache_slot_announce(own);
		rg_cache_slot_announce(common);
		return;
	}
	rg_cache_slot_end(own, true);
	rg_cache_slot_end(common, true);
}

static bool
is_commit_prepared(const Node *statement)
{
	return IsA(statement, TransactionStmt) &&
		((const TransactionStmt *) statement)->kind == TRANS_STMT_COMMIT_PREPARED;
}

static void
process(PlannedStmt * planned, const char *query, bool read_only_tree,
		ProcessUtilityContext context, ParamListInfo params,
		QueryEnvironment * environment, DestReceiver *dest, QueryCompletion * completion)
{
	if (previous_process_utility != NULL)
		previous_process_utility(planned, query, read_only_tree, context, params,
								 environment, dest, completion);
	else
		standard_ProcessUtility(planned, query, read_only_tree, context, params,
								environment, dest, completion);
}

static void
watch_utility(PlannedStmt * planned, const char *query, bool read_only_tree,
			  ProcessUtilityContext context, ParamListInfo params,
			  QueryEnvironment * environment, DestReceiver *dest, QueryCompletion * completion)
{
	if (!is_commit_prepared(planned->utilityStmt) || !rg_cache_slot_available())
	{
		process(planned, query, read_only_tree, context, params, environment, dest, completion);
		return;
	}
	around_commit_prepared(true);
	PG_TRY();
	{
		process(planned, query, read_only_tree, context, params, environment, dest, completion);
	}
	PG_FINALLY();
	{
		around_commit_prepared(false);
	}
	PG_END_TRY();
}

void
rg_cache_change_init(void)
{
	RegisterXactCallback(on_transaction, NULL);
	RegisterSubXactCallback(on_subtransaction, NULL);
	RegisterResourceReleaseCallback(on_release, NULL);
	previous_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = watch_utility;
}
