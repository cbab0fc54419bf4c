/*
 * anchor.h
 *		The head of the audit log's seals, in the access log.
 *
 * Whoever can write the database's files could cut off the newest seals and the
 * rows under them.  A head that was written down elsewhere shows it; so one
 * worker of all writes, every AUDIT_ANCHOR_INTERVAL,
 *
 *		{"time":"…","anchor":"<seal_id>:<root in hex>"}
 *
 * which ops/audit-verify takes as it is.  Nothing is written while there is no
 * seal or no access log.
 */
#ifndef RG_ANCHOR_H
#define RG_ANCHOR_H

#include <stdbool.h>

struct RgWorker;

/*
 * Before the first fork: makes what workers share.  False when there is no memory
 * for it.
 */
extern bool rg_anchor_share(void)
			__attribute__((warn_unused_result));

/* Once a second in every worker: asks for the head when that is due. */
extern void rg_anchor_tick(struct RgWorker *worker);

#endif
