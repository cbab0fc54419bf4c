/*
 * promotion.h
 *		What quotas and budgets do after a standby was promoted.
 *
 * With asynchronous replication the ledger of a promoted standby may lack the last
 * moments of the former primary.  relay_guard.after_promotion says whether to go by
 * it all the same, or to wait for an operator who has looked.
 */
#ifndef RG_PROMOTION_H
#define RG_PROMOTION_H

/* The setting, and the cache of relay_guard.usage_timeline; called from _PG_init. */
extern void rg_promotion_init(void);

/* Whether quotas and budgets go by the ledger as it is. */
extern bool rg_promotion_is_confirmed(void);

/*
 * Error RG503 where the server has been promoted, nobody has confirmed it yet, and
 * the setting is deny.
 */
extern void rg_promotion_require_confirmed(void);

#endif
