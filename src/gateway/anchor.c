/*
 * anchor.c
 *		Writes down the head of the seals; anchor.h has the contract.
 */
#include "anchor.h"

#include <stdatomic.h>
#include <sys/mman.h>

#include "ask.h"
#include "clock.h"
#include "log.h"
#include "worker.h"

#define TIMEOUT INT64_C(5000000)

/* One column of text; no row without a seal. */
static const char query[] =
"SELECT seal_id || ':' || pg_catalog.encode(root, 'hex') FROM relay_guard.audit_head()";

/* Shared by all workers: rg_now() when one of them asked last; 0: none has. */
static _Atomic int64_t *asked;

/* Whether the last answer was one; a failure is logged once. */
static bool healthy = true;

bool
rg_anchor_share(void)
{
	void	   *page = mmap(NULL, sizeof *asked, PROT_READ | PROT_WRITE,
							MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return false;
	asked = page;
	return true;
}

/* True in one worker of all, once an interval. */
static bool
is_due(const RgConfig *config, int64_t now)
{
	int64_t		last = atomic_load(asked);

	return config->anchor_interval > 0 && rg_access_log_is_on() &&
		(last == 0 || now - last >= config->anchor_interval) &&
		atomic_compare_exchange_strong(asked, &last, now);
}

static void
note_health(bool answered, const PGresult *result)
{
	if (answered != healthy)
		rg_log(RG_LOG_WARNING, answered ? "the audit log is anchored again"
			   : "the audit log cannot be anchored", "error",
			   result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL, NULL);
	healthy = answered;
}

static void
take_answer(void *arg, const PGresult *result)
{
	bool		answered = result != NULL && PQresultStatus(result) == PGRES_TUPLES_OK &&
	PQnfields(result) == 1;

	note_health(answered, result);
	if (answered && PQntuples(result) == 1 && !PQgetisnull(result, 0, 0))
		rg_access_log_anchor(rg_slice(PQgetvalue(result, 0, 0), PQgetlength(result, 0, 0)));
}

void
rg_anchor_tick(RgWorker *worker)
{
	if (!worker->draining && is_due(worker->config, rg_now()) &&
		!rg_ask(&worker->reads, TIMEOUT, query, 0, NULL, take_answer, NULL))
		note_health(false, NULL);
}
